//! Linear layer and cross-entropy in one, without the logits of all rows.

mod autodiff;
mod backend;
mod chunks;
mod cube;
mod function;
mod module;

pub use backend::{LinearCrossEntropyBackend, LinearCrossEntropyGradBackend, LinearLayer, LinearOptions};
pub use function::{linear_cross_entropy, linear_cross_entropy_bytes};
pub use module::LinearCrossEntropyLoss;
