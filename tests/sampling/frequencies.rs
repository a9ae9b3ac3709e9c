//! How often each class is drawn: Pearson's chi-square beside the f64 probabilities. The numbers are the same in every run.

use super::common::{Random, Subject, equal, gpu};
use wgpu_softmax::{Rows, Sample, SampleParams, reference};

/// What chi-square exceeds once in a million samples of this many degrees of freedom, by Wilson and Hilferty.
pub(super) fn bound(degrees: usize) -> f64 {
    const NORMAL_QUANTILE: f64 = 4.753_424;
    let part = 2.0 / (9.0 * degrees as f64);
    degrees as f64 * (1.0 - part + NORMAL_QUANTILE * part.sqrt()).powi(3)
}

/// Chi-square of these counts, and its degrees of freedom. Neighbouring classes are taken together until 20 draws are
/// expected of them, from where on the counts are near enough to normal.
pub(super) fn chi_square(counts: &[u64], probs: &[f64]) -> (f64, usize) {
    let draws = counts.iter().sum::<u64>() as f64;
    let mut bins: Vec<(f64, f64)> = Vec::new();
    let mut open = (0.0, 0.0);
    for (&count, &p) in counts.iter().zip(probs) {
        open = (open.0 + count as f64, open.1 + p * draws);
        if open.1 >= 20.0 {
            bins.push(std::mem::take(&mut open));
        }
    }
    if let Some(last) = bins.last_mut() {
        *last = (last.0 + open.0, last.1 + open.1);
    }
    let terms = bins
        .iter()
        .map(|(count, expected)| (count - expected).powi(2) / expected);
    (terms.sum(), bins.len().saturating_sub(1))
}

/// A row, and the parameters that it is drawn with again and again.
struct Setting {
    name: &'static str,
    logits: Vec<f32>,
    params: SampleParams,
}

/// Draws `rows` times `calls` tokens of each setting, and compares.
fn frequencies_are_probabilities(settings: &[Setting], rows: usize, calls: usize) {
    let classes = settings[0].logits.len();
    let shape = Rows::new(rows * settings.len(), classes);
    let repeated = |setting: &Setting| setting.logits.repeat(rows);
    let logits: Vec<f32> = settings.iter().flat_map(repeated).collect();
    let mut counts = vec![vec![0u64; classes]; settings.len()];
    for call in 0..calls {
        let at = |(number, setting): (usize, &Setting)| {
            let position = move |row| (call * rows + row) as u64;
            let params = setting.params;
            (0..rows).map(move |row| params.at(900 + number as u64, position(row)))
        };
        let params: Vec<SampleParams> = settings.iter().enumerate().flat_map(at).collect();
        let tokens = gpu().sample(&logits, shape, &Sample::per_row(params)).unwrap().tokens;
        for (counts, tokens) in counts.iter_mut().zip(tokens.chunks(rows)) {
            tokens.iter().for_each(|&token| counts[token as usize] += 1);
        }
    }
    for (setting, counts) in settings.iter().zip(&counts) {
        let one = Rows::new(1, classes);
        let exact = reference::sample(&setting.logits, one, &Sample::new(setting.params)).unwrap();
        let subject = Subject::new::<f32>(format!("sample, {} row,", setting.name), one, &setting.params);
        let stray = (0..classes).find(|&c| counts[c] > 0 && exact.probs[c] == 0.0);
        equal(&subject, "a class that is drawn but not kept", stray, None);
        let (chi_square, degrees) = chi_square(counts, &exact.probs);
        let name = setting.name;
        let draws = rows * calls;
        println!(
            "{name} row of {classes} classes, {draws} draws: chi-square {chi_square:.1}, {degrees} degrees of freedom"
        );
        if degrees > 0 {
            let bound = bound(degrees);
            assert!(
                chi_square <= bound,
                "{}: {chi_square} is more than {bound}",
                subject.call()
            );
        }
    }
}

fn settings() -> Vec<Setting> {
    let plain = SampleParams::default();
    let setting = |name, logits, params| Setting { name, logits, params };
    let falling = |step: f32| (0..16).map(|c| -step * c as f32).collect::<Vec<f32>>();
    let mut certain = vec![f32::NEG_INFINITY; 16];
    certain[11] = -3.0;
    vec![
        setting("flat", vec![1.5; 16], plain),
        setting("peaked", falling(0.7), plain),
        setting("one-candidate", certain, plain),
        setting(
            "filtered",
            falling(0.2),
            SampleParams {
                temperature: 0.8,
                top_k: 12,
                top_p: 0.9,
                ..plain
            },
        ),
    ]
}

#[test]
fn classes_are_drawn_as_often_as_their_probabilities_say() {
    frequencies_are_probabilities(&settings(), 4096, 8);
}

fn vocabulary() -> [Setting; 1] {
    [Setting {
        name: "vocabulary",
        logits: Random(91).logits(128_256, 3.0),
        params: SampleParams::default(),
    }]
}

#[test]
fn classes_of_a_vocabulary_are_drawn_as_often_as_their_probabilities_say() {
    frequencies_are_probabilities(&vocabulary(), 64, 8);
}

#[test]
#[ignore = "minutes on a CPU"]
fn a_million_draws_are_as_frequent_as_their_probabilities_say() {
    frequencies_are_probabilities(&settings(), 4096, 245);
    frequencies_are_probabilities(&vocabulary(), 64, 313);
}
