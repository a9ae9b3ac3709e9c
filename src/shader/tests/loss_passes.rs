//! The kernels around those of the rows of a loss.

use super::super::*;

/// The passes before and after the rows of a loss that there can be, from rows and from partial results.
fn passes() -> Vec<(LossPass, FinalStep)> {
    let mut all = Vec::new();
    for (soft, is_mean, before, flag) in (0..16).map(|i| (i & 1 > 0, i & 2 > 0, i & 4 > 0, i & 8 > 0)) {
        let kinds = [
            (NormalizerKind::None, !is_mean && !before),
            (NormalizerKind::Counted, is_mean),
            (NormalizerKind::Number, is_mean && !before),
            (NormalizerKind::Buffer, is_mean),
        ];
        for (normalizer, _) in kinds.into_iter().filter(|(_, is_possible)| *is_possible) {
            let is_counted = normalizer == NormalizerKind::Counted;
            let targets = LossPass {
                has_targets: !soft,
                has_weights: flag && !soft,
                has_row_weights: soft || flag,
                counts_targets: !soft || is_counted,
                sums_weights: is_counted && (soft || flag),
                sums_row_weights: is_counted && flag && !soft,
                ..LossPass::default()
            };
            let first = FinalStep {
                normalizer,
                writes_all: true,
                writes_scale: before,
                is_mean: is_mean && !before,
            };
            let sums = LossPass {
                counts_correct: flag && !soft,
                sums_losses: is_mean || flag,
                sums_z_losses: flag,
                ..if before { LossPass::default() } else { targets }
            };
            if before {
                all.push((targets, first));
                all.push((
                    sums,
                    FinalStep {
                        normalizer: NormalizerKind::Summary,
                        writes_all: false,
                        writes_scale: false,
                        is_mean,
                    },
                ));
            } else {
                all.push((sums, first));
            }
        }
    }
    let of_ragged = all.iter().filter(|(pass, _)| pass.reads_targets()).map(ragged);
    let of_ragged: Vec<_> = of_ragged.collect();
    all.extend(of_ragged);
    all
}

/// The same of rows that each have a number of classes of their own.
fn ragged((pass, last): &(LossPass, FinalStep)) -> (LossPass, FinalStep) {
    let pass = LossPass {
        row_classes: true,
        ..*pass
    };
    (pass, *last)
}

/// The kernels that run before and after that of the rows, and the Jacobian.
pub(super) fn variants() -> Vec<Variant> {
    let mut all = vec![Variant::JACOBIAN];
    for (pass, last) in passes() {
        all.extend([false, true].map(|is_wide| Variant::loss(pass, true, Some(last), is_wide)));
        if pass.reads_rows() {
            all.push(Variant::loss(pass, false, Some(last), false));
            all.extend([true, false].map(|from_rows| Variant::loss(pass, from_rows, None, from_rows)));
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|variant| seen.insert(variant.clone()));
    all
}
