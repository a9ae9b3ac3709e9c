//! How a batch is cut: into parts that a device binds at once, and into parts that travel between host and device at
//! once.

use crate::error::EncodeError;
use crate::ragged::{RaggedRows, RowLayout};
use crate::rows::{ELEMENT_BYTES, Rows};
use std::ops::Range;

/// wgpu's backends cut a binding off at 2 GiB, whatever the limit says.
const BINDING_MAX: u64 = 1 << 31;

/// Bytes of an entry of the table of rows of unequal length.
pub(super) const ENTRY_BYTES: u64 = 16;

/// The most bytes that one binding may have.
pub(crate) fn bindable_bytes(limits: &wgpu::Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(BINDING_MAX)
}

/// Rows that are bound at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) first_element: usize,
    pub(crate) elements: usize,
}

/// Rows that travel between host and device at once, dense on the device.
#[derive(Debug, Clone)]
pub(crate) struct HostPart {
    /// The part as the device sees it.
    pub(crate) rows: Rows,
    pub(crate) first_row: usize,
    whole: Rows,
    outer: Range<usize>,
    inner: Range<usize>,
    /// Rows of unequal length, and their elements in the whole batch.
    ragged: Option<(RaggedRows, Range<usize>)>,
}

impl HostPart {
    /// The ranges of the whole batch's elements that the part consists of, in the order they have on the device.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let (whole, inner) = (self.whole, self.inner.clone());
        let full = inner.len() == whole.inner();
        let dense = full && whole.outer_stride() == whole.block();
        let blocks = if dense { 1 } else { self.outer.len() };
        let pieces = if full { 1 } else { whole.classes() };
        let length = match (dense, full) {
            (true, _) => self.outer.len() * whole.block(),
            (_, true) => whole.block(),
            _ => inner.len(),
        };
        let first = self.outer.start * whole.outer_stride() + inner.start;
        let (blocks, pieces, first, length) = match &self.ragged {
            Some((_, elements)) => (1, 1, elements.start, elements.len()),
            None => (blocks, pieces, first, length),
        };
        (0..blocks).flat_map(move |block| {
            (0..pieces).map(move |piece| {
                let start = first + block * whole.outer_stride() + piece * whole.inner();
                start..start + length
            })
        })
    }

    pub(crate) fn elements(&self) -> usize {
        match &self.ragged {
            Some((_, elements)) => elements.len(),
            None => self.rows.count() * self.rows.classes(),
        }
    }

    /// Where its rows lie on the device.
    pub(crate) fn layout(&self) -> RowLayout {
        match &self.ragged {
            Some((rows, _)) => rows.into(),
            None => self.rows.into(),
        }
    }
}

/// Cuts a batch so that each part can be bound at once, whatever its offset, and each `group` rows are in one part.
pub(crate) fn parts(rows: &Rows, group: usize, limits: &wgpu::Limits) -> Result<Vec<Part>, EncodeError> {
    let elements = rows.elements()?;
    if elements == 0 {
        return Ok(Vec::new());
    }
    let slack = u64::from(limits.min_storage_buffer_offset_alignment);
    let limit = bindable_bytes(limits).saturating_sub(slack);
    let blocks = blocks_within(rows, limit).map_or(0, |blocks| blocks / group * group);
    if blocks == 0 {
        return Err(EncodeError::RowTooLong {
            classes: rows.classes(),
            inner: rows.inner() * group,
            needed: (group * rows.block()) as u64 * ELEMENT_BYTES,
            limit,
        });
    }
    let part = |outer: usize| {
        let outers = blocks.min(rows.outer() - outer);
        Part {
            first_row: outer * rows.inner(),
            rows: outers * rows.inner(),
            first_element: outer * rows.outer_stride(),
            elements: (outers - 1) * rows.outer_stride() + rows.block(),
        }
    };
    Ok((0..rows.outer()).step_by(blocks).map(part).collect())
}

/// The most outer blocks whose elements, and whose rows' words, take at most `limit` bytes; `None` if one block takes
/// more. Elements are counted as 4 bytes even where they are stored in 2.
fn blocks_within(rows: &Rows, limit: u64) -> Option<usize> {
    let limit = usize::try_from(limit / ELEMENT_BYTES).unwrap_or(usize::MAX);
    let beyond = limit.checked_sub(rows.block())?;
    let by_elements = beyond / rows.outer_stride() + 1;
    Some(by_elements.min(limit / rows.inner()).max(1))
}

/// Cuts a batch on the host into dense parts of at most `limit` bytes, or of `group` rows where these take more.
pub(crate) fn host_parts(layout: &RowLayout, group: usize, limit: u64) -> Result<Vec<HostPart>, EncodeError> {
    let rows = &layout.rows;
    if let Some(ragged) = &layout.ragged {
        return Ok(ragged_host_parts(ragged, limit));
    }
    if rows.elements()? == 0 {
        return Ok(Vec::new());
    }
    let dense = rows.dense(rows.outer(), rows.inner());
    let mut parts = Vec::new();
    let blocks = blocks_within(&dense, limit).or((group > 1).then_some(group));
    if let Some(blocks) = blocks {
        let blocks = (blocks / group * group).max(group);
        for outer in (0..rows.outer()).step_by(blocks) {
            let end = rows.outer().min(outer + blocks);
            parts.push(host_part(rows, outer..end, 0..rows.inner()));
        }
    } else {
        let row_bytes = rows.classes() as u64 * ELEMENT_BYTES;
        let side_by_side = usize::try_from(limit / row_bytes)
            .unwrap_or(usize::MAX)
            .clamp(1, rows.inner());
        for outer in 0..rows.outer() {
            for inner in (0..rows.inner()).step_by(side_by_side) {
                let end = rows.inner().min(inner + side_by_side);
                parts.push(host_part(rows, outer..outer + 1, inner..end));
            }
        }
    }
    Ok(parts)
}

fn ragged_host_parts(whole: &RaggedRows, limit: u64) -> Vec<HostPart> {
    let part = |range: Range<usize>| {
        let rows = whole.part(range.clone());
        HostPart {
            rows: rows.envelope(),
            first_row: range.start,
            whole: whole.envelope(),
            outer: range.clone(),
            inner: 0..1,
            ragged: Some((rows, whole.elements_of(range))),
        }
    };
    cut(whole, limit).into_iter().map(part).collect()
}

fn host_part(rows: &Rows, outer: Range<usize>, inner: Range<usize>) -> HostPart {
    HostPart {
        rows: rows.dense(outer.len(), inner.len()),
        first_row: outer.start * rows.inner() + inner.start,
        whole: *rows,
        outer,
        inner,
        ragged: None,
    }
}

/// Cuts rows into runs of at most `limit` bytes of elements, and of entries, or of one row where that takes more.
fn cut(rows: &RaggedRows, limit: u64) -> Vec<Range<usize>> {
    let most_rows = usize::try_from(limit / ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
    let most = usize::try_from(limit / ELEMENT_BYTES).unwrap_or(usize::MAX);
    let (mut runs, mut start) = (Vec::new(), 0);
    for row in 0..rows.count() {
        let is_too_much = rows.elements_of(start..row + 1).len() > most || row - start == most_rows;
        if row > start && is_too_much {
            runs.push(start..row);
            start = row;
        }
    }
    if start < rows.count() {
        runs.push(start..rows.count());
    }
    runs
}

/// [`parts`] of rows of unequal length.
pub(super) fn ragged_parts(rows: &RaggedRows, limits: &wgpu::Limits) -> Result<Vec<Part>, EncodeError> {
    let limit = bindable_bytes(limits).saturating_sub(limits.min_storage_buffer_offset_alignment.into());
    let needed = rows.longest() as u64 * ELEMENT_BYTES;
    if needed > limit {
        return Err(EncodeError::RowTooLong {
            classes: rows.longest(),
            inner: 1,
            needed,
            limit,
        });
    }
    let part = |run: Range<usize>| {
        let elements = rows.elements_of(run.clone());
        Part {
            first_row: run.start,
            rows: run.len(),
            first_element: elements.start,
            elements: elements.len(),
        }
    };
    Ok(cut(rows, limit).into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits(binding: u64) -> wgpu::Limits {
        wgpu::Limits {
            max_storage_buffer_binding_size: binding,
            min_storage_buffer_offset_alignment: 256,
            ..wgpu::Limits::default()
        }
    }

    #[test]
    fn parts_cover_every_row_once_within_the_limit() {
        for rows in [
            Rows::new(1000, 10),
            Rows::new(1000, 10).with_row_stride(13),
            Rows::of_shape(&[7, 5, 9], 1).unwrap(),
        ] {
            let limit = 1256;
            let mut next = 0;
            for part in parts(&rows, 1, &limits(limit)).unwrap() {
                assert_eq!(part.first_row, next);
                assert!(part.elements as u64 * 4 <= limit - 256 && part.rows as u64 * 4 <= limit - 256);
                next += part.rows;
            }
            assert_eq!(next, rows.count());
        }
    }

    #[test]
    fn rows_of_unequal_length_are_cut_at_rows() {
        let offsets = [0, 0, 100, 350, 350, 351, 601, 610, 610];
        let rows = Rows::ragged(offsets).unwrap();
        let limit = 1256;
        let cut: Vec<_> = ragged_parts(&rows, &limits(limit)).unwrap();
        let of = |part: &Part| (part.first_row, part.rows, part.first_element, part.elements);
        // 250 elements fill a part; empty rows go with those before them.
        let expected = [
            (0, 2, 0, 100),
            (2, 2, 100, 250),
            (4, 1, 350, 1),
            (5, 1, 351, 250),
            (6, 2, 601, 9),
        ];
        assert_eq!(cut.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(matches!(
            ragged_parts(&rows, &limits(1000)),
            Err(EncodeError::RowTooLong {
                classes: 250,
                limit: 744,
                ..
            })
        ));
        // The table has 16 bytes for each row, also for empty ones.
        let empty = Rows::ragged(vec![0; 200]).unwrap();
        let rows_of_parts: Vec<_> = ragged_parts(&empty, &limits(limit))
            .unwrap()
            .iter()
            .map(|part| part.rows)
            .collect();
        assert_eq!(rows_of_parts, [62, 62, 62, 13]);
        let host = host_parts(&rows.into(), 1, 1000).unwrap();
        let ranges: Vec<_> = host.iter().flat_map(HostPart::ranges).flatten().collect();
        assert_eq!(ranges, (0..610).collect::<Vec<_>>());
    }

    #[test]
    fn host_parts_cover_every_element_once() {
        for (rows, limit) in [
            (Rows::new(10, 3), 40),
            (Rows::new(10, 3).with_row_stride(5), 40),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 40),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 1),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 90),
        ] {
            let mut seen = vec![0; rows.elements().unwrap()];
            let mut next = 0;
            for part in host_parts(&rows.into(), 1, limit).unwrap() {
                assert_eq!(part.first_row, next);
                next += part.rows.count();
                let taken: usize = part.ranges().map(|s| s.len()).sum();
                assert_eq!(taken, part.rows.count() * rows.classes());
                part.ranges().flatten().for_each(|i| seen[i] += 1);
            }
            assert_eq!(next, rows.count());
            let padding = |i: usize| i % rows.outer_stride() >= rows.block();
            assert!(
                seen.iter().enumerate().all(|(i, &n)| n == u32::from(!padding(i))),
                "{rows:?}"
            );
        }
    }
}
