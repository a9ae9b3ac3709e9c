//! Rows that are all but certain: results are as small as 1e-35, and are compared in units of themselves.

use crate::all_outputs;
use crate::common::outputs::outputs_verdict;
use crate::common::{GPUS, Random, Subject, must, on};
use wgpu_softmax::testing::{
    Bound, CONFIDENT_CLASSES, Confident, GAPS, GRADIENT_ULP, LOSS_ULP, LossBounds, loss_options,
};
use wgpu_softmax::{
    BinaryCrossEntropy, CrossEntropy, Gpu, Gradient, LogSumExp, Reduction, Rows, Softmax, SoftmaxGrad, reference,
};

/// How often a case was checked, and those of which something was wrong.
#[derive(Default)]
struct Cases {
    checked: usize,
    wrong: Vec<String>,
}

impl Cases {
    /// All cases are checked before the first failure is told, because which cases fail says what is wrong.
    fn none_is_wrong(self) {
        let (count, checked) = (self.wrong.len(), self.checked);
        assert!(checked > 0, "no case was checked");
        let first = self.wrong.first();
        assert_eq!(
            first, None,
            "{count} of {checked} cases are wrong, and this is the first"
        );
    }

    fn case(&mut self, verdict: Result<(), String>) {
        self.checked += 1;
        self.wrong.extend(verdict.err());
    }
}

fn batches() -> impl Iterator<Item = (f32, Confident)> {
    let mut random = Random(41);
    CONFIDENT_CLASSES.into_iter().flat_map(move |classes| {
        let batch = GAPS.map(|gap| (gap, Confident::new(&mut random, classes, gap)));
        batch.into_iter()
    })
}

#[test]
fn two_logits_17_apart_have_a_loss_of_4e_8() {
    for gpu in GPUS.iter() {
        let (rows, options) = (Rows::new(1, 2), all_outputs());
        let out = gpu.cross_entropy(&[17.0f32, 0.0], &[0u32], rows, &options).unwrap();
        let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
        let four_ulp = |_, exact| Bound::of_itself(exact, LOSS_ULP).allowed;
        must(subject.within("loss", &[out.loss.unwrap()], &[4.139_937_633e-8], four_ulp));
        let six_ulp = |_, exact| Bound::of_itself(exact, GRADIENT_ULP).allowed;
        let gradient = [-4.139_937_547e-8, 4.139_937_547e-8];
        must(subject.within("gradient", &out.gradient.unwrap(), &gradient, six_ulp));
    }
}

#[test]
fn losses_and_gradients() {
    let mut cases = Cases::default();
    for gpu in GPUS.iter() {
        for (gap, batch) in batches() {
            for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
                let options = CrossEntropy {
                    reduction,
                    ..all_outputs()
                };
                for options in loss_options(&options, batch.rows.classes()) {
                    loss(gpu, gap, &batch, &options, &mut cases);
                }
            }
        }
    }
    cases.none_is_wrong();
}

fn loss(
    gpu: &Gpu,
    gap: f32,
    Confident { rows, logits, targets }: &Confident,
    options: &CrossEntropy,
    cases: &mut Cases,
) {
    let out = gpu.cross_entropy(logits, targets, *rows, options).unwrap();
    let exact = reference::cross_entropy(logits, targets, *rows, options).unwrap();
    let operation = format!("{} and a gap of {gap}", on("cross_entropy", gpu));
    let subject = Subject::new::<f32>(operation, *rows, options);
    cases.case(outputs_verdict(&subject, options, &out, &exact));
    if options.z_loss == 0.0 {
        let bounds = LossBounds::new(options, &exact);
        cases.case(bounds.gradient_sums_to_zero(&subject, &out.gradient.unwrap(), &exact));
    }
}

#[test]
fn log_probabilities_and_lse() {
    let mut cases = Cases::default();
    for gpu in GPUS.iter() {
        for (gap, Confident { rows, logits, .. }) in batches() {
            let options = Softmax::log();
            let y = gpu.softmax(&logits, rows, &options).unwrap();
            let exact = reference::softmax(&logits, rows, &options).unwrap();
            let operation = |name| format!("{} and a gap of {gap}", on(name, gpu));
            let subject = Subject::new::<f32>(operation("log_softmax"), rows, &options);
            let within = |_, exact| Bound::of_itself(exact, LOSS_ULP).allowed;
            cases.case(subject.within("y", &y, &exact, within));

            let ln_sum = |row: usize| {
                let log = &exact[row * rows.classes()..(row + 1) * rows.classes()];
                -log.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            };
            let options = LogSumExp::default();
            let lse = gpu.logsumexp(&logits, rows, &options).unwrap();
            let exact = reference::logsumexp(&logits, rows, &options).unwrap();
            let subject = Subject::new::<f32>(operation("logsumexp"), rows, &options);
            let within = |row, exact| Bound::of_lse(exact, ln_sum(row), 0.0).allowed;
            cases.case(subject.within("lse", &lse, &exact, within));
        }
    }
    cases.none_is_wrong();
}

/// The gradient of the one log-probability that is all but 0: `1 − e^y`, where nothing may be left of y but the exponent.
#[test]
fn the_gradient_of_a_log_probability() {
    let mut cases = Cases::default();
    for gpu in GPUS.iter() {
        for (gap, Confident { rows, logits, .. }) in batches() {
            let forward = Softmax::log();
            let y = gpu.softmax(&logits, rows, &forward).unwrap();
            let mut g = vec![0.0; y.len()];
            g.iter_mut().step_by(rows.classes()).for_each(|g| *g = 1.0);
            let options = SoftmaxGrad {
                log: true,
                ..SoftmaxGrad::default()
            };
            let dx = gpu.softmax_grad(&y, &g, None, rows, &options).unwrap();
            let exact = reference::softmax_grad(&y, &g, rows, true, None).unwrap();
            let operation = format!("{} and a gap of {gap}", on("softmax_grad", gpu));
            let subject = Subject::new::<f32>(operation, rows, &options);
            // g and e^y Σ g cancel, so the larger of the two is what an error is in proportion to.
            let term = |i: usize| f64::from(y[i]).exp().max(f64::from(g[i]));
            let within = |i, exact| Bound::new(exact, GRADIENT_ULP, term(i), 0.0).allowed;
            cases.case(subject.within("dx", &dx, &exact, within));
        }
    }
    cases.none_is_wrong();
}

#[test]
fn binary_targets_that_the_logit_agrees_with_or_not() {
    let mut cases = Cases::default();
    for gpu in GPUS.iter() {
        let logits: Vec<f32> = GAPS.iter().flat_map(|&gap| [gap, -gap, gap + 0.3]).collect();
        let rows = Rows::new(logits.len(), 1);
        for target in [0f32, 1.0] {
            let options = BinaryCrossEntropy {
                reduction: Reduction::None,
                gradient: Gradient::Apart,
                ..BinaryCrossEntropy::default()
            };
            let targets = vec![target; logits.len()];
            let out = gpu
                .binary_cross_entropy_with_logits(&logits, &targets, rows, &options)
                .unwrap();
            let exact = reference::binary_cross_entropy_with_logits(&logits, &targets, rows, &options).unwrap();
            let operation = on("binary_cross_entropy_with_logits", gpu);
            let subject = Subject::new::<f32>(operation, rows, &options);
            let within = |ulps| move |_, exact| Bound::of_itself(exact, ulps).allowed;
            cases.case(subject.within("losses", &out.losses.unwrap(), &exact.losses, within(LOSS_ULP)));
            cases.case(subject.within(
                "gradient",
                &out.gradient.unwrap(),
                &exact.gradient,
                within(GRADIENT_ULP),
            ));
        }
    }
    cases.none_is_wrong();
}
