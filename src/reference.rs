//! The same operations in f64 on the CPU, one plain function each: what the kernels are tested against, and anyone's
//! tests may use. The largest logit is taken off first here too, and sums are taken from left to right.
//!
//! ```
//! use wgpu_softmax::{reference, Rows, Softmax};
//! let y = reference::softmax(&[0.0, 3f64.ln()], Rows::new(1, 2), &Softmax::default())?;
//! assert!((y[0] - 0.25).abs() < 1e-15 && (y[1] - 0.75).abs() < 1e-15);
//! # Ok::<(), wgpu_softmax::EncodeError>(())
//! ```

use crate::adjust::{Adjust, Mask, Scale};
use crate::binary_cross_entropy::BinaryCrossEntropy;
use crate::cross_entropy::{CrossEntropy, EmptyMean, Input, Normalizer, Reduction, Upstream};
use crate::error::{EncodeError, check_length};
use crate::host::TargetIndex;
use crate::rows::Rows;
use crate::softmax::{FullyMasked, Softmax};
use crate::values::{NO_BUFFER, Values};

/// Places of a row's elements in the batch.
fn places(rows: &Rows, row: usize) -> impl Iterator<Item = usize> + use<> {
    let (outer, inner) = (row / rows.inner(), row % rows.inner());
    let (start, step) = (outer * rows.outer_stride() + inner, rows.inner());
    (0..rows.classes()).map(move |c| start + c * step)
}

fn checked<T>(logits: &[T], rows: &Rows) -> Result<(), EncodeError> {
    check_length("logits", rows.elements()?, logits.len())
}

/// The error of an option whose numbers are in a buffer.
fn no_buffer(a: &'static str, why: &'static str) -> EncodeError {
    let b = "slices on the host";
    EncodeError::Conflict { a, b, why }
}

fn on_host<'a>(values: &'a Values, what: &'static str, expected: usize) -> Result<&'a [f32], EncodeError> {
    match values {
        Values::Host(values) => {
            check_length(what, expected, values.len())?;
            Ok(values)
        }
        Values::Buffer => Err(NO_BUFFER),
    }
}

fn class_values<'a>(
    values: Option<&'a Values>,
    what: &'static str,
    rows: &Rows,
) -> Result<Option<&'a [f32]>, EncodeError> {
    values.map(|values| on_host(values, what, rows.classes())).transpose()
}

/// The value for a class, or 1.
fn weight_of(values: Option<&[f32]>, class: usize) -> f64 {
    values.map_or(1.0, |values| values[class].into())
}

/// `weight · x`, and 0 for a weight of exactly 0, whatever x.
fn weigh(weight: f64, x: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * x }
}

/// A [`Mask`] with its numbers.
enum Added<'a> {
    Nothing,
    Causal { group: usize, offset: i64 },
    Classes(&'a [f32]),
    Full(&'a [f32]),
}

impl<'a> Added<'a> {
    fn new(mask: &'a Mask, what: &'static str, rows: &Rows) -> Result<Self, EncodeError> {
        Ok(match mask {
            Mask::None => Self::Nothing,
            Mask::Causal { group: 0, .. } => {
                return Err(EncodeError::BadNumber {
                    option: "mask: Causal, group",
                    value: "0".into(),
                    must: "at least 1",
                });
            }
            &Mask::Causal { group, offset } => Self::Causal { group, offset },
            Mask::Classes(values) => Self::Classes(on_host(values, what, rows.classes())?),
            Mask::Full(values) => Self::Full(on_host(values, what, rows.elements()?)?),
        })
    }
}

/// An [`Adjust`] with its numbers.
struct Adjuster<'a> {
    scale: f64,
    scales: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    cap: Option<f64>,
    mask: Added<'a>,
}

impl<'a> Adjuster<'a> {
    fn new(adjust: &'a Adjust, rows: &Rows) -> Result<Self, EncodeError> {
        let (scale, scales) = match &adjust.scale {
            Scale::Number(number) => (f64::from(*number), None),
            Scale::PerRow(values) => (1.0, Some(on_host(values, "adjust.scale", rows.count())?)),
        };
        Ok(Self {
            scale,
            scales,
            bias: class_values(adjust.bias.as_ref(), "adjust.bias", rows)?,
            cap: adjust.softcap.map(f64::from),
            mask: Added::new(&adjust.mask, "adjust.mask", rows)?,
        })
    }

    fn scale(&self, row: usize) -> f64 {
        self.scales.map_or(self.scale, |scales| scales[row].into())
    }

    /// `scale · x + bias`.
    fn inner(&self, row: usize, class: usize, x: f64) -> f64 {
        self.scale(row) * x + self.bias.map_or(0.0, |bias| bias[class].into())
    }

    /// a, of the element at `place`.
    fn value(&self, row: usize, class: usize, place: usize, x: f64) -> f64 {
        let v = self.inner(row, class, x);
        let v = match self.cap {
            Some(cap) if v.is_finite() => cap * (v / cap).tanh(),
            _ => v,
        };
        match self.mask {
            Added::Nothing => v,
            Added::Causal { group, offset } if class as i128 > (row % group) as i128 + i128::from(offset) => {
                v + f64::NEG_INFINITY
            }
            Added::Causal { .. } => v,
            Added::Classes(mask) => v + f64::from(mask[class]),
            Added::Full(mask) => v + f64::from(mask[place]),
        }
    }

    /// `da/dx`.
    fn slope(&self, row: usize, class: usize, x: f64) -> f64 {
        let v = self.inner(row, class, x);
        let bent = match self.cap {
            Some(cap) if v.is_finite() => 1.0 - (v / cap).tanh().powi(2),
            _ => 1.0,
        };
        self.scale(row) * bent
    }

    /// A row's values.
    fn row<T: Copy + Into<f64>>(&self, logits: &[T], rows: &Rows, row: usize) -> Vec<f64> {
        places(rows, row)
            .enumerate()
            .map(|(c, i)| self.value(row, c, i, logits[i].into()))
            .collect()
    }
}

/// The values used: `softcap(scale · x + bias) + mask`, laid out as the logits are; padding is 0.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn adjusted<T: Copy + Into<f64>>(logits: &[T], rows: Rows, adjust: &Adjust) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for row in 0..rows.count() {
        for (i, a) in places(&rows, row).zip(adjuster.row(logits, &rows, row)) {
            result[i] = a;
        }
    }
    Ok(result)
}

/// What a row is.
enum Row {
    /// Everything is NaN: it has a NaN or +∞, or −∞ alone with [`FullyMasked::Nan`].
    Nan,
    /// It has −∞ alone, with [`FullyMasked::Zeros`].
    Zeros,
    /// `rest` are the values less the largest, `sum` their exponentials' sum. −∞ alone with [`FullyMasked::Uniform`] is
    /// such a row too, of equal values.
    Ordinary { rest: Vec<f64>, sum: f64, lse: f64 },
}

impl Row {
    fn new(a: &[f64], fully_masked: FullyMasked) -> Self {
        if a.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
            return Self::Nan;
        }
        let largest = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            let classes = a.len() as f64;
            return match fully_masked {
                FullyMasked::Nan => Self::Nan,
                FullyMasked::Zeros => Self::Zeros,
                FullyMasked::Uniform => Self::Ordinary {
                    rest: vec![0.0; a.len()],
                    sum: classes,
                    lse: -classes.ln(),
                },
            };
        }
        let rest: Vec<f64> = a.iter().map(|v| v - largest).collect();
        let sum: f64 = rest.iter().map(|v| v.exp()).sum();
        let lse = largest + sum.ln();
        Self::Ordinary { rest, sum, lse }
    }

    /// Whether the class is −∞, and the others as if it were absent.
    fn is_absent(&self, class: usize) -> bool {
        match self {
            Self::Nan => false,
            Self::Zeros => true,
            Self::Ordinary { rest, .. } => rest[class] == f64::NEG_INFINITY,
        }
    }

    fn probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { rest, sum, .. } => rest[class].exp() / sum,
        }
    }

    fn log_probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { rest, sum, .. } => rest[class] - sum.ln(),
        }
    }

    fn lse(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { lse, .. } => *lse,
        }
    }

    fn entropy(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { rest, sum, .. } => {
                let inner: f64 = rest.iter().map(|&v| weigh(v.exp(), v)).sum();
                sum.ln() - inner / sum
            }
        }
    }
}

/// Softmax, and with [`Softmax::log`] log-softmax: the formulas and special values are those of [`Softmax`].
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn softmax<T: Copy + Into<f64>>(logits: &[T], rows: Rows, options: &Softmax) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &rows, number), options.fully_masked);
        for (c, i) in places(&rows, number).enumerate() {
            result[i] = if options.log {
                row.log_probability(c)
            } else {
                row.probability(c)
            };
        }
    }
    Ok(result)
}

/// The gradient with respect to the logits, from what [`softmax`] gave and the gradient g with respect to that:
/// `y_c (g_c − Σ g y)`, and with `log` `g_c − e^y_c Σ g`, times `da/dx` where the logits and their [`Adjust`] are
/// given.
///
/// Classes whose probability is 0 get exactly 0 and are left out of the sums. A row with a NaN or +∞ in the result, or
/// whose sum is NaN, is NaN throughout. Padding is 0.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn softmax_grad<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    result: &[T],
    g: &[U],
    rows: Rows,
    log: bool,
    logits_for_slope: Option<(&[f64], &Adjust)>,
) -> Result<Vec<f64>, EncodeError> {
    check_length("result", rows.elements()?, result.len())?;
    check_length("upstream", result.len(), g.len())?;
    let slopes = match logits_for_slope {
        Some((logits, adjust)) => {
            checked(logits, &rows)?;
            Some((logits, Adjuster::new(adjust, &rows)?))
        }
        None => None,
    };
    let absent = if log { f64::NEG_INFINITY } else { 0.0 };
    let mut gradient = vec![0.0; result.len()];
    for row in 0..rows.count() {
        let (mut sum, mut is_odd) = (0.0, false);
        for i in places(&rows, row) {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            is_odd |= y.is_nan() || y == f64::INFINITY;
            if y != absent {
                sum += if log { g } else { g * y };
            }
        }
        is_odd |= sum.is_nan();
        for (c, i) in places(&rows, row).enumerate() {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            let slope = slopes
                .as_ref()
                .map_or(1.0, |(logits, adjuster)| adjuster.slope(row, c, logits[i]));
            gradient[i] = if is_odd {
                f64::NAN
            } else if y == absent {
                0.0
            } else if log {
                (g - y.exp() * sum) * slope
            } else {
                y * (g - sum) * slope
            };
        }
    }
    Ok(gradient)
}

/// The derivatives `∂y_i/∂x_j = y_i (δ_ij − y_j) · da_j/dx_j` of [`softmax`], and with [`Softmax::log`] those of
/// log-softmax, `(δ_ij − y_j) · da_j/dx_j`, 0 where class i or j is −∞.
///
/// Row r's are at `(r · classes + i) · classes + j`, whatever the layout of the logits.
///
/// # Errors
/// A shape that is none or does not fit the slices, [`Values::Buffer`], and [`EncodeError::TooLarge`] where the
/// derivatives cannot be counted.
pub fn softmax_jacobian<T: Copy + Into<f64>>(
    logits: &[T],
    rows: Rows,
    options: &Softmax,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let classes = rows.classes();
    let elements = Rows::new(rows.count().saturating_mul(classes), classes).elements()?;
    let mut jacobian = Vec::with_capacity(elements);
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &rows, number), options.fully_masked);
        for i in 0..classes {
            for (j, place) in places(&rows, number).enumerate() {
                if row.is_absent(i) || row.is_absent(j) {
                    jacobian.push(0.0);
                    continue;
                }
                let first = if options.log { 1.0 } else { row.probability(i) };
                let delta = f64::from(u8::from(i == j));
                let slope = adjuster.slope(number, j, logits[place].into());
                jacobian.push(first * (delta - row.probability(j)) * slope);
            }
        }
    }
    Ok(jacobian)
}

/// `lse = m + ln d` of each row: NaN for a row with a NaN or +∞; NaN, −∞ or −ln C for one of −∞ alone.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn logsumexp<T: Copy + Into<f64>>(
    logits: &[T],
    rows: Rows,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let lse = |row| Row::new(&adjuster.row(logits, &rows, row), fully_masked).lse();
    Ok((0..rows.count()).map(lse).collect())
}

/// The gradient of [`logsumexp`], of which g has one upstream gradient a row: `g y_c · da/dx`, exactly 0 for classes of
/// −∞. Padding is 0.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn logsumexp_grad<T: Copy + Into<f64>>(
    logits: &[T],
    g: &[f64],
    rows: Rows,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    check_length("upstream", rows.count(), g.len())?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let mut gradient = vec![0.0; logits.len()];
    for (number, g) in g.iter().enumerate() {
        let row = Row::new(&adjuster.row(logits, &rows, number), fully_masked);
        for (c, i) in places(&rows, number).enumerate() {
            if !row.is_absent(c) {
                gradient[i] = g * row.probability(c) * adjuster.slope(number, c, logits[i].into());
            }
        }
    }
    Ok(gradient)
}

/// The upstream gradient of each row.
fn upstream_of(upstream: &Upstream, reduction: Reduction, rows: &Rows) -> Result<Vec<f64>, EncodeError> {
    match upstream {
        Upstream::Number(number) => Ok(vec![f64::from(*number); rows.count()]),
        Upstream::PerRow(_) if reduction != Reduction::None => Err(EncodeError::Conflict {
            a: "upstream: PerRow",
            b: "a reduced loss",
            why: "a reduced loss has one upstream gradient",
        }),
        Upstream::PerRow(values) => {
            check_length("upstream: PerRow", rows.count(), values.len())?;
            Ok(values.iter().map(|&v| v.into()).collect())
        }
        Upstream::Buffer => Err(no_buffer("upstream: Buffer", "there is no buffer; use PerRow")),
    }
}

/// The denominators of a mean's two parts, and 1 for other reductions. `own` are those of the rows. Where the first is
/// 0, both are what [`over`] makes NaN or 0 of.
fn denominators(
    reduction: Reduction,
    normalizer: Normalizer,
    empty_mean: EmptyMean,
    own: (f64, f64),
) -> Result<(f64, f64), EncodeError> {
    let (first, second) = match (reduction, normalizer) {
        (_, Normalizer::Buffer) => {
            return Err(no_buffer(
                "Normalizer::Buffer",
                "there is no buffer; use Normalizer::Number",
            ));
        }
        (Reduction::None | Reduction::Sum, _) => (1.0, 1.0),
        (Reduction::Mean, Normalizer::Number(number)) => (number.into(), number.into()),
        (Reduction::Mean, Normalizer::Rows) => own,
    };
    Ok(match empty_mean {
        _ if first != 0.0 => (first, second),
        EmptyMean::Nan => (f64::NAN, f64::NAN),
        EmptyMean::Zero => (f64::INFINITY, f64::INFINITY),
    })
}

/// `x / denominator`; 0 over ∞ even for an infinite x.
fn over(x: f64, denominator: f64) -> f64 {
    if denominator.is_infinite() && !x.is_nan() {
        0.0
    } else {
        x / denominator
    }
}

/// What [`cross_entropy`] and [`cross_entropy_soft`] give.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The part `λ lse²` of the rows' losses, summed whatever the reduction.
    pub z_loss: f64,
    /// The loss of each row.
    pub row_losses: Vec<f64>,
    /// The part `λ lse²` of each row's loss.
    pub row_z_losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
    /// `m + ln d` of each row.
    pub lse: Vec<f64>,
    /// `ln y_t` of each row, or its logit with [`Input::LogProbs`]: 0 for ignored rows and with soft targets, NaN for a
    /// target that is no class.
    pub log_probs: Vec<f64>,
    /// `−Σ y ln y` of each row.
    pub entropies: Vec<f64>,
    /// The first largest class of each row, or its first NaN.
    pub argmax: Vec<usize>,
    /// Rows whose argmax is their target; 0 with soft targets.
    pub correct: usize,
    /// Rows whose target is a class and not ignored; with soft targets all of them.
    pub counted: usize,
}

fn first_largest(x: &[f64]) -> usize {
    let nan = x.iter().position(|v| v.is_nan());
    let better = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    nan.unwrap_or_else(|| (0..x.len()).fold(0, better))
}

/// What a row is to be measured against.
#[derive(Clone, Copy, PartialEq)]
enum Goal {
    Ignored,
    /// No class.
    Bad,
    Class(usize),
    /// The row's probabilities.
    Shares,
}

/// Cross-entropy and its gradient, of class indices: the formulas and special values are those of [`CrossEntropy`].
/// Everything is computed, whatever the options ask for; from the logits even with [`CrossEntropy::from_lse`].
///
/// # Errors
/// A shape that is none or does not fit the slices, options that contradict each other, and numbers in buffers.
pub fn cross_entropy<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    check_length("targets", rows.count(), targets.len())?;
    let goal = |target: &I| match target.value() {
        value if value == i128::from(options.ignore_index) => Goal::Ignored,
        value => usize::try_from(value)
            .ok()
            .filter(|&t| t < rows.classes())
            .map_or(Goal::Bad, Goal::Class),
    };
    let goals: Vec<Goal> = targets.iter().map(goal).collect();
    measure(logits, &goals, &[], &rows, options)
}

/// [`cross_entropy`] of soft targets: `probabilities` are laid out as the logits are.
///
/// # Errors
/// As [`cross_entropy`]; log-probabilities as input contradict soft targets.
pub fn cross_entropy_soft<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[U],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    check_length("probabilities", logits.len(), probabilities.len())?;
    if options.input == Input::LogProbs {
        return Err(EncodeError::Conflict {
            a: "Input::LogProbs",
            b: "Targets::Probabilities",
            why: "the loss of log-probabilities takes a class for each row",
        });
    }
    let shares: Vec<f64> = probabilities.iter().map(|&q| q.into()).collect();
    measure(logits, &vec![Goal::Shares; rows.count()], &shares, &rows, options)
}

fn measure<T: Copy + Into<f64>>(
    logits: &[T],
    goals: &[Goal],
    shares: &[f64],
    rows: &Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let adjuster = Adjuster::new(&options.adjust, rows)?;
    let weights = class_values(options.weights.as_ref(), "weights", rows)?;
    let upstream = upstream_of(&options.upstream, options.reduction, rows)?;
    let (smoothing, z_factor) = (f64::from(options.label_smoothing), f64::from(options.z_loss));
    let spread = smoothing / rows.classes() as f64;
    let is_counted = |goal: &&Goal| !matches!(goal, Goal::Ignored | Goal::Bad);
    let counted = goals.iter().filter(is_counted).count();
    let weighed = goals.iter().filter(is_counted).map(|goal| match goal {
        Goal::Class(t) => weight_of(weights, *t),
        _ => 1.0,
    });
    let own = (weighed.sum(), counted as f64);
    let (first, second) = denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = CrossEntropyReference {
        gradient: vec![0.0; logits.len()],
        counted,
        ..CrossEntropyReference::default()
    };
    let mut sum = 0.0;
    for (number, &goal) in goals.iter().enumerate() {
        let a = adjuster.row(logits, rows, number);
        let row = Row::new(&a, options.fully_masked);
        let argmax = first_largest(&a);
        let (first, second) = (over(upstream[number], first), over(upstream[number], second));

        // What loss and gradient are where no formula holds.
        let fixed = match (goal, &row) {
            (Goal::Ignored, _) => Some(0.0),
            (Goal::Bad, _) => Some(f64::NAN),
            _ if options.input == Input::LogProbs => None,
            (_, Row::Nan) => Some(f64::NAN),
            (_, Row::Zeros) => Some(0.0),
            _ => None,
        };
        let (loss, z, log_prob) = match (fixed, goal) {
            (_, Goal::Class(t)) if options.input == Input::LogProbs => {
                let w = weight_of(weights, t);
                for (c, i) in places(rows, number).enumerate().filter(|&(c, _)| c == t) {
                    out.gradient[i] = -w * first * adjuster.slope(number, c, logits[i].into());
                }
                (weigh(-w, a[t]), 0.0, a[t])
            }
            (Some(fixed), _) => {
                places(rows, number).for_each(|i| out.gradient[i] = fixed);
                let z = if options.input == Input::LogProbs { 0.0 } else { fixed };
                let log_prob = match goal {
                    Goal::Class(t) => row.log_probability(t),
                    Goal::Bad => f64::NAN,
                    Goal::Ignored | Goal::Shares => 0.0,
                };
                (fixed, z, log_prob)
            }
            (None, _) => {
                // The weight of ln y_t alone, and those of each ln y_c.
                let (target, spike) = match goal {
                    Goal::Class(t) => (Some(t), (1.0 - smoothing) * weight_of(weights, t)),
                    _ => (None, 0.0),
                };
                let dense: Vec<f64> = places(rows, number)
                    .enumerate()
                    .map(|(c, i)| match goal {
                        Goal::Shares => weight_of(weights, c) * ((1.0 - smoothing) * shares[i] + spread),
                        _ if spread == 0.0 => 0.0,
                        _ => weight_of(weights, c) * spread,
                    })
                    .collect();
                let total: f64 = dense.iter().sum();
                let lse = row.lse();
                let z = weigh(z_factor, lse * lse);
                let spikes = target.map(|t| (spike, t));
                let parts = spikes.into_iter().chain(dense.iter().copied().zip(0..));
                let loss = if (spike + total).is_nan() {
                    f64::NAN
                } else if parts.clone().any(|(weight, c)| weight != 0.0 && row.is_absent(c)) {
                    f64::INFINITY
                } else {
                    parts.map(|(weight, c)| weigh(weight, -row.log_probability(c))).sum()
                };
                for (c, i) in places(rows, number).enumerate() {
                    let hit = target == Some(c);
                    out.gradient[i] = if (spike + total).is_nan() {
                        f64::NAN
                    } else if row.is_absent(c) && !hit && dense[c] == 0.0 {
                        0.0
                    } else {
                        let y = row.probability(c);
                        let own = (spike + total) * y - if hit { spike } else { 0.0 } - dense[c];
                        let pull = weigh(z_factor, 2.0 * lse * y * second);
                        (own * first + pull) * adjuster.slope(number, c, logits[i].into())
                    };
                }
                (loss, z, target.map_or(0.0, |t| row.log_probability(t)))
            }
        };
        sum += loss;
        out.z_loss += z;
        out.row_losses.push(loss + z);
        out.row_z_losses.push(z);
        out.log_probs.push(log_prob);
        out.lse.push(row.lse());
        out.entropies.push(row.entropy());
        out.correct += usize::from(goal == Goal::Class(argmax));
        out.argmax.push(argmax);
    }
    if options.reduction != Reduction::None {
        out.loss = over(sum, first) + over(out.z_loss, second);
    }
    Ok(out)
}

/// What [`binary_cross_entropy_with_logits`] gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryCrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The loss of each element, laid out as the logits are; padding is 0.
    pub losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
}

/// `ln(1 + exp(x))`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(−x))`.
fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The cross-entropy of σ(x) and t of each element, and its gradient: `ℓ = w ((1 − t) ln(1 + exp(x)) + p t ln(1 +
/// exp(−x)))`, gradient `w ((1 − t) σ(x) − p t σ(−x))`, with weights w and p as in [`BinaryCrossEntropy`].
///
/// A NaN as logit or target gives NaN; at ±∞ a term whose factor `1 − t` or `p t` is exactly 0 is 0. The mean is that
/// over all elements.
///
/// # Errors
/// A shape that is none or does not fit the slices, options that contradict each other, and numbers in buffers.
pub fn binary_cross_entropy_with_logits<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    targets: &[U],
    rows: Rows,
    options: &BinaryCrossEntropy,
) -> Result<BinaryCrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    check_length("targets", logits.len(), targets.len())?;
    if let Mask::Causal { .. } = options.weight {
        return Err(EncodeError::Conflict {
            a: "Mask::Causal",
            b: "weight",
            why: "weights are numbers; use Mask::Classes or Mask::Full",
        });
    }
    let weight = Added::new(&options.weight, "weight", &rows)?;
    let positive = class_values(options.pos_weight.as_ref(), "pos_weight", &rows)?;
    let upstream = upstream_of(&options.upstream, options.reduction, &rows)?;
    let elements = rows.count() as f64 * rows.classes() as f64;
    let own = (elements, elements);
    let (denominator, _) = denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = BinaryCrossEntropyReference {
        loss: 0.0,
        losses: vec![0.0; logits.len()],
        gradient: vec![0.0; logits.len()],
    };
    let mut sum = 0.0;
    for (row, &upstream) in upstream.iter().enumerate() {
        for (c, i) in places(&rows, row).enumerate() {
            let (x, t): (f64, f64) = (logits[i].into(), targets[i].into());
            let w = match weight {
                Added::Classes(values) => f64::from(values[c]),
                Added::Full(values) => f64::from(values[i]),
                Added::Nothing | Added::Causal { .. } => 1.0,
            };
            let (no, yes) = (1.0 - t, weight_of(positive, c) * t);
            let (loss, slope) = if x.is_nan() || t.is_nan() {
                (f64::NAN, f64::NAN)
            } else {
                (
                    weigh(no, softplus(x)) + weigh(yes, softplus(-x)),
                    no * sigmoid(x) - yes * sigmoid(-x),
                )
            };
            out.losses[i] = w * loss;
            out.gradient[i] = w * slope * over(upstream, denominator);
            sum += w * loss;
        }
    }
    if options.reduction != Reduction::None {
        out.loss = over(sum, denominator);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const INF: f64 = f64::INFINITY;

    /// Numbers in −2 ..= 2, always the same.
    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn values(numbers: &[f64]) -> Values {
        let numbers: Vec<f32> = numbers.iter().map(|&v| v as f32).collect();
        Values::from(numbers)
    }

    /// Central differences of f.
    fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let h = 1e-5;
        let at = |i: usize, by: f64| {
            let mut moved = x.to_vec();
            moved[i] += by;
            f(&moved)
        };
        (0..x.len()).map(|i| (at(i, h) - at(i, -h)) / (2.0 * h)).collect()
    }

    fn assert_close(got: &[f64], wanted: &[f64], what: &str) {
        assert_eq!(got.len(), wanted.len(), "{what}");
        for (i, (a, b)) in got.iter().zip(wanted).enumerate() {
            let same = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() < 1e-8;
            assert!(same, "{what}, element {i}: {a} is not {b}");
        }
    }

    fn shapes() -> [Rows; 3] {
        [
            Rows::new(4, 5),
            Rows::new(4, 5).with_row_stride(7),
            Rows::of_shape(&[2, 5, 2], 1).unwrap(),
        ]
    }

    fn adjusts(rows: &Rows) -> Vec<Adjust> {
        let mut full = numbers(rows.elements().unwrap(), 5);
        full[2] = -INF;
        vec![
            Adjust::default(),
            Adjust {
                scale: Scale::Number(-1.5),
                bias: Some(values(&numbers(5, 3))),
                softcap: Some(1.75),
                mask: Mask::Classes(values(&[0.5, -1.0, 0.0, -INF, 2.0])),
            },
            Adjust {
                scale: Scale::PerRow(values(&numbers(rows.count(), 4))),
                softcap: Some(3.0),
                mask: Mask::Causal { group: 2, offset: 2 },
                ..Adjust::default()
            },
            Adjust {
                mask: Mask::Full(values(&full)),
                ..Adjust::default()
            },
        ]
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| weigh(*a, *b)).sum()
    }

    #[test]
    fn softmax_gradients_are_the_differences() {
        for rows in shapes() {
            let x = numbers(rows.elements().unwrap(), 1);
            let g = numbers(x.len(), 2);
            for adjust in adjusts(&rows) {
                for log in [false, true] {
                    let options = Softmax {
                        log,
                        adjust: adjust.clone(),
                        ..Softmax::default()
                    };
                    let y = |x: &[f64]| softmax(x, rows, &options).unwrap();
                    // What a masked class is multiplied by must not matter.
                    let present = |y: &[f64]| y.iter().map(|&v| if v == -INF { 0.0 } else { v }).collect::<Vec<_>>();
                    let gradient = softmax_grad(&y(&x), &g, rows, log, Some((&x, &adjust))).unwrap();
                    let wanted = differences(&x, |x| dot(&g, &present(&y(x))));
                    assert_close(&gradient, &wanted, &format!("log {log}, {rows:?}, {adjust:?}"));

                    let jacobian = softmax_jacobian(&x, rows, &options).unwrap();
                    for row in 0..rows.count() {
                        for (i, place) in places(&rows, row).enumerate() {
                            let all = differences(&x, |x| present(&y(x))[place]);
                            let wanted: Vec<f64> = places(&rows, row).map(|p| all[p]).collect();
                            let start = (row * 5 + i) * 5;
                            assert_close(&jacobian[start..start + 5], &wanted, "jacobian");
                        }
                    }
                }
                let per_row = numbers(rows.count(), 6);
                let lse = |x: &[f64]| logsumexp(x, rows, &adjust, FullyMasked::Nan).unwrap();
                let gradient = logsumexp_grad(&x, &per_row, rows, &adjust, FullyMasked::Nan).unwrap();
                let wanted = differences(&x, |x| dot(&per_row, &lse(x)));
                assert_close(&gradient, &wanted, &format!("logsumexp, {rows:?}, {adjust:?}"));
            }
        }
    }

    fn cross_entropies(rows: &Rows) -> Vec<CrossEntropy> {
        let mut all = Vec::new();
        let weights = values(&[0.5, 2.0, 1.0, 0.0, 1.5]);
        for adjust in adjusts(rows) {
            for (weights, label_smoothing, z_loss) in [
                (None, 0.0, 0.0),
                (None, 0.25, 0.0),
                (Some(weights.clone()), 0.0, 0.125),
                (Some(weights.clone()), 0.25, 0.125),
            ] {
                for (reduction, normalizer) in [
                    (Reduction::Sum, Normalizer::Rows),
                    (Reduction::Mean, Normalizer::Rows),
                    (Reduction::Mean, Normalizer::Number(7.0)),
                ] {
                    all.push(CrossEntropy {
                        adjust: adjust.clone(),
                        weights: weights.clone(),
                        label_smoothing,
                        z_loss,
                        reduction,
                        normalizer,
                        upstream: Upstream::Number(0.75),
                        ..CrossEntropy::default()
                    });
                }
            }
        }
        all
    }

    #[test]
    fn cross_entropy_gradients_are_the_differences() {
        for rows in shapes() {
            let x = numbers(rows.elements().unwrap(), 7);
            let targets = [1, 0, -100, 2];
            let q: Vec<f64> = numbers(x.len(), 8).iter().map(|v| v.abs() / 5.0).collect();
            for options in cross_entropies(&rows) {
                let infinite = |loss: f64| loss == INF;
                let loss = |x: &[f64]| 0.75 * cross_entropy(x, &targets, rows, &options).unwrap().loss;
                let out = cross_entropy(&x, &targets, rows, &options).unwrap();
                assert_eq!(out.counted, 3);
                if !infinite(out.loss) {
                    assert_close(&out.gradient, &differences(&x, loss), &format!("{rows:?}, {options:?}"));
                }
                let loss = |x: &[f64]| 0.75 * cross_entropy_soft(x, &q, rows, &options).unwrap().loss;
                let out = cross_entropy_soft(&x, &q, rows, &options).unwrap();
                if !infinite(out.loss) {
                    assert_close(
                        &out.gradient,
                        &differences(&x, loss),
                        &format!("soft, {rows:?}, {options:?}"),
                    );
                }
                let options = CrossEntropy {
                    input: Input::LogProbs,
                    z_loss: 0.0,
                    ..options
                };
                let loss = |x: &[f64]| 0.75 * cross_entropy(x, &targets, rows, &options).unwrap().loss;
                let out = cross_entropy(&x, &targets, rows, &options).unwrap();
                if !infinite(out.loss) {
                    assert_close(
                        &out.gradient,
                        &differences(&x, loss),
                        &format!("nll, {rows:?}, {options:?}"),
                    );
                }
            }
        }
    }

    #[test]
    fn one_upstream_gradient_a_row() {
        let rows = Rows::new(3, 4);
        let (x, g) = (numbers(12, 9), [0.5f32, -1.0, 2.0]);
        let options = CrossEntropy {
            reduction: Reduction::None,
            upstream: Upstream::PerRow(g.to_vec()),
            label_smoothing: 0.1,
            z_loss: 0.01,
            ..CrossEntropy::default()
        };
        let out = |x: &[f64]| cross_entropy(x, &[3, 2, 0], rows, &options).unwrap();
        let wanted = differences(&x, |x| dot(&out(x).row_losses, &g.map(f64::from)));
        assert_close(&out(&x).gradient, &wanted, "per row");
        assert_eq!(out(&x).loss, 0.0);
    }

    #[test]
    fn soft_targets_of_one_class_are_that_class() {
        let rows = Rows::new(2, 3);
        let x = [0.5, -INF, 2.0, 1e6, 1e6 + 1.0, 1e6 - 3.0];
        let options = CrossEntropy {
            z_loss: 0.25,
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        };
        let hard = cross_entropy(&x, &[2u8, 1], rows, &options).unwrap();
        let soft = cross_entropy_soft(&x, &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0], rows, &options).unwrap();
        assert_close(&soft.gradient, &hard.gradient, "gradient");
        assert_close(&soft.row_losses, &hard.row_losses, "losses");
        assert_eq!((hard.correct, soft.correct, soft.counted), (2, 0, 2));
        assert_eq!(hard.gradient[1], 0.0);
        let wanted = -(1f64 + 1f64.exp() + (-3f64).exp()).ln() + 1.0;
        assert!((hard.log_probs[1] - wanted).abs() < 1e-15);
    }

    #[test]
    fn rows_that_are_not_ordinary() {
        let rows = Rows::new(6, 2);
        #[rustfmt::skip]
        let x = [f64::NAN, 0.0, INF, 0.0, -INF, -INF, f64::NAN, 0.0, 1.0, 2.0, -INF, 0.0];
        let targets = [0, 0, 0, -100, 5, 0];
        for (fully_masked, loss, gradient, lse) in [
            (FullyMasked::Nan, f64::NAN, [f64::NAN; 2], f64::NAN),
            (FullyMasked::Zeros, 0.0, [0.0; 2], -INF),
            (FullyMasked::Uniform, 2f64.ln(), [-0.5, 0.5], -(2f64.ln())),
        ] {
            let options = CrossEntropy {
                fully_masked,
                reduction: Reduction::None,
                ..CrossEntropy::default()
            };
            let out = cross_entropy(&x, &targets, rows, &options).unwrap();
            let nan = f64::NAN;
            assert_close(&out.row_losses, &[nan, nan, loss, 0.0, nan, INF], "losses");
            let [a, b] = gradient;
            let wanted = [nan, nan, nan, nan, a, b, 0.0, 0.0, nan, nan, -1.0, 1.0];
            assert_close(&out.gradient, &wanted, "gradient");
            let ordinary = 2.0 + (1.0 + (-1f64).exp()).ln();
            assert_close(&out.lse, &[nan, nan, lse, nan, ordinary, 0.0], "lse");
            assert_close(
                &out.row_z_losses,
                &[nan, nan, if loss.is_nan() { nan } else { 0.0 }, 0.0, nan, 0.0],
                "z",
            );
            assert_eq!((out.counted, out.correct), (4, 3));
            assert_eq!(out.log_probs[3], 0.0);
            assert!(out.log_probs[4].is_nan() && out.log_probs[5] == -INF);
        }
        let smooth = CrossEntropy {
            label_smoothing: 0.5,
            ..CrossEntropy::default()
        };
        assert_eq!(
            cross_entropy(&[-INF, 0.0], &[1], Rows::new(1, 2), &smooth)
                .unwrap()
                .loss,
            INF
        );
    }

    #[test]
    fn a_mean_over_nothing() {
        let rows = Rows::new(1, 2);
        let mut options = CrossEntropy {
            z_loss: 1.0,
            ..CrossEntropy::default()
        };
        let out = cross_entropy(&[0.0, 1.0], &[-100], rows, &options).unwrap();
        assert!(out.loss.is_nan());
        assert_eq!(out.gradient, [0.0, 0.0]);
        options.empty_mean = EmptyMean::Zero;
        assert_eq!(cross_entropy(&[0.0, 1.0], &[-100], rows, &options).unwrap().loss, 0.0);
        options.weights = Some(values(&[0.0, 0.0]));
        let out = cross_entropy(&[0.0, 1.0], &[1], rows, &options).unwrap();
        assert_eq!((out.loss, out.gradient), (0.0, vec![0.0, 0.0]));
    }

    #[test]
    fn infinite_logits_pass_the_softcap_and_hidden_classes_hide_no_nan() {
        let rows = Rows::new(2, 3);
        let adjust = Adjust {
            softcap: Some(2.0),
            scale: Scale::Number(-1.0),
            mask: Mask::Causal { group: 2, offset: 0 },
            ..Adjust::default()
        };
        let x = [1.0, -5.0, INF, INF, -3.0, f64::NAN];
        let a = adjusted(&x, rows, &adjust).unwrap();
        let capped = |v: f64| 2.0 * (v / 2.0).tanh();
        assert_close(&a, &[capped(-1.0), -INF, -INF, -INF, capped(3.0), f64::NAN], "values");
        let g = logsumexp_grad(&x, &[1.0, 1.0], rows, &adjust, FullyMasked::Nan).unwrap();
        let slope = -(1.0 - 0.5f64.tanh().powi(2));
        assert_close(&g, &[slope, 0.0, 0.0, f64::NAN, f64::NAN, f64::NAN], "gradient");
        let mask = Adjust {
            mask: Mask::Classes(values(&[-INF, f64::NAN, INF])),
            ..Adjust::default()
        };
        let a = adjusted(&[INF, 0.0, 0.0], Rows::new(1, 3), &mask).unwrap();
        assert!(a[0].is_nan() && a[1].is_nan() && a[2] == INF);
    }

    #[test]
    fn wrong_lengths_and_buffers_are_errors() {
        let adjust = Adjust {
            bias: Some(values(&[1.0])),
            ..Adjust::default()
        };
        let wrong = EncodeError::WrongLength {
            what: "adjust.bias",
            expected: 2,
            got: 1,
        };
        assert_eq!(adjusted(&[0.0, 0.0], Rows::new(1, 2), &adjust), Err(wrong));
        let adjust = Adjust {
            scale: Scale::PerRow(Values::Buffer),
            ..Adjust::default()
        };
        let got = adjusted(&[0.0, 0.0], Rows::new(1, 2), &adjust);
        assert!(matches!(got, Err(EncodeError::Conflict { .. })));
    }

    #[test]
    fn binary_gradients_are_the_differences() {
        for rows in shapes() {
            let x: Vec<f64> = numbers(rows.elements().unwrap(), 11).iter().map(|v| v * 5.0).collect();
            let t: Vec<f64> = numbers(x.len(), 12).iter().map(|v| v.abs() / 2.0).collect();
            for weight in [
                Mask::None,
                Mask::Classes(values(&numbers(5, 13))),
                Mask::Full(values(&numbers(x.len(), 14))),
            ] {
                for reduction in [Reduction::Sum, Reduction::Mean] {
                    let options = BinaryCrossEntropy {
                        weight: weight.clone(),
                        pos_weight: Some(values(&[0.5, 2.0, 1.0, 0.0, 3.0])),
                        reduction,
                        upstream: Upstream::Number(-2.0),
                        ..BinaryCrossEntropy::default()
                    };
                    let out = |x: &[f64]| binary_cross_entropy_with_logits(x, &t, rows, &options).unwrap();
                    let wanted = differences(&x, |x| -2.0 * out(x).loss);
                    assert_close(&out(&x).gradient, &wanted, &format!("{rows:?}, {options:?}"));
                }
            }
        }
    }

    #[test]
    fn binary_values_at_the_ends() {
        let options = BinaryCrossEntropy {
            reduction: Reduction::None,
            ..BinaryCrossEntropy::default()
        };
        let x = [0.0, INF, INF, -INF, -INF, f64::NAN, 0.0];
        let t = [0.5, 1.0, 0.5, 0.0, 0.5, 0.0, f64::NAN];
        let out = binary_cross_entropy_with_logits(&x, &t, Rows::new(7, 1), &options).unwrap();
        let nan = f64::NAN;
        assert_close(&out.losses, &[2f64.ln(), 0.0, INF, 0.0, INF, nan, nan], "losses");
        assert_close(&out.gradient, &[0.0, 0.0, 0.5, 0.0, -0.5, nan, nan], "gradient");
    }
}
