//! Sampling beside the same call on host slices.

use super::*;
use burn_wgpu_softmax::sample;
use burn_wgpu_softmax::wgpu_softmax::{History, LogProbs, NO_TOKEN, Sample, SampleParams};

/// Kernels take seconds to compile, so that all tests here share them.
static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().unwrap());

/// The tokens of a tensor beside those of [`Gpu::sample`] on its values.
#[track_caller]
fn same_tokens<const D: usize>(what: &str, x: Tensor<D>, options: &Sample) {
    let dims = x.dims();
    let rows = Rows::of_shape(&dims, -1).unwrap();
    let expected = GPU.sample(&values(&x), rows, options).unwrap().tokens;
    let got: Vec<i32> = sample(x, options).into_data().try_to_vec().unwrap();
    let got: Vec<u32> = got.into_iter().map(|token| token as u32).collect();
    assert_eq!(got, expected, "{what}: tokens of logits of {dims:?}");
}

fn params(row: usize) -> SampleParams {
    let params = SampleParams {
        temperature: 0.5 + row as f32 * 0.1,
        top_k: (row % 4 * 5) as u32,
        top_p: 0.95,
        min_p: 0.01,
        ..SampleParams::default()
    };
    if row == 1 {
        SampleParams::greedy()
    } else {
        params.at(row as u64, 7)
    }
}

#[test]
fn tokens_are_those_of_a_call_on_the_host() {
    for [rows, classes] in [[5, 3], [20, 65], [3, 5000]] {
        let all: Vec<_> = (0..rows).map(params).collect();
        same_tokens("sample", random([rows, classes]), &Sample::per_row(all.clone()));
        let history: Vec<u32> = (0..2 * rows).map(|i| (i * 7919 % classes) as u32).collect();
        let options = Sample {
            history: Some(History {
                length: 2,
                tokens: history.into(),
            }),
            log_probs: LogProbs::Model,
            ..Sample::per_row(
                all.iter()
                    .map(|p| SampleParams {
                        repetition_penalty: 1.3,
                        ..*p
                    })
                    .collect::<Vec<_>>(),
            )
        };
        same_tokens("sample with a history", random([rows, classes]), &options);
    }
}

#[test]
fn rows_of_more_dimensions_and_after_other_operations() {
    let options = Sample::per_row((0..6).map(params).collect::<Vec<_>>());
    same_tokens("sample", random([2, 3, 17]), &options);
    same_tokens("sample of a row", random([17]), &Sample::new(params(2)));
    same_tokens(
        "sample of swapped dimensions",
        random([17, 6]).swap_dims(0, 1),
        &options,
    );
    same_tokens("sample of a softmax", softmax(random([6, 17]), 1) * 20.0, &options);
}

#[test]
fn rows_without_a_candidate() {
    let x = Tensor::<2>::from_data([[f32::NAN, 1.0], [f32::NEG_INFINITY; 2], [0.0, 9.0]], &device());
    let options = Sample::new(SampleParams::greedy());
    same_tokens("sample of a NaN and of nothing", x.clone(), &options);
    let tokens: Vec<i32> = sample(x, &options).into_data().try_to_vec().unwrap();
    assert_eq!(
        tokens,
        [NO_TOKEN as i32, -1, 1],
        "tokens of a NaN, of nothing, and of 9"
    );
}

#[test]
fn tokens_of_no_rows() {
    let x = Tensor::<2>::zeros([0, 5], &device());
    let tokens = sample(x, &Sample::default());
    assert_eq!(tokens.dims(), [0], "the shape of the tokens of [0, 5]");
}
