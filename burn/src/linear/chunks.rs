//! How many rows are computed at a time, so that what is held meanwhile fits into a budget of bytes.

use std::ops::Range;
use wgpu_softmax::Reduction;

/// Offsets in Burn's memory are multiples of this many bytes, or else a part of a tensor is a copy.
const ALIGNMENT: usize = 256;
/// Bytes of each row beside its logits: loss, target, the kernel's own copies.
const ROW_BYTES: usize = 32;
const F32_BYTES: usize = size_of::<f32>();

/// The sizes of a linear layer and of its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    /// `d_input`.
    pub(crate) features: usize,
    /// `d_output`.
    pub(crate) classes: usize,
    /// Bytes of an element of the layer: 2 or 4.
    pub(crate) element: usize,
    /// Whether gradients are computed.
    pub(crate) gradients: bool,
}

/// What is computed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Rows of the batch whose logits there are at a time.
    pub(crate) rows: usize,
    /// Rows of the weight whose gradient is added at a time.
    pub(crate) block: usize,
}

impl Sizes {
    /// The most bytes that are held at a time beside inputs and gradients.
    pub(crate) fn bytes(&self, chunks: Chunks) -> usize {
        let Self {
            features,
            classes,
            element,
            ..
        } = *self;
        // A part of the hidden states may be a copy, and a part of it once more.
        let logits = chunks.rows * (classes * element + 2 * features * element + ROW_BYTES);
        if !self.gradients {
            return logits;
        }
        let hidden_grad = chunks.rows * features * F32_BYTES;
        let is_first_last = chunks.rows >= self.rows;
        let weight_grad = if is_first_last {
            0
        } else {
            self.block_bytes(chunks.block)
        };
        // The bias has its sum, and its part of the sum; a row of ones makes it.
        let bias_grad = 2 * classes * F32_BYTES + chunks.rows * element;
        logits + hidden_grad.max(weight_grad).max(bias_grad)
    }

    /// Bytes of a part of the weight's gradient, and of the sum so far where that must be copied to be added.
    fn block_bytes(&self, block: usize) -> usize {
        let bytes = block * self.classes * F32_BYTES;
        let all = self.features * self.classes * F32_BYTES;
        let is_copied = block < self.features && (!bytes.is_multiple_of(ALIGNMENT) || !all.is_multiple_of(ALIGNMENT));
        if is_copied { 2 * bytes } else { bytes }
    }

    /// The fewest bytes that a budget can be: for one row.
    pub(crate) fn needed(&self) -> usize {
        self.bytes(Chunks { rows: 1, block: 1 })
    }

    /// The largest chunks that a budget allows, or `None` if it allows none.
    pub(crate) fn within(&self, budget: usize) -> Option<Chunks> {
        let whole = Chunks {
            rows: self.rows.max(1),
            block: self.features.max(1),
        };
        if self.bytes(whole) <= budget {
            return Some(whole);
        }
        if self.needed() > budget {
            return None;
        }
        // A third of the budget for a part of the weight's gradient: each part reads the gradient of all logits once more, and each
        // chunk of rows reads and writes the gradient of all weights once more.
        let fits = |rows, block| self.bytes(Chunks { rows, block }) <= budget;
        let fits_third = |block| self.block_bytes(block) <= budget / 3 && fits(1, block);
        let block = match self.gradients {
            true => largest(whole.block, fits_third).map_or(1, |most| in_tiles(most, whole.block)),
            false => whole.block,
        };
        let rows = largest(whole.rows, |rows| fits(rows, block))?;
        Some(Chunks {
            rows: in_tiles(rows, whole.rows),
            block,
        })
    }
}

/// A number up to `most` of which a matmul's tiles are full, unless that is `all` there are.
fn in_tiles(most: usize, all: usize) -> usize {
    match most {
        _ if most >= all => all,
        64.. => most - most % 64,
        8.. => most - most % 8,
        _ => most,
    }
}

/// The largest number up to `most` for which `fits` holds; it is looked for as if it held for all smaller ones.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut good, mut bad) = (0, most + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    (good > 0).then_some(good)
}

/// `0 .. all` in ranges of `step`.
pub(crate) fn ranges(all: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..all)
        .step_by(step.max(1))
        .map(move |start| start..all.min(start + step))
}

/// Whether the gradient of the weights can be found while the losses are: each row then has the same upstream gradient.
pub(crate) fn is_one_pass(reduction: Reduction) -> bool {
    reduction != Reduction::None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        rows: 4096,
        features: 256,
        classes: 32_000,
        element: 4,
        gradients: true,
    };

    #[test]
    fn chunks_fit_their_budget() {
        for gradients in [false, true] {
            for classes in [1, 10, 999, 32_000] {
                let sizes = Sizes {
                    classes,
                    gradients,
                    ..SIZES
                };
                let needed = sizes.needed();
                for budget in [needed, needed + 1, 2 * needed, 100 * needed, 3000 * needed, 1 << 40] {
                    let chunks = sizes.within(budget);
                    let bytes = chunks.map(|chunks| sizes.bytes(chunks));
                    assert!(
                        bytes.is_some_and(|bytes| bytes <= budget),
                        "{sizes:?} in {budget} bytes: {chunks:?} take {bytes:?}"
                    );
                }
                assert_eq!(
                    sizes.within(needed - 1),
                    None,
                    "{sizes:?} in one byte less than a row needs"
                );
            }
        }
    }

    #[test]
    fn a_large_budget_is_one_piece() {
        let chunks = SIZES.within(usize::MAX);
        let expected = Some(Chunks { rows: 4096, block: 256 });
        assert_eq!(chunks, expected, "the chunks of an unlimited budget");
    }

    #[test]
    fn ranges_cover_all() {
        let got: Vec<_> = ranges(10, 4).collect();
        assert_eq!(got, [0..4, 4..8, 8..10], "ranges of 4 of 10");
    }
}
