//! Softmax with a tensor of sinks, whose gradient flows as that of the logits does.

mod autodiff;
mod backend;
mod cube;
mod function;

pub use backend::{SoftmaxSinkBackend, SoftmaxSinkGradBackend};
pub use function::softmax_with_sink;
