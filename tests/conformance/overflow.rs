//! Finite logits, scales, biases and masks whose products and sums are beyond f32: no result is NaN, and the largest logit of a row
//! stays the largest.

use crate::common::buffers::{buffer, new_buffer, read, submit};
use crate::common::{GPUS, Stored, Subject, alike_as, bits, equal, gpu, on, stored};
use wgpu_softmax::testing::LARGE_ROWS;
use wgpu_softmax::wgpu::BufferUsages as Usage;
use wgpu_softmax::{
    Adjust, CrossEntropy, Gpu, Gradient, Mask, Reduction, Rows, Scale, Softmax, SoftmaxBuffers, Values, half, reference,
};

const MOST: f32 = f32::MAX;

fn adjusts(classes: usize) -> Vec<Adjust> {
    let per_class = |values: [f32; 4]| -> Vec<f32> { values.into_iter().cycle().take(classes).collect() };
    let mask = |values| Mask::Classes(per_class(values).into());
    vec![
        Adjust::scaled(1e38),
        Adjust::scaled(-1e38),
        Adjust::scaled(2.0),
        Adjust::scaled(MOST),
        Adjust {
            scale: Scale::PerRow([1e38, -2.0, 1e30, 1.5, MOST, -MOST, 1e38, 0.0].to_vec().into()),
            ..Adjust::default()
        },
        Adjust {
            mask: mask([-MOST; 4]),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(1e38),
            bias: Some(per_class([MOST, -MOST, 0.0, 1.0]).into()),
            mask: mask([MOST, -MOST, f32::NEG_INFINITY, -MOST]),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(MOST),
            softcap: Some(f32::MIN_POSITIVE),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(MOST),
            softcap: Some(0.01),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(1e38),
            bias: Some(per_class([MOST; 4]).into()),
            softcap: Some(f32::MIN_POSITIVE.recip()),
            ..Adjust::default()
        },
    ]
}

#[test]
fn what_is_too_large_saturates() {
    for gpu in GPUS.iter() {
        for adjust in adjusts(4) {
            of_type::<f32>(gpu, 4, &adjust);
        }
    }
    of_type::<half::bf16>(gpu(), 4, &adjusts(4)[0]);
    of_type::<f32>(gpu(), 2052, &adjusts(2052)[6]);
}

fn of_type<T: Stored>(gpu: &Gpu, classes: usize, adjust: &Adjust) {
    let rows = Rows::new(LARGE_ROWS.len(), classes);
    let x: Vec<f32> = LARGE_ROWS
        .iter()
        .flat_map(|row| row.iter().copied().cycle().take(classes))
        .collect();
    // What bf16 would round to an infinity is its largest number.
    let x: Vec<T> = stored(&x.iter().map(|x| x.clamp(-T::MOST, T::MOST)).collect::<Vec<_>>());
    for log in [false, true] {
        let options = Softmax {
            log,
            adjust: adjust.clone(),
            ..Softmax::default()
        };
        let y = gpu.softmax(&x, rows, &options).unwrap();
        let subject = Subject::new::<T>(on("softmax", gpu), rows, &options);
        is_right(&subject, "y", &y, &reference::softmax(&x, rows, &options).unwrap());
    }
    let options = CrossEntropy {
        adjust: adjust.clone(),
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        row_losses: true,
        argmax: true,
        lse: true,
        ..CrossEntropy::default()
    };
    let targets: Vec<i64> = (0..LARGE_ROWS.len() as i64).map(|row| row % 4).collect();
    let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
    let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
    let subject = Subject::new::<T>(on("cross_entropy", gpu), rows, &options);
    is_right(&subject, "row losses", &out.row_losses.unwrap(), &exact.row_losses);
    is_right(&subject, "lse", &out.lse.unwrap(), &exact.lse);
    is_right(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
    let exact: Vec<u32> = exact.argmax.iter().map(|&class| class as u32).collect();
    equal(&subject, "argmax", out.argmax.unwrap(), exact);
}

/// No exact value is NaN either. Differences have the rounding of the numbers they are of, which is up to 2^104.
#[track_caller]
fn is_right<T: Stored>(subject: &Subject<'_>, output: &str, got: &[T], exact: &[f64]) {
    assert!(exact.iter().all(|v| !v.is_nan()), "{output}: {exact:?}");
    let is_huge = |v: f64| v.abs() > 2f64.powi(100);
    let rounded = |got: f64, exact: f64| is_huge(exact) && (got - exact).abs() <= 2f64.powi(105);
    let seen = |(&got, &exact): (&T, &f64)| if rounded(got.into(), exact) { exact } else { got.into() };
    alike_as::<T>(subject, output, got.iter().zip(exact).map(seen).collect(), exact);
}

/// On the host it would be an error.
#[test]
fn a_scale_in_a_buffer_that_is_not_finite_makes_its_row_nan() {
    let rows = Rows::new(4, 3);
    let options = Softmax {
        adjust: Adjust {
            scale: Scale::PerRow(Values::Buffer),
            ..Adjust::default()
        },
        ..Softmax::default()
    };
    let kernel = options.prepare(gpu(), rows).unwrap();
    let logits = buffer(&bits(&[0.0, 1e-30, -1.0].repeat(4)));
    let scales = buffer(&bits(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0]));
    let result = new_buffer(48, Usage::STORAGE | Usage::COPY_SRC);
    let mut buffers = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
    buffers.adjust.scale = Some(scales.slice(..));
    submit(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let y: Vec<f32> = read(&result);
    let subject = Subject::new::<f32>("softmax", rows, &options);
    equal(
        &subject,
        "NaN",
        y.iter().map(|v| v.is_nan()).collect(),
        [true; 9].into_iter().chain([false; 3]).collect::<Vec<_>>(),
    );
}
