//! The messages of failing comparisons.

use crate::dtype::{Dtype, Element};
use crate::rows::Rows;
use std::fmt::{Debug, Display};

/// What a comparison found: nothing, or what is wrong and where.
pub type Verdict = Result<(), String>;

/// Panics with what is wrong, if anything is.
#[track_caller]
pub fn must(verdict: Verdict) {
    if let Err(failure) = verdict {
        panic!("{failure}");
    }
}

/// What is being compared. Each comparison's failure names all of it: the operation, the type and the layout of its
/// logits, its options, the row and the class of the element, the value there, the value expected, and the bound.
#[derive(Clone)]
pub struct Subject<'a> {
    operation: String,
    dtype: &'static str,
    rows: Rows,
    options: &'a dyn Debug,
}

/// Whether `got` equals `exact`, or both are finite and at most `bound` apart. Only an infinity of the same sign agrees
/// with an infinity, and only a NaN agrees with a NaN.
pub fn agrees(got: f64, exact: f64, bound: f64) -> bool {
    let is_near = got.is_finite() && exact.is_finite() && (got - exact).abs() <= bound;
    got == exact || got.is_nan() && exact.is_nan() || is_near
}

impl<'a> Subject<'a> {
    /// A call of `operation` on logits of type `T`.
    pub fn new<T: Element>(operation: impl Into<String>, rows: Rows, options: &'a dyn Debug) -> Self {
        Self {
            operation: operation.into(),
            dtype: match T::DTYPE {
                Dtype::F32 => "f32",
                Dtype::F16 => "f16",
                Dtype::Bf16 => "bf16",
            },
            rows,
            options,
        }
    }

    /// A call of the f64 reference.
    pub fn reference(operation: impl Into<String>, rows: Rows, options: &'a dyn Debug) -> Self {
        Self {
            dtype: "f64",
            ..Self::new::<f32>(operation, rows, options)
        }
    }

    /// How the logits are laid out.
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// Checks that each number is within `bound`, which is given an element's index and its exact value.
    ///
    /// # Errors
    /// The first element that is not, or different lengths.
    pub fn within<T: Copy + Into<f64>>(
        &self,
        output: &str,
        got: &[T],
        exact: &[f64],
        bound: impl Fn(usize, f64) -> f64,
    ) -> Verdict {
        self.same_length(output, got.len(), exact.len())?;
        for (i, (&value, &exact)) in got.iter().zip(exact).enumerate() {
            let (value, bound) = (value.into(), bound(i, exact));
            if !agrees(value, exact, bound) {
                return Err(self.miss_within(output, (i, got.len()), value, exact, bound));
            }
        }
        Ok(())
    }

    /// Checks that both have the same bits, those of a NaN included.
    ///
    /// # Errors
    /// The first element whose bits differ, or different lengths.
    pub fn bits<T: Element>(&self, output: &str, got: &[T], expected: &[T]) -> Verdict {
        self.same_length(output, got.len(), expected.len())?;
        let differ = |(a, b): (&T, &T)| bytemuck::bytes_of(a) != bytemuck::bytes_of(b);
        let Some(i) = got.iter().zip(expected).position(differ) else {
            return Ok(());
        };
        let show = |value: T| {
            let hex: String = bytemuck::bytes_of(&value)
                .iter()
                .rev()
                .map(|b| format!("{b:02x}"))
                .collect();
            // An f32 needs fewer digits than the same number as an f64.
            let value: f64 = value.into();
            format!("{:e} (0x{hex})", value as f32)
        };
        let (value, wanted) = (show(got[i]), show(expected[i]));
        Err(self.miss(output, (i, got.len()), value, wanted, "bit for bit"))
    }

    /// [`Subject::bits`] for an optional output, which both must have or both must lack.
    ///
    /// # Errors
    /// As [`Subject::bits`], and an output that only one of the two has.
    pub fn optional_bits<T: Element>(&self, output: &str, got: Option<&[T]>, expected: Option<&[T]>) -> Verdict {
        self.equal(
            &format!("whether there is {output}"),
            &got.is_some(),
            &expected.is_some(),
        )?;
        self.bits(output, got.unwrap_or_default(), expected.unwrap_or_default())
    }

    /// Checks that both have the same values (classes, counts or words) in each place.
    ///
    /// # Errors
    /// The first element that differs, or different lengths.
    pub fn each<V: PartialEq + Debug>(&self, output: &str, got: &[V], expected: &[V]) -> Verdict {
        self.same_length(output, got.len(), expected.len())?;
        let Some(i) = got.iter().zip(expected).position(|(a, b)| a != b) else {
            return Ok(());
        };
        let (value, wanted) = (format!("{:?}", got[i]), format!("{:?}", expected[i]));
        Err(self.miss(output, (i, got.len()), value, wanted, "exactly"))
    }

    /// Checks one value that belongs to the whole batch.
    ///
    /// # Errors
    /// Both values, if they differ.
    pub fn equal<V: PartialEq + Debug>(&self, output: &str, got: &V, expected: &V) -> Verdict {
        if got == expected {
            return Ok(());
        }
        let (call, options) = (self.call(), self.options());
        Err(format!(
            "{call}: {output} is {got:?}, but {expected:?} is expected, exactly; {options}"
        ))
    }

    /// The message for element `at.0` of an array of `at.1` elements.
    pub fn miss(
        &self,
        output: &str,
        at: (usize, usize),
        got: impl Display,
        expected: impl Display,
        bound: impl Display,
    ) -> String {
        let (call, place, options) = (self.call(), self.place(at), self.options());
        format!("{call}: {output} {place} is {got}, but {expected} is expected, {bound}; {options}")
    }

    /// The message for a number that is further off than `bound`.
    pub fn miss_within(&self, output: &str, at: (usize, usize), got: f64, exact: f64, bound: f64) -> String {
        let off = (got - exact).abs();
        let bound = format_args!("within {bound:.3e}; it is {off:.3e} off");
        self.miss(output, at, format_args!("{got:e}"), format_args!("{exact:e}"), bound)
    }

    fn same_length(&self, output: &str, got: usize, expected: usize) -> Verdict {
        self.equal(&format!("the length of {output}"), &got, &expected)
    }

    /// The call: operation, type and layout.
    pub fn call(&self) -> String {
        let (rows, count, classes) = (&self.rows, self.rows.count(), self.rows.classes());
        let layout = if rows.inner() > 1 {
            let outer = count / rows.inner();
            format!("[{outer}, {classes}, {}], class axis 1", rows.inner())
        } else if rows.outer_stride() == classes {
            format!("[{count}, {classes}]")
        } else {
            format!("[{count}, {classes}], row stride {}", rows.outer_stride())
        };
        format!("{} of {} {layout}", self.operation, self.dtype)
    }

    /// The call's options, as the end of a message.
    pub fn options(&self) -> String {
        format!("options: {}", shortened(&format!("{:?}", self.options)))
    }

    /// Where element `index` of an output of `length` elements is: an output has an element for each of the logits, for
    /// each row, for each pair of classes of each row, or for the whole batch.
    fn place(&self, (index, length): (usize, usize)) -> String {
        let (rows, count, classes) = (&self.rows, self.rows.count(), self.rows.classes());
        if Ok(length) == rows.elements() {
            let (outer, within) = (index / rows.outer_stride(), index % rows.outer_stride());
            let (class, row) = (within / rows.inner(), outer * rows.inner() + within % rows.inner());
            return if class < classes {
                format!("of row {row}, class {class} (element {index})")
            } else {
                format!("in the padding of row {outer} (element {index})")
            };
        }
        if length == count {
            return format!("of row {index}");
        }
        if length == count * classes * classes {
            let (row, pair) = (index / (classes * classes), index % (classes * classes));
            return format!("of row {row}, class {} by class {}", pair / classes, pair % classes);
        }
        if length == 1 {
            return "of the batch".into();
        }
        format!("at element {index} of {length}")
    }
}

/// `debug` with at most eight elements of each list.
fn shortened(debug: &str) -> String {
    const SHOWN: usize = 8;
    let mut result = String::with_capacity(debug.len().min(1024));
    let mut rest = debug;
    while let Some((before, list)) = rest.split_once('[') {
        let (list, after) = list.split_once(']').unwrap_or((list, ""));
        let items: Vec<&str> = list.split(", ").collect();
        result.push_str(before);
        result.push('[');
        result.push_str(&items[..items.len().min(SHOWN)].join(", "));
        if items.len() > SHOWN {
            result.push_str(&format!(", … {} in all", items.len()));
        }
        result.push(']');
        rest = after;
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn a_failure_names_the_call_the_place_both_values_and_the_bound() {
        let options = vec![1.5; 20];
        let rows = Rows::new(2, 3).with_row_stride(4);
        let subject = Subject::new::<f16>("softmax", rows, &options);
        let got = [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0].map(f16::from_f32);
        let exact = [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0];
        assert_eq!(
            subject.within("y", &got, &exact, |_, _| 0.125),
            Err(
                "softmax of f16 [2, 3], row stride 4: y of row 1, class 1 (element 5) is 2.5e-1, but 5e-1 is expected, \
                 within 1.250e-1; it is 2.500e-1 off; \
                 options: [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, … 20 in all]"
                    .into()
            )
        );
        let same = subject.bits("y", &got, &exact.map(|v| f16::from_f32(v as f32)));
        assert!(same.is_err_and(|e| e.contains("is 2.5e-1 (0x3400), but 5e-1 (0x3800) is expected, bit for bit")));
        assert_eq!(subject.within("y", &got, &exact, |_, _| 0.25), Ok(()));
        assert!(subject.within("y", &got[1..], &exact, |_, _| 1.0).is_err());
    }

    #[test]
    fn an_element_is_placed_by_the_layout() {
        let rows = Rows::of_shape(&[2, 3, 5], 1).unwrap_or(Rows::new(0, 1));
        let subject = Subject::new::<f32>("softmax", rows, &());
        let place = |index, length| subject.place((index, length));
        assert_eq!(place(15 + 5 + 4, 30), "of row 9, class 1 (element 24)");
        assert_eq!(place(7, 10), "of row 7");
        assert_eq!(place(9 * 3 + 5, 90), "of row 3, class 1 by class 2");
        assert_eq!(place(0, 1), "of the batch");
    }

    #[test]
    fn only_an_infinity_agrees_with_an_infinity_and_only_a_nan_with_a_nan() {
        let inf = f64::INFINITY;
        for (got, exact) in [
            (1.0, inf),
            (-inf, inf),
            (inf, 1.0),
            (f64::NAN, 1.0),
            (1.0, f64::NAN),
            (f64::NAN, inf),
        ] {
            assert!(!agrees(got, exact, inf), "{got} for {exact}");
        }
        assert!(agrees(inf, inf, 0.0) && agrees(f64::NAN, f64::NAN, 0.0) && agrees(1.0, 1.5, 0.5));
    }

    #[test]
    fn a_debug_text_keeps_all_but_long_lists() {
        let text = "A { x: [1, 2], y: [1, 2, 3, 4, 5, 6, 7, 8, 9], z: None }";
        let short = "A { x: [1, 2], y: [1, 2, 3, 4, 5, 6, 7, 8, … 9 in all], z: None }";
        assert_eq!(shortened(text), short);
    }
}
