//! Rows of unequal length: how they are cut into parts, and which of a part are run together. A dispatch takes rows of similar length,
//! planned as if all were as long as the longest of them, and finds each in a table (`shaders/row/table.wgsl`).

use super::partition::Part;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::{CHUNK, Plan, RowShape, VectorWidth};
use crate::ragged::RaggedRows;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::shader::RowSpec;

/// Rows join longer ones where that adds no more classes in all than this, since a dispatch costs something too, or than one part in
/// `JOINED_SHARE` of the part.
const JOINED: usize = 16 * CHUNK;
const JOINED_SHARE: usize = 8;

/// Rows of a part that a dispatch takes, or two where they are split.
#[derive(Debug, Clone)]
pub(super) struct Bin {
    pub(super) plan: Plan,
    /// Their shape, as long as they are planned for.
    pub(super) rows: Rows,
    pub(super) count: usize,
    /// The entry of the first in the table, if there is one.
    pub(super) first_entry: usize,
}

/// The table of a batch.
#[derive(Debug, Clone)]
pub(super) struct RowTable {
    pub(super) buffer: wgpu::Buffer,
    pub(super) width: VectorWidth,
}

/// What a plan is made from besides the rows.
pub(super) struct Planning<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) spec: &'a RowSpec,
    pub(super) schedule: Option<Schedule>,
}

impl RowTable {
    /// The table of rows that are cut into these parts, and the bins of each; `smoothing` is what each class of a row has its share of.
    pub(super) fn new(
        rows: &RaggedRows,
        parts: &[Part],
        smoothing: f32,
        planning: &Planning<'_>,
    ) -> Result<(Self, Vec<Vec<Bin>>), EncodeError> {
        let (mut entries, mut bins): (Vec<[u32; 4]>, Vec<Vec<Bin>>) = (Vec::new(), Vec::new());
        for part in parts {
            let part = rows.part(part.first_row..part.first_row + part.rows);
            let mut of_part = Vec::new();
            for (length, numbers) in sorted(&part, planning.schedule.is_some()) {
                of_part.push(Bin {
                    plan: planning.plan(&part, &numbers, length)?,
                    rows: Rows::new(numbers.len(), length),
                    count: numbers.len(),
                    first_entry: entries.len(),
                });
                entries.extend(numbers.iter().map(|&row| entry(&part, row, smoothing)));
            }
            bins.push(of_part);
        }
        let bytes = bytemuck::cast_slice(&entries);
        let aligned = |all: VectorWidth, &offset: &usize| all.min(VectorWidth::of(offset));
        // Where all rows are empty, a buffer need not have the bytes of four elements.
        let widest = if rows.elements() == 0 {
            VectorWidth::X1
        } else {
            VectorWidth::X4
        };
        let table = Self {
            buffer: (planning.gpu).buffer_of("the table of rows", bytes, wgpu::BufferUsages::STORAGE)?,
            width: rows.offsets().iter().fold(widest, aligned),
        };
        Ok((table, bins))
    }
}

impl Bin {
    /// The rows of a part, all of one length.
    pub(super) fn of_equal(rows: &Rows, part: &Part, plan: Plan) -> Self {
        Self {
            plan,
            rows: *rows,
            count: part.rows,
            first_entry: 0,
        }
    }
}

impl Planning<'_> {
    /// The plan for rows of one length.
    pub(super) fn of_equal(&self, rows: &Rows) -> Result<Plan, EncodeError> {
        let plan = match rows.is_shard() {
            true => Plan::of_shard,
            false => Plan::new,
        };
        let words = self.spec.span_words() as usize;
        plan(
            rows,
            self.gpu.capabilities(),
            words,
            self.spec.compiles_slowly(),
            self.schedule,
        )
    }

    /// The plan for some rows of a part, none of which has more classes than `length`.
    fn plan(&self, part: &RaggedRows, numbers: &[usize], length: usize) -> Result<Plan, EncodeError> {
        let plan = self
            .of_equal(&Rows::new(numbers.len(), length))
            .map_err(|error| match error {
                EncodeError::Schedule { schedule, why, .. } => EncodeError::Schedule {
                    schedule,
                    classes: numbers.iter().map(|&row| part.classes(row)).max().unwrap_or(0),
                    why,
                },
                other => other,
            })?;
        if equal_length(part).is_some() {
            return Ok(plan);
        }
        Ok(Plan {
            shape: RowShape {
                is_full: false,
                classes: 0,
                ..plan.shape
            },
            ..plan
        })
    }
}

/// A row's entry: its number, its first element, its classes, and the smoothing of each class.
fn entry(part: &RaggedRows, row: usize, smoothing: f32) -> [u32; 4] {
    let elements = part.elements_of(row..row + 1);
    let of_class = if elements.is_empty() {
        0.0
    } else {
        smoothing / elements.len() as f32
    };
    let numbers = [row, elements.start, elements.len()].map(|n| n as u32);
    [numbers[0], numbers[1], numbers[2], of_class.to_bits()]
}

/// The classes of each row, where all have as many and at least one.
fn equal_length(rows: &RaggedRows) -> Option<usize> {
    let all = rows.count().checked_mul(rows.longest());
    Some(rows.longest()).filter(|&longest| all == Some(rows.elements()) && longest > 0)
}

/// The rows that are run together, by number, and the length that they are planned for: the longest first. With `is_forced` they are
/// as few lists as there can be.
fn sorted(rows: &RaggedRows, is_forced: bool) -> Vec<(usize, Vec<usize>)> {
    if let Some(length) = equal_length(rows) {
        return vec![(length, (0..rows.count()).collect())];
    }
    let mut lengths: Vec<(usize, usize)> = Vec::new();
    let place = |lengths: &[(usize, usize)], row: usize| {
        let length = planned(rows.classes(row));
        (length, lengths.binary_search_by(|(other, _)| length.cmp(other)))
    };
    for row in 0..rows.count() {
        match place(&lengths, row) {
            (_, Ok(at)) => lengths[at].1 += 1,
            (length, Err(at)) => lengths.insert(at, (length, 1)),
        }
    }
    let all: usize = lengths.iter().map(|&(length, count)| length * count).sum();
    let mut left = if is_forced {
        usize::MAX
    } else {
        (all / JOINED_SHARE).max(JOINED)
    };
    let mut lists: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut list_of = Vec::new();
    for &(length, count) in &lengths {
        let joins = lists
            .last()
            .is_some_and(|(longer, _)| can_join(length, *longer, count, &mut left));
        if !joins {
            lists.push((length, Vec::new()));
        }
        list_of.push(lists.len() - 1);
    }
    // In their order, because neighbouring rows are read together.
    for row in 0..rows.count() {
        if let (_, Ok(at)) = place(&lengths, row) {
            lists[list_of[at]].1.push(row);
        }
    }
    lists
}

/// Whether so many rows may be run as longer ones, which takes what that adds from what is left to add.
fn can_join(length: usize, longer: usize, count: usize, left: &mut usize) -> bool {
    let added = count.saturating_mul(longer - length);
    let can = Rows::shard_grid(length) == Rows::shard_grid(longer) && added <= *left;
    if can && *left < usize::MAX {
        *left -= added;
    }
    can
}

/// The length that a row is planned for: of few lengths, because each may have a kernel of its own, and less than half as many groups
/// of four classes, or chunks, again as the row has. Only rows whose spans have as many chunks as one another are run together.
fn planned(classes: usize) -> usize {
    let unit = if classes <= CHUNK { 4 } else { CHUNK };
    let units = classes.max(1).div_ceil(unit);
    if units > CHUNK {
        return Rows::shard_grid(classes) * CHUNK;
    }
    let power = units.next_power_of_two();
    let between = power / 4 * 3;
    unit * if units <= between { between } else { power }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of_lengths(lengths: &[usize]) -> RaggedRows {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        Rows::ragged(std::iter::once(0).chain(ends).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_row_is_run_once_and_as_no_shorter_one() {
        let mixed: Vec<usize> = (0..5000).map(|row| (row * 7919) % 3000 / (1 + row % 40)).collect();
        for (lengths, is_forced) in [
            (mixed.clone(), false),
            (mixed, true),
            (vec![7, 2_000_000, 0, 1_048_577], true),
        ] {
            let rows = of_lengths(&lengths);
            let lists = sorted(&rows, is_forced);
            let mut all: Vec<usize> = lists.iter().flat_map(|(_, numbers)| numbers.clone()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for (length, numbers) in &lists {
                assert!(numbers.iter().all(|&row| lengths[row] <= *length));
                let grid = Rows::shard_grid(*length);
                assert!(numbers.iter().all(|&row| Rows::shard_grid(lengths[row].max(1)) == grid));
            }
        }
    }

    /// What is planned for is at most half as many groups of four classes, or chunks, again.
    #[test]
    fn short_rows_do_not_pay_for_long_ones() {
        let lengths: Vec<usize> = (0..20_000)
            .map(|row| if row % 100 == 0 { 5000 } else { row % 50 })
            .collect();
        let lists = sorted(&of_lengths(&lengths), false);
        let planned: usize = lists.iter().map(|(length, numbers)| length * numbers.len()).sum();
        let units: usize = lengths
            .iter()
            .map(|&n| {
                if n > CHUNK {
                    n.next_multiple_of(CHUNK)
                } else {
                    n.max(1).next_multiple_of(4)
                }
            })
            .sum();
        assert!(
            planned * 2 <= units * 3,
            "{planned} classes planned for {units} in {} lists",
            lists.len()
        );
        assert!(lists.len() > 3 && lists.len() < 12, "{} lists", lists.len());
        for classes in 1..5000 {
            let unit = if classes > CHUNK { CHUNK } else { 4 };
            let units = classes.div_ceil(unit);
            let of = super::planned(classes);
            assert!(
                of >= classes && of.div_ceil(unit) * 2 <= units * 3,
                "{classes} classes planned as {of}"
            );
        }
    }
}
