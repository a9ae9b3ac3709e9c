//! The running tally of one check.

use super::check::Check;
use crate::dtype::{Dtype, Element};
use crate::gpu::Gpu;
use crate::rows::Rows;
use crate::testing::{Bound, Random, Subject, Verdict, agrees, ulp_of};

/// An output of an operation, and what it ought to be.
pub(super) struct Compared {
    output: &'static str,
    got: Vec<f64>,
    exact: Vec<f64>,
    /// How the output is stored.
    dtype: Dtype,
}

impl Compared {
    pub(super) fn new<T: Element>(output: &'static str, got: &[T], exact: Vec<f64>) -> Self {
        Self {
            output,
            got: got.iter().map(|&v| v.into()).collect(),
            exact,
            dtype: T::DTYPE,
        }
    }

    /// An output of classes or counts.
    pub(super) fn indices(output: &'static str, got: impl IntoIterator<Item = usize>, exact: &[usize]) -> Self {
        Self {
            output,
            got: got.into_iter().map(|v| v as f64).collect(),
            exact: exact.iter().map(|&v| v as f64).collect(),
            dtype: Dtype::F32,
        }
    }
}

/// How far off any result may be, relative to the larger of it and 1, whatever bound in ULP of itself it has besides.
const ALLOWED: f64 = 2e-6;

/// What [`ALLOWED`] makes of a result.
fn allowed_anyway(exact: f64) -> f64 {
    ALLOWED * exact.abs().max(1.0)
}

fn max_finite(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => half::f16::MAX.into(),
        _ => f32::MAX.into(),
    }
}

pub(super) struct Tally<'g> {
    pub(super) gpu: &'g Gpu,
    pub(super) random: Random,
    most_elements: usize,
    check: Check,
    total_ulp: f64,
    measured: usize,
    /// Whether a case has failed, for those who look at it from outside.
    #[cfg(feature = "shaders-from-folder")]
    pub(super) has_failed: std::rc::Rc<std::cell::Cell<bool>>,
}

impl<'g> Tally<'g> {
    pub(super) fn new(gpu: &'g Gpu, name: &str, most_elements: usize) -> Self {
        Self {
            gpu,
            random: Random(0x5eed),
            most_elements,
            check: Check {
                name: name.into(),
                ..Check::default()
            },
            total_ulp: 0.0,
            measured: 0,
            #[cfg(feature = "shaders-from-folder")]
            has_failed: std::rc::Rc::default(),
        }
    }

    pub(super) fn finish(self) -> Check {
        Check {
            mean_ulp: (self.measured > 0).then(|| self.total_ulp / self.measured as f64),
            ..self.check
        }
    }

    /// Whether a case of these rows is small enough to run; if not, counts it as skipped.
    pub(super) fn fits(&mut self, rows: Rows) -> bool {
        let fits = rows.count() * rows.classes() <= self.most_elements;
        self.check.skipped += usize::from(!fits);
        fits
    }

    /// Counts a case, and what is wrong with it if anything is.
    pub(super) fn case(&mut self, verdict: Verdict) {
        self.check.cases += 1;
        if let Err(failure) = verdict {
            self.check.failed += 1;
            #[cfg(feature = "shaders-from-folder")]
            self.has_failed.set(true);
            self.check.first_failure.get_or_insert(failure);
        }
    }

    /// Adds words to the hash (FNV-1a).
    pub(super) fn hash(&mut self, words: &[u32]) {
        let start = self.check.hash.unwrap_or(0xcbf2_9ce4_8422_2325);
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        self.check.hash = Some(bytes.fold(start, |hash, byte| step(hash, &byte)));
    }

    /// A case of numbers of which no more is known than that they are near the exact ones, relative to 1 where those are
    /// smaller: results of logits that were rounded on the way, and an output of the batch.
    pub(super) fn near(&mut self, subject: &Subject<'_>, compared: &Compared) {
        self.within(subject, compared, |_, exact| {
            (allowed_anyway(exact), ulp_of(exact.abs().max(1.0), compared.dtype))
        });
    }

    /// A case of numbers, each with a bound of its own. The error is counted in the bound's unit, or in that of an output
    /// of 16 bits.
    pub(super) fn bounded(&mut self, subject: &Subject<'_>, compared: &Compared, bound: impl Fn(usize, f64) -> Bound) {
        self.within(subject, compared, |i, exact| {
            let Bound { allowed, unit } = bound(i, exact);
            let unit = if compared.dtype == Dtype::F32 {
                unit
            } else {
                unit.max(ulp_of(exact, compared.dtype))
            };
            (allowed.min(allowed_anyway(exact)), unit)
        });
    }

    /// A case of numbers. For an index and the exact value there, `bound` says how far off an f32 may be, and in which
    /// unit the error is counted. An output stored in 16 bits may be off by half a unit in the last place more.
    pub(super) fn within(
        &mut self,
        subject: &Subject<'_>,
        compared: &Compared,
        bound: impl Fn(usize, f64) -> (f64, f64),
    ) {
        let Compared {
            output,
            got,
            exact,
            dtype,
        } = compared;
        let mut verdict = subject.equal(&format!("the length of {output}"), &got.len(), &exact.len());
        for (i, (&value, &exact)) in got.iter().zip(exact).enumerate() {
            // A value that is too large for the type becomes infinite.
            let is_overflow =
                value.is_infinite() && value.signum() == exact.signum() && exact.abs() > max_finite(*dtype);
            if is_overflow || agrees(value, exact, 0.0) {
                self.measure(0.0);
                continue;
            }
            let (allowed, unit) = bound(i, exact);
            let rounding = if *dtype == Dtype::F32 {
                0.0
            } else {
                0.5 * ulp_of(exact, *dtype)
            };
            let allowed = allowed + rounding;
            if verdict.is_ok() && !agrees(value, exact, allowed) {
                verdict = Err(subject.miss_within(output, (i, got.len()), value, exact, allowed));
            }
            // The error of a result that may be flushed to 0 is not measured in ULP.
            if exact.abs() >= f64::from(f32::MIN_POSITIVE) {
                self.measure((value - exact).abs() / unit);
            }
        }
        self.case(verdict);
    }

    fn measure(&mut self, ulp: f64) {
        self.check.max_ulp = Some(self.check.max_ulp.unwrap_or(0.0).max(ulp));
        self.total_ulp += ulp;
        self.measured += 1;
    }
}
