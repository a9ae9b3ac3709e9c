//! The bits of all ranks together are those of one call.

use super::{SCHEDULE, ranks};
use mpi::environment::Universe;
use std::ops::Range;
use wgpu_softmax::testing::{Random, bits, reported};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyOutput, Element, EmptyMean, Gpu, Gradient, Input, LogProbs, LogSumExp,
    Normalizer, Reduction, Rows, Sample, SampleOutput, SampleParams, Softmax, Values, half,
};
use wgpu_softmax_mpi::Ranks;

/// Eight spans, the last of which is not whole.
const CLASSES: usize = 7 * 1024 + 300;
const COUNT: usize = 6;
/// Two of them are ignored where `ignore_index` is 3.
const TARGETS: [u32; COUNT] = [0, 5000, 3, CLASSES as u32 - 1, 1024, 3];

/// Which rows a group has: unequal numbers, and of four groups one has none.
fn rows_of_group(ranks: &Ranks<'_>) -> Range<usize> {
    let ends: &[usize] = match ranks.data_ranks() {
        1 => &[0, 6],
        2 => &[0, 2, 6],
        _ => &[0, 1, 3, 3, 6],
    };
    ends[ranks.data_rank()]..ends[ranks.data_rank() + 1]
}

/// The rows of a group, and of each the classes of a rank.
fn part<T: Copy>(whole: &[T], group: &Range<usize>, rows: &Rows) -> Vec<T> {
    let of_row = |row: &[T]| row[rows.first_class()..rows.first_class() + rows.classes()].to_vec();
    let whole = &whole[group.start * CLASSES..group.end * CLASSES];
    whole.chunks(CLASSES).flat_map(of_row).collect()
}

fn logits<T: Element>() -> Vec<T> {
    let mut x = Random(601).logits(COUNT * CLASSES, 4.0);
    x[CLASSES..2 * CLASSES]
        .iter_mut()
        .step_by(3)
        .for_each(|x| *x = f32::NEG_INFINITY);
    x[CLASSES + 5000] = 1.0;
    x.iter().map(|&x| T::nearest(x)).collect()
}

/// The bits of elements of any type.
fn element_bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|&v| v.into().to_bits()).collect()
}

fn losses() -> [CrossEntropy; 5] {
    let plain = CrossEntropy {
        gradient: Gradient::Apart,
        correct: true,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    };
    let weights: Vec<f32> = Random(602).logits(CLASSES, 1.0).iter().map(|w| w.abs()).collect();
    let weighted = CrossEntropy {
        weights: Some(Values::from(weights)),
        ..plain.clone()
    };
    [
        CrossEntropy {
            row_losses: true,
            lse: true,
            log_prob: true,
            entropy: true,
            argmax: true,
            ..plain.clone()
        },
        CrossEntropy {
            label_smoothing: 0.1,
            z_loss: 1e-3,
            row_z_losses: true,
            ignore_index: 3,
            adjust: Adjust::scaled(0.7),
            ..plain.clone()
        },
        weighted.clone(),
        CrossEntropy {
            z_loss: 1e-3,
            reduction: Reduction::Sum,
            ..weighted
        },
        CrossEntropy {
            reduction: Reduction::None,
            ..plain
        },
    ]
}

/// What all ranks give alike is what one call gives, and of the rest this rank has its part.
#[track_caller]
fn must_be_part<T: Element>(
    got: &CrossEntropyOutput<T>,
    whole: &CrossEntropyOutput<T>,
    (group, rows): (&Range<usize>, &Rows),
) {
    assert_eq!(got.loss.map(f32::to_bits), whole.loss.map(f32::to_bits), "loss");
    assert_eq!(got.z_loss.map(f32::to_bits), whole.z_loss.map(f32::to_bits), "z_loss");
    let lists = |out: &CrossEntropyOutput<T>, rows: Range<usize>| {
        let lists = [
            &out.row_losses,
            &out.row_z_losses,
            &out.lse,
            &out.log_prob,
            &out.entropy,
        ];
        lists.map(|list| list.as_ref().map(|list| bits(&list[rows.clone()])))
    };
    assert_eq!(
        lists(got, 0..group.len()),
        lists(whole, group.clone()),
        "outputs of rows"
    );
    let argmax = whole.argmax.as_ref().map(|all| all[group.clone()].to_vec());
    assert_eq!(got.argmax, argmax, "argmax");
    let sums = |out: &CrossEntropyOutput<T>| match out.loss {
        // Without a reduction each group counts its own.
        None => (0, None),
        Some(_) => (out.counted, out.correct),
    };
    assert_eq!(sums(got), sums(whole), "counted and correct");
    let gradient = part(whole.gradient.as_deref().unwrap(), group, rows);
    let got = element_bits(got.gradient.as_deref().unwrap());
    assert!(got == element_bits(&gradient), "the gradient differs");
}

fn loss<T: Element>(ranks: &Ranks<'_>, gpu: &Gpu, options: &CrossEntropy) {
    let (x, group) = (logits::<T>(), rows_of_group(ranks));
    let whole = gpu
        .cross_entropy(&x, &TARGETS, Rows::new(COUNT, CLASSES), options)
        .unwrap();
    let rows = ranks.shard(group.len(), CLASSES).unwrap();
    let own = part(&x, &group, &rows);
    let out = ranks
        .cross_entropy(gpu, &own, &TARGETS[group.clone()], rows, options)
        .unwrap();
    must_be_part(&out, &whole, (&group, &rows));
}

fn soft_loss(ranks: &Ranks<'_>, gpu: &Gpu) {
    let options = CrossEntropy {
        correct: false,
        ..losses()[1].clone()
    };
    let (x, group) = (logits::<f32>(), rows_of_group(ranks));
    let x: Vec<f32> = x.iter().map(|x| x.max(-20.0)).collect();
    let mut probs: Vec<f32> = Random(603)
        .logits(COUNT * CLASSES, 1.0)
        .iter()
        .map(|p| p.abs())
        .collect();
    probs.chunks_mut(CLASSES).for_each(|p| {
        let sum: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
    });
    let whole = gpu
        .cross_entropy_soft(&x, &probs, Rows::new(COUNT, CLASSES), &options)
        .unwrap();
    let rows = ranks.shard(group.len(), CLASSES).unwrap();
    let (own, probs) = (part(&x, &group, &rows), part(&probs, &group, &rows));
    let out = ranks.cross_entropy_soft(gpu, &own, &probs, rows, &options).unwrap();
    must_be_part(&out, &whole, (&group, &rows));
}

fn softmax<T: Element>(ranks: &Ranks<'_>, gpu: &Gpu) {
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let lse_options = LogSumExp {
        schedule: SCHEDULE,
        ..LogSumExp::default()
    };
    let (x, group) = (logits::<T>(), rows_of_group(ranks));
    let rows = ranks.shard(group.len(), CLASSES).unwrap();
    let own = part(&x, &group, &rows);
    let all = Rows::new(COUNT, CLASSES);
    let whole = part(&gpu.softmax(&x, all, &options).unwrap(), &group, &rows);
    let y = ranks.softmax(gpu, &own, rows, &options).unwrap();
    assert!(element_bits(&y) == element_bits(&whole), "softmax differs");
    let whole = gpu.logsumexp(&x, all, &lse_options).unwrap();
    let lse = ranks.logsumexp(gpu, &own, rows, &lse_options).unwrap();
    assert_eq!(bits(&lse), bits(&whole[group]), "lse");
}

/// Without filters and with all of them, and everything that is reported.
fn sample(ranks: &Ranks<'_>, gpu: &Gpu) {
    let params = |row: usize| SampleParams {
        temperature: 0.7,
        top_k: if row == 1 { 40 } else { 0 },
        top_p: if row < 3 { 0.8 } else { 1.0 },
        ..SampleParams::default().at(7, row as u64)
    };
    let (x, group) = (logits::<f32>(), rows_of_group(ranks));
    let options = |rows: Range<usize>| Sample {
        log_probs: LogProbs::Final,
        ranks: true,
        kept: true,
        top_n: 3,
        probs: true,
        schedule: SCHEDULE,
        ..Sample::per_row(rows.map(params).collect::<Vec<_>>())
    };
    let whole = gpu.sample(&x, Rows::new(COUNT, CLASSES), &options(0..COUNT)).unwrap();
    let rows = ranks.shard(group.len(), CLASSES).unwrap();
    let own = part(&x, &group, &rows);
    let out = ranks.sample(gpu, &own, rows, &options(group.clone())).unwrap();
    let of_rows = |out: &SampleOutput, rows: Range<usize>| {
        reported(out).map(|(_, list)| {
            let list = list.unwrap();
            let words = list.len() / out.tokens.len().max(1);
            list[rows.start * words..rows.end * words].to_vec()
        })
    };
    assert_eq!(of_rows(&out, 0..group.len()), of_rows(&whole, group.clone()));
    let probs = part(whole.probs.as_deref().unwrap(), &group, &rows);
    assert!(bits(out.probs.as_deref().unwrap()) == bits(&probs), "probs differ");
}

pub(super) fn all(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    softmax::<f32>(&ranks, &gpu);
    softmax::<half::bf16>(&ranks, &gpu);
    for options in &losses() {
        loss::<f32>(&ranks, &gpu, options);
    }
    loss::<half::bf16>(&ranks, &gpu, &losses()[0]);
    soft_loss(&ranks, &gpu);
    sample(&ranks, &gpu);
    statistics_are_all_that_travels(&ranks, &gpu);
}

/// Less, since each process compiles its kernels.
pub(super) fn some(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    softmax::<f32>(&ranks, &gpu);
    losses()[..2]
        .iter()
        .for_each(|options| loss::<f32>(&ranks, &gpu, options));
    loss::<half::bf16>(&ranks, &gpu, &losses()[0]);
    sample(&ranks, &gpu);
    statistics_are_all_that_travels(&ranks, &gpu);
}

/// 12 bytes of a span for softmax, and two records.
fn statistics_are_all_that_travels(ranks: &Ranks<'_>, gpu: &Gpu) {
    let (group, before) = (rows_of_group(ranks), ranks.traffic());
    let rows = ranks.shard(group.len(), CLASSES).unwrap();
    let own = part(&logits::<f32>(), &group, &rows);
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    ranks.softmax(gpu, &own, rows, &options).unwrap();
    let after = ranks.traffic();
    let spans = rows.classes().div_ceil(1024) * group.len();
    let records = if ranks.data_ranks() * ranks.vocab_ranks() > 1 {
        2 * 112
    } else {
        0
    };
    let statistics = if ranks.vocab_ranks() > 1 { 12 * spans } else { 0 };
    assert_eq!(after.sent - before.sent, (records + statistics) as u64);
    assert_eq!(after.gathers - before.gathers, 3);
}

/// Data-parallel losses need no shards.
pub(super) fn whole_rows(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    for options in &losses()[1..4] {
        whole_loss(&ranks, &gpu, &TARGETS, options);
    }
    let plain = &losses()[4];
    let with = |reduction, normalizer, input| CrossEntropy {
        reduction,
        normalizer,
        input,
        ignore_index: 3,
        empty_mean: EmptyMean::Zero,
        ..plain.clone()
    };
    let number = with(Reduction::Mean, Normalizer::Number(7.5), Input::Logits);
    whole_loss(&ranks, &gpu, &TARGETS, &number);
    let log_probs = with(Reduction::Mean, Normalizer::Rows, Input::LogProbs);
    whole_loss(&ranks, &gpu, &TARGETS, &log_probs);
    // All rows are ignored.
    let logits = with(Reduction::Mean, Normalizer::Rows, Input::Logits);
    whole_loss(&ranks, &gpu, &[3; COUNT], &logits);
}

fn whole_loss(ranks: &Ranks<'_>, gpu: &Gpu, targets: &[u32; COUNT], options: &CrossEntropy) {
    let (x, group) = (logits::<f32>(), rows_of_group(ranks));
    let all = Rows::new(COUNT, CLASSES);
    let whole = gpu.cross_entropy(&x, targets, all, options).unwrap();
    let rows = Rows::new(group.len(), CLASSES);
    let own = part(&x, &group, &rows);
    let targets = &targets[group.clone()];
    let out = ranks.cross_entropy(gpu, &own, targets, rows, options).unwrap();
    must_be_part(&out, &whole, (&group, &rows));
}
