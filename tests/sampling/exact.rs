//! What is kept, and every probability, beside the f64 reference.

use super::common::{Random, Subject, equal, gpu, must, on};
use std::fmt::Display;
use wgpu_softmax::reference::{self, SampleReference};
use wgpu_softmax::testing::{SampleBatch, agrees, ulp_of};
use wgpu_softmax::{Dtype, LogProbs, NO_TOKEN, Sample, SampleOutput};

/// A fixed distance of a decision from the other one, in shares of a whole sum: sums of f32 terms in the canonical order are
/// within 1e-6, and shares of 24 bits within 6e-8.
const MARGIN: f64 = 1e-5;

struct Compared<'a> {
    subject: Subject<'a>,
    batch: &'a SampleBatch,
    out: &'a SampleOutput,
    exact: &'a SampleReference,
    /// Whose the log-probabilities are.
    log_probs: LogProbs,
}

impl Compared<'_> {
    fn of<'a, T>(&self, all: &'a [T], row: usize) -> &'a [T] {
        let length = all.len() / self.batch.rows.count();
        &all[row * length..(row + 1) * length]
    }

    /// How far the b of a row may be from the exact ones: two penalties of two steps each, a bias and the temperature are
    /// six roundings, of half a unit each, of numbers that are hardly larger than the largest b or a / T. Logits that
    /// nothing changes are not rounded.
    fn rounding(&self, row: usize) -> f64 {
        let (a, b) = (self.batch.row(row), self.of(&self.exact.values, row));
        if a.iter().zip(b).all(|(&a, &b)| agrees(a.into(), b, 0.0)) {
            return 0.0;
        }
        let params = &self.batch.params[row];
        let temperature = if params.is_greedy() { 1.0 } else { params.temperature };
        let a = a.iter().map(|a| f64::from(a / temperature));
        let largest =
            |all: &mut dyn Iterator<Item = f64>| all.filter(|x| x.is_finite()).map(f64::abs).fold(0.0, f64::max);
        8.0 * 2f64.powi(-24) * (largest(&mut a.into_iter()) + largest(&mut b.iter().copied()))
    }

    /// Six units of a log-probability itself, as all log-probabilities have, and the roundings of its b and of the sum's.
    fn log_prob_bound(&self, row: usize, exact: f64) -> f64 {
        let of_b = match self.log_probs {
            LogProbs::Model => 0.0,
            _ => 2.0 * self.rounding(row),
        };
        6.0 * ulp_of(exact, Dtype::F32) + of_b
    }

    fn reference_log_probs(&self, row: usize) -> &[f64] {
        match self.log_probs {
            LogProbs::Model => self.of(&self.exact.model_log_probs, row),
            _ => self.of(&self.exact.log_probs, row),
        }
    }

    #[track_caller]
    fn near(&self, what: impl Display, row: usize, got: f32, exact: f64, bound: f64) {
        if !agrees(got.into(), exact, bound) {
            let call = self.subject.call();
            let params = &self.batch.params[row];
            panic!("{call}: {what} of row {row} is {got:e}, but {exact:e} within {bound:e} is expected; {params:?}");
        }
    }

    /// What is kept of a row, and its probabilities.
    fn row_is_exact(&self, row: usize) {
        let (kept, probs) = (&self.exact.kept[row], self.of(&self.exact.probs, row));
        let count = self.out.kept.as_ref().unwrap()[row];
        equal(&self.subject, &format!("kept of row {row}"), count as usize, kept.len());
        let token = self.out.tokens[row];
        let expected = self.reference_log_probs(row);
        let log_prob = self.out.log_probs.as_ref().unwrap()[row];
        if kept.is_empty() {
            equal(&self.subject, &format!("token of row {row}"), token, NO_TOKEN);
            self.near("the log-probability", row, log_prob, f64::NAN, 0.0);
        } else {
            assert!(
                kept.contains(&token),
                "{}: row {row} has token {token}",
                self.subject.call()
            );
            let exact = expected[token as usize];
            self.near(
                "the log-probability",
                row,
                log_prob,
                exact,
                self.log_prob_bound(row, exact),
            );
            let places = kept.iter().position(|&c| c == token);
            let rank = self.out.ranks.as_ref().unwrap()[row] as usize;
            if self.rounding(row) == 0.0 {
                equal(&self.subject, &format!("rank of row {row}"), Some(rank), places);
            }
            self.top_is_sorted(row);
        }
        for (class, (&got, &exact)) in self
            .of(self.out.probs.as_ref().unwrap(), row)
            .iter()
            .zip(probs)
            .enumerate()
        {
            // Eight units; and what is below the smallest normal number may be 0.
            let bound = 8.0 * ulp_of(exact, Dtype::F32) + 2.0 * self.rounding(row) * exact + 2f64.powi(-126);
            let bound = if exact == 0.0 { 0.0 } else { bound };
            self.near(format_args!("the probability of class {class}"), row, got, exact, bound);
        }
    }

    /// The largest classes have their own log-probabilities, and no class is missing before one of them.
    fn top_is_sorted(&self, row: usize) {
        let ids = self.of(self.out.top_ids.as_ref().unwrap(), row);
        let log_probs = self.of(self.out.top_log_probs.as_ref().unwrap(), row);
        let all = self.reference_log_probs(row);
        let mut order: Vec<u32> = (0..all.len() as u32)
            .filter(|&c| all[c as usize] > f64::NEG_INFINITY)
            .collect();
        order.sort_by(|&i, &j| all[j as usize].total_cmp(&all[i as usize]).then(i.cmp(&j)));
        for (at, (&id, &log_prob)) in ids.iter().zip(log_probs).enumerate() {
            let Some(&expected) = order.get(at) else {
                equal(&self.subject, &format!("class {at} of row {row}"), id, NO_TOKEN);
                self.near("the largest log-probability", row, log_prob, f64::NEG_INFINITY, 0.0);
                continue;
            };
            let is_exact = self.log_probs == LogProbs::Model || self.rounding(row) == 0.0;
            if is_exact {
                equal(&self.subject, &format!("class {at} of row {row}"), id, expected);
            }
            assert!(
                !ids[..at].contains(&id),
                "{}: class {id} of row {row} is there twice",
                self.subject.call()
            );
            for class in [id, expected] {
                let exact = all[class as usize];
                self.near(
                    "the largest log-probability",
                    row,
                    log_prob,
                    exact,
                    self.log_prob_bound(row, exact),
                );
            }
        }
    }
}

/// Whether a kept probability is one that f32 has: see [`Compared::row_is_exact`].
fn is_representable(p: f64) -> bool {
    p > 2f64.powi(-125)
}

#[track_caller]
fn must_be_exact(batch: &SampleBatch, log_probs: LogProbs) -> (usize, usize) {
    let options = Sample {
        log_probs,
        probs: true,
        ..batch.options()
    };
    let out = gpu().sample(&batch.logits, batch.rows, &options).unwrap();
    let exact = reference::sample(&batch.logits, batch.rows, &options).unwrap();
    let compared = Compared {
        subject: Subject::new::<f32>(on("sample", gpu()), batch.rows, &log_probs),
        batch,
        out: &out,
        exact: &exact,
        log_probs,
    };
    let mut decided = 0;
    for row in 0..batch.rows.count() {
        if exact.margins[row] <= MARGIN + 2.0 * compared.rounding(row) {
            continue;
        }
        decided += 1;
        compared.row_is_exact(row);
        let probs = compared.of(out.probs.as_ref().unwrap(), row);
        let is_kept = |c: &u32| is_representable(compared.of(&exact.probs, row)[*c as usize]);
        let expected = exact.kept[row].iter().filter(|c| is_kept(c)).count();
        let got = (0..)
            .zip(probs)
            .filter(|(_, p)| is_representable(f64::from(**p)))
            .count();
        let what = format!("probabilities of row {row} that are not 0");
        must(compared.subject.equal(&what, &got, &expected));
    }
    (decided, batch.rows.count())
}

#[test]
fn what_is_kept_and_every_probability_are_those_of_the_reference() {
    let mut random = Random(61);
    let mut all = (0, 0);
    for (classes, has_edits, joint, log_probs) in [
        (2050, false, false, LogProbs::Final),
        (2050, true, true, LogProbs::Model),
        (33, true, false, LogProbs::Final),
    ] {
        let mut batch = SampleBatch::new(&mut random, 96, classes, has_edits);
        batch.joint = joint;
        let (decided, rows) = must_be_exact(&batch, log_probs);
        all = (all.0 + decided, all.1 + rows);
    }
    println!("{} of {} rows are far enough from another choice", all.0, all.1);
    // A comparison of few rows would say little.
    assert!(
        4 * all.0 >= 3 * all.1,
        "only {} of {} rows can be compared",
        all.0,
        all.1
    );
}
