//! [`Sink`]: one more logit in the denominator of a row.

use super::values::{NO_BUFFER, OptionBuffer, Values, check_finite, check_number, option_operand};
use crate::dispatch::{Extent, Operand, Slice};
use crate::error::{EncodeError, RunError};
use crate::gpu::{Gpu, Wait};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{Params, Slot};
use wgpu::BufferUsages as Usage;

/// One more logit σ in the denominator of each row, which has no output of its own: `y_c = exp(a_c − m) / (d + exp(σ − m))`, m being
/// the larger of σ and all a, so that a row's probabilities add up to less than 1. Attention sinks are such logits; σ = 0 is "softmax
/// plus one". It is neither scaled nor capped nor masked. A row of −∞ alone has probabilities of 0 and an lse of σ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Sink {
    /// The same for all rows: finite.
    Number(f32),
    /// One for each row: finite, or an error where they are on the host. Of a device buffer a NaN or +∞ makes its row NaN, and with −∞
    /// there is none.
    PerRow(Values),
}

/// A [`Sink`] made ready for a batch.
#[derive(Debug, Clone)]
pub(crate) struct SinkOption {
    buffer: Option<OptionBuffer>,
    stride: u32,
}

impl SinkOption {
    pub(crate) fn new(gpu: &Gpu, rows: Rows, sink: Option<&Sink>) -> Result<Self, EncodeError> {
        let (values, extent, count, stride) = match sink {
            None => {
                return Ok(Self {
                    buffer: None,
                    stride: 0,
                });
            }
            Some(Sink::Number(number)) => {
                check_number("sink", *number, "finite", true)?;
                (Values::from([*number]), Extent::Words(1), 1, 0)
            }
            Some(Sink::PerRow(values)) => (values.clone(), Extent::Row, rows.count(), 1),
        };
        check_finite("sink", Some(&values))?;
        Ok(Self {
            buffer: Some(OptionBuffer::new(gpu, Slot::Sink, "sink", extent, count, &values)?),
            stride,
        })
    }

    /// For a batch on the host.
    pub(crate) fn on_host(gpu: &Gpu, rows: Rows, sink: Option<&Sink>) -> Result<Self, RunError> {
        match sink {
            Some(Sink::PerRow(Values::Buffer)) => Err(NO_BUFFER),
            _ => Ok(Self::new(gpu, rows, sink)?),
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.buffer.is_some()
    }

    pub(crate) fn operand<'a>(&'a self, slice: Option<Slice<'a>>) -> Result<Option<Operand<'a>>, EncodeError> {
        option_operand(&self.buffer, "sink", slice)
    }

    pub(crate) fn params(&self, params: Params) -> Params {
        Params {
            sink_stride: self.stride,
            ..params
        }
    }
}

/// The buffer of the gradients of sinks.
pub(crate) fn sink_gradient(slice: Slice<'_>) -> Operand<'_> {
    Operand::written(Slot::SinkGrad, "sink_gradient", slice, Extent::Row)
}

/// The sink of a batch on the host whose gradient is asked for, if there is one.
pub(crate) struct HostSink {
    pub(crate) sink: SinkOption,
    gradient: Option<wgpu::Buffer>,
}

impl HostSink {
    /// `is_asked` in the calls that give the gradient of the sink.
    pub(crate) fn new(gpu: &Gpu, rows: Rows, sink: Option<&Sink>, is_asked: bool) -> Result<Self, RunError> {
        let why = "the calls that end in _with_sink give a sink's gradient, and only those";
        match (sink, is_asked) {
            (Some(_), false) => {
                let (a, b) = ("a sink", "a call that gives the logits' gradient alone");
                return Err(EncodeError::Conflict { a, b, why }.into());
            }
            (None, true) => {
                let (a, b) = ("a call that gives the gradient of a sink", "no sink");
                return Err(EncodeError::Conflict { a, b, why }.into());
            }
            _ => {}
        }
        // So many rows that their words could not be counted are an error of the rows.
        rows.elements()?;
        let bytes = rows.count() as u64 * ELEMENT_BYTES;
        let buffer = || gpu.buffer("sink_gradient", bytes, Usage::STORAGE | Usage::COPY_SRC);
        Ok(Self {
            sink: SinkOption::on_host(gpu, rows, sink)?,
            gradient: is_asked.then(buffer).transpose()?,
        })
    }

    pub(crate) fn operands(&self) -> Result<Vec<Operand<'_>>, EncodeError> {
        let gradient = self.gradient.as_ref().map(|buffer| sink_gradient(buffer.slice(..)));
        Ok(self.sink.operand(None)?.into_iter().chain(gradient).collect())
    }

    /// The gradient of each row's sink, if there is one.
    pub(crate) async fn read(&self, gpu: &Gpu, rows: Rows, wait: Wait) -> Result<Vec<f32>, RunError> {
        let gradient = gpu.elements_of(self.gradient.as_ref(), rows.count(), wait).await?;
        Ok(gradient.unwrap_or_default())
    }
}
