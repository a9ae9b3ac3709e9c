//! Losses of rows of unequal length.

use super::common::{Random, Stored, Subject, bits, equal, gpu, must, same_bits};
use super::{SCHEDULE, SHORT, adjust_alone, alone, logits, of_lengths, row};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyOutput, FullyMasked, Gradient, Input, LogSumExp, Mask, RaggedRows, Reduction,
    Rows, RunError, Scale, Upstream, Values, half,
};

const IGNORED: i64 = -7;

fn all_outputs(rows: &RaggedRows, random: &mut Random) -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        upstream: Upstream::PerRow(random.logits(rows.count(), 1.0)),
        ignore_index: IGNORED,
        row_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    }
}

fn losses(rows: &RaggedRows, random: &mut Random) -> [CrossEntropy; 2] {
    let plain = all_outputs(rows, random);
    let by_class = random.logits(rows.longest(), 1.0);
    [
        CrossEntropy {
            label_smoothing: 0.1,
            z_loss: 1e-3,
            row_z_losses: true,
            weights: Some(Values::from(by_class.iter().map(|w| w.abs()).collect::<Vec<_>>())),
            fully_masked: FullyMasked::Zeros,
            ..plain.clone()
        },
        CrossEntropy {
            fully_masked: FullyMasked::Uniform,
            entropy: false,
            adjust: Adjust {
                softcap: Some(4.0),
                scale: Scale::PerRow(Values::from(random.logits(rows.count(), 1.0))),
                bias: Some(Values::from(by_class)),
                mask: Mask::Causal { group: 4, offset: 500 },
            },
            ..plain
        },
    ]
}

/// A class of each row, in turn its first and its last and others between; that of every fifth row is ignored, and those of empty
/// rows have to be.
fn targets_of(rows: &RaggedRows) -> Vec<i64> {
    let lengths = rows.offsets().windows(2).map(|pair| pair[1] - pair[0]);
    let target = |(number, length): (usize, usize)| match length {
        0 => IGNORED,
        _ if number % 5 == 4 => IGNORED,
        _ => ((number * 7919) % 3 * (length - 1) / 2) as i64,
    };
    lengths.enumerate().map(target).collect()
}

/// The options of a loss, as a row alone has them.
fn loss_alone(options: &CrossEntropy, number: usize, classes: usize) -> CrossEntropy {
    let part = |values: &Option<Values>, range: std::ops::Range<usize>| match values {
        Some(Values::Host(values)) => Some(Values::from(values[range].to_vec())),
        other => other.clone(),
    };
    CrossEntropy {
        adjust: adjust_alone(&options.adjust, number, classes),
        weights: part(&options.weights, 0..classes),
        from_lse: part(&options.from_lse, number..number + 1),
        upstream: match &options.upstream {
            Upstream::PerRow(values) => Upstream::PerRow(vec![values[number]]),
            other => other.clone(),
        },
        ..options.clone()
    }
}

/// All that is given of a row.
fn of_row<T>(out: &CrossEntropyOutput<T>, number: usize) -> Vec<u32> {
    let floats = [
        &out.row_losses,
        &out.row_z_losses,
        &out.lse,
        &out.log_prob,
        &out.entropy,
    ];
    let word = |list: &Option<Vec<f32>>| list.as_ref().map_or(0, |list| list[number].to_bits());
    let argmax = out.argmax.as_ref().map_or(0, |list| list[number]);
    floats.into_iter().map(word).chain([argmax]).collect()
}

/// What an ignored empty row gives.
fn of_empty_row(options: &CrossEntropy) -> Vec<u32> {
    let [lse, entropy] = match options.fully_masked {
        FullyMasked::Zeros => [f32::NEG_INFINITY, 0.0],
        _ => [f32::NAN; 2],
    };
    let floats = [0.0, 0.0, lse, 0.0, if options.entropy { entropy } else { 0.0 }];
    bits(&floats).into_iter().chain([i32::MAX as u32]).collect()
}

#[track_caller]
fn is_alone<T: Stored>(
    rows: &RaggedRows,
    options: &CrossEntropy,
    all: &CrossEntropyOutput<T>,
    run: impl Fn(usize, Rows, &CrossEntropy) -> CrossEntropyOutput<T>,
) {
    for number in 0..rows.count() {
        let classes = rows.offsets()[number + 1] - rows.offsets()[number];
        let operation = format!("loss of row {number} of {} unequal ones, {options:?},", rows.count());
        let subject = Subject::new::<T>(operation, Rows::new(1, classes.max(1)), &"alone");
        let what = "loss, z-loss, lse, log_prob, entropy, argmax";
        if classes == 0 {
            if options.lse {
                must(subject.each(what, &of_row(all, number), &of_empty_row(options)));
            }
            continue;
        }
        let expected = run(number, alone(classes), &loss_alone(options, number, classes));
        must(subject.each(what, &of_row(all, number), &of_row(&expected, 0)));
        let gradient = row(all.gradient.as_ref().unwrap(), rows, number);
        same_bits(&subject, "gradient", gradient, &expected.gradient.unwrap());
    }
}

fn loss_of_type<T: Stored>(all: &[CrossEntropy], rows: &RaggedRows) {
    let x: Vec<T> = logits(&mut Random(412), rows);
    let targets = targets_of(rows);
    for options in all {
        let out = gpu().cross_entropy(&x, &targets, rows, options).unwrap();
        is_alone(rows, options, &out, |number, alone, options| {
            let target = &targets[number..=number];
            gpu()
                .cross_entropy(row(&x, rows, number), target, alone, options)
                .unwrap()
        });
    }
}

#[test]
fn losses_are_those_of_rows_alone() {
    let rows = of_lengths(&SHORT);
    let [weighted, ..] = losses(&rows, &mut Random(411));
    loss_of_type::<f32>(&[weighted], &rows);
}

#[test]
fn losses_of_16_bits_are_those_of_rows_alone() {
    let rows = of_lengths(&SHORT);
    let [_, capped] = losses(&rows, &mut Random(413));
    loss_of_type::<half::bf16>(&[capped], &rows);
}

#[test]
fn gradients_from_an_lse_and_losses_of_log_probs_are_those_of_rows_alone() {
    let rows = of_lengths(&SHORT);
    let x: Vec<f32> = logits(&mut Random(412), &rows);
    let lse_options = LogSumExp {
        schedule: SCHEDULE,
        ..LogSumExp::default()
    };
    let lse = gpu().logsumexp(&x, &rows, &lse_options).unwrap();
    let plain = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        ignore_index: IGNORED,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    };
    let from_lse = CrossEntropy {
        from_lse: Some(Values::from(lse)),
        ..plain.clone()
    };
    let nll = CrossEntropy {
        input: Input::LogProbs,
        ..plain
    };
    loss_of_type::<f32>(&[from_lse, nll], &rows);
}

#[test]
fn losses_of_soft_targets_are_those_of_rows_alone() {
    let rows = of_lengths(&SHORT);
    let mut random = Random(414);
    let x: Vec<f32> = logits(&mut random, &rows);
    let q: Vec<f32> = random.logits(rows.elements(), 0.1).iter().map(|q| q.abs()).collect();
    let [weighted, ..] = losses(&rows, &mut random);
    let options = CrossEntropy {
        log_prob: false,
        ..weighted
    };
    let out = gpu().cross_entropy_soft(&x, &q, &rows, &options).unwrap();
    is_alone(&rows, &options, &out, |number, alone, options| {
        let (x, q) = (row(&x, &rows, number), row(&q, &rows, number));
        gpu().cross_entropy_soft(x, q, alone, options).unwrap()
    });
}

/// Rows of one length are those of a batch that says so, whatever is summed over them.
#[test]
fn rows_of_equal_length_are_a_batch() {
    let (count, classes) = (70, 100);
    let mut random = Random(415);
    let x = random.logits(count * classes, 3.0);
    let targets: Vec<u32> = (0..count as u32).map(|row| row * 13 % 100).collect();
    let ragged = of_lengths(&vec![classes; count]);
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        z_loss: 1e-3,
        label_smoothing: 0.2,
        weights: Some(Values::from(random.logits(classes, 1.0))),
        ignore_index: 13,
        correct: true,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let rows = Rows::new(count, classes);
    let out = gpu().cross_entropy(&x, &targets, &ragged, &options).unwrap();
    let expected = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
    let subject = Subject::new::<f32>("rows of equal length", rows, &options);
    let words = |out: &CrossEntropyOutput| {
        let sums = [out.loss, out.z_loss].map(|sum| sum.unwrap().to_bits());
        let lists = [&out.row_losses, &out.gradient].map(|list| bits(list.as_ref().unwrap()));
        [sums.to_vec(), lists.concat()].concat()
    };
    must(subject.each("loss, z-loss, losses, gradient", &words(&out), &words(&expected)));
    equal(
        &subject,
        "counts",
        (out.correct, out.counted),
        (expected.correct, expected.counted),
    );
}

/// Each row has its own bounds.
#[test]
fn targets_that_a_row_does_not_have_are_errors() {
    let rows = of_lengths(&[3, 0, 5]);
    let run = |targets: [i64; 3]| gpu().cross_entropy(&[0f32; 8], &targets, &rows, &CrossEntropy::default());
    assert_eq!(run([2, -100, 4]).unwrap().counted, 2);
    let error = run([3, -100, 4]).unwrap_err();
    let expected = "row 0 has target 3, but there are 3 classes (0 to 2)";
    assert_eq!(error.to_string(), expected);
    let error = run([2, 0, 5]).unwrap_err();
    assert!(matches!(
        error,
        RunError::TargetOutOfRange {
            row: 1,
            target: 0,
            classes: 0,
            count: 2
        }
    ));
    let expected = "row 1 has target 0, but the row is empty; 1 more row has such a target";
    assert_eq!(error.to_string(), expected);
}
