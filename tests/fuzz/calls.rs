//! What each kind of call is compared with.

use crate::alike;
use crate::case::{Case, Kind};
use crate::common::{Random, Stored, Subject, equal, gpu, must, places};
use crate::device;
use wgpu_softmax::half::{bf16, f16};
use wgpu_softmax::reference::{self, CrossEntropyReference};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, CrossEntropyOutput, EncodeError, Gradient, Input, LogSumExp, Mask,
    Reduction, RunError, Scale, Softmax, SoftmaxGrad,
};

impl Case {
    pub(crate) fn run(&self) {
        match self.kind {
            Kind::Softmax => self.softmax::<f32>(false),
            Kind::SoftmaxBf16 => self.softmax::<bf16>(false),
            Kind::LogSoftmaxF16 => self.softmax::<f16>(true),
            Kind::SoftmaxAdjusted => self.softmax::<f32>(false),
            Kind::LogSumExp => self.logsumexp(),
            Kind::SoftmaxGrad => self.softmax_grad(),
            Kind::CrossEntropy => self.cross_entropy::<f32>(),
            Kind::CrossEntropyWeightedBf16 => self.cross_entropy::<bf16>(),
            Kind::CrossEntropySoft => self.cross_entropy_soft(),
            Kind::NllLoss => self.cross_entropy::<f32>(),
            Kind::Binary => self.binary(),
            Kind::Sinks => self.sinks(),
            Kind::Distillation => self.distillation(),
            Kind::Entropy => self.entropy(),
            Kind::Hessians => self.hessians(),
        }
    }

    fn adjust(&self, random: &mut Random) -> Adjust {
        let rows = self.rows();
        let mask = |random: &mut Random| {
            if random.below(5) == 0 {
                f32::NEG_INFINITY
            } else {
                random.normal(1.0)
            }
        };
        Adjust {
            scale: Scale::PerRow(random.logits(rows.count(), 1.0).into()),
            bias: Some(random.logits(self.classes, 1.0).into()),
            softcap: Some(1.0 + random.below(50) as f32),
            mask: Mask::Full(
                (0..rows.elements().unwrap())
                    .map(|_| mask(random))
                    .collect::<Vec<_>>()
                    .into(),
            ),
        }
    }

    fn softmax<T: Stored>(&self, log: bool) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let adjusted = matches!(self.kind, Kind::SoftmaxAdjusted);
        let options = Softmax {
            log,
            fully_masked: self.policy,
            adjust: if adjusted {
                self.adjust(&mut random)
            } else {
                Adjust::default()
            },
            schedule: self.schedule(),
            ..Softmax::default()
        };
        let mut x = self.logits::<T>(&mut random);
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().softmax(&x, rows, &options));
        }
        let exact = reference::softmax(&x, rows, &options).unwrap();
        if self.on_device && !adjusted {
            let subject = Subject::new::<T>(format!("softmax in place at offset {}", self.offset), rows, &options);
            alike(
                &subject,
                "y",
                &device::softmax(&subject, self.offset, &x, &options),
                &exact,
            );
        } else {
            let subject = Subject::new::<T>("softmax", rows, &options);
            alike(&subject, "y", &gpu().softmax(&x, rows, &options).unwrap(), &exact);
        }
    }

    fn logsumexp(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = LogSumExp {
            fully_masked: self.policy,
            schedule: self.schedule(),
            ..LogSumExp::default()
        };
        let mut x = self.logits::<f32>(&mut random);
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().logsumexp(&x, rows, &options));
        }
        let exact = reference::logsumexp(&x, rows, &options).unwrap();
        let subject = Subject::new::<f32>("logsumexp", rows, &options);
        alike(&subject, "lse", &gpu().logsumexp(&x, rows, &options).unwrap(), &exact);
    }

    fn softmax_grad(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = SoftmaxGrad {
            schedule: self.schedule(),
            ..SoftmaxGrad::default()
        };
        let x = self.logits::<f32>(&mut random);
        let forward = Softmax {
            fully_masked: self.policy,
            ..Softmax::default()
        };
        let y = reference::softmax(&x, rows, &forward).unwrap();
        let mut y: Vec<f32> = y.iter().map(|&y| y as f32).collect();
        let g = random.logits(y.len(), 1.0);
        if self.spoil(&mut y, &mut rows) {
            return self.is_a_mistake(gpu().softmax_grad(&y, &g, None, rows, &options));
        }
        let exact = reference::softmax_grad(&y, &g, rows, false, None).unwrap();
        let subject = Subject::new::<f32>("softmax_grad", rows, &options);
        alike(
            &subject,
            "dx",
            &gpu().softmax_grad(&y, &g, None, rows, &options).unwrap(),
            &exact,
        );
    }

    fn options(&self, random: &mut Random) -> CrossEntropy {
        let options = CrossEntropy {
            reduction: self.reduction,
            fully_masked: self.policy,
            ignore_index: [-100, 0, 3][random.below(3)],
            gradient: Gradient::Apart,
            row_losses: true,
            schedule: self.schedule(),
            ..CrossEntropy::default()
        };
        match self.kind {
            Kind::NllLoss => CrossEntropy {
                input: Input::LogProbs,
                ..options
            },
            Kind::CrossEntropy => CrossEntropy {
                lse: true,
                argmax: true,
                ..options
            },
            Kind::CrossEntropySoft => CrossEntropy {
                entropy: true,
                row_weights: Some(
                    (0..self.rows().count())
                        .map(|_| random.below(4) as f32 / 2.0)
                        .collect::<Vec<_>>()
                        .into(),
                ),
                ..options
            },
            _ => CrossEntropy {
                weights: Some(
                    (0..self.classes)
                        .map(|_| random.below(5) as f32 / 2.0)
                        .collect::<Vec<_>>()
                        .into(),
                ),
                label_smoothing: 0.1,
                z_loss: 0.01,
                ..options
            },
        }
    }

    fn cross_entropy<T: Stored>(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = self.options(&mut random);
        let bad = [
            -1,
            self.classes as i64,
            i64::from(u32::MAX),
            1 << 40,
            i64::MIN,
            i64::MAX,
        ];
        let has_bad = random.below(4) == 0;
        let target = |random: &mut Random| match random.below(20) {
            0..3 => options.ignore_index,
            3 if has_bad => bad[random.below(bad.len())],
            _ => random.below(self.classes) as i64,
        };
        let targets: Vec<i64> = (0..rows.count()).map(|_| target(&mut random)).collect();
        let mut x = self.logits::<T>(&mut random);
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().cross_entropy(&x, &targets, rows, &options));
        }
        let is_bad = |t: i64| t != options.ignore_index && !(0..self.classes as i64).contains(&t);
        let out = gpu().cross_entropy(&x, &targets, rows, &options);
        if let Some(row) = targets.iter().position(|&t| is_bad(t)) {
            let expected = RunError::TargetOutOfRange {
                row,
                target: targets[row].into(),
                classes: self.classes,
                count: targets.iter().filter(|&&t| is_bad(t)).count(),
            };
            let subject = Subject::new::<T>("cross_entropy", rows, &options);
            return equal(&subject, "the error", out.err(), Some(expected));
        }
        let out = out.unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<T>("cross_entropy", rows, &options);
        equal(&subject, "counted", out.counted, exact.counted);
        agree(&subject, &options, &out, &exact);
        if options.argmax {
            argmax_agrees(&subject, &x, &out.argmax.unwrap(), &exact.argmax);
        }
    }

    fn cross_entropy_soft(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = self.options(&mut random);
        let mut x = self.logits::<f32>(&mut random);
        let q = reference::softmax(&random.logits(x.len(), 2.0), rows, &Softmax::default()).unwrap();
        let q: Vec<f32> = q.iter().map(|&q| q as f32).collect();
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().cross_entropy_soft(&x, &q, rows, &options));
        }
        let out = gpu().cross_entropy_soft(&x, &q, rows, &options).unwrap();
        let exact = reference::cross_entropy_soft(&x, &q, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy_soft", rows, &options);
        agree(&subject, &options, &out, &exact);
        alike(&subject, "entropy", out.entropy.as_ref().unwrap(), &exact.entropies);
    }

    fn binary(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = BinaryCrossEntropy {
            gradient: Gradient::Apart,
            reduction: self.reduction,
            ..BinaryCrossEntropy::default()
        };
        let mut x = self.logits::<f32>(&mut random);
        let targets: Vec<f32> = x.iter().map(|_| [0.0, 1.0, 0.3][random.below(3)]).collect();
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().binary_cross_entropy_with_logits(&x, &targets, rows, &options));
        }
        let out = gpu()
            .binary_cross_entropy_with_logits(&x, &targets, rows, &options)
            .unwrap();
        let exact = reference::binary_cross_entropy_with_logits(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("binary_cross_entropy_with_logits", rows, &options);
        let is_reduced = self.reduction != Reduction::None;
        equal(&subject, "whether there are losses", out.losses.is_some(), !is_reduced);
        if let Some(losses) = &out.losses {
            alike(&subject, "losses", losses, &exact.losses);
        }
        agree_on_sum(&subject, is_reduced, out.loss, exact.loss, &exact.losses);
        alike(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
    }

    /// The error that the case's mistake must be.
    pub(crate) fn is_a_mistake<R>(&self, result: Result<R, RunError>) {
        let error = result.err();
        let is_expected = match &error {
            Some(RunError::WrongLength { .. }) => matches!(self.mistake, 1 | 2),
            Some(RunError::Encode(error)) => match (self.mistake, error) {
                (3, EncodeError::NoClasses) => true,
                (4, EncodeError::RowStrideTooSmall { .. }) => self.inner == 1,
                (4, EncodeError::RowStrideNeedsLastAxis { .. }) => self.inner > 1,
                (5, EncodeError::TooLarge { .. }) => true,
                _ => false,
            },
            _ => false,
        };
        assert!(
            is_expected,
            "mistake {} of {self:?}: {error:?}, but its own error is expected",
            self.mistake
        );
    }
}

/// Losses, gradient and lse, each where it was asked for.
#[track_caller]
pub(crate) fn agree<T: Stored>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) {
    alike(
        subject,
        "row losses",
        out.row_losses.as_ref().unwrap(),
        &exact.row_losses,
    );
    alike(subject, "gradient", out.gradient.as_ref().unwrap(), &exact.gradient);
    equal(subject, "whether there is lse", out.lse.is_some(), options.lse);
    if let Some(lse) = &out.lse {
        alike(subject, "lse", lse, &exact.lse);
    }
    let is_reduced = options.reduction != Reduction::None;
    agree_on_sum(subject, is_reduced, out.loss, exact.loss, &exact.row_losses);
}

/// The reference's classes, or others of numbers below the normal ones, which may count as 0.
#[track_caller]
fn argmax_agrees<T: Stored>(subject: &Subject<'_>, x: &[T], got: &[u32], exact: &[usize]) {
    equal(subject, "the length of argmax", got.len(), exact.len());
    for (row, (&class, &best)) in got.iter().zip(exact).enumerate() {
        let of_class = |class: usize| -> f64 { x[places(&subject.rows(), row).nth(class).unwrap()].into() };
        let class = class as usize;
        let is_tied = class < subject.rows().classes()
            && of_class(class).abs().max(of_class(best).abs()) < f64::from(f32::MIN_POSITIVE);
        if class != best && !is_tied {
            must(Err(subject.miss("argmax", (row, got.len()), class, best, "exactly")));
        }
    }
}

/// A reduced loss, which may be that of losses that cancel; what is summed may overflow on the way.
#[track_caller]
fn agree_on_sum(subject: &Subject<'_>, is_reduced: bool, loss: Option<f32>, exact: f64, losses: &[f64]) {
    equal(subject, "whether there is a loss", loss.is_some(), is_reduced);
    let size: f64 = losses
        .iter()
        .map(|loss| loss.abs())
        .filter(|loss| loss.is_finite())
        .sum();
    if let Some(loss) = loss.filter(|_| size < 1e38) {
        must(subject.within("loss", &[loss], &[exact], |_, _| 2e-6 * size.max(1.0)));
    }
}
