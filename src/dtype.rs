//! How elements are stored. Arithmetic is always f32.

/// How a matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE 754's 16 bits (binary16). Results are rounded to the nearest, ties to even, and are ±∞ from 65,520 on.
    F16,
    /// The upper half of an f32. Results are rounded to the nearest, ties to even.
    Bf16,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// How an operation's matrices are stored; f16 and bf16 need no feature of the adapter.
///
/// Outputs and inputs with one number for each row (losses, lse, upstream gradients), masks, biases and weights are
/// always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Storage {
    /// The logits, and the other inputs that are laid out as they are, except masks and weights.
    pub logits: Dtype,
    /// The result or the gradient.
    pub result: Dtype,
}

impl Storage {
    /// The same type for both.
    pub const fn all(dtype: Dtype) -> Self {
        Self {
            logits: dtype,
            result: dtype,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An element of a slice on the host: f32, [`half::f16`] or [`half::bf16`].
pub trait Element: bytemuck::Pod + Into<f64> + sealed::Sealed {
    /// How it is stored.
    const DTYPE: Dtype;

    /// The nearest value, ties to even; a value too large for f16 becomes ±∞.
    fn nearest(value: f32) -> Self;
}

macro_rules! element {
    ($($kind:ty => $dtype:ident $nearest:expr),*) => {$(
        impl sealed::Sealed for $kind {}
        impl Element for $kind {
            const DTYPE: Dtype = Dtype::$dtype;

            fn nearest(value: f32) -> Self {
                $nearest(value)
            }
        }
    )*};
}

element!(f32 => F32 std::convert::identity, half::f16 => F16 Self::from_f32, half::bf16 => Bf16 Self::from_f32);
