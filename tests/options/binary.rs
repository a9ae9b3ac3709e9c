//! Binary cross-entropy.

use crate::common::outputs::optional;
use crate::common::{Random, Stored, Subject, equal, gpu, near, places, stored};
use crate::{layouts, logits};
use wgpu_softmax::{BinaryCrossEntropy, Gradient, Mask, Normalizer, Reduction, Rows, Upstream, Values, reference};

/// What the words of an option's name set.
fn options_of(option: &str, rows: Rows) -> BinaryCrossEntropy {
    let weights = |n: usize| -> Values { (0..n).map(|i| 0.5 + (i % 3) as f32).collect::<Vec<_>>().into() };
    let mut options = BinaryCrossEntropy {
        gradient: Gradient::Apart,
        upstream: Upstream::Number(1.5),
        ..BinaryCrossEntropy::default()
    };
    for word in option.split('_') {
        match word {
            "weight" => options.weight = Mask::Classes(weights(rows.classes())),
            "weights" => options.weight = Mask::Full(weights(rows.elements().unwrap())),
            "positive" => options.pos_weight = Some(weights(rows.classes())),
            "normalizer" => options.normalizer = Normalizer::Number(7.5),
            _ => {}
        }
    }
    options
}

pub(crate) fn binary_cross_entropy_with_logits<T: Stored>(option: &str) {
    let mut random = Random(38);
    for rows in layouts::<T>(option) {
        let mut x: Vec<T> = logits(rows, &mut random);
        let t: Vec<f32> = (0..x.len()).map(|i| [0.0, 1.0, 0.25, 1.0, 0.0][i % 5]).collect();
        let t: Vec<T> = stored(&t);
        let options = options_of(option, rows);
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            if options.normalizer != Normalizer::Rows && reduction != Reduction::Mean {
                continue;
            }
            let is_reduced = reduction != Reduction::None;
            if is_reduced {
                for row in [3, 4, 5, 6] {
                    places(&rows, row).for_each(|i| x[i] = T::nearest((i % 9) as f32 * 20.0 - 80.0));
                }
            }
            let options = BinaryCrossEntropy {
                reduction,
                ..options.clone()
            };
            let out = gpu().binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
            let exact = reference::binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
            let subject = Subject::new::<T>("binary_cross_entropy_with_logits", rows, &options);
            equal(
                &subject,
                "whether the reference's loss is finite",
                exact.loss.is_finite(),
                true,
            );
            let losses = (!is_reduced).then_some(&exact.losses[..]);
            optional(&subject, "losses", out.losses.as_deref(), losses);
            near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
            let loss = out.loss.map(|loss| vec![loss]);
            optional(&subject, "loss", loss.as_deref(), is_reduced.then_some(&[exact.loss]));
        }
    }
}
