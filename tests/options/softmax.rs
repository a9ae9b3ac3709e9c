//! The softmax family and its gradients.

use crate::common::{FULLY_MASKED, Random, Stored, Subject, gpu, near, places, stored};
use crate::{adjust, layouts, logits};
use wgpu_softmax::{Entropy, Gradient, LogSumExp, Rows, Sink, Softmax, SoftmaxGrad, reference};

/// What the option's name has of sinks: one that is far above the logits of its row is among them.
fn sink(option: &str, rows: Rows, random: &mut Random) -> Option<Sink> {
    let word = |word| option.split('_').any(|w| w == word);
    if word("sinks") {
        let mut sinks = random.logits(rows.count(), 3.0);
        sinks[1] = 30.0;
        return Some(Sink::PerRow(sinks.into()));
    }
    word("sink").then_some(Sink::Number(0.5))
}

fn softmax_of<T: Stored>(option: &str, log: bool) {
    let mut random = Random(31);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let adjust = adjust(option, rows, &mut random);
        let sink = sink(option, rows, &mut random);
        for fully_masked in FULLY_MASKED {
            let options = Softmax {
                log,
                adjust: adjust.clone(),
                sink: sink.clone(),
                fully_masked,
                ..Softmax::default()
            };
            let y = gpu().softmax(&x, rows, &options).unwrap();
            let exact = reference::softmax(&x, rows, &options).unwrap();
            near(&Subject::new::<T>("softmax", rows, &options), "y", &y, &exact);
        }
    }
}

pub(crate) fn softmax<T: Stored>(option: &str) {
    softmax_of::<T>(option, false);
}

pub(crate) fn log_softmax<T: Stored>(option: &str) {
    softmax_of::<T>(option, true);
}

fn grad_of<T: Stored>(option: &str, log: bool) {
    let mut random = Random(32);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let adjust = adjust(option, rows, &mut random);
        let sink = sink(option, rows, &mut random);
        let forward = Softmax {
            log,
            adjust: adjust.clone(),
            sink: sink.clone(),
            ..Softmax::default()
        };
        let exact: Vec<f32> = (reference::softmax(&x, rows, &forward).unwrap().iter())
            .map(|&y| y as f32)
            .collect();
        let (saved, g) = (stored::<T>(&exact), stored::<T>(&random.logits(x.len(), 1.0)));
        let softcap = adjust.softcap.is_some();
        let options = SoftmaxGrad {
            log,
            adjust: adjust.clone(),
            sink: sink.clone(),
            ..SoftmaxGrad::default()
        };
        let again = softcap.then_some(&x[..]);
        let subject = Subject::new::<T>("softmax_grad", rows, &options);
        let dx = match &sink {
            None => gpu().softmax_grad(&saved, &g, again, rows, &options).unwrap(),
            Some(_) => {
                let lse = LogSumExp {
                    adjust: adjust.clone(),
                    sink: sink.clone(),
                    ..LogSumExp::default()
                };
                let lse = gpu().logsumexp(&x, rows, &lse).unwrap();
                let (dx, of_sink) = (gpu().softmax_grad_with_sink(&saved, &g, again, &lse, rows, &options)).unwrap();
                let exact = sink_gradients(&x, &g, &forward, (&saved, rows));
                near(&subject, "the sinks' gradient", &of_sink, &exact);
                dx
            }
        };
        let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let exact = reference::softmax_grad(&saved, &g, rows, log, Some((&wide, &adjust))).unwrap();
        near(&subject, "dx", &dx, &exact);
    }
}

/// `−p Σ g y`, and of log-softmax `−p Σ g` over the classes that are not −∞.
fn sink_gradients<T: Stored>(x: &[T], g: &[T], forward: &Softmax, (saved, rows): (&[T], Rows)) -> Vec<f64> {
    let p = reference::sink_probabilities(x, rows, forward).unwrap();
    let of_row = |(row, p): (usize, f64)| -> f64 {
        let term = |i: usize| -> f64 {
            let (y, g): (f64, f64) = (saved[i].into(), g[i].into());
            match forward.log {
                true if y == f64::NEG_INFINITY => 0.0,
                true => g,
                false => g * y,
            }
        };
        -p * places(&rows, row).map(term).sum::<f64>()
    };
    p.into_iter().enumerate().map(of_row).collect()
}

pub(crate) fn softmax_grad<T: Stored>(option: &str) {
    grad_of::<T>(option, false);
}

pub(crate) fn log_softmax_grad<T: Stored>(option: &str) {
    grad_of::<T>(option, true);
}

/// The logits and options of each layout, with each policy for rows of only −∞.
fn each_logsumexp<T: Stored>(seed: u64, option: &str, check: impl Fn(&Subject<'_>, &[T], &LogSumExp, &[f32])) {
    let mut random = Random(seed);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let adjust = adjust(option, rows, &mut random);
        let sink = sink(option, rows, &mut random);
        let g = random.logits(rows.count(), 1.0);
        for fully_masked in FULLY_MASKED {
            let options = LogSumExp {
                adjust: adjust.clone(),
                sink: sink.clone(),
                fully_masked,
                ..LogSumExp::default()
            };
            check(&Subject::new::<T>("logsumexp", rows, &options), &x, &options, &g);
        }
    }
}

pub(crate) fn logsumexp<T: Stored>(option: &str) {
    each_logsumexp::<T>(33, option, |subject, x, options, _| {
        let rows = subject.rows();
        let lse = gpu().logsumexp(x, rows, options).unwrap();
        let exact = reference::logsumexp(x, rows, options).unwrap();
        near(subject, "lse", &lse, &exact);
    });
}

pub(crate) fn logsumexp_grad<T: Stored>(option: &str) {
    each_logsumexp::<T>(34, option, |subject, x, options, g| {
        let rows = subject.rows();
        let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
        let lse = gpu().logsumexp(x, rows, options).unwrap();
        let dx = if options.sink.is_some() {
            let (dx, of_sink) = gpu().logsumexp_grad_with_sink(x, &lse, g, rows, options).unwrap();
            let forward = Softmax {
                adjust: options.adjust.clone(),
                sink: options.sink.clone(),
                fully_masked: options.fully_masked,
                ..Softmax::default()
            };
            let p = reference::sink_probabilities(x, rows, &forward).unwrap();
            let exact: Vec<f64> = p.iter().zip(&wide).map(|(p, g)| p * g).collect();
            near(subject, "the sinks' gradient", &of_sink, &exact);
            dx
        } else {
            gpu().logsumexp_grad(x, &lse, g, rows, options).unwrap()
        };
        let exact = reference::logsumexp_grad(x, &wide, rows, options).unwrap();
        near(subject, "dx", &dx, &exact);
    });
}

pub(crate) fn softmax_jacobian<T: Stored>(option: &str) {
    let mut random = Random(35);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let options = Softmax {
            adjust: adjust(option, rows, &mut random),
            sink: sink(option, rows, &mut random),
            ..Softmax::default()
        };
        let jacobian = gpu().softmax_jacobian(&x, rows, &options).unwrap();
        let exact = reference::softmax_jacobian(&x, rows, &options).unwrap();
        near(
            &Subject::new::<T>("softmax_jacobian", rows, &options),
            "the derivative",
            &jacobian,
            &exact,
        );
    }
}

pub(crate) fn entropy<T: Stored>(option: &str) {
    let mut random = Random(38);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let adjust = adjust(option, rows, &mut random);
        let g = random.logits(rows.count(), 1.0);
        for fully_masked in FULLY_MASKED {
            let options = Entropy {
                adjust: adjust.clone(),
                fully_masked,
                gradient: Gradient::Apart,
                upstream: option.contains("upstream").then(|| g.clone().into()),
                ..Entropy::default()
            };
            let out = gpu().entropy(&x, rows, &options).unwrap();
            let (entropies, gradient) = reference::entropy(&x, rows, &options).unwrap();
            let subject = Subject::new::<T>("entropy", rows, &options);
            near(&subject, "entropy", &out.entropies, &entropies);
            near(&subject, "gradient", &out.gradient.unwrap(), &gradient);
        }
    }
}
