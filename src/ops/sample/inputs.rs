//! What the options of sampling need on the device besides the logits: kept there, or in the caller's buffers.

use super::buffers::SampleBuffers;
use super::options::{Allowed, LogitBias, Sample, SampleRows};
use super::params::{PARAM_WORDS, SampleParams};
use super::words::Words;
use crate::dispatch::{Extent, Operand, Slice, require_iff};
use crate::error::{EncodeError, check_length};
use crate::gpu::Gpu;
use crate::ops::values::{OptionBuffer, Values, check_elements, option_operand};
use crate::rows::Rows;
use crate::shader::Slot;
use wgpu::BufferUsages as Usage;

/// Words in their slot.
#[derive(Debug, Clone)]
struct Input {
    slot: Slot,
    name: &'static str,
    extent: Extent,
    /// Unless the caller gives a buffer.
    own: Option<wgpu::Buffer>,
}

/// What options keep on the device for the rows of a batch.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    words: Vec<Input>,
    bias_values: Option<OptionBuffer>,
    draft_probs: Option<OptionBuffer>,
}

/// Words with a bit for each class.
pub(super) fn words_of_class_bits(classes: usize) -> usize {
    classes.div_ceil(32)
}

/// A [`Slice`] that the caller may have given, for each slot.
fn given<'a>(buffers: &SampleBuffers<'a>, slot: Slot) -> Option<Slice<'a>> {
    match slot {
        Slot::SampleParams => buffers.params,
        Slot::History => buffers.history,
        Slot::Allowed => buffers.allowed,
        Slot::DraftTokens => buffers.draft_tokens,
        _ => buffers.bias_classes,
    }
}

impl Inputs {
    pub(super) fn new(gpu: &Gpu, rows: &Rows, options: &Sample) -> Result<Self, EncodeError> {
        let mut words = vec![params_input(gpu, rows, options)?];
        let input = |slot, name, extent: Extent, from: &Words| -> Result<Input, EncodeError> {
            let own = match from {
                Words::Buffer => None,
                Words::Host(words) => {
                    check_length(name, extent.elements(rows.count()), words.len())?;
                    Some(gpu.buffer_of(name, bytemuck::cast_slice(words), Usage::STORAGE)?)
                }
            };
            Ok(Input {
                slot,
                name,
                extent,
                own,
            })
        };
        let bits = words_of_class_bits(rows.whole_classes());
        if let Some(history) = &options.history {
            let extent = Extent::RowWords(history.length);
            words.push(input(Slot::History, "history", extent, &history.tokens)?);
        }
        match &options.allowed {
            None => {}
            Some(Allowed::All(all)) => words.push(input(Slot::Allowed, "allowed", Extent::Words(bits), all)?),
            Some(Allowed::PerRow(all)) => words.push(input(Slot::Allowed, "allowed", Extent::RowWords(bits), all)?),
        }
        let mut bias_values = None;
        if let Some(bias) = &options.bias {
            check_bias(&bias.values)?;
            let (extent, name) = (bias.extent(), "bias_values");
            words.push(input(Slot::BiasClasses, "bias_classes", extent, &bias.classes)?);
            let count = extent.elements(rows.count());
            bias_values = Some(OptionBuffer::new(
                gpu,
                Slot::BiasValues,
                name,
                extent,
                count,
                &bias.values,
            )?);
        }
        let mut draft_probs = None;
        if let Some(draft) = &options.draft {
            let extent = draft.extent(1);
            words.push(input(Slot::DraftTokens, "draft_tokens", extent, &draft.tokens)?);
            draft_probs = draft.probs_buffer(gpu, rows)?;
        }
        Ok(Self {
            words,
            bias_values,
            draft_probs,
        })
    }

    /// The slots of them all.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let values = self.bias_values.iter().chain(&self.draft_probs);
        self.words
            .iter()
            .map(|input| input.slot)
            .chain(values.map(OptionBuffer::slot))
    }

    /// The operands, which are the caller's buffers where the options say so.
    pub(super) fn operands<'a>(&'a self, buffers: &SampleBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let mut all = Vec::new();
        for slot in [
            Slot::SampleParams,
            Slot::History,
            Slot::Allowed,
            Slot::BiasClasses,
            Slot::DraftTokens,
        ] {
            let input = self.words.iter().find(|input| input.slot == slot);
            let is_given = input.is_some_and(|input| input.own.is_none());
            let name = match slot {
                Slot::SampleParams => "params",
                Slot::History => "history",
                Slot::Allowed => "allowed",
                Slot::DraftTokens => "draft_tokens",
                _ => "bias_classes",
            };
            let slice = require_iff(
                is_given,
                name,
                "SampleRows::Buffer or Words::Buffer",
                given(buffers, slot),
            )?;
            if let Some(input) = input {
                let slice = slice.or(input.own.as_ref().map(|own| own.slice(..)));
                all.extend(slice.map(|slice| Operand::read(slot, input.name, slice, input.extent)));
            }
        }
        all.extend(option_operand(&self.bias_values, "bias_values", buffers.bias_values)?);
        all.extend(option_operand(&self.draft_probs, "draft_probs", buffers.draft_probs)?);
        Ok(all)
    }
}

/// The parameters of the rows, one set or one for each.
fn params_input(gpu: &Gpu, rows: &Rows, options: &Sample) -> Result<Input, EncodeError> {
    let (extent, all): (Extent, Option<Vec<SampleParams>>) = match &options.rows {
        SampleRows::Buffer => (Extent::RowWords(PARAM_WORDS), None),
        SampleRows::All(params) => (Extent::Words(PARAM_WORDS), Some(vec![params.checked(None)?])),
        SampleRows::PerRow(all) => {
            check_length("rows: PerRow", rows.count(), all.len())?;
            let checked = all.iter().enumerate().map(|(row, params)| params.checked(Some(row)));
            (Extent::RowWords(PARAM_WORDS), Some(checked.collect::<Result<_, _>>()?))
        }
    };
    let upload = |all| gpu.buffer_of("sampling parameters", bytemuck::cast_slice(all), Usage::STORAGE);
    Ok(Input {
        slot: Slot::SampleParams,
        name: "params",
        extent,
        own: all.as_deref().map(upload).transpose()?,
    })
}

fn check_bias(values: &Values) -> Result<(), EncodeError> {
    let is_good = |v: f32| !v.is_nan() && v != f32::INFINITY;
    check_elements("bias.values", Some(values), "finite or -inf", is_good)
}

impl LogitBias {
    fn extent(&self) -> Extent {
        if self.per_row {
            Extent::RowWords(self.length)
        } else {
            Extent::Words(self.length)
        }
    }
}
