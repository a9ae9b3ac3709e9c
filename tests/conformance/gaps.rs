//! Finite logits so far apart that their difference, or its product with a sum, is beyond f32: what has no share adds nothing, and no
//! result is NaN.

use crate::common::{GPUS, Subject, equal, must, near, on};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, Entropy, Gpu, Gradient, Input, LogSumExp, Mask, Reduction, Rows,
    Schedule, Sink, reference,
};

/// Half of a row's classes, and the other half a mask's least number.
fn halves(classes: usize, above: f32) -> Vec<f32> {
    let half = classes / 2;
    [vec![above; half], vec![f32::MIN; classes - half]].concat()
}

fn schedules(classes: usize) -> Vec<Schedule> {
    match classes {
        2 => vec![Schedule::Held { lanes: 1 }],
        _ => vec![
            Schedule::Held { lanes: 32 },
            Schedule::Chunked { lanes: 32 },
            Schedule::Split { lanes: 32, pieces: 2 },
        ],
    }
}

/// Whole chunks of classes far below the others, whose number times their distance overflows, and single ones.
#[test]
fn entropies_of_classes_without_a_share() {
    for (classes, above) in [(2, 3e38), (2048, 0.0), (2048, 3e38)] {
        let (x, rows) = (halves(classes, above), Rows::new(1, classes));
        for gpu in GPUS.iter() {
            for schedule in schedules(classes) {
                let options = Entropy {
                    gradient: Gradient::Apart,
                    schedule: Some(schedule),
                    ..Entropy::default()
                };
                let out = gpu.entropy(&x, rows, &options).unwrap();
                let (entropy, gradient) = reference::entropy(&x, rows, &options).unwrap();
                let subject = Subject::new::<f32>(on("entropy", gpu), rows, &options);
                near(&subject, "entropy", &out.entropies, &entropy);
                near(&subject, "gradient", &out.gradient.unwrap(), &gradient);
                let options = CrossEntropy {
                    entropy: true,
                    schedule: Some(schedule),
                    ..CrossEntropy::default()
                };
                let out = gpu.cross_entropy(&x, &[0u8], rows, &options).unwrap();
                near(&subject, "entropy of a loss", &out.entropy.unwrap(), &entropy);
            }
        }
    }
}

/// A target of 0, and one whose product with the distance is within f32 again.
#[test]
fn targets_of_classes_far_below() {
    for classes in [2, 2048] {
        let (x, rows) = (halves(classes, 3e38), Rows::new(1, classes));
        let mut q = vec![0f32; classes];
        q[0] = 1.0;
        for gpu in GPUS.iter() {
            for schedule in schedules(classes) {
                let options = CrossEntropy {
                    row_losses: true,
                    gradient: Gradient::Apart,
                    schedule: Some(schedule),
                    ..CrossEntropy::default()
                };
                let subject = Subject::new::<f32>(on("cross_entropy_soft", gpu), rows, &options);
                let out = gpu.cross_entropy_soft(&x, &q, rows, &options).unwrap();
                let exact = reference::cross_entropy_soft(&x, &q, rows, &options).unwrap();
                near(&subject, "row losses", &out.row_losses.unwrap(), &exact.row_losses);
                near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);

                let smooth = CrossEntropy {
                    label_smoothing: 0.25,
                    ..options
                };
                let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &smooth);
                let out = gpu.cross_entropy(&x, &[0u8], rows, &smooth).unwrap();
                let exact = reference::cross_entropy(&x, &[0u8], rows, &smooth).unwrap();
                let losses = out.row_losses.unwrap();
                must(subject.within("row losses", &losses, &exact.row_losses, |_, exact| 1e-6 * exact));
                near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
            }
        }
    }
}

/// A common offset of all logits, however large, is none.
#[test]
fn a_teacher_far_above_its_student() {
    for classes in [2, 2048] {
        let (x, rows) = (vec![-3e38f32; classes], Rows::new(1, classes));
        for gpu in GPUS.iter() {
            for schedule in schedules(classes) {
                let options = CrossEntropy {
                    gradient: Gradient::Apart,
                    schedule: Some(schedule),
                    ..CrossEntropy::default()
                };
                let out = gpu.distillation(&x, &vec![3e38; classes], rows, &options).unwrap();
                let subject = Subject::new::<f32>(on("distillation", gpu), rows, &options);
                equal(&subject, "loss", out.loss, Some(0.0));
                equal(&subject, "gradient", out.gradient, Some(vec![0.0; classes]));
            }
        }
    }
}

/// What only the teacher all but lacks, in the reference too.
#[test]
fn a_class_that_the_teacher_has_next_to_nothing_of() {
    let (x, teacher, rows) = ([-10f32, 0.0], [0f32, -720.0], Rows::new(1, 2));
    let exact = reference::distillation(&x, &teacher, rows, &CrossEntropy::default()).unwrap();
    for gpu in GPUS.iter() {
        let out = gpu.distillation(&x, &teacher, rows, &CrossEntropy::default()).unwrap();
        let subject = Subject::new::<f32>(on("distillation", gpu), rows, &rows);
        near(&subject, "loss", &[out.loss.unwrap()], &[exact.loss]);
        near(&subject, "the reference's loss", &[exact.loss as f32], &[10.0000454]);
    }
}

/// As PyTorch has it: −w ln y.
#[test]
fn a_negative_weight_of_a_class_of_probability_0() {
    let (x, rows) = ([f32::NEG_INFINITY, 0.0], Rows::new(1, 2));
    for gpu in GPUS.iter() {
        for input in [Input::Logits, Input::LogProbs] {
            let options = CrossEntropy {
                input,
                weights: Some(vec![-1.0, 1.0].into()),
                reduction: Reduction::None,
                ..CrossEntropy::default()
            };
            let out = gpu.cross_entropy(&x, &[0u8], rows, &options).unwrap();
            let exact = reference::cross_entropy(&x, &[0u8], rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
            equal(&subject, "row losses", out.row_losses, Some(vec![f32::NEG_INFINITY]));
            equal(&subject, "the reference's", exact.row_losses, vec![f64::NEG_INFINITY]);
        }
    }
}

/// An empty row with a sink has its lse, under every policy.
#[test]
fn the_lse_of_an_empty_row_is_its_sink() {
    let empty = Rows::ragged([0, 0]).unwrap();
    let lse_of = |gpu: &Gpu, fully_masked| {
        let options = LogSumExp {
            sink: Some(Sink::Number(2.0)),
            fully_masked,
            ..LogSumExp::default()
        };
        gpu.logsumexp::<f32>(&[], &empty, &options)
    };
    for gpu in GPUS.iter() {
        for policy in crate::common::FULLY_MASKED {
            let subject = Subject::new::<f32>(on("logsumexp", gpu), Rows::new(1, 0), &policy);
            equal(&subject, "lse", lse_of(gpu, policy), Ok(vec![2.0]));
        }
    }
}

#[test]
fn temperatures_beside_what_they_would_not_divide_are_errors() {
    let (x, rows) = ([1f32, 0.0], Rows::new(1, 2));
    let with = |temperature, times_squared_temperature, adjust| CrossEntropy {
        temperature,
        times_squared_temperature,
        adjust,
        ..CrossEntropy::default()
    };
    let capped = Adjust {
        softcap: Some(5.0),
        ..Adjust::default()
    };
    let biased = Adjust {
        bias: Some(vec![1.0, 0.0].into()),
        ..Adjust::default()
    };
    for (options, expected) in [
        (with(2.0, false, capped.clone()), "softcap"),
        (with(2.0, false, biased), "bias"),
        (
            with(2e19, true, Adjust::default()),
            "from 2^-63 to 2^63 where it is squared",
        ),
        (
            with(1e-20, true, Adjust::default()),
            "from 2^-63 to 2^63 where it is squared",
        ),
    ] {
        let errors = [
            GPUS[0]
                .distillation(&x, &x, rows, &options)
                .map(drop)
                .map_err(|e| e.to_string()),
            reference::distillation(&x, &x, rows, &options)
                .map(drop)
                .map_err(|e| e.to_string()),
        ];
        for error in errors {
            let text = error.err().unwrap_or_default();
            assert!(text.contains(expected), "{options:?}: {text:?}");
        }
    }
    assert!(GPUS[0].distillation(&x, &x, rows, &with(1.0, false, capped)).is_ok());
}

/// A direction that is large only where there is no share.
#[test]
fn a_hessian_along_classes_without_a_share() {
    let (rows, classes) = (Rows::new(1, 2048), 2048);
    let x: Vec<f32> = (0..classes).map(|c| if c < 1024 { 0.0 } else { -1000.0 }).collect();
    let v: Vec<f32> = (0..classes).map(|c| if c < 1024 { 0.0 } else { 1e36 }).collect();
    for gpu in GPUS.iter() {
        for schedule in schedules(classes) {
            let options = CrossEntropy {
                schedule: Some(schedule),
                ..CrossEntropy::default()
            };
            let out = gpu.cross_entropy_hvp(&x, &[0u8], &v, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy_hvp", gpu), rows, &options);
            equal(&subject, "the product", out.gradient, Some(vec![0.0; classes]));
        }
    }
}

/// The square of the lse overflows, its product with λ does not.
#[test]
fn a_z_loss_of_a_large_lse() {
    let (x, rows) = ([1e20f32, 0.0], Rows::new(1, 2));
    let options = CrossEntropy {
        z_loss: 1e-4,
        ..CrossEntropy::default()
    };
    for gpu in GPUS.iter() {
        let loss = gpu.cross_entropy(&x, &[0u8], rows, &options).unwrap().loss.unwrap();
        let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
        must(subject.within("loss", &[loss], &[1e36], |_, exact| 1e-6 * exact));
    }
}

/// A weight of 0 takes out an element whose loss overflows.
#[test]
fn an_infinite_loss_of_an_element_of_weight_0() {
    let (x, t, rows) = ([f32::MIN, 0.0, f32::NEG_INFINITY], [1f32, 0.0, 1.0], Rows::new(1, 3));
    let options = BinaryCrossEntropy {
        weight: Mask::Classes(vec![0.0, 1.0, 0.0].into()),
        pos_weight: Some(vec![2.0, 1.0, 2.0].into()),
        reduction: Reduction::None,
        ..BinaryCrossEntropy::default()
    };
    let exact = reference::binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
    for gpu in GPUS.iter() {
        let out = gpu.binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
        let subject = Subject::new::<f32>(on("binary_cross_entropy", gpu), rows, &options);
        near(&subject, "losses", &out.losses.unwrap(), &exact.losses);
        near(
            &subject,
            "the reference's losses",
            &[exact.losses[0] as f32, exact.losses[2] as f32],
            &[0.0; 2],
        );
    }
}
