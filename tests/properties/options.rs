//! Every schedule with every option, and options that contradict each other.

use crate::common::{GPUS, Random, Subject, gpu, must, near, on};
use wgpu_softmax::{
    Adjust, CrossEntropy, EncodeError, Gradient, Input, Mask, Normalizer, Reduction, Rows, RunError, Scale, Schedule,
    Softmax, reference,
};

fn every_option(rows: Rows, random: &mut Random) -> CrossEntropy {
    let (count, classes) = (rows.count(), rows.classes());
    let mask = random.logits(count * classes, 1.0);
    CrossEntropy {
        adjust: Adjust {
            scale: Scale::PerRow(random.logits(count, 1.0).into()),
            bias: Some(random.logits(classes, 1.0).into()),
            softcap: Some(10.0),
            mask: Mask::Full(mask.into()),
        },
        weights: Some(random.logits(classes, 1.0).into()),
        label_smoothing: 0.1,
        z_loss: 0.01,
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        entropy: true,
        argmax: true,
        ..CrossEntropy::default()
    }
}

#[test]
fn every_schedule_gives_the_same_bits_with_every_option() {
    let mut random = Random(47);
    let mut ran = 0;
    for gpu in GPUS.iter() {
        for classes in [100, 3000] {
            let rows = Rows::new(3, classes);
            let x = random.logits(3 * classes, 5.0);
            let q = random.logits(3 * classes, 2.0);
            let q = gpu.softmax(&q, rows, &Softmax::default()).unwrap();
            let mut options = every_option(rows, &mut random);
            let first = gpu.cross_entropy_soft(&x, &q, rows, &options).unwrap();
            let exact = reference::cross_entropy_soft(&x, &q, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy_soft", gpu), rows, &options);
            near(&subject, "gradient", first.gradient.as_ref().unwrap(), &exact.gradient);
            near(&subject, "entropy", first.entropy.as_ref().unwrap(), &exact.entropies);
            near(&subject, "lse", first.lse.as_ref().unwrap(), &exact.lse);
            // Weights of either sign: the terms that cancel are larger than the loss.
            let bound = |_, exact: f64| 1e-5 * exact.abs().max(10.0);
            must(subject.within(
                "row losses",
                first.row_losses.as_ref().unwrap(),
                &exact.row_losses,
                bound,
            ));
            for schedule in [
                // Drivers take long over kernels with every option and few lanes.
                Schedule::Held { lanes: 16 },
                Schedule::Chunked { lanes: 64 },
                Schedule::Split { lanes: 64, pieces: 2 },
            ] {
                options.schedule = Some(schedule);
                match gpu.cross_entropy_soft(&x, &q, rows, &options) {
                    Err(RunError::Encode(EncodeError::Schedule { .. })) => {}
                    out => {
                        let subject = Subject::new::<f32>(on("cross_entropy_soft", gpu), rows, &options);
                        must(subject.same_outputs(&out.unwrap(), &first));
                        ran += 1;
                    }
                }
            }
        }
    }
    println!("{ran} combinations of schedule and classes");
    assert!(
        ran >= 4,
        "only {ran} combinations of schedule and classes were not refused, and 4 are expected"
    );
}

#[test]
fn options_that_cannot_go_together_name_both() {
    let default = CrossEntropy::default;
    let rows = Rows::new(1, 2);
    for (options, a, b) in [
        (
            CrossEntropy {
                normalizer: Normalizer::Number(2.0),
                reduction: Reduction::Sum,
                ..default()
            },
            "normalizer",
            "Mean",
        ),
        (
            CrossEntropy {
                from_lse: Some(vec![1.0].into()),
                ..default()
            },
            "from_lse",
            "gradient: None",
        ),
        (
            CrossEntropy {
                input: Input::LogProbs,
                z_loss: 0.1,
                ..default()
            },
            "LogProbs",
            "z_loss",
        ),
        (
            CrossEntropy {
                label_smoothing: 1.5,
                ..default()
            },
            "label_smoothing",
            "1.5",
        ),
        (
            CrossEntropy {
                weights: Some(vec![1.0; 3].into()),
                ..default()
            },
            "weights",
            "3",
        ),
    ] {
        let result = gpu().cross_entropy(&[0f32, 1.0], &[0u8], rows, &options);
        let error = result.err().map_or("no error".into(), |error| error.to_string());
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        let call = format!("{}, {}", subject.call(), subject.options());
        assert!(
            error.contains(a) && error.contains(b),
            "{call}: «{error}», but one that names {a} and {b} is expected"
        );
    }
}
