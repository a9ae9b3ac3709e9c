//! Cross-entropy of class indices and of soft targets, from a saved lse, and of log-probabilities.

use crate::common::outputs::outputs_are;
use crate::common::{FULLY_MASKED, Random, Stored, Subject, equal, gpu, near, places, stored};
use crate::{ROWS, adjust, layouts, logits};
use wgpu_softmax::{
    CrossEntropy, FullyMasked, Gradient, Input, Mask, Normalizer, Reduction, Rows, Softmax, Upstream, reference,
};

/// What the words of an option's name set.
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
            // A row without a part, +∞ in another such.
            "rows" => options.row_weights = Some(vec![1.5, 0.5, 0.0, 2.0, 0.75, 3.0, 0.0].into()),
            "divergence" => options.divergence = true,
            "temperature" => options.temperature = 2.5,
            "squared" => options.times_squared_temperature = true,
            "smoothing" => options.label_smoothing = 0.125,
            "z" => options.z_loss = 0.01,
            "normalizer" => options.normalizer = Normalizer::Number(7.5),
            "upstream" => options.upstream = Upstream::Number(-2.5),
            _ => {}
        }
    }
    options
}

/// What the rows are measured against.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Classes,
    SoftTargets,
    LogProbs,
    Teacher,
}

struct Batch<T> {
    kind: Kind,
    rows: Rows,
    x: Vec<T>,
    targets: Vec<i32>,
    q: Vec<T>,
}

impl<T: Stored> Batch<T> {
    /// Targets with two ignored rows, of which one has only −∞, and one target at −∞; soft targets with none in row 0.
    fn new(kind: Kind, option: &str, rows: Rows, x: Vec<T>, random: &mut Random) -> Self {
        let mut targets: Vec<i32> = random.targets(ROWS, rows.classes()).iter().map(|&t| t as i32).collect();
        (targets[1], targets[3]) = (-100, 0);
        if option.contains("ignored") {
            targets[5] = -100;
        }
        let y = reference::softmax(&random.logits(x.len(), 2.0), rows, &Softmax::default()).unwrap();
        let mut q: Vec<f32> = y.iter().map(|&v| v as f32).collect();
        places(&rows, 0).for_each(|i| q[i] = 0.0);
        if kind == Kind::Teacher {
            q = random.logits(x.len(), 2.0);
            places(&rows, 2).for_each(|i| q[i] = f32::NEG_INFINITY);
        }
        let q = stored(&q);
        Self {
            kind,
            rows,
            x,
            targets,
            q,
        }
    }

    /// Finite logits for these rows.
    fn fill(&mut self, rows: &[usize]) {
        for &row in rows {
            places(&self.rows, row).for_each(|i| self.x[i] = T::nearest((i % 5) as f32));
        }
    }

    fn check(&self, options: &CrossEntropy) -> f64 {
        let (x, rows, targets) = (&self.x, self.rows, &self.targets);
        let operation = match self.kind {
            Kind::Classes => "cross_entropy",
            Kind::SoftTargets => "cross_entropy_soft",
            Kind::LogProbs => "nll_loss",
            Kind::Teacher => "distillation",
        };
        let (out, exact) = if self.kind == Kind::Teacher {
            let out = gpu().distillation(x, &self.q, rows, options).unwrap();
            (out, reference::distillation(x, &self.q, rows, options).unwrap())
        } else if self.kind == Kind::SoftTargets {
            let out = gpu().cross_entropy_soft(x, &self.q, rows, options).unwrap();
            (out, reference::cross_entropy_soft(x, &self.q, rows, options).unwrap())
        } else {
            let out = gpu().cross_entropy(x, targets, rows, options).unwrap();
            (out, reference::cross_entropy(x, targets, rows, options).unwrap())
        };
        outputs_are(&Subject::new::<T>(operation, rows, options), options, &out, &exact);
        exact.loss
    }

    /// The same, changed so that no row's loss is NaN or infinite: finite logits, no weight on a masked class, and where
    /// smoothing gives every class a weight no class masked.
    fn check_finite(&mut self, options: &CrossEntropy) {
        self.fill(&[3, 4, 5, 6]);
        let mut options = options.clone();
        if options.label_smoothing != 0.0
            && let Mask::Full(values) = &options.adjust.mask
        {
            let wgpu_softmax::Values::Host(values) = values else {
                unreachable!("the tests' masks are on the host")
            };
            let finite: Vec<f32> = values.iter().map(|v| v.max(-3.0)).collect();
            options.adjust.mask = Mask::Full(finite.into());
        }
        let a = reference::adjusted(&self.x, self.rows, &options.adjust).unwrap();
        for row in 0..ROWS {
            let places: Vec<usize> = places(&self.rows, row).collect();
            let is_masked = |target: i32| target >= 0 && a[places[target as usize]] == f64::NEG_INFINITY;
            if is_masked(self.targets[row]) {
                let first = places.iter().position(|&i| a[i] != f64::NEG_INFINITY);
                self.targets[row] = first.unwrap() as i32;
            }
        }
        if self.kind == Kind::Teacher {
            places(&self.rows, 2).for_each(|i| self.q[i] = self.x[i]);
        }
        let masked = (0..a.len()).filter(|&i| a[i] == f64::NEG_INFINITY);
        let none = if self.kind == Kind::Teacher {
            f32::NEG_INFINITY
        } else {
            0.0
        };
        masked.for_each(|i| self.q[i] = T::nearest(none));
        for reduction in [Reduction::Sum, Reduction::Mean] {
            if options.normalizer != Normalizer::Rows && reduction != Reduction::Mean {
                continue;
            }
            let options = CrossEntropy {
                reduction,
                fully_masked: FullyMasked::Nan,
                ..options.clone()
            };
            let loss = self.check(&options);
            let subject = Subject::new::<T>("the reference's loss", self.rows, &options);
            equal(&subject, "whether the loss is finite", loss.is_finite(), true);
        }
    }
}

/// Every reduction, policy and output of one set of options; rows with NaN only where they are not reduced.
fn check_loss<T: Stored>(option: &str, kind: Kind) {
    let mut random = Random(36);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let options = loss_options(option, rows, &mut random);
        let mut batch = Batch::new(kind, option, rows, x, &mut random);
        let is_soft = matches!(kind, Kind::SoftTargets | Kind::Teacher);
        let is_nll = kind == Kind::LogProbs;
        let is_divergence = kind == Kind::Teacher || options.divergence;
        let outputs = CrossEntropy {
            input: if is_nll { Input::LogProbs } else { Input::Logits },
            row_losses: true,
            row_z_losses: !is_nll,
            lse: !is_nll,
            entropy: !is_nll,
            log_prob: !is_soft,
            argmax: true,
            correct: !is_soft,
            ..options
        };
        let per_row = Upstream::PerRow(random.logits(ROWS, 1.0));
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            if outputs.normalizer != Normalizer::Rows && reduction != Reduction::Mean {
                continue;
            }
            if reduction != Reduction::None {
                // Row 4 alone, whose loss is the policy's, still has no finite logit.
                batch.fill(&[3, 5, 6]);
            }
            // A divergence has no row of equal values.
            let policies = FULLY_MASKED
                .into_iter()
                .filter(|p| !is_divergence || *p != FullyMasked::Uniform);
            for fully_masked in policies {
                let is_none = reduction == Reduction::None;
                let upstream = if is_none { &per_row } else { &outputs.upstream };
                batch.check(&CrossEntropy {
                    reduction,
                    fully_masked,
                    upstream: upstream.clone(),
                    ..outputs.clone()
                });
            }
        }
        batch.check_finite(&outputs);
    }
}

pub(crate) fn cross_entropy<T: Stored>(option: &str) {
    check_loss::<T>(option, Kind::Classes);
}

pub(crate) fn cross_entropy_soft<T: Stored>(option: &str) {
    check_loss::<T>(option, Kind::SoftTargets);
}

pub(crate) fn distillation<T: Stored>(option: &str) {
    check_loss::<T>(option, Kind::Teacher);
}

pub(crate) fn nll_loss<T: Stored>(option: &str) {
    check_loss::<T>(option, Kind::LogProbs);
}

/// The gradient from a saved lse.
pub(crate) fn cross_entropy_from_lse<T: Stored>(option: &str) {
    let mut random = Random(37);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let targets = [1i64, -100, 2, 3, 0, 1, 2];
        for fully_masked in FULLY_MASKED {
            let forward = CrossEntropy {
                lse: true,
                gradient: Gradient::None,
                fully_masked,
                reduction: Reduction::Sum,
                ..loss_options(option, rows, &mut random)
            };
            let lse = gpu().cross_entropy(&x, &targets, rows, &forward).unwrap().lse.unwrap();
            let backward = CrossEntropy {
                lse: false,
                gradient: Gradient::Apart,
                from_lse: Some(lse.into()),
                ..forward
            };
            let out = gpu().cross_entropy(&x, &targets, rows, &backward).unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &backward).unwrap();
            let subject = Subject::new::<T>("cross_entropy from its lse", rows, &backward);
            equal(&subject, "loss", out.loss, None);
            near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
        }
    }
}
