//! One check as it goes on.

use super::Check;
use crate::dtype::{Dtype, Element};
use crate::gpu::Gpu;
use crate::testing::{Random, ulp_of};
use std::fmt::Display;

/// What an operation gave, and what it ought to have.
pub(super) struct Compared {
    pub(super) got: Vec<f64>,
    pub(super) exact: Vec<f64>,
    /// How the result is stored.
    pub(super) dtype: Dtype,
}

impl Compared {
    pub(super) fn new<T: Element>(got: &[T], exact: Vec<f64>) -> Self {
        Self {
            got: got.iter().map(|&v| v.into()).collect(),
            exact,
            dtype: T::DTYPE,
        }
    }
}

/// What the contract allows a loss, an lse or a gradient, relatively to the larger of the result and 1.
const ALLOWED: f64 = 2e-6;

fn largest(dtype: Dtype) -> f64 {
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
        }
    }

    pub(super) fn finish(self) -> Check {
        Check {
            mean_ulp: (self.measured > 0).then(|| self.total_ulp / self.measured as f64),
            ..self.check
        }
    }

    /// Whether a case of so many logits is to run.
    pub(super) fn fits(&mut self, elements: usize) -> bool {
        let fits = elements <= self.most_elements;
        self.check.skipped += usize::from(!fits);
        fits
    }

    /// A case, and what is wrong with it if anything is.
    pub(super) fn case(&mut self, what: impl Display, miss: Option<String>) {
        self.check.cases += 1;
        if let Some(miss) = miss {
            self.check.failed += 1;
            self.check
                .first_failure
                .get_or_insert_with(|| format!("{what}: {miss}"));
        }
    }

    /// A case of words that must be the same.
    pub(super) fn same<W: PartialEq + Display>(&mut self, what: impl Display, got: &[W], expected: &[W]) {
        let miss = (got.len() != expected.len()).then(|| format!("{} words for {}", got.len(), expected.len()));
        let differing = || got.iter().zip(expected).position(|(a, b)| a != b);
        let miss = miss.or_else(|| differing().map(|i| format!("element {i} is {}, not {}", got[i], expected[i])));
        self.case(what, miss);
    }

    /// Adds words to the hash (FNV-1a).
    pub(super) fn hash(&mut self, words: &[u32]) {
        let start = self.check.hash.unwrap_or(0xcbf2_9ce4_8422_2325);
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        self.check.hash = Some(bytes.fold(start, |hash, byte| step(hash, &byte)));
    }

    /// A case of numbers, of which each may be as far off as the contract allows.
    pub(super) fn near(&mut self, what: impl Display, compared: &Compared) {
        self.within(what, compared, |_, exact| {
            (
                ALLOWED * exact.abs().max(1.0),
                ulp_of(exact.abs().max(1.0), compared.dtype),
            )
        });
    }

    /// A case of numbers. `bar` says, for an index and what is exact there, how far off f32 may be, and in which unit that
    /// is counted. Half a unit in the last place comes on top where the result is stored in 16 bits.
    pub(super) fn within(&mut self, what: impl Display, compared: &Compared, bar: impl Fn(usize, f64) -> (f64, f64)) {
        let Compared { got, exact, dtype } = compared;
        let mut miss = (got.len() != exact.len()).then(|| format!("{} results for {}", got.len(), exact.len()));
        for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
            // What is too large for the type is infinite in it.
            let is_infinite = got.is_infinite() && got.signum() == exact.signum() && exact.abs() > largest(*dtype);
            if got == exact || is_infinite || got.is_nan() && exact.is_nan() {
                self.measure(0.0);
                continue;
            }
            let (allowed, unit) = bar(i, exact);
            let rounding = if *dtype == Dtype::F32 {
                0.0
            } else {
                0.5 * ulp_of(exact, *dtype)
            };
            let error = (got - exact).abs();
            if error.is_nan() || error > allowed + rounding {
                miss.get_or_insert_with(|| format!("element {i} is {got:e}, not {exact:e}"));
            }
            // What may be flushed to 0 has no last place.
            if exact.abs() >= f64::from(f32::MIN_POSITIVE) {
                self.measure(error / unit);
            }
        }
        self.case(what, miss);
    }

    fn measure(&mut self, ulp: f64) {
        self.check.max_ulp = Some(self.check.max_ulp.unwrap_or(0.0).max(ulp));
        self.total_ulp += ulp;
        self.measured += 1;
    }
}
