//! Every cell of the README's table, option × operation × type, by that name: against the f64 reference, on rows of every
//! kind, in quads and in single elements.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Random, Stored, gpu, near, stored};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, Dtype, EmptyMean, FullyMasked, Gradient, Input, LogSumExp, Mask,
    Normalizer, Reduction, Rows, Scale, Softmax, SoftmaxGrad, Upstream, Values, reference,
};

const POLICIES: [FullyMasked; 3] = [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform];

/// Layouts that reach every load and store: quads, pairs, an odd number of classes whose rows share words, a stride, a class
/// axis in the middle; `layout` cells have the last two, all others the first two.
fn layouts<T: Stored>(option: &str) -> Vec<Rows> {
    let rows = 7;
    match option {
        "row_stride" => vec![
            Rows::new(rows, 5).with_row_stride(7),
            Rows::new(rows, 6).with_row_stride(10),
            Rows::new(rows, 8).with_row_stride(12),
        ],
        "axis" => vec![Rows::of_shape(&[1, 5, rows], 1).unwrap()],
        "plain" => vec![Rows::new(rows, 8), Rows::new(rows, 6), Rows::new(rows, 5)],
        // Either serves: f16 and bf16 share the loads and stores, and take one each.
        _ => match T::DTYPE {
            Dtype::F32 => vec![Rows::new(rows, 8), Rows::new(rows, 5)],
            Dtype::Bf16 => vec![Rows::new(rows, 8)],
            _ => vec![Rows::new(rows, 5)],
        },
    }
}

/// What an option is set to; `None` for those of another kind.
fn adjust(option: &str, rows: Rows, random: &mut Random) -> Adjust {
    let (count, classes) = (rows.count(), rows.classes());
    let mut numbers = |n: usize| -> Values { random.logits(n, 1.0).into() };
    let mut adjust = Adjust::default();
    for option in option.split('_') {
        match option {
            "scale" => adjust.scale = Scale::Number(-0.75),
            "scales" => adjust.scale = Scale::PerRow(numbers(count)),
            "bias" => adjust.bias = Some(numbers(classes)),
            "softcap" => adjust.softcap = Some(3.0),
            "mask" => {
                let mut mask = vec![0.5f32; classes];
                mask[1] = f32::NEG_INFINITY;
                adjust.mask = Mask::Classes(mask.into());
            }
            "masks" => {
                let masks = (0..rows.elements().unwrap()).map(|i| if i % 7 == 3 { f32::NEG_INFINITY } else { 0.25 });
                adjust.mask = Mask::Full(masks.collect::<Vec<_>>().into());
            }
            "causal" => adjust.mask = Mask::Causal { group: 4, offset: 1 },
            _ => {}
        }
    }
    adjust
}

/// Elements of row `row`.
fn places(rows: Rows, row: usize) -> impl Iterator<Item = usize> {
    let elements = rows.elements().unwrap();
    let stride = if rows.inner() > 1 {
        1
    } else {
        (elements - rows.classes()) / (rows.count() - 1).max(1)
    };
    (0..rows.classes()).map(move |c| row * stride + c * rows.inner())
}

/// Ordinary rows, and one each with some −∞, −∞ alone, a NaN, +∞.
fn logits<T: Stored>(rows: Rows, random: &mut Random) -> Vec<T> {
    let mut x: Vec<f32> = random.logits(rows.elements().unwrap(), 3.0);
    for (row, value, every) in [
        (3, f32::NEG_INFINITY, 2),
        (4, f32::NEG_INFINITY, 1),
        (5, f32::NAN, 3),
        (6, f32::INFINITY, 4),
    ] {
        places(rows, row).step_by(every).for_each(|i| x[i] = value);
    }
    stored(&x)
}

fn softmax_of<T: Stored>(option: &str, log: bool) {
    let mut random = Random(31);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let adjust = adjust(option, rows, &mut random);
            for fully_masked in POLICIES {
                let options = Softmax {
                    log,
                    adjust: adjust.clone(),
                    fully_masked,
                    ..Softmax::default()
                };
                let y = gpu.softmax(&x, rows, &options).unwrap();
                near(option, &y, &reference::softmax(&x, rows, &options).unwrap());
            }
        }
    }
}

fn softmax<T: Stored>(option: &str) {
    softmax_of::<T>(option, false);
}

fn log_softmax<T: Stored>(option: &str) {
    softmax_of::<T>(option, true);
}

fn grad_of<T: Stored>(option: &str, log: bool) {
    let mut random = Random(32);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let adjust = adjust(option, rows, &mut random);
            let forward = Softmax {
                log,
                adjust: adjust.clone(),
                ..Softmax::default()
            };
            let exact: Vec<f32> = (reference::softmax(&x, rows, &forward).unwrap().iter())
                .map(|&y| y as f32)
                .collect();
            let (saved, g) = (stored::<T>(&exact), stored::<T>(&random.logits(x.len(), 1.0)));
            let softcap = adjust.softcap.is_some();
            let options = SoftmaxGrad {
                log,
                adjust: adjust.clone(),
                ..SoftmaxGrad::default()
            };
            let dx = gpu
                .softmax_grad(&saved, &g, softcap.then_some(&x), rows, &options)
                .unwrap();
            let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            let exact = reference::softmax_grad(&saved, &g, rows, log, Some((&wide, &adjust))).unwrap();
            // Where a logit is no number, only its row's NaN or zeros matter.
            let exact: Vec<f64> = exact
                .iter()
                .map(|e| if e.is_infinite() { f64::NAN } else { *e })
                .collect();
            near(option, &dx, &exact);
        }
    }
}

fn softmax_grad<T: Stored>(option: &str) {
    grad_of::<T>(option, false);
}

fn log_softmax_grad<T: Stored>(option: &str) {
    grad_of::<T>(option, true);
}

fn logsumexp<T: Stored>(option: &str) {
    let mut random = Random(33);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let adjust = adjust(option, rows, &mut random);
            for fully_masked in POLICIES {
                let options = LogSumExp {
                    adjust: adjust.clone(),
                    fully_masked,
                    ..LogSumExp::default()
                };
                let lse = gpu.logsumexp(&x, rows, &options).unwrap();
                near(
                    option,
                    &lse,
                    &reference::logsumexp(&x, rows, &adjust, fully_masked).unwrap(),
                );
            }
        }
    }
}

fn logsumexp_grad<T: Stored>(option: &str) {
    let mut random = Random(34);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let adjust = adjust(option, rows, &mut random);
            let g = random.logits(rows.count(), 1.0);
            let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
            for fully_masked in POLICIES {
                let options = LogSumExp {
                    adjust: adjust.clone(),
                    fully_masked,
                    ..LogSumExp::default()
                };
                let lse = gpu.logsumexp(&x, rows, &options).unwrap();
                let dx = gpu.logsumexp_grad(&x, &lse, &g, rows, &options).unwrap();
                let exact = reference::logsumexp_grad(&x, &wide, rows, &adjust, fully_masked).unwrap();
                near(option, &dx, &exact);
            }
        }
    }
}

fn softmax_jacobian<T: Stored>(option: &str) {
    let mut random = Random(35);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let options = Softmax {
                adjust: adjust(option, rows, &mut random),
                ..Softmax::default()
            };
            let jacobian = gpu.softmax_jacobian(&x, rows, &options).unwrap();
            near(
                option,
                &jacobian,
                &reference::softmax_jacobian(&x, rows, &options).unwrap(),
            );
        }
    }
}

/// The options of a cell's name that are cross-entropy's own.
fn loss_options(option: &str, rows: Rows, random: &mut Random) -> CrossEntropy {
    let mut options = CrossEntropy {
        adjust: adjust(option, rows, random),
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    for word in option.split('_') {
        match word {
            "weights" => {
                let weights: Vec<f32> = (0..rows.classes()).map(|c| 0.25 * (c % 4) as f32).collect();
                options.weights = Some(weights.into());
            }
            "smoothing" => options.label_smoothing = 0.125,
            "z" => options.z_loss = 0.01,
            "normalizer" => options.normalizer = Normalizer::Number(7.5),
            "upstream" => options.upstream = Upstream::Number(-2.5),
            "empty" => options.empty_mean = EmptyMean::Zero,
            _ => {}
        }
    }
    options
}

/// Every reduction, policy and output of one set of options; rows with NaN only where they are not reduced.
fn check_loss<T: Stored>(option: &str, soft: bool, nll: bool) {
    let mut random = Random(36);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let mut x: Vec<T> = logits(rows, &mut random);
            let mut options = loss_options(option, rows, &mut random);
            let mut targets: Vec<i32> = random.targets(7, rows.classes()).iter().map(|&t| t as i32).collect();
            // Two ignored rows, of which one has a NaN; a target at -inf.
            (targets[1], targets[3]) = (-100, 0);
            if option.contains("ignored") {
                targets[5] = -100;
            }
            let q = {
                let logits = Softmax::default();
                let y = reference::softmax(&random.logits(x.len(), 2.0), rows, &logits).unwrap();
                let mut y: Vec<f32> = y.iter().map(|&v| v as f32).collect();
                places(rows, 0).for_each(|i| y[i] = 0.0);
                stored::<T>(&y)
            };
            if nll {
                options.input = Input::LogProbs;
            }
            let outputs = CrossEntropy {
                row_losses: true,
                row_z_losses: !nll,
                lse: !nll,
                entropy: !nll,
                log_prob: !soft,
                argmax: true,
                correct: !soft,
                ..options.clone()
            };
            let upstream: Upstream = Upstream::PerRow(random.logits(7, 1.0));
            let reductions = [Reduction::None, Reduction::Sum, Reduction::Mean];
            for (reduction, fully_masked) in reductions.into_iter().flat_map(|r| POLICIES.map(|p| (r, p))) {
                if options.normalizer != Normalizer::Rows && reduction != Reduction::Mean {
                    continue;
                }
                if reduction == Reduction::Sum {
                    // From here on, every row has a loss that is a number, but for the policy's.
                    for row in [3, 5, 6] {
                        places(rows, row).for_each(|i| x[i] = stored::<T>(&[(i % 5) as f32])[0]);
                    }
                }
                let options = CrossEntropy {
                    reduction,
                    fully_masked,
                    upstream: if reduction == Reduction::None {
                        upstream.clone()
                    } else {
                        options.upstream.clone()
                    },
                    ..outputs.clone()
                };
                let (out, exact) = if soft {
                    let out = gpu.cross_entropy_soft(&x, &q, rows, &options).unwrap();
                    (out, reference::cross_entropy_soft(&x, &q, rows, &options).unwrap())
                } else {
                    let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
                    (out, reference::cross_entropy(&x, &targets, rows, &options).unwrap())
                };
                let what = format!("{option}, {reduction:?}, {fully_masked:?}, {} classes", rows.classes());
                near(&format!("losses, {what}"), &out.row_losses.unwrap(), &exact.row_losses);
                near(&format!("gradient, {what}"), &out.gradient.unwrap(), &exact.gradient);
                if !nll {
                    near(&format!("lse, {what}"), &out.lse.unwrap(), &exact.lse);
                    near(&format!("entropy, {what}"), &out.entropy.unwrap(), &exact.entropies);
                    near(
                        &format!("z-losses, {what}"),
                        &out.row_z_losses.unwrap(),
                        &exact.row_z_losses,
                    );
                }
                if let Some(log_prob) = &out.log_prob {
                    near(&format!("log-probs, {what}"), log_prob, &exact.log_probs);
                }
                let argmax: Vec<usize> = out.argmax.unwrap().iter().map(|&c| c as usize).collect();
                assert_eq!(argmax, exact.argmax, "{what}");
                assert_eq!(out.counted, exact.counted, "{what}");
                if !soft {
                    assert_eq!(out.correct, Some(exact.correct), "{what}");
                }
                if let Some(loss) = out.loss {
                    near(&format!("loss, {what}"), &[loss], &[exact.loss]);
                }
                if let Some(z_loss) = out.z_loss {
                    near(&format!("z-loss, {what}"), &[z_loss], &[exact.z_loss]);
                }
            }
        }
    }
}

fn cross_entropy<T: Stored>(option: &str) {
    check_loss::<T>(option, false, false);
}

fn cross_entropy_soft<T: Stored>(option: &str) {
    check_loss::<T>(option, true, false);
}

fn nll_loss<T: Stored>(option: &str) {
    check_loss::<T>(option, false, true);
}

/// The gradient from a saved lse.
fn cross_entropy_from_lse<T: Stored>(option: &str) {
    let mut random = Random(37);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let x: Vec<T> = logits(rows, &mut random);
            let targets = [1i64, -100, 2, 3, 0, 1, 2];
            for fully_masked in POLICIES {
                let forward = CrossEntropy {
                    lse: true,
                    gradient: Gradient::None,
                    fully_masked,
                    reduction: Reduction::Sum,
                    ..loss_options(option, rows, &mut random)
                };
                let lse = gpu.cross_entropy(&x, &targets, rows, &forward).unwrap().lse.unwrap();
                let backward = CrossEntropy {
                    lse: false,
                    gradient: Gradient::Apart,
                    from_lse: Some(lse.into()),
                    ..forward
                };
                let out = gpu.cross_entropy(&x, &targets, rows, &backward).unwrap();
                let exact = reference::cross_entropy(&x, &targets, rows, &backward).unwrap();
                assert_eq!(out.loss, None);
                near(option, &out.gradient.unwrap(), &exact.gradient);
            }
        }
    }
}

fn binary_cross_entropy_with_logits<T: Stored>(option: &str) {
    let mut random = Random(38);
    for gpu in [gpu()] {
        for rows in layouts::<T>(option) {
            let mut x: Vec<T> = logits(rows, &mut random);
            let t: Vec<f32> = (0..x.len()).map(|i| [0.0, 1.0, 0.25, 1.0, 0.0][i % 5]).collect();
            let t: Vec<T> = stored(&t);
            let some = |n: usize| -> Values { (0..n).map(|i| 0.5 + (i % 3) as f32).collect::<Vec<_>>().into() };
            let mut options = BinaryCrossEntropy {
                gradient: Gradient::Apart,
                upstream: Upstream::Number(1.5),
                ..BinaryCrossEntropy::default()
            };
            for word in option.split('_') {
                match word {
                    "weight" => options.weight = Mask::Classes(some(rows.classes())),
                    "weights" => options.weight = Mask::Full(some(x.len())),
                    "positive" => options.pos_weight = Some(some(rows.classes())),
                    "normalizer" => options.normalizer = Normalizer::Number(7.5),
                    _ => {}
                }
            }
            for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
                if options.normalizer != Normalizer::Rows && reduction != Reduction::Mean {
                    continue;
                }
                if reduction == Reduction::Sum {
                    for row in [3, 4, 5, 6] {
                        places(rows, row).for_each(|i| x[i] = stored::<T>(&[(i % 9) as f32 * 20.0 - 80.0])[0]);
                    }
                }
                let options = BinaryCrossEntropy {
                    reduction,
                    ..options.clone()
                };
                let out = gpu.binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
                let exact = reference::binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
                let padded = |v: f64, i: usize| if i % 7 >= 5 && option == "row_stride" { 0.0 } else { v };
                if let Some(losses) = &out.losses {
                    near(option, losses, &exact.losses);
                }
                near(option, &out.gradient.unwrap(), &exact.gradient);
                if let Some(loss) = out.loss {
                    near(option, &[loss], &[padded(exact.loss, 0)]);
                }
            }
        }
    }
}

macro_rules! cells {
    ($($operation:ident: $($option:ident)*;)*) => {
        const CELLS: &[(&str, &[&str])] = &[$((stringify!($operation), &[$(stringify!($option)),*])),*];
        mod cell {$(
            mod $operation {$(
                mod $option {
                    #[test]
                    fn f32() {
                        crate::$operation::<f32>(stringify!($option));
                    }
                    #[test]
                    fn f16() {
                        crate::$operation::<wgpu_softmax::half::f16>(stringify!($option));
                    }
                    #[test]
                    fn bf16() {
                        crate::$operation::<wgpu_softmax::half::bf16>(stringify!($option));
                    }
                }
            )*}
        )*}
    };
}

cells! {
    softmax: plain scale scales bias softcap mask masks causal axis row_stride scales_bias_softcap_masks;
    log_softmax: plain scale scales bias softcap mask masks causal axis row_stride scales_bias_softcap_masks;
    logsumexp: plain scale scales bias softcap mask masks causal axis row_stride scales_bias_softcap_masks;
    softmax_grad: plain scale scales softcap axis row_stride scales_bias_softcap;
    log_softmax_grad: plain scale scales softcap axis row_stride scales_bias_softcap;
    logsumexp_grad: plain scale scales bias softcap mask masks causal axis row_stride scales_bias_softcap_masks;
    softmax_jacobian: plain scale;
    cross_entropy: plain weights smoothing z ignored normalizer upstream scale scales bias softcap mask masks causal axis
        row_stride weights_smoothing weights_z smoothing_z weights_smoothing_z_scales_bias_softcap_masks;
    cross_entropy_soft: plain weights smoothing z normalizer upstream scale scales bias softcap mask masks causal axis
        row_stride weights_smoothing weights_z smoothing_z weights_smoothing_z_scales_bias_softcap_masks;
    cross_entropy_from_lse: plain weights smoothing z scale scales bias softcap mask masks causal axis row_stride
        weights_smoothing_z_scales_bias_softcap_masks;
    nll_loss: plain weights ignored normalizer upstream axis row_stride;
    binary_cross_entropy_with_logits: plain weight weights positive normalizer axis row_stride weights_positive;
}

/// The README's table names exactly these cells.
#[test]
fn the_readme_has_this_table() {
    let readme = include_str!("../README.md");
    for (operation, options) in CELLS {
        let line = format!("| `{operation}` |");
        let line = readme.lines().find(|l| l.starts_with(&line)).unwrap();
        let listed: Vec<&str> = line
            .split('|')
            .nth(2)
            .unwrap()
            .split(',')
            .map(|w| w.trim().trim_matches('`'))
            .collect();
        assert_eq!(&listed, options, "{operation}");
    }
}
