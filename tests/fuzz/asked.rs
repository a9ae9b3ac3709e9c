//! Sinks, distillation, entropies and products of Hessians.

use crate::alike;
use crate::case::Case;
use crate::common::{Random, Subject, equal, gpu};
use wgpu_softmax::reference;
use wgpu_softmax::{CrossEntropy, Entropy, FullyMasked, Gradient, LogSumExp, Sink, Softmax, SoftmaxGrad};

impl Case {
    /// Divergences and Hessians have no uniform rows.
    fn policy_but_uniform(&self) -> FullyMasked {
        match self.policy {
            FullyMasked::Uniform => FullyMasked::Zeros,
            policy => policy,
        }
    }

    /// Softmax and logsumexp, and the gradient of the latter: of logits and of sinks.
    pub(crate) fn sinks(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let count = rows.count();
        // A mistake in the rows is not one in their sinks.
        let sink = if random.below(3) == 0 || self.mistake > 0 {
            Sink::Number(random.normal(5.0))
        } else {
            Sink::PerRow(random.logits(count, 5.0).into())
        };
        let softmax = Softmax {
            sink: Some(sink.clone()),
            fully_masked: self.policy,
            schedule: self.schedule(),
            ..Softmax::default()
        };
        let logsumexp = LogSumExp {
            sink: Some(sink),
            fully_masked: self.policy,
            schedule: self.schedule(),
            ..LogSumExp::default()
        };
        let g = random.logits(count, 1.0);
        let mut x = self.logits::<f32>(&mut random);
        if self.spoil(&mut x, &mut rows) {
            self.is_a_mistake(gpu().softmax(&x, rows, &softmax));
            return self.is_a_mistake(gpu().logsumexp(&x, rows, &logsumexp));
        }
        let subject = Subject::new::<f32>("softmax", rows, &softmax);
        let exact = reference::softmax(&x, rows, &softmax).unwrap();
        alike(&subject, "y", &gpu().softmax(&x, rows, &softmax).unwrap(), &exact);

        let subject = Subject::new::<f32>("logsumexp", rows, &logsumexp);
        let lse = gpu().logsumexp(&x, rows, &logsumexp).unwrap();
        alike(
            &subject,
            "lse",
            &lse,
            &reference::logsumexp(&x, rows, &logsumexp).unwrap(),
        );

        // The gradient takes the lse as it was given: a large one has been rounded by more than the probabilities allow.
        if lse.iter().all(|lse| lse.is_nan() || lse.abs() < 16.0) {
            let (dx, sigma) = gpu().logsumexp_grad_with_sink(&x, &lse, &g, rows, &logsumexp).unwrap();
            let wide: Vec<f64> = g.iter().map(|&g| g.into()).collect();
            alike(
                &subject,
                "dx",
                &dx,
                &reference::logsumexp_grad(&x, &wide, rows, &logsumexp).unwrap(),
            );
            let p = reference::sink_probabilities(&x, rows, &softmax).unwrap();
            let exact: Vec<f64> = p.iter().zip(&wide).map(|(p, g)| p * g).collect();
            alike(&subject, "the gradient of the sinks", &sigma, &exact);
        }
    }

    pub(crate) fn distillation(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            row_losses: true,
            temperature: 2.0,
            times_squared_temperature: self.on_device,
            reduction: self.reduction,
            fully_masked: self.policy_but_uniform(),
            schedule: self.schedule(),
            ..CrossEntropy::default()
        };
        let mut x = self.logits::<f32>(&mut random);
        let mut teacher = self.logits::<f32>(&mut random);
        if self.on_device {
            // Classes that the student and its teacher are of one mind about.
            let both = x.len() / 2;
            teacher[..both].copy_from_slice(&x[..both]);
        }
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().distillation(&x, &teacher, rows, &options));
        }
        let out = gpu().distillation(&x, &teacher, rows, &options).unwrap();
        let exact = reference::distillation(&x, &teacher, rows, &options).unwrap();
        let subject = Subject::new::<f32>("distillation", rows, &options);
        equal(&subject, "counted", out.counted, exact.counted);
        crate::calls::agree(&subject, &options, &out, &exact);
    }

    pub(crate) fn entropy(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = Entropy {
            gradient: Gradient::Apart,
            upstream: (self.mistake == 0).then(|| random.logits(rows.count(), 1.0).into()),
            fully_masked: self.policy,
            schedule: self.schedule(),
            ..Entropy::default()
        };
        let mut x = self.logits::<f32>(&mut random);
        if self.spoil(&mut x, &mut rows) {
            return self.is_a_mistake(gpu().entropy(&x, rows, &options));
        }
        let out = gpu().entropy(&x, rows, &options).unwrap();
        let (entropies, gradient) = reference::entropy(&x, rows, &options).unwrap();
        let subject = Subject::new::<f32>("entropy", rows, &options);
        alike(&subject, "entropy", &out.entropies, &entropies);
        alike(&subject, "gradient", &out.gradient.unwrap(), &gradient);
    }

    /// The product of a loss's Hessian and a direction, and that of softmax's.
    pub(crate) fn hessians(&self) {
        let (mut random, mut rows) = (Random(self.seed), self.rows());
        let options = CrossEntropy {
            reduction: self.reduction,
            fully_masked: self.policy_but_uniform(),
            z_loss: 0.125,
            schedule: self.schedule(),
            ..CrossEntropy::default()
        };
        let of_softmax = SoftmaxGrad {
            schedule: self.schedule(),
            ..SoftmaxGrad::default()
        };
        let target = |random: &mut Random| match random.below(8) {
            0 => options.ignore_index,
            _ => random.below(self.classes) as i64,
        };
        let targets: Vec<i64> = (0..rows.count()).map(|_| target(&mut random)).collect();
        let mut x = self.logits::<f32>(&mut random);
        let (g, v) = (random.logits(x.len(), 1.0), random.logits(x.len(), 1.0));
        if self.spoil(&mut x, &mut rows) {
            self.is_a_mistake(gpu().cross_entropy_hvp(&x, &targets, &v, rows, &options));
            return self.is_a_mistake(gpu().softmax_hvp(&x, &g, &v, rows, &of_softmax));
        }
        let out = gpu().cross_entropy_hvp(&x, &targets, &v, rows, &options).unwrap();
        let exact = reference::cross_entropy_hvp(&x, &targets, &v, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy_hvp", rows, &options);
        alike(&subject, "the product", &out.gradient.unwrap(), &exact.gradient);

        let forward = Softmax {
            fully_masked: self.policy,
            ..Softmax::default()
        };
        let y = reference::softmax(&x, rows, &forward).unwrap();
        let y: Vec<f32> = y.iter().map(|&y| y as f32).collect();
        let exact = reference::softmax_hvp(&y, &g, &v, rows, false).unwrap();
        let subject = Subject::new::<f32>("softmax_hvp", rows, &of_softmax);
        let product = gpu().softmax_hvp(&y, &g, &v, rows, &of_softmax).unwrap();
        alike(&subject, "the product", &product, &exact);
    }
}
