//! The kernels in plain f32 Rust, step by step and in the canonical order of summation. Where an adapter rounds each
//! product, sum and difference as IEEE 754 says, the kernels' results have exactly these bits. Rows with NaN or +∞, and
//! rows of only −∞, are left to `reference`: every row here has a finite largest value.

mod draft;
mod rows;
mod sample;
mod search;

pub use draft::{Sequence, verify_draft};
pub use rows::{cross_entropy, softmax, softmax_with_sink, total};
pub use sample::{Drawn, Edits, Philox, draw, left, log_prob, values};
