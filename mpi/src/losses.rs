//! Cross-entropy over the ranks.

use crate::error::Error;
use crate::ranks::{Ranks, fits};
use crate::record::{Call, Record};
use crate::shards::{Joined, adjust_print};
use crate::{reduce, targets};
use std::mem::discriminant;
use wgpu_softmax::{
    CrossEntropy, CrossEntropyOutput, Element, EncodeError, Gpu, Gradient, Normalizer, Reduction, Rows, RunError,
    ShardStatistics, TargetIndex,
};

impl Ranks<'_> {
    /// [`Gpu::cross_entropy`] over all ranks. `logits` are this rank's part of its rows, whose number may differ from group to
    /// group; `targets` has one class for each of these rows, numbered in the whole row, and is the same on all ranks that share
    /// them. With one rank to a row, rows may be whole ones, or shards of all classes.
    ///
    /// The reduced loss and z-loss, `counted` and `correct` are those of the rows of all groups, in the groups' order; the
    /// outputs of rows are those of this rank's rows, and the gradient is that of its logits. The mean's denominator is counted
    /// over all groups; a [`Normalizer::Number`] is taken as it is.
    ///
    /// # Errors
    /// The same on every rank: what [`Gpu::cross_entropy_shard`] gives on one of them, ranks that did not call alike, and with
    /// several groups [`EncodeError::Conflict`] for a mean of weighted losses with z-loss, which has two denominators.
    pub fn cross_entropy<T: Element, I: TargetIndex>(
        &self,
        gpu: &Gpu,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, Error> {
        let checked = targets::checked(targets, &rows, options);
        let mut record = Record::of_call(Call::CrossEntropy, T::DTYPE, &rows, &print(options));
        if let Ok(checked) = &checked {
            (record.given, record.counted) = (checked.print, checked.counted);
        }
        let checked = checked.and_then(|_| self.check(options, true));
        let found = checked.and_then(|()| match self.is_whole(&rows) {
            true => Ok(None),
            false => gpu.cross_entropy_statistics(logits, targets, rows, options).map(Some),
        });
        let (joined, all) = self.join_if(found, record)?;
        let options = &self.normalized(options, &all, || targets::weights(targets, &rows, options))?;
        let out = joined.and_then(|joined| match &joined {
            Some(joined) => gpu.cross_entropy_shard(logits, targets, rows, joined, &options.each),
            None => gpu.cross_entropy(logits, targets, rows, &options.each),
        });
        self.reduced(out, options, &all)
    }

    /// As [`Ranks::cross_entropy`] with soft targets: `probabilities` are this rank's part of them, laid out as its logits are.
    ///
    /// # Errors
    /// As [`Ranks::cross_entropy`].
    pub fn cross_entropy_soft<T: Element>(
        &self,
        gpu: &Gpu,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, Error> {
        let mut record = Record::of_call(Call::SoftCrossEntropy, T::DTYPE, &rows, &print(options));
        record.counted = record.rows;
        let found = self.check(options, false).and_then(|()| match self.is_whole(&rows) {
            true => Ok(None),
            false => (gpu.cross_entropy_soft_statistics(logits, probabilities, rows, options)).map(Some),
        });
        let (joined, all) = self.join_if(found, record)?;
        let options = &self.normalized(options, &all, Vec::new)?;
        let out = joined.and_then(|joined| match &joined {
            Some(joined) => gpu.cross_entropy_soft_shard(logits, probabilities, rows, joined, &options.each),
            None => gpu.cross_entropy_soft(logits, probabilities, rows, &options.each),
        });
        self.reduced(out, options, &all)
    }

    pub(crate) fn is_whole(&self, rows: &Rows) -> bool {
        self.vocab_ranks() == 1 && !rows.is_shard()
    }

    /// Whether the losses of several groups are reduced to one.
    fn reduces(&self, options: &CrossEntropy) -> bool {
        self.data_ranks() > 1 && options.reduction != Reduction::None && options.from_lse.is_none()
    }

    /// Whether there is a denominator to be counted in all groups.
    fn counts(&self, options: &CrossEntropy) -> bool {
        self.data_ranks() > 1 && options.reduction == Reduction::Mean && options.normalizer == Normalizer::Rows
    }

    fn check(&self, options: &CrossEntropy, has_indices: bool) -> Result<(), RunError> {
        let is_weighted = has_indices && options.weights.is_some();
        if self.counts(options) && is_weighted && options.z_loss != 0.0 {
            return Err(RunError::Encode(EncodeError::Conflict {
                a: "a mean of weighted losses over several groups",
                b: "z_loss",
                why: "each has a denominator of its own; give both one with Normalizer::Number",
            }));
        }
        Ok(())
    }

    fn join_if(
        &self,
        found: Result<Option<ShardStatistics>, RunError>,
        record: Record,
    ) -> Result<Joined<Option<ShardStatistics>>, Error> {
        match found.transpose() {
            None => self.settle(Ok::<_, RunError>(Ok(None)), record),
            Some(found) => self.join(found, record).map(|(joined, all)| (joined.map(Some), all)),
        }
    }

    /// The options for each rank's own call, which knows the denominator of all rows.
    fn normalized(
        &self,
        options: &CrossEntropy,
        all: &[Record],
        weights: impl Fn() -> Vec<f32>,
    ) -> Result<Normalized, Error> {
        let mut each = options.clone();
        if self.reduces(options) {
            (each.row_losses, each.row_z_losses) = (true, options.row_z_losses || options.z_loss != 0.0);
        }
        if self.counts(options) {
            let is_soft = all.iter().all(|r| r.call == Call::SoftCrossEntropy as u64);
            let denominator = match options.weights.is_some() && !is_soft {
                true => {
                    let counts = self.rows_of_groups(all);
                    fits(&counts)?;
                    reduce::sum(&self.gather_data(&weights(), &counts))
                }
                false => self.of_groups(all).map(|r| r.counted).sum::<u64>() as f32,
            };
            each.normalizer = Normalizer::Number(denominator);
        }
        Ok(Normalized {
            each,
            row_losses: options.row_losses,
            row_z_losses: options.row_z_losses,
        })
    }

    fn of_groups<'a>(&self, all: &'a [Record]) -> impl Iterator<Item = &'a Record> {
        all.iter().step_by(self.vocab_ranks())
    }

    fn rows_of_groups(&self, all: &[Record]) -> Vec<u64> {
        self.of_groups(all).map(|r| r.rows).collect()
    }

    /// The output with the sums of all groups.
    fn reduced<T>(
        &self,
        out: Result<CrossEntropyOutput<T>, RunError>,
        options: &Normalized,
        shapes: &[Record],
    ) -> Result<CrossEntropyOutput<T>, Error> {
        let mut record = Record::default();
        if let Ok(out) = &out {
            record.counted = out.counted as u64;
            record.correct = out.correct.unwrap_or(0) as u64;
        }
        let (mut out, all) = self.settle(out, record)?;
        let each = &options.each;
        if !self.reduces(each) {
            return Ok(out);
        }
        out.counted = self.of_groups(&all).map(|r| r.counted as usize).sum();
        let correct = self.of_groups(&all).map(|r| r.correct as usize).sum();
        out.correct = out.correct.map(|_| correct);
        let counts = self.rows_of_groups(shapes);
        fits(&counts)?;
        let total = |losses: &mut Option<Vec<f32>>, is_wanted: bool| {
            let sum = reduce::sum(&self.gather_data(losses.as_deref().unwrap_or_default(), &counts));
            *losses = losses.take().filter(|_| is_wanted);
            sum
        };
        let loss = total(&mut out.row_losses, options.row_losses);
        out.loss = Some(match (each.reduction, each.normalizer) {
            (Reduction::Mean, Normalizer::Number(number)) => reduce::mean(loss, number, each.empty_mean),
            _ => loss,
        });
        if each.z_loss != 0.0 {
            out.z_loss = Some(total(&mut out.row_z_losses, options.row_z_losses));
        }
        Ok(out)
    }
}

/// The options of each rank's call, and what the caller asked for.
struct Normalized {
    each: CrossEntropy,
    row_losses: bool,
    row_z_losses: bool,
}

/// What must be the same of the options on all ranks, but for numbers of rows and classes.
fn print(options: &CrossEntropy) -> String {
    let formula = (
        options.input,
        options.weights.is_some(),
        options.label_smoothing.to_bits(),
        options.z_loss.to_bits(),
        options.reduction,
        options.normalizer,
        options.ignore_index,
        options.empty_mean,
        options.fully_masked,
        options.fast,
    );
    let outputs = (
        options.gradient != Gradient::None,
        options.row_losses,
        options.row_z_losses,
        options.lse,
        options.log_prob,
        options.entropy,
        options.argmax,
        options.correct,
    );
    let kinds = (discriminant(&options.upstream), options.from_lse.is_some());
    format!("{formula:?} {outputs:?} {kinds:?} {}", adjust_print(&options.adjust))
}
