//! The public operations, one in each file: options, checks, plan and recording, in that order.

pub(crate) mod adjust;
pub(crate) mod binary_cross_entropy;
pub(crate) mod cross_entropy;
pub(crate) mod entropy;
pub(crate) mod logsumexp;
pub(crate) mod loss;
pub(crate) mod row_op;
pub(crate) mod sample;
pub(crate) mod shard;
pub(crate) mod sink;
pub(crate) mod softmax;
pub(crate) mod softmax_grad;
pub(crate) mod softmax_jacobian;
pub(crate) mod values;
