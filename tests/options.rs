//! Every cell of the table in docs/coverage.md, option × operation × type, by that name: against the f64 reference, on rows
//! of every kind, loaded and stored four, two and one at a time.
#![allow(clippy::unwrap_used)]

#[path = "options/binary.rs"]
mod binary;
mod common;
#[path = "options/loss.rs"]
mod loss;
#[path = "options/softmax.rs"]
mod softmax_family;

use binary::binary_cross_entropy_with_logits;
use common::{Random, Stored, places, stored};
use loss::{cross_entropy, cross_entropy_from_lse, cross_entropy_soft, distillation, nll_loss};
use softmax_family::{
    entropy, log_softmax, log_softmax_grad, logsumexp, logsumexp_grad, softmax, softmax_grad, softmax_jacobian,
};
use wgpu_softmax::{Adjust, Dtype, Mask, Rows, Scale, Values};

const ROWS: usize = 7;

/// Layouts that reach every load and store: `plain` has rows that are loaded four, two and one at a time, `row_stride` and
/// `axis` have what they are named for, and each other option has one or two of `plain`'s.
fn layouts<T: Stored>(option: &str) -> Vec<Rows> {
    match option {
        "row_stride" => vec![
            Rows::new(ROWS, 5).with_row_stride(7),
            Rows::new(ROWS, 6).with_row_stride(10),
            Rows::new(ROWS, 8).with_row_stride(12),
        ],
        "axis" => vec![Rows::of_shape(&[1, 5, ROWS], 1).unwrap()],
        "plain" => vec![Rows::new(ROWS, 8), Rows::new(ROWS, 6), Rows::new(ROWS, 5)],
        // Either serves: f16 and bf16 share the loads and stores, and take one each.
        _ => match T::DTYPE {
            Dtype::F32 => vec![Rows::new(ROWS, 8), Rows::new(ROWS, 5)],
            Dtype::Bf16 => vec![Rows::new(ROWS, 8)],
            _ => vec![Rows::new(ROWS, 5)],
        },
    }
}

/// What the words of an option's name that are about the logits set.
fn adjust(option: &str, rows: Rows, random: &mut Random) -> Adjust {
    let (count, classes) = (rows.count(), rows.classes());
    let mut numbers = |n: usize| -> Values { random.logits(n, 1.0).into() };
    let mut adjust = Adjust::default();
    for word in option.split('_') {
        match word {
            "scale" => adjust.scale = Scale::Number(-0.75),
            "scales" => adjust.scale = Scale::PerRow(numbers(count)),
            "bias" => adjust.bias = Some(numbers(classes)),
            "softcap" => adjust.softcap = Some(3.0),
            "mask" => {
                let mut mask = vec![0.5f32; classes];
                mask[1] = f32::NEG_INFINITY;
                adjust.mask = Mask::Classes(mask.into());
            }
            "masks" => {
                let masks = (0..rows.elements().unwrap()).map(|i| if i % 7 == 3 { f32::NEG_INFINITY } else { 0.25 });
                adjust.mask = Mask::Full(masks.collect::<Vec<_>>().into());
            }
            "causal" => adjust.mask = Mask::Causal { group: 4, offset: 1 },
            _ => {}
        }
    }
    adjust
}

/// Rows of finite numbers, and one each with some −∞, only −∞, a NaN, and +∞.
fn logits<T: Stored>(rows: Rows, random: &mut Random) -> Vec<T> {
    let mut x: Vec<f32> = random.logits(rows.elements().unwrap(), 3.0);
    for (row, value, every) in [
        (3, f32::NEG_INFINITY, 2),
        (4, f32::NEG_INFINITY, 1),
        (5, f32::NAN, 3),
        (6, f32::INFINITY, 4),
    ] {
        places(&rows, row).step_by(every).for_each(|i| x[i] = value);
    }
    stored(&x)
}

macro_rules! cells {
    ($($operation:ident: $($option:ident)*;)*) => {
        const CELLS: &[(&str, &[&str])] = &[$((stringify!($operation), &[$(stringify!($option)),*])),*];
        mod cell {$(
            mod $operation {$(
                mod $option {
                    #[test]
                    fn f32() {
                        crate::$operation::<f32>(stringify!($option));
                    }
                    #[test]
                    fn f16() {
                        crate::$operation::<wgpu_softmax::half::f16>(stringify!($option));
                    }
                    #[test]
                    fn bf16() {
                        crate::$operation::<wgpu_softmax::half::bf16>(stringify!($option));
                    }
                }
            )*}
        )*}
    };
}

cells! {
    softmax: plain scale scales bias softcap mask masks causal sink sinks axis row_stride
        scales_bias_softcap_masks scales_bias_softcap_masks_sinks;
    log_softmax: plain scale scales bias softcap mask masks causal sink sinks axis row_stride
        scales_bias_softcap_masks;
    logsumexp: plain scale scales bias softcap mask masks causal sink sinks axis row_stride
        scales_bias_softcap_masks;
    softmax_grad: plain scale scales softcap sinks axis row_stride scales_bias_softcap;
    log_softmax_grad: plain scale scales softcap sinks axis row_stride scales_bias_softcap;
    logsumexp_grad: plain scale scales bias softcap mask masks causal sink sinks axis row_stride
        scales_bias_softcap_masks;
    entropy: plain upstream scale scales bias softcap mask masks causal axis row_stride upstream_scales_bias_softcap_masks;
    softmax_jacobian: plain scale sinks;
    cross_entropy: plain weights rows smoothing z ignored normalizer upstream scale scales bias softcap mask masks causal axis
        row_stride weights_smoothing weights_z smoothing_z weights_rows_z weights_smoothing_z_scales_bias_softcap_masks;
    cross_entropy_soft: plain weights rows divergence smoothing z normalizer upstream scale scales bias softcap mask masks causal axis
        row_stride weights_smoothing weights_z smoothing_z weights_rows_z weights_smoothing_z_scales_bias_softcap_masks;
    cross_entropy_from_lse: plain weights rows smoothing z scale scales bias softcap mask masks causal axis row_stride
        weights_smoothing_z_scales_bias_softcap_masks;
    distillation: plain rows z normalizer upstream temperature temperature_squared bias softcap mask masks causal axis row_stride
        rows_z_bias_softcap_masks rows_z_masks_temperature_squared;
    nll_loss: plain weights rows ignored normalizer upstream axis row_stride weights_rows;
    binary_cross_entropy_with_logits: plain weight weights positive normalizer axis row_stride weights_positive;
}

/// The table names exactly these cells: each operation's options in this order, and no other operation.
#[test]
fn the_table_of_cells_is_this_one() {
    let text = include_str!("../docs/coverage.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| operation |"));
    let table = table.skip(2).take_while(|line| line.starts_with('|'));
    let cells_of = |line: &'static str| -> Vec<&str> { line.split('|').map(str::trim).collect() };
    let word = |text: &'static str| text.trim().trim_matches('`');
    let listed: Vec<(&str, Vec<&str>)> = table
        .map(cells_of)
        .map(|cells| (word(cells[1]), cells[2].split(',').map(word).collect()))
        .collect();
    let expected: Vec<(&str, Vec<&str>)> = CELLS
        .iter()
        .map(|(operation, options)| (*operation, options.to_vec()))
        .collect();
    assert_eq!(
        listed, expected,
        "operations and options of docs/coverage.md, and of tests/options.rs"
    );
}
