//! The operations as functions of tensors.

use crate::backend::{LossWeights, SampleBackend, SoftmaxBackend, Targets, Weights};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use wgpu_softmax::{CrossEntropy, LogProbs, Sample, Softmax};

/// `y_c = exp(z_c − m) / d` along `dim`, in the tensor's type; see [`Softmax`].
///
/// # Panics
/// If the tensor has no dimension `dim`, its type is not f32, f16 or bf16, or its device is not registered (see
/// [`device()`](crate::device())).
pub fn softmax<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    softmax_with(logits, dim, &Softmax::default())
}

/// `ln y_c` along `dim`, in the tensor's type; see [`Softmax::log`].
///
/// # Panics
/// As [`softmax`].
pub fn log_softmax<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    softmax_with(logits, dim, &Softmax::log())
}

/// Like [`softmax`], with options: those that are numbers or host slices. `storage` and `in_place` follow from the tensor, and `lse` is
/// ignored. A [sink](Softmax::sink) in the options has no gradient; [`softmax_with_sink`](crate::softmax_with_sink) has one.
///
/// # Panics
/// As [`softmax`], and if options contradict each other.
pub fn softmax_with<const D: usize>(logits: Tensor<D>, dim: usize, options: &Softmax) -> Tensor<D> {
    check(&logits, dim);
    let result = Dispatch::fused_softmax(logits.into_dispatch(), dim, options.clone());
    Tensor::from_dispatch(result)
}

/// The cross-entropy `ξ = ln d − (z_t − m)` of logits whose classes lie along `dim`. The targets have the shape of the logits without
/// `dim`. The result is one number, or with [`wgpu_softmax::Reduction::None`] one for each row in the order of `targets`; it is f32
/// whatever the type of the logits.
///
/// All options that are numbers or host slices apply. `storage`, `targets` and `gradient` follow from the tensors, and options for
/// other results (`lse`, `entropy`, `argmax`, …) or for a backward pass (`from_lse`) are ignored.
///
/// Where logits of f32 are tracked, a reduced loss finds its gradient in the same pass over them. With
/// [`upstream: Upstream::Buffer`](wgpu_softmax::Upstream::Buffer) it is found in the backward pass instead, where the upstream gradient
/// is applied before rounding, as it always is for logits of 16 bits and with [`wgpu_softmax::Reduction::None`].
///
/// # Panics
/// As [`softmax`], and if shapes do not match or options contradict each other.
pub fn cross_entropy<const D: usize, const E: usize>(
    logits: Tensor<D>,
    targets: Tensor<E, Int>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    cross_entropy_with(logits, targets, dim, options, WeightTensors::default())
}

/// Weights of a loss as tensors of floats, which take the place of those in the options, without a trip to the host. They have no
/// gradient.
#[derive(Debug, Clone, Default)]
pub struct WeightTensors {
    /// One for each class, `[classes]`: see [`CrossEntropy::weights`].
    pub classes: Option<Tensor<1>>,
    /// One for each row, `[rows]`, in the order of `targets`: see [`CrossEntropy::row_weights`]. Whether they are at least 0 is not
    /// checked.
    pub rows: Option<Tensor<1>>,
}

impl WeightTensors {
    /// Weights of rows alone.
    pub fn of_rows(rows: Tensor<1>) -> Self {
        Self {
            classes: None,
            rows: Some(rows),
        }
    }

    fn check<const D: usize>(&self, logits: &Tensor<D>, dim: usize) {
        if let Some(rows) = &self.rows {
            check_rows(logits, dim, rows, "weight");
        }
        if let Some(classes) = &self.classes {
            let (given, expected) = (classes.dims()[0], logits.dims()[dim]);
            assert!(
                given == expected,
                "{expected} classes need a weight for each, not {given}"
            );
        }
    }

    fn into_dispatch(self) -> LossWeights<Dispatch> {
        let [classes, rows] = [self.classes, self.rows]
            .map(|weights| weights.map_or(Weights::None, |weights| Weights::Tensor(weights.into_dispatch())));
        LossWeights { classes, rows }
    }
}

/// Like [`cross_entropy`], with weights as tensors. With weights r of rows, loss and gradient of row i are multiplied by `r_i`, and a
/// mean divides by `Σ r_i w_t` over the rows that are not ignored: `Σ r_i w_t ξ_i / Σ r_i w_t`. A row of weight 0 takes no part,
/// whatever it holds, and its gradient is 0; where all weights are 0 the mean is NaN, or what [`CrossEntropy::empty_mean`] says.
///
/// ```no_run
/// use burn::tensor::{Int, Tensor};
/// use burn_wgpu_softmax::{WeightTensors, cross_entropy_with};
/// use wgpu_softmax::CrossEntropy;
///
/// let device = burn_wgpu_softmax::device()?.autodiff();
/// let logits = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], &device).require_grad();
/// let targets = Tensor::<1, Int>::from_ints([2, 0], &device);
/// let weights = WeightTensors::of_rows(Tensor::from_floats([0.5, 2.0], &device));
/// let loss = cross_entropy_with(logits.clone(), targets, 1, &CrossEntropy::default(), weights);
/// println!("{loss} {:?}", logits.grad(&loss.backward()));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_with<const D: usize, const E: usize>(
    logits: Tensor<D>,
    targets: Tensor<E, Int>,
    dim: usize,
    options: &CrossEntropy,
    weights: WeightTensors,
) -> Tensor<1> {
    check(&logits, dim);
    let mut expected = logits.dims().to_vec();
    expected.remove(dim);
    // The target of a single row would have no dimensions, which a tensor cannot have: one of one element serves.
    let is_one = D == 1 && targets.dims() == [1; E];
    assert!(
        is_one || targets.dims().as_slice() == expected,
        "logits of {:?} with classes along {dim} need targets of {expected:?}, not {:?}",
        logits.dims(),
        targets.dims()
    );
    cross_entropy_of(logits, Targets::Indices(targets.into_dispatch()), weights, dim, options)
}

/// Like [`cross_entropy`], with a probability for each class as targets, in the shape of the logits.
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_soft<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    cross_entropy_soft_with(logits, targets, dim, options, WeightTensors::default())
}

/// Like [`cross_entropy_soft`], with weights as tensors. With weights r of rows a mean divides by `Σ r_i`: see [`cross_entropy_with`].
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_soft_with<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    dim: usize,
    options: &CrossEntropy,
    weights: WeightTensors,
) -> Tensor<1> {
    check(&logits, dim);
    assert_eq!(logits.dims(), targets.dims(), "there is a target for each logit");
    let targets = Targets::Probabilities(targets.into_dispatch());
    cross_entropy_of(logits, targets, weights, dim, options)
}

/// Distillation: the Kullback–Leibler divergence of a student's probabilities from its teacher's, both of logits whose classes lie along
/// `dim` and are divided by the [temperature](CrossEntropy::temperature) T:
/// `ξ = KL(q ‖ y) = Σ_c q_c (ln q_c − ln y_c)`, `q = softmax(teacher / T)`, `y = softmax(student / T)`, times T² with
/// [`CrossEntropy::times_squared_temperature`]. The result is f32, the mean over the rows or what [`CrossEntropy::reduction`] says.
/// Nothing cancels however near the two are. With `row_weights` r, `[rows]` in the order of the logits' elements without `dim`, row i
/// is multiplied by `r_i` and the mean divides by `Σ r_i`.
///
/// The gradient `(y − q) / T` flows to the student alone. The teacher's logits may have another type of floats: they are rounded to that
/// of the student's.
///
/// A NaN or +∞ in a row of either makes its loss NaN, and so does a row of −∞ alone, unless the options leave it out. A class with −∞ in
/// the student's logits makes the loss +∞ where the teacher gives it a probability.
///
/// ```no_run
/// use burn::tensor::Tensor;
/// use burn_wgpu_softmax::distillation;
/// use wgpu_softmax::CrossEntropy;
///
/// let device = burn_wgpu_softmax::device()?.autodiff();
/// let student = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], &device).require_grad();
/// let teacher = Tensor::<2>::from_floats([[0.0, 2.0, 5.0], [4.0, 1.0, 1.0]], &device);
/// let options = CrossEntropy { temperature: 2.0, times_squared_temperature: true, ..CrossEntropy::default() };
/// let loss = distillation(student.clone(), teacher, 1, &options, None);
/// println!("{loss} {:?}", student.grad(&loss.backward()));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Panics
/// As [`cross_entropy_soft`]; class weights and label smoothing are options that contradict it.
pub fn distillation<const D: usize>(
    student: Tensor<D>,
    teacher: Tensor<D>,
    dim: usize,
    options: &CrossEntropy,
    row_weights: Option<Tensor<1>>,
) -> Tensor<1> {
    check(&student, dim);
    assert_eq!(
        student.dims(),
        teacher.dims(),
        "student and teacher have logits of one shape"
    );
    let weights = WeightTensors {
        classes: None,
        rows: row_weights,
    };
    let teacher = Targets::TeacherLogits(teacher.into_dispatch());
    cross_entropy_of(student, teacher, weights, dim, options)
}

pub(crate) fn cross_entropy_of<const D: usize>(
    logits: Tensor<D>,
    targets: Targets<Dispatch>,
    weights: WeightTensors,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    weights.check(&logits, dim);
    let (weights, options) = (weights.into_dispatch(), loss_alone(options));
    let loss = Dispatch::fused_cross_entropy(logits.into_dispatch(), targets, weights, dim, options);
    Tensor::from_dispatch(loss)
}

/// Options without results other than the loss.
pub(crate) fn loss_alone(options: &CrossEntropy) -> CrossEntropy {
    CrossEntropy {
        row_losses: false,
        row_z_losses: false,
        lse: false,
        log_prob: false,
        entropy: false,
        argmax: false,
        correct: false,
        from_lse: None,
        ..options.clone()
    }
}

/// A token for each row of logits, whose classes lie along the last dimension, as i32 in the order of the rows; −1 for a row that has
/// no candidate ([`wgpu_softmax::NO_TOKEN`]). It is the token that [`wgpu_softmax::Gpu::sample`] draws, on any adapter.
///
/// All options that are numbers or host slices apply. `dtype` follows from the tensor, and options for other results (`log_probs`,
/// `ranks`, `kept`, `top_n`, `probs`) are ignored. A `draft` panics: its number of accepted tokens has no tensor here. Tokens have no
/// gradient.
///
/// ```no_run
/// use burn::tensor::Tensor;
/// use wgpu_softmax::{Sample, SampleParams};
///
/// let device = burn_wgpu_softmax::device()?;
/// let logits = Tensor::<2>::from_floats([[1.0, 5.0, 2.0], [0.0, 0.0, 0.0]], &device);
/// let params = SampleParams { temperature: 0.8, top_p: 0.95, ..SampleParams::default() };
/// // Each sequence has its own seed, and each of its tokens its own position.
/// let options = Sample::per_row([SampleParams::greedy(), params.at(42, 0)]);
/// println!("{}", burn_wgpu_softmax::sample(logits, &options));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Panics
/// As [`softmax`], and if options contradict each other or ask for buffers.
pub fn sample<const D: usize>(logits: Tensor<D>, options: &Sample) -> Tensor<1, Int> {
    check(&logits, D - 1);
    let options = Sample {
        log_probs: LogProbs::None,
        ranks: false,
        kept: false,
        top_n: 0,
        probs: false,
        ..options.clone()
    };
    let tokens = Dispatch::fused_sample(logits.into_dispatch(), options);
    Tensor::from_dispatch(tokens)
}

/// Checks what can be checked before the work is queued, where the caller sees the panic.
pub(crate) fn check<const D: usize>(logits: &Tensor<D>, dim: usize) {
    assert!(dim < D, "dimension {dim} of a tensor of {D}");
    let _ = crate::cube::storage(logits.dtype());
    crate::device::check(&logits.device());
}

/// Checks that there is a number for each row of logits.
pub(crate) fn check_rows<const D: usize>(logits: &Tensor<D>, dim: usize, numbers: &Tensor<1>, what: &str) {
    let (shape, given) = (logits.dims(), numbers.dims()[0]);
    let rows = shape.iter().enumerate().filter(|(i, _)| *i != dim);
    let rows: usize = rows.map(|(_, n)| n).product();
    assert!(
        given == rows,
        "logits of {shape:?} with classes along {dim} have {rows} rows, which need a {what} each, not {given}"
    );
}
