//! [`Bound`]: dispatches with their bind groups made, so that recording them does nothing but record.

use std::sync::Arc;

pub(crate) type Pipeline = Arc<wgpu::ComputePipeline>;

/// What `encode` or `record` recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The number of dispatches, all in one compute pass.
    pub dispatches: usize,
    /// Bytes of device memory allocated: 0 for a call like an earlier one, and for what was bound before.
    pub allocated_bytes: u64,
}

/// An operation bound to its buffers, to be recorded any number of times: `bind` of any kernel makes it. The buffers are
/// checked and the bind groups made by then, so recording allocates nothing, checks nothing and cannot fail. It keeps
/// what it needs: kernel and buffers may be dropped. Cloning is cheap.
///
/// ```
/// use wgpu_softmax::{CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows, wgpu};
/// let gpu = Gpu::new()?;
/// let buffer = |size| gpu.device().create_buffer(&wgpu::BufferDescriptor {
///     label: None, size, usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false,
/// });
/// let (logits, targets, summary) = (buffer(32), buffer(8), buffer(CrossEntropySummary::BYTES));
/// let options = CrossEntropy { gradient: Gradient::InPlace, ..CrossEntropy::default() };
/// let loss = options.prepare(&gpu, Rows::new(2, 4))?.bind(&CrossEntropyBuffers::new(
///     logits.slice(..), targets.slice(..), summary.slice(..),
/// ))?;
/// for _step in 0..3 {
///     let mut encoder = gpu.device().create_command_encoder(&Default::default());
///     let mut pass = encoder.begin_compute_pass(&Default::default());
///     // The forward pass of a model would be recorded here, and its backward pass after the loss.
///     loss.record(&mut pass);
///     drop(pass);
///     gpu.queue().submit([encoder.finish()]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bound {
    steps: Arc<[Step]>,
}

/// A dispatch as it is recorded.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) pipeline: Pipeline,
    pub(super) group: wgpu::BindGroup,
    pub(super) grid: (u32, u32),
}

impl Bound {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps: steps.into() }
    }

    /// Records the operation in a compute pass of its own; nothing is submitted, polled or waited for.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Recorded {
        // A batch without rows has nothing to record, and a pass costs something even if it is empty.
        if self.steps.is_empty() {
            return Recorded::default();
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-softmax"),
            timestamp_writes: None,
        });
        self.record(&mut pass)
    }

    /// Records the operation in the caller's compute pass, whose pipeline and bind group 0 it replaces. wgpu orders it
    /// after the dispatches before it, and those after it, where they use the same buffers.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) -> Recorded {
        for step in self.steps.iter() {
            pass.set_pipeline(&step.pipeline);
            pass.set_bind_group(0, &step.group, &[]);
            pass.dispatch_workgroups(step.grid.0, step.grid.1, 1);
        }
        Recorded {
            dispatches: self.steps.len(),
            allocated_bytes: 0,
        }
    }
}
