//! The outputs of a loss against the reference's.

use super::{Stored, Subject, Verdict, allowed, must};
use wgpu_softmax::reference::CrossEntropyReference;
use wgpu_softmax::testing::{Bound, LossBounds};
use wgpu_softmax::{Adjust, CrossEntropy, CrossEntropyOutput, Dtype, Gradient, Reduction};

/// The bounds in ULP of the results themselves, where logits and lse are used as they were given. Logits that are scaled,
/// biased or capped are rounded on the way, and so was a saved lse; what that costs is not in proportion to a small result.
/// Nor is what may be lost of `x − m` in 16 bits, which `verify` takes into account.
fn bounds_of<T: Stored>(options: &CrossEntropy, exact: &CrossEntropyReference) -> Option<LossBounds> {
    let is_as_given = options.adjust == Adjust::default()
        && options.temperature == 1.0
        && options.from_lse.is_none()
        && T::DTYPE == Dtype::F32;
    is_as_given.then(|| LossBounds::new(options, exact))
}

/// Every output that `options` ask for, and no other; numbers as [`near`](super::near) has them, and where logits are used as they are
/// within [`LossBounds`].
#[track_caller]
pub fn outputs_are<T: Stored>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) {
    must(outputs_verdict(subject, options, out, exact));
}

/// [`outputs_are`], for those who go on after a failure.
pub fn outputs_verdict<T: Stored>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) -> Verdict {
    let is_reduced = options.reduction != Reduction::None;
    let is_asked = options.row_losses || !is_reduced;
    let bounds = bounds_of::<T>(options, exact);
    let within = |of: fn(&LossBounds) -> &[Bound]| bounds.as_ref().map(of);
    for (output, is_asked, got, exact, bounds) in [
        (
            "row losses",
            is_asked,
            &out.row_losses,
            &exact.row_losses,
            within(|b| &b.row_losses),
        ),
        (
            "row z-losses",
            options.row_z_losses,
            &out.row_z_losses,
            &exact.row_z_losses,
            within(|b| &b.row_z_losses),
        ),
        ("lse", options.lse, &out.lse, &exact.lse, within(|b| &b.lse)),
        (
            "log_prob",
            options.log_prob,
            &out.log_prob,
            &exact.log_probs,
            within(|b| &b.log_probs),
        ),
        (
            "entropy",
            options.entropy,
            &out.entropy,
            &exact.entropies,
            within(|b| &b.entropies),
        ),
    ] {
        let exact = is_asked.then_some(exact.as_slice());
        optional_within(subject, output, (got.as_deref(), exact), bounds)?;
    }
    let gradient = (options.gradient != Gradient::None).then_some(&exact.gradient[..]);
    let pair = (out.gradient.as_deref(), gradient);
    optional_within(subject, "gradient", pair, within(|b| &b.gradient))?;
    let argmax = out
        .argmax
        .as_ref()
        .map(|argmax| argmax.iter().map(|&c| c as usize).collect::<Vec<_>>());
    subject.equal("whether there is argmax", &argmax.is_some(), &options.argmax)?;
    let expected: &[usize] = if options.argmax { &exact.argmax } else { &[] };
    subject.each("argmax", &argmax.unwrap_or_default(), expected)?;
    counts_verdict(subject, options, out, exact)?;
    let one = |value: &Option<f32>| value.map(|value| vec![value]);
    let loss = is_reduced.then_some(std::slice::from_ref(&exact.loss));
    let slice = |of: fn(&LossBounds) -> &Bound| bounds.as_ref().map(|b| std::slice::from_ref(of(b)));
    optional_within(subject, "loss", (one(&out.loss).as_deref(), loss), slice(|b| &b.loss))?;
    let z_loss = (is_reduced && options.z_loss != 0.0).then_some(std::slice::from_ref(&exact.z_loss));
    optional_within(
        subject,
        "z-loss",
        (one(&out.z_loss).as_deref(), z_loss),
        slice(|b| &b.z_loss),
    )
}

/// The numbers of rows that were counted, and that were correct.
#[track_caller]
pub fn counts_are<T>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) {
    must(counts_verdict(subject, options, out, exact));
}

fn counts_verdict<T>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) -> Verdict {
    subject.equal("counted", &out.counted, &exact.counted)?;
    subject.equal("correct", &out.correct, &options.correct.then_some(exact.correct))
}

/// Numbers as [`near`](super::near) has them, which are there where `exact` is.
#[track_caller]
pub fn optional<T: Stored>(subject: &Subject<'_>, output: &str, got: Option<&[T]>, exact: Option<&[f64]>) {
    must(optional_within(subject, output, (got, exact), None));
}

/// [`optional`], and within these bounds too.
fn optional_within<T: Stored>(
    subject: &Subject<'_>,
    output: &str,
    (got, exact): (Option<&[T]>, Option<&[f64]>),
    bounds: Option<&[Bound]>,
) -> Verdict {
    subject.equal(&format!("whether there is {output}"), &got.is_some(), &exact.is_some())?;
    let bound = |i: usize, exact| {
        bounds
            .map_or(f64::INFINITY, |all| all[i].allowed)
            .min(allowed::<T>(exact))
    };
    let (got, exact) = (got.unwrap_or_default(), exact.unwrap_or_default());
    subject.within(output, got, exact, bound)
}
