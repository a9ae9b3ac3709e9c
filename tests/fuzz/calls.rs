//! What each kind of call is compared with.

use crate::alike;
use crate::case::{Case, Kind};
use crate::common::{Random, Stored, gpu};
use crate::device;
use wgpu_softmax::half::{bf16, f16};
use wgpu_softmax::reference::{self, CrossEntropyReference};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, CrossEntropyOutput, EncodeError, Gradient, Input, LogSumExp, Mask,
    RunError, Scale, Softmax, SoftmaxGrad,
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
            device::softmax(self.offset, &x, rows, &options, |y| alike("device", y, &exact));
        } else {
            alike("softmax", &gpu().softmax(&x, rows, &options).unwrap(), &exact);
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
        let exact = reference::logsumexp(&x, rows, &options.adjust, self.policy).unwrap();
        alike("lse", &gpu().logsumexp(&x, rows, &options).unwrap(), &exact);
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
        alike("dx", &gpu().softmax_grad(&y, &g, None, rows, &options).unwrap(), &exact);
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
            return assert_eq!(out.err(), Some(expected));
        }
        let out = out.unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        assert_eq!(out.counted, exact.counted);
        self.agree(&out, &exact);
        for (row, &class) in out.argmax.iter().flatten().enumerate() {
            let at = |class: usize| -> f64 {
                let (o, i) = (row / rows.inner(), row % rows.inner());
                let stride = if self.inner > 1 {
                    self.classes * self.inner
                } else {
                    self.classes + self.padding
                };
                x[o * stride + class * self.inner.max(1) + i].into()
            };
            let (got, best) = (at(class as usize), at(exact.argmax[row]));
            // Numbers below the normal ones may count as 0.
            let tied = got.abs().max(best.abs()) < f64::from(f32::MIN_POSITIVE);
            assert!(
                class as usize == exact.argmax[row] || tied,
                "argmax of row {row}: {got} rather than {best}"
            );
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
        self.agree(&out, &exact);
        alike("entropy", out.entropy.as_ref().unwrap(), &exact.entropies);
    }

    fn agree<T: Stored>(&self, out: &CrossEntropyOutput<T>, exact: &CrossEntropyReference) {
        alike("losses", out.row_losses.as_ref().unwrap(), &exact.row_losses);
        alike("gradient", out.gradient.as_ref().unwrap(), &exact.gradient);
        out.lse.iter().for_each(|lse| alike("lse", lse, &exact.lse));
        agree_on_sum(out.loss, exact.loss, &exact.row_losses);
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
        let losses = out.losses.iter();
        losses.for_each(|losses| alike("losses", losses, &exact.losses));
        agree_on_sum(out.loss, exact.loss, &exact.losses);
        alike("gradient", &out.gradient.unwrap(), &exact.gradient);
    }

    /// The error that the case's mistake must be.
    fn is_a_mistake<R>(&self, result: Result<R, RunError>) {
        let expected = match result.err() {
            Some(RunError::Encode(ref error)) => match (self.mistake, error) {
                (1 | 2, EncodeError::WrongLength { .. }) => true,
                (3, EncodeError::NoClasses) => true,
                (4, EncodeError::RowStrideTooSmall { .. }) => self.inner == 1,
                (4, EncodeError::RowStrideNeedsLastAxis { .. }) => self.inner > 1,
                (5, EncodeError::TooLarge { .. }) => true,
                _ => panic!("mistake {} gave {error}", self.mistake),
            },
            other => panic!("mistake {} gave {other:?}", self.mistake),
        };
        assert!(expected);
    }
}

/// A reduced loss, which may be that of losses that cancel; what is summed may overflow on the way.
#[track_caller]
fn agree_on_sum(loss: Option<f32>, exact: f64, losses: &[f64]) {
    let size: f64 = losses
        .iter()
        .map(|loss| loss.abs())
        .filter(|loss| loss.is_finite())
        .sum();
    if let Some(loss) = loss.filter(|_| size < 1e38) {
        let same = f64::from(loss) == exact || loss.is_nan() && exact.is_nan();
        let near = (f64::from(loss) - exact).abs() <= 2e-6 * size.max(1.0);
        assert!(same || near, "loss {loss} for {exact}");
    }
}
