//! [`wgpu_softmax`] on several GPUs over MPI: softmax, logsumexp, cross-entropy with its gradient and sampling for rows whose classes are
//! on several ranks, for batches whose rows are, and for both at once.
//!
//! ```no_run
//! use wgpu_softmax_mpi::{Error, Ranks, wgpu_softmax::{CrossEntropy, Gpu, Gradient}};
//!
//! fn main() -> Result<(), Error> {
//!     let Some(universe) = mpi::initialize() else { return Ok(()) };
//!     let ranks = Ranks::new(&universe, universe.world_size())?; // they share each row
//!     let gpu = ranks.agree(Gpu::new())?;
//!     let rows = ranks.shard(8, 200_000)?; // 8 rows; rows.first_class() .. + rows.classes() are this rank's
//!     let logits = vec![0f32; 8 * rows.classes()];
//!     let options = CrossEntropy { gradient: Gradient::Apart, ..CrossEntropy::default() };
//!     let out = ranks.cross_entropy(&gpu, &logits, &[7u32; 8], rows, &options)?;
//!     println!("{:?}", out.loss); // the same bits on every rank, and for every number of ranks
//!     Ok(()) // out.gradient is that of this rank's logits
//! }
//! # trait Size { fn world_size(&self) -> usize; }
//! # impl Size for mpi::environment::Universe {
//! #     fn world_size(&self) -> usize { use mpi::traits::Communicator; self.world().size() as usize }
//! # }
//! ```
//!
//! **What travels.** Of each span of 1,024 classes of a row its statistics, 12 to 36 bytes, in one all-gather among the ranks that
//! share the row. Logits, probabilities and gradients stay where they are. Losses over several groups of rows take 4 bytes a row
//! more (8 with z-loss, and 4 for weights), in one all-gather among the ranks with the same part of other rows. Sampling takes
//! two all-gathers and more: see [`ShardSample`](wgpu_softmax::ShardSample). Before and after each,
//! each rank sends 112 bytes that say how it is doing, to all.
//!
//! **What is exact.** Everything has the bits of one call on one GPU for all rows and classes, losses included: all ranks get the
//! losses of all rows in their order, and add them up in the library's canonical order. A mean over several groups is divided on
//! the host; drivers whose f32 division is not rounded correctly may give another last bit in one call.
//!
//! **When a rank fails**, all of them get the same [`Error`]: see [`Ranks`]. Where MPI is, and how it is built, is
//! [rsmpi](https://docs.rs/mpi)'s affair.

mod error;
mod losses;
mod ranks;
mod record;
mod reduce;
mod sample;
mod shards;
mod targets;

pub use error::Error;
pub use mpi;
pub use ranks::{Ranks, Traffic};
pub use wgpu_softmax;
