//! The loss of a linear layer as a function.

use super::backend::{LinearCrossEntropyBackend, LinearLayer, LinearOptions};
use super::chunks::{Chunks, Sizes};
use crate::backend::Weights;
use burn::backend::Dispatch;
use burn::tensor::{DType, Int, Tensor};
use wgpu_softmax::{CrossEntropy, EmptyMean, Input, Mask, Normalizer, Reduction, Scale, Targets, Values};

/// The cross-entropy of the logits `hidden · weight + bias` (Burn's `Linear`: `[rows, d_input] · [d_input, d_output] + [d_output]`)
/// with a target class for each row, f32, without the logits of all rows: "fused linear cross-entropy". It is what
/// [`cross_entropy`](crate::cross_entropy) gives for the same options.
///
/// A chunk of rows is computed at a time, by Burn's own matmul and by our loss, which leaves the gradient in the place of the chunk's
/// logits. Where gradients are tracked those of hidden states, weight and bias are found in the same pass, and summed in f32; the
/// backward pass multiplies them by the upstream gradient. Only with [`Reduction::None`], where each row has an upstream gradient of
/// its own, are the logits computed again in the backward pass.
///
/// `budget` is the most memory in bytes that is held beside the inputs and their gradients, which are f32 until the backward pass.
/// Burn's allocator reserves some 0.1 to 0.4 MB more. Chunks of 64 rows or more take little more time than all rows in one piece: with
/// a `d_output` of 32,000 those need 32 MiB. For the fewest bytes see [`linear_cross_entropy_bytes`].
///
/// ```no_run
/// use burn::tensor::{Distribution, Int, Tensor};
/// use wgpu_softmax::CrossEntropy;
///
/// let device = burn_wgpu_softmax::device()?.autodiff();
/// let hidden = Tensor::<2>::random([512, 64], Distribution::Default, &device).require_grad();
/// let weight = Tensor::<2>::random([64, 32_000], Distribution::Default, &device).require_grad();
/// let targets = Tensor::<1, Int>::zeros([512], &device);
///
/// let options = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
/// let (h, w) = (hidden.clone(), weight.clone());
/// let loss = burn_wgpu_softmax::linear_cross_entropy(h, w, None, targets, &options, 16 << 20);
/// let gradients = loss.backward();
/// println!("{loss} {:?} {:?}", hidden.grad(&gradients), weight.grad(&gradients));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// Options are those of [`cross_entropy`](crate::cross_entropy) that are one number or one for each class.
///
/// # Panics
/// If shapes or types do not match, the device is not registered (see [`device()`](crate::device())), the budget is less than one row
/// needs, or options contradict each other, ask for buffers, or have a number for each row or logit.
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: Tensor<1, Int>,
    options: &CrossEntropy,
    budget: usize,
) -> Tensor<1> {
    let weights = match &options.weights {
        None => None,
        Some(Values::Host(weights)) => Some(Tensor::from_floats(&weights[..], &targets.device())),
        Some(_) => panic!("weights: Values::Buffer, but there is no buffer here: give Values::Host"),
    };
    linear_cross_entropy_of(hidden, weight, bias, targets, (weights, options, budget))
}

/// The fewest bytes that the budget of [`linear_cross_entropy`] can be for a weight of `[d_input, d_output]` and elements of 2 or 4
/// bytes, and the bytes for all rows in one piece, with gradients.
///
/// ```
/// let [fewest, most] = burn_wgpu_softmax::linear_cross_entropy_bytes(4096, [256, 32_000], 4);
/// assert!(fewest < 600_000);
/// assert!(most > 4096 * 32_000 * 4);
/// ```
pub fn linear_cross_entropy_bytes(rows: usize, [d_input, d_output]: [usize; 2], element: usize) -> [usize; 2] {
    let sizes = Sizes {
        rows,
        features: d_input,
        classes: d_output,
        element,
        gradients: true,
    };
    let whole = Chunks {
        rows: rows.max(1),
        block: d_input.max(1),
    };
    [sizes.needed(), sizes.bytes(whole)]
}

/// Class weights, options and budget.
pub(super) type Settings<'a> = (Option<Tensor<1>>, &'a CrossEntropy, usize);

pub(super) fn linear_cross_entropy_of(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: Tensor<1, Int>,
    (weights, options, budget): Settings<'_>,
) -> Tensor<1> {
    check_tensors(&hidden, &weight, bias.as_ref(), &targets, weights.as_ref());
    check_options(options);
    let ([rows, d_input], [_, d_output]) = (hidden.dims(), weight.dims());
    let dtype = hidden.dtype();
    let [fewest, most] = linear_cross_entropy_bytes(rows, [d_input, d_output], dtype.size());
    assert!(
        budget >= fewest,
        "a budget of {budget} bytes, but the logits of one row of {d_output} classes and their gradients take {fewest} (all {rows} \
         rows in one piece take {most})"
    );
    let mean = Mean::new(&targets, weights, options, d_output);
    let layer = LinearLayer::<Dispatch> {
        hidden: hidden.into_dispatch(),
        weight: weight.into_dispatch(),
        bias: bias.map_or(Weights::None, |bias| Weights::Tensor(bias.into_dispatch())),
    };
    let weights = (mean.weights).map_or(Weights::None, |w| Weights::Tensor(w.into_dispatch()));
    let options = LinearOptions {
        loss: crate::functions::loss_alone(&CrossEntropy {
            weights: None,
            normalizer: Normalizer::Rows,
            ..options.clone()
        }),
        budget,
        wanted: [false; 3],
    };
    let (targets, scale) = (targets.into_dispatch(), mean.scale.into_dispatch());
    let loss = Dispatch::fused_linear_cross_entropy(layer, targets, weights, scale, options);
    let loss = Tensor::from_dispatch(loss);
    match mean.over_nothing {
        Some(nan) => loss + nan,
        None => loss,
    }
}

/// What makes a mean of a sum, known before the first chunk of rows.
struct Mean {
    /// The weights of the classes, as the sum needs them.
    weights: Option<Tensor<1>>,
    /// What sum and gradients are multiplied by.
    scale: Tensor<1>,
    /// Added to the loss: NaN if the mean is over nothing, else 0.
    over_nothing: Option<Tensor<1>>,
}

impl Mean {
    fn new(targets: &Tensor<1, Int>, weights: Option<Tensor<1>>, options: &CrossEntropy, classes: usize) -> Self {
        let device = targets.device().inner();
        let weights = weights.map(|weights| weights.inner().cast(DType::F32));
        let number = |number: f32| Tensor::<1>::from_floats([number], &device);
        let known = |scale| Self {
            weights: weights.clone(),
            scale,
            over_nothing: None,
        };
        match (options.reduction, options.normalizer) {
            (Reduction::Mean, Normalizer::Rows) => {}
            (Reduction::Mean, Normalizer::Number(denominator)) => return known(number(denominator).recip()),
            _ => return known(number(1.0)),
        }
        let targets = targets.clone().inner();
        let is_class = targets.clone().greater_equal_scalar(0i64);
        let is_class = is_class.bool_and(targets.clone().lower_scalar(classes as i64));
        let counts = match i32::try_from(options.ignore_index) {
            Ok(ignored) => is_class.bool_and(targets.clone().not_equal_scalar(ignored)),
            Err(_) => is_class,
        };
        let counts = counts.float().cast(DType::F32);
        let rows = counts.clone().sum();
        let Some(weights) = weights else {
            return Self::over(rows, None, options.empty_mean);
        };
        let total = (weights.clone().select(0, targets.clamp(0, classes as i64 - 1)) * counts).sum();
        if options.z_loss == 0.0 {
            return Self::over(total, Some(weights), options.empty_mean);
        }
        // The z-losses are divided by the number of rows, so the weights are made to sum to that.
        let is_zero = total.clone().equal_scalar(0.0);
        let weights = weights * (rows.clone() / total.mask_fill(is_zero, 1.0));
        Self::over(rows, Some(weights), options.empty_mean)
    }

    fn over(denominator: Tensor<1>, weights: Option<Tensor<1>>, empty: EmptyMean) -> Self {
        let is_zero = denominator.clone().equal_scalar(0.0);
        let nan = || denominator.zeros_like().mask_fill(is_zero.clone(), f32::NAN);
        Self {
            over_nothing: (empty == EmptyMean::Nan).then(nan),
            scale: denominator.mask_fill(is_zero, 1.0).recip(),
            weights,
        }
    }
}

/// Checks what can be checked before the work is queued, where the caller sees the panic.
fn check_tensors(
    hidden: &Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    targets: &Tensor<1, Int>,
    weights: Option<&Tensor<1>>,
) {
    let ([rows, features], [d_input, d_output]) = (hidden.dims(), weight.dims());
    assert!(
        features == d_input,
        "hidden states of [{rows}, {features}] need a weight of [{features}, classes], not [{d_input}, {d_output}]"
    );
    assert!(
        targets.dims() == [rows],
        "hidden states of [{rows}, {features}] need targets of [{rows}], not {:?}",
        targets.dims()
    );
    let dtype = hidden.dtype();
    let _ = crate::cube::storage(dtype);
    assert!(
        weight.dtype() == dtype,
        "hidden states of {dtype:?} and a weight of {:?}: cast one of them",
        weight.dtype()
    );
    if let Some(bias) = bias {
        assert!(
            bias.dims() == [d_output] && bias.dtype() == dtype,
            "a weight of [{d_input}, {d_output}], {dtype:?}, needs a bias of [{d_output}] of that type, not {:?}, {:?}",
            bias.dims(),
            bias.dtype()
        );
    }
    if let Some(weights) = weights {
        let given = weights.dims()[0];
        assert!(
            given == d_output,
            "{d_output} classes need a weight for each, not {given}"
        );
    }
    crate::device::check(&hidden.device());
}

/// Options with a number for each row or logit do not fit into chunks of rows.
fn check_options(options: &CrossEntropy) {
    let adjust = &options.adjust;
    let refused = [
        (
            options.targets != Targets::Indices,
            "targets: Probabilities or TeacherLogits",
        ),
        (options.row_weights.is_some(), "row_weights"),
        (options.input != Input::Logits, "input: LogProbs"),
        (options.normalizer == Normalizer::Buffer, "normalizer: Buffer"),
        (!matches!(adjust.scale, Scale::Number(_)), "adjust.scale: PerRow"),
        (
            !matches!(adjust.mask, Mask::None | Mask::Classes(Values::Host(_))),
            "adjust.mask: Causal, Full or of a buffer",
        ),
        (
            matches!(adjust.bias, Some(Values::Buffer)),
            "adjust.bias: Values::Buffer",
        ),
    ];
    if let Some((_, option)) = refused.into_iter().find(|(is_refused, _)| *is_refused) {
        panic!("linear_cross_entropy cannot have {option}: compute the logits and call cross_entropy");
    }
}
