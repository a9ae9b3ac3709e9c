//! The same operations in f64 on the CPU, one plain function each. The kernels are tested against them, and your tests
//! may use them too. Here, too, the largest logit is subtracted first; sums are taken from left to right.
//!
//! ```
//! use wgpu_softmax::{reference, Rows, Softmax};
//! let y = reference::softmax(&[0.0, 3f64.ln()], Rows::new(1, 2), &Softmax::default())?;
//! assert!((y[0] - 0.25).abs() < 1e-15 && (y[1] - 0.75).abs() < 1e-15);
//! # Ok::<(), wgpu_softmax::EncodeError>(())
//! ```

mod adjusted;
mod binary_cross_entropy;
mod cross_entropy;
mod draft;
mod entropy;
mod reduction;
mod row;
mod sample;
mod softmax;
#[cfg(test)]
mod tests;

pub use adjusted::{adjusted, places};
pub use binary_cross_entropy::{BinaryCrossEntropyReference, binary_cross_entropy_with_logits};
#[doc(hidden)]
pub use cross_entropy::LossScales;
pub use cross_entropy::distillation::distillation;
pub use cross_entropy::hessian::{cross_entropy_hvp, cross_entropy_soft_hvp};
pub use cross_entropy::{CrossEntropyReference, cross_entropy, cross_entropy_soft};
pub use draft::{DraftReference, verify_draft};
pub use entropy::entropy;
pub use sample::{SampleReference, sample};
pub use softmax::{
    logsumexp, logsumexp_grad, sink_probabilities, softmax, softmax_grad, softmax_hvp, softmax_jacobian,
};
