//! The softmax family and its gradients.

use crate::common::{FULLY_MASKED, Random, Stored, Subject, gpu, near, stored};
use crate::{adjust, layouts, logits};
use wgpu_softmax::{LogSumExp, Softmax, SoftmaxGrad, reference};

fn softmax_of<T: Stored>(option: &str, log: bool) {
    let mut random = Random(31);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let adjust = adjust(option, rows, &mut random);
        for fully_masked in FULLY_MASKED {
            let options = Softmax {
                log,
                adjust: adjust.clone(),
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
        let forward = Softmax {
            log,
            adjust: adjust.clone(),
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
            ..SoftmaxGrad::default()
        };
        let dx = gpu()
            .softmax_grad(&saved, &g, softcap.then_some(&x), rows, &options)
            .unwrap();
        let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let exact = reference::softmax_grad(&saved, &g, rows, log, Some((&wide, &adjust))).unwrap();
        near(&Subject::new::<T>("softmax_grad", rows, &options), "dx", &dx, &exact);
    }
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
        let g = random.logits(rows.count(), 1.0);
        for fully_masked in FULLY_MASKED {
            let options = LogSumExp {
                adjust: adjust.clone(),
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
        let exact = reference::logsumexp(x, rows, &options.adjust, options.fully_masked).unwrap();
        near(subject, "lse", &lse, &exact);
    });
}

pub(crate) fn logsumexp_grad<T: Stored>(option: &str) {
    each_logsumexp::<T>(34, option, |subject, x, options, g| {
        let rows = subject.rows();
        let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
        let lse = gpu().logsumexp(x, rows, options).unwrap();
        let dx = gpu().logsumexp_grad(x, &lse, g, rows, options).unwrap();
        let exact = reference::logsumexp_grad(x, &wide, rows, &options.adjust, options.fully_masked).unwrap();
        near(subject, "dx", &dx, &exact);
    });
}

pub(crate) fn softmax_jacobian<T: Stored>(option: &str) {
    let mut random = Random(35);
    for rows in layouts::<T>(option) {
        let x: Vec<T> = logits(rows, &mut random);
        let options = Softmax {
            adjust: adjust(option, rows, &mut random),
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
