//! Sampling: which classes a row's token is drawn from, and with what probabilities.

use super::adjusted::*;
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::row_op::FullyMasked;
use crate::ops::sample::{Allowed, LogitBias, Sample, SampleParams, SampleRows, Words};
use crate::rows::Rows;
use std::cmp::Ordering;

/// What [`sample`] returns. Lists of `[rows, classes]` are dense, whatever the layout of the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleReference {
    /// `[rows, classes]`: b, the logits after penalties, biases, allowed classes and temperature.
    pub values: Vec<f64>,
    /// The classes that the filters keep of each row, in the order of falling b, then of rising class. There are none in
    /// a row that gets [`NO_TOKEN`](crate::NO_TOKEN).
    pub kept: Vec<Vec<u32>>,
    /// `[rows, classes]`: the probabilities that a token is drawn with; NaN in a row that gets none.
    pub probs: Vec<f64>,
    /// `[rows, classes]`: log-softmax of the logits after [`Adjust`](crate::Adjust), which is the model's.
    pub model_log_probs: Vec<f64>,
    /// `[rows, classes]`: the logarithms of `probs`, −∞ for classes that are not kept.
    pub log_probs: Vec<f64>,
    /// How near each row is to having other classes kept: the least change of b − m (for min_p), or of a share of the
    /// whole sum (for top_p), that changes what is kept, or that changes the order at the edge where b
    /// is no f32, so that its rounding may. Where this is more than an f32 computation rounds, both keep the same.
    /// Infinite where nothing that is rounded decides, as for a top_k of logits as they are stored.
    pub margins: Vec<f64>,
}

/// The candidates of each row, and their probabilities: the formulas and special rows are those of [`Sample`] and
/// [`SampleParams`].
///
/// No token is drawn. A draw compares random numbers with sums as f32 rounds them, in the canonical order, and with
/// exact ones it would go another way now and then; that sampling has these probabilities is a matter of many draws.
///
/// 1/T is rounded to f32, because the options say so; numbers beyond f32's largest are that one. A row whose parameters
/// are out of range is one without candidates, as it is where they are in a device buffer.
///
/// # Errors
/// An invalid shape, slices that do not fit it, a class axis that is not the last, and options whose numbers are in
/// buffers.
///
/// ```
/// use wgpu_softmax::{reference, Rows, Sample, SampleParams};
/// let params = SampleParams { top_p: 0.5, ..SampleParams::default() };
/// let row = reference::sample(&[1.0, 3.0, 2.0], Rows::new(1, 3), &Sample::new(params))?;
/// assert_eq!((row.kept, row.probs), (vec![vec![1]], vec![0.0, 1.0, 0.0]));
/// # Ok::<(), wgpu_softmax::EncodeError>(())
/// ```
pub fn sample<T: Copy + Into<f64>>(logits: &[T], rows: Rows, options: &Sample) -> Result<SampleReference, EncodeError> {
    check_logits(logits, &rows)?;
    if rows.inner() != 1 {
        return Err(EncodeError::Conflict {
            a: "sampling",
            b: "a class axis that is not the last",
            why: "each token's search goes through neighbouring classes",
        });
    }
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let all = Options::new(options, &rows)?;
    let elements = rows.count() * rows.classes();
    let mut result = SampleReference {
        values: Vec::with_capacity(elements),
        kept: Vec::with_capacity(rows.count()),
        probs: Vec::with_capacity(elements),
        model_log_probs: Vec::with_capacity(elements),
        log_probs: Vec::with_capacity(elements),
        margins: Vec::with_capacity(rows.count()),
    };
    for number in 0..rows.count() {
        let a = adjuster.row(logits, &rows.into(), number);
        let params = all.params(number);
        let b = all.values(&a, number, params);
        let Candidates { kept, margin } = Candidates::of_row(&b, params, options.joint);
        let mut left = vec![f64::NEG_INFINITY; b.len()];
        kept.iter().for_each(|&c| left[c] = b[c]);
        let (model, drawn) = (Row::new(&a, FullyMasked::Nan), Row::new(&left, FullyMasked::Nan));
        for c in 0..b.len() {
            result.probs.push(drawn.probability(c));
            result.model_log_probs.push(model.log_probability(c));
            result.log_probs.push(drawn.log_probability(c));
        }
        result.values.extend(b);
        result.kept.push(kept.iter().map(|&c| c as u32).collect());
        result.margins.push(margin);
    }
    Ok(result)
}

fn words<'a>(words: &'a Words, what: &'static str, expected: usize) -> Result<&'a [u32], EncodeError> {
    match words {
        Words::Host(words) => {
            check_length(what, expected, words.len())?;
            Ok(words)
        }
        Words::Buffer => Err(no_buffer("Words::Buffer", "there is no buffer; use Words::Host")),
    }
}

/// The part of a list that belongs to a row, of which the same may belong to all.
fn of_row<T>(list: &[T], length: usize, row: usize) -> &[T] {
    let row = if list.len() == length { 0 } else { row };
    &list[row * length..(row + 1) * length]
}

/// The options with their numbers.
struct Options<'a> {
    params: &'a [SampleParams],
    history_length: usize,
    history: &'a [u32],
    allowed: Option<&'a [u32]>,
    bias_length: usize,
    bias_classes: &'a [u32],
    bias_values: &'a [f32],
}

/// A finite number of f32's range.
fn settled(x: f64) -> f64 {
    x.clamp(f32::MIN.into(), f32::MAX.into())
}

impl<'a> Options<'a> {
    fn new(options: &'a Sample, rows: &Rows) -> Result<Self, EncodeError> {
        let bits = rows.classes().div_ceil(32);
        let params = match &options.rows {
            SampleRows::All(params) => std::slice::from_ref(params),
            SampleRows::PerRow(all) => {
                check_length("rows: PerRow", rows.count(), all.len())?;
                all
            }
            SampleRows::Buffer => {
                return Err(no_buffer("SampleRows::Buffer", "there is no buffer; use PerRow"));
            }
        };
        let (history_length, history) = match &options.history {
            Some(h) => (h.length, words(&h.tokens, "history", rows.count() * h.length)?),
            None => (0, &[][..]),
        };
        let allowed = match &options.allowed {
            None => None,
            Some(Allowed::All(all)) => Some(words(all, "allowed", bits)?),
            Some(Allowed::PerRow(all)) => Some(words(all, "allowed", rows.count() * bits)?),
        };
        let (bias_length, bias_classes, bias_values) = match &options.bias {
            None => (0, &[][..], &[][..]),
            Some(bias @ LogitBias { length, .. }) => {
                let expected = if bias.per_row { rows.count() * length } else { *length };
                let classes = words(&bias.classes, "bias.classes", expected)?;
                (*length, classes, on_host(&bias.values, "bias.values", expected)?)
            }
        };
        Ok(Self {
            params,
            history_length,
            history,
            allowed,
            bias_length,
            bias_classes,
            bias_values,
        })
    }

    fn params(&self, row: usize) -> &SampleParams {
        &self.params[if self.params.len() == 1 { 0 } else { row }]
    }

    /// b of each class; NaN and +∞ stay what they are.
    fn values(&self, a: &[f64], row: usize, params: &SampleParams) -> Vec<f64> {
        let inv_temperature = match params.is_greedy() {
            true => 1.0,
            false => f64::from(1.0 / params.temperature),
        };
        let history = of_row(self.history, self.history_length, row);
        let biased = of_row(self.bias_classes, self.bias_length, row);
        let biases = of_row(self.bias_values, self.bias_length, row);
        let allowed = self.allowed.map(|bits| of_row(bits, a.len().div_ceil(32), row));
        let value = |(class, &a): (usize, &f64)| {
            let mut x = penalised(a, class as u32, history, params);
            if let Some(at) = biased.iter().position(|&c| c as usize == class)
                && x < f64::INFINITY
            {
                x = match f64::from(biases[at]) {
                    f64::NEG_INFINITY => f64::NEG_INFINITY,
                    bias if x.is_finite() => settled(x + bias),
                    _ => x,
                };
            }
            let is_allowed = allowed.is_none_or(|bits| bits[class / 32] >> (class % 32) & 1 == 1);
            match x {
                x if x < f64::INFINITY && !is_allowed => f64::NEG_INFINITY,
                x if x.is_finite() => settled(x * inv_temperature),
                x => x,
            }
        };
        a.iter().enumerate().map(value).collect()
    }
}

/// a after the penalties.
fn penalised(a: f64, class: u32, history: &[u32], params: &SampleParams) -> f64 {
    if !a.is_finite() || !history.contains(&class) {
        return a;
    }
    let penalty = f64::from(params.repetition_penalty);
    let x = settled(if a > 0.0 { a / penalty } else { a * penalty });
    let generated = history.iter().skip(params.prompt_length as usize);
    let n = generated.filter(|&&token| token == class).count();
    if n == 0 {
        return x;
    }
    let frequency = settled(f64::from(params.frequency_penalty) * n as f64);
    settled(settled(x - frequency) - f64::from(params.presence_penalty))
}

/// What the filters keep of a row.
struct Candidates {
    kept: Vec<usize>,
    margin: f64,
}

impl Candidates {
    fn of_row(b: &[f64], params: &SampleParams, joint: bool) -> Self {
        let is_bad = b.iter().any(|x| x.is_nan() || *x == f64::INFINITY);
        let mut order: Vec<usize> = (0..b.len()).filter(|&c| b[c] > f64::NEG_INFINITY).collect();
        if is_bad || !is_in_range(params) || order.is_empty() {
            return Self {
                kept: Vec::new(),
                margin: f64::INFINITY,
            };
        }
        order.sort_by(|&i, &j| b[j].partial_cmp(&b[i]).unwrap_or(Ordering::Equal).then(i.cmp(&j)));
        let (count, mut margin) = match params.is_greedy() {
            true => (1, f64::INFINITY),
            false => filtered(&order, b, params, joint),
        };
        if let (Some(&last), Some(&next)) = (order.get(count - 1), order.get(count))
            && b[last] > b[next]
            && !(is_f32(b[last]) && is_f32(b[next]))
        {
            margin = margin.min(b[last] - b[next]);
        }
        order.truncate(count);
        Self { kept: order, margin }
    }
}

/// Whether b is a normal f32, or 0: no rounding changes it.
fn is_f32(b: f64) -> bool {
    f64::from(b as f32) == b && (b == 0.0 || b.abs() >= f64::from(f32::MIN_POSITIVE))
}

/// How many classes of the order the filters keep, and how near another number is.
fn filtered(order: &[usize], b: &[f64], params: &SampleParams, joint: bool) -> (usize, f64) {
    let e = |&c: &usize| (b[c] - b[order[0]]).exp();
    let (mut count, mut margin) = (order.len(), f64::INFINITY);
    let (top_k, top_p) = (params.top_k as usize, f64::from(params.top_p));
    if params.min_p >= f32::MIN_POSITIVE {
        // Logarithms, because an exponential of all but 0 would be 1.
        let beyond = |&c: &usize| b[c] - b[order[0]] - f64::from(params.min_p).ln();
        count = order.partition_point(|c| beyond(c) >= 0.0);
        // The largest ones are kept, whatever is rounded.
        let near = order[count - 1..].iter().take(2).filter(|&&c| b[c] < b[order[0]]);
        margin = near.map(|c| beyond(c).abs()).fold(margin, f64::min);
    }
    if top_k > 0 {
        count = count.min(top_k);
    }
    if top_p < 1.0 {
        let is_part = count < order.len() && !joint;
        let total: f64 = order[..if is_part { count } else { order.len() }].iter().map(e).sum();
        let (mut before, mut reached) = (0.0, 0);
        for (at, class) in order[..count].iter().enumerate() {
            if at > 0 {
                margin = margin.min((before / total - top_p).abs());
            }
            if at == 0 || before < top_p * total {
                reached += 1;
            }
            before += e(class);
        }
        count = reached;
    }
    (count, margin)
}

fn is_in_range(params: &SampleParams) -> bool {
    let is_invertible = |x: f32| (f32::MIN_POSITIVE..=1.0 / f32::MIN_POSITIVE).contains(&x);
    let shares = [params.top_p, params.min_p];
    (params.temperature == 0.0 || is_invertible(params.temperature))
        && shares.iter().all(|share| (0.0..=1.0).contains(share))
        && is_invertible(params.repetition_penalty)
        && params.presence_penalty.is_finite()
        && params.frequency_penalty.is_finite()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of_shares(shares: &[f64], params: SampleParams) -> SampleReference {
        let logits: Vec<f64> = shares.iter().map(|p| p.ln()).collect();
        sample(&logits, Rows::new(1, shares.len()), &Sample::new(params)).unwrap()
    }

    #[test]
    fn filters_keep_a_beginning_of_the_order() {
        let shares = [0.1, 0.4, 0.2, 0.2, 0.1];
        let params = SampleParams::default();
        for (params, kept) in [
            (params, vec![1, 2, 3, 0, 4]),
            (SampleParams::greedy(), vec![1]),
            (SampleParams { top_k: 2, ..params }, vec![1, 2]),
            (SampleParams { min_p: 0.3, ..params }, vec![1, 2, 3]),
            (SampleParams { top_p: 0.41, ..params }, vec![1, 2]),
            (SampleParams { top_p: 0.0, ..params }, vec![1]),
            (
                SampleParams {
                    top_k: 2,
                    top_p: 0.6,
                    ..params
                },
                vec![1],
            ),
        ] {
            assert_eq!(of_shares(&shares, params).kept, [kept], "{params:?}");
        }
    }

    #[test]
    fn a_margin_is_the_distance_to_another_choice() {
        let shares = [0.5, 0.3, 0.2];
        let margin = |params| of_shares(&shares, params).margins[0];
        let params = SampleParams::default();
        assert_eq!(margin(params), f64::INFINITY);
        let top_p = margin(SampleParams { top_p: 0.75, ..params });
        assert!((top_p - 0.05).abs() < 1e-9, "{top_p}, but 0.05 is expected");
        let min_p = margin(SampleParams { min_p: 0.5, ..params });
        let expected = 1.2f64.ln();
        assert!((min_p - expected).abs() < 1e-7, "{min_p}, but {expected} is expected");
    }

    #[test]
    fn rows_without_candidates_keep_nothing_and_are_nan() {
        let hot = SampleParams {
            temperature: f32::NAN,
            ..SampleParams::default()
        };
        let inf = f64::INFINITY;
        for (logits, params) in [
            ([0.0, f64::NAN], SampleParams::default()),
            ([inf, 0.0], SampleParams::greedy()),
            ([-inf, -inf], SampleParams::default()),
            ([1.0, 2.0], hot),
        ] {
            let row = sample(&logits, Rows::new(1, 2), &Sample::new(params)).unwrap();
            assert!(row.kept[0].is_empty(), "{logits:?}: {:?} are kept", row.kept);
            assert!(row.probs.iter().all(|p| p.is_nan()), "{logits:?}: {:?}", row.probs);
        }
    }

    #[test]
    fn numbers_in_buffers_and_other_axes_are_errors() {
        let in_buffers = [
            Sample {
                rows: SampleRows::Buffer,
                ..Sample::default()
            },
            Sample {
                allowed: Some(Allowed::All(Words::Buffer)),
                ..Sample::default()
            },
        ];
        for options in in_buffers {
            let result = sample(&[0.0, 1.0], Rows::new(1, 2), &options);
            assert!(
                matches!(result, Err(EncodeError::Conflict { .. })),
                "{options:?}: {result:?}"
            );
        }
        let columns = Rows::of_shape(&[2, 2], 0).unwrap();
        let result = sample(&[0.0; 4], columns, &Sample::default());
        assert!(matches!(result, Err(EncodeError::Conflict { .. })), "{result:?}");
        let short = Sample::per_row([SampleParams::default()]);
        let result = sample(&[0.0; 4], Rows::new(2, 2), &short);
        assert!(matches!(result, Err(EncodeError::WrongLength { .. })), "{result:?}");
    }
}
