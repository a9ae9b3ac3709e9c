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
        let table = Self {
            buffer: (planning.gpu).buffer_of("the table of rows", bytes, wgpu::BufferUsages::STORAGE)?,
            width: rows.offsets().iter().fold(VectorWidth::X4, aligned),
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
    let is_equal = rows.elements() == rows.count() * rows.longest();
    Some(rows.longest()).filter(|&longest| is_equal && longest > 0)
}

/// The rows that are run together, by number, and the length that they are planned for: the longest first. With `is_forced` they are
/// as few lists as there can be.
fn sorted(rows: &RaggedRows, is_forced: bool) -> Vec<(usize, Vec<usize>)> {
    if let Some(length) = equal_length(rows) {
        return vec![(length, (0..rows.count()).collect())];
    }
    let mut lists: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut by_length: Vec<(usize, usize)> = (0..rows.count()).map(|row| (planned(rows.classes(row)), row)).collect();
    by_length.sort_unstable_by_key(|&(length, row)| (std::cmp::Reverse(length), row));
    let all: usize = by_length.iter().map(|&(length, _)| length).sum();
    let mut left = if is_forced {
        usize::MAX
    } else {
        (all / JOINED_SHARE).max(JOINED)
    };
    for of_length in by_length.chunk_by(|a, b| a.0 == b.0) {
        let length = of_length[0].0;
        let numbers = of_length.iter().map(|&(_, row)| row);
        match lists.last_mut() {
            Some((longer, list)) if can_join(length, *longer, of_length.len(), &mut left) => list.extend(numbers),
            _ => lists.push((length, numbers.collect())),
        }
    }
    for (_, numbers) in &mut lists {
        // Neighbouring rows are read together.
        numbers.sort_unstable();
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

/// The length that a row is planned for: of few lengths, because each may have a kernel of its own, and of at most a third more groups
/// of four classes, or chunks, than the row has. Only rows whose spans have as many chunks as one another are run together.
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
