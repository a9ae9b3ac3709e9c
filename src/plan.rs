//! Decides which kernel runs which rows on which adapter. A plan changes the speed, never the bits: every schedule
//! follows the canonical order of `shaders/row/registers.wgsl`.

mod capabilities;
mod shape;
mod table;

pub(crate) use capabilities::Capabilities;
pub(crate) use shape::{CHUNK, Reduce, RowShape, VectorWidth};

use crate::error::EncodeError;
use crate::rows::Rows;
use crate::schedule::Schedule;
use shape::{LANES_MAX, REGS_MAX, SPANS_MAX};

/// A schedule and the numbers of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    pub(crate) shape: RowShape,
    /// Spans of a row.
    pub(crate) spans: u32,
}

impl Plan {
    /// The plan for `rows`: with the caller's schedule, or the best known one. `span_words` is the number of words that
    /// encode the statistics of a span.
    pub(crate) fn new(
        rows: &Rows,
        adapter: &Capabilities,
        span_words: usize,
        compiles_slowly: bool,
        forced: Option<Schedule>,
    ) -> Result<Self, EncodeError> {
        let mut schedule = forced.unwrap_or_else(|| table::choose(rows, adapter, compiles_slowly));
        let mut plan = Self::of(schedule, rows, adapter, span_words, adapter.chunk_lanes());
        if forced.is_none() && plan.is_err() {
            // The spans of a row of millions of classes may not fit the work-group memory.
            schedule = Schedule::Split {
                lanes: adapter.lanes_in_loops(),
                pieces: 1,
            };
            plan = Self::of(schedule, rows, adapter, span_words, adapter.chunk_lanes());
        }
        plan.map_err(|why| EncodeError::Schedule {
            schedule,
            classes: rows.classes(),
            why,
        })
    }

    /// The plan for a shard of rows, which is split among work-groups: one dispatch leaves the statistics, another writes.
    pub(crate) fn of_shard(
        rows: &Rows,
        adapter: &Capabilities,
        span_words: usize,
        compiles_slowly: bool,
        forced: Option<Schedule>,
    ) -> Result<Self, EncodeError> {
        let spans = rows.spans();
        let schedule = forced.unwrap_or_else(|| table::choose_shard(rows, adapter, compiles_slowly));
        let plan = match schedule {
            Schedule::Split { pieces, .. } if pieces as usize > spans => Err("there are fewer spans than pieces"),
            Schedule::Split { .. } => Self::of(schedule, rows, adapter, span_words, adapter.chunk_lanes()),
            _ => Err("shards are split"),
        };
        plan.map(|plan| plan.with_spans_of_shard(rows))
            .map_err(|why| EncodeError::Schedule {
                schedule,
                classes: rows.classes(),
                why,
            })
    }

    /// Kernels of full rows are faster, but half of the shards of a row would need others.
    fn with_spans_of_shard(self, rows: &Rows) -> Self {
        Self {
            spans: rows.spans() as u32,
            shape: RowShape {
                is_full: false,
                ..self.shape
            },
            ..self
        }
    }

    /// The plans for kernels that go through rows in passes: for the pass that leaves statistics, and for those in which a
    /// work-group has a row to itself. In the first, each chunk has lanes of its own, unless the schedule is forced.
    pub(crate) fn of_passes(
        rows: &Rows,
        adapter: &Capabilities,
        forced: Option<Schedule>,
    ) -> Result<[Self; 2], EncodeError> {
        let (stats, row) = match forced {
            Some(Schedule::Chunked { lanes }) => (Schedule::Split { lanes, pieces: 1 }, lanes),
            Some(schedule @ Schedule::Split { lanes, .. }) => (schedule, lanes),
            Some(held) => (held, 1),
            None => table::choose_passes(rows, adapter),
        };
        let plan = |schedule| {
            let plan = match schedule {
                Schedule::Held { .. } => Err("several passes go through a row; use split or chunked"),
                _ => Self::of(schedule, rows, adapter, 3, adapter.pass_lanes()),
            };
            let plan = match rows.is_shard() {
                true => plan.map(|plan| plan.with_spans_of_shard(rows)),
                false => plan,
            };
            plan.map_err(|why| EncodeError::Schedule {
                schedule,
                classes: rows.classes(),
                why,
            })
        };
        let row = Schedule::Split { lanes: row, pieces: 1 };
        Ok([plan(stats)?, plan(row)?])
    }

    /// Whether the lanes of a statistics pass take each chunk of a row at once.
    pub(crate) fn is_one_step(&self, rows: &Rows) -> bool {
        let chunks = rows.classes().div_ceil(CHUNK) as u32;
        !rows.has_long_spans() && self.shape.row_chunks * self.pieces() >= chunks
    }

    fn of(
        schedule: Schedule,
        rows: &Rows,
        adapter: &Capabilities,
        span_words: usize,
        chunk_lanes: u32,
    ) -> Result<Self, &'static str> {
        let cut = RowCut::new(rows);
        let is_held = matches!(schedule, Schedule::Held { .. });
        let rows_adjacent = rows.inner() > 1 && !matches!(schedule, Schedule::Split { .. });
        let (all_lanes, held_vec4s) = lanes_and_vec4s(schedule, rows, cut)?;
        check_lanes(all_lanes, adapter)?;
        let lanes = if is_held || rows_adjacent {
            all_lanes
        } else {
            all_lanes.min(chunk_lanes)
        };
        let row_chunks = if is_held { cut.chunks as u32 } else { all_lanes / lanes };
        let row_lanes = lanes.saturating_mul(row_chunks);
        if row_lanes > adapter.invocations {
            return Err("the lanes of its chunks do not fit a work-group");
        }
        let regs = held_vec4s.div_ceil(lanes as usize);
        check_registers(schedule, regs, adapter)?;
        if is_held && lanes as usize > held_vec4s {
            return Err("more lanes than groups of four classes");
        }
        if matches!(schedule, Schedule::Split { pieces, .. } if pieces == 0 || pieces as usize > cut.spans) {
            return Err("pieces must be between 1 and the number of 1,024-class spans");
        }
        let group = WorkGroup::new(schedule, adapter, (row_lanes, rows_adjacent), cut, span_words)?;
        Ok(Self {
            schedule,
            spans: cut.spans as u32,
            shape: RowShape {
                workgroup_size: group.size,
                lanes,
                row_chunks,
                regs_per_lane: regs as u32,
                used_regs: cut.vec4s.min(CHUNK / 4).div_ceil(lanes as usize) as u32,
                is_software: adapter.is_software,
                is_full: cut.is_full(rows.classes(), is_held),
                // With one lane, each number of classes gets a kernel of its own, but a short one that compiles
                // quickly.
                classes: if lanes == 1 { rows.classes() as u32 } else { 0 },
                reduce: match adapter.subgroup {
                    Some(size) if !rows_adjacent && lanes > 1 => Reduce::Subgroup { lanes: size.min(lanes) },
                    _ => Reduce::Workgroup { rows_adjacent },
                },
                group_spans: group.spans.next_power_of_two().max(16) as u32,
            },
        })
    }

    /// Work-groups that share a row.
    pub(crate) fn pieces(&self) -> u32 {
        match self.schedule {
            Schedule::Split { pieces, .. } => pieces,
            _ => 1,
        }
    }
}

/// How many vec4s, chunks and spans a row has.
#[derive(Clone, Copy)]
struct RowCut {
    vec4s: usize,
    chunks: usize,
    spans: usize,
}

impl RowCut {
    fn new(rows: &Rows) -> Self {
        let chunks = rows.classes().div_ceil(CHUNK);
        Self {
            vec4s: rows.classes().div_ceil(4),
            chunks,
            spans: chunks.div_ceil(chunks.div_ceil(SPANS_MAX)),
        }
    }

    /// Whether the registers of the lanes hold exactly the classes of a row: a power of two of them, or whole chunks,
    /// each of which is a span, so that no chunk after the last is added to one.
    fn is_full(self, classes: usize, is_held: bool) -> bool {
        let is_short = is_held && self.chunks == 1 && classes.is_multiple_of(4) && self.vec4s.is_power_of_two();
        is_short || (classes.is_multiple_of(CHUNK) && self.spans == self.chunks)
    }
}

/// Lanes of a row or chunk, and the vec4s that they hold together.
fn lanes_and_vec4s(schedule: Schedule, rows: &Rows, cut: RowCut) -> Result<(u32, usize), &'static str> {
    match schedule {
        Schedule::Held { .. } if cut.chunks > 1 && rows.inner() > 1 => {
            Err("held rows of more than 1,024 classes have the class axis last")
        }
        Schedule::Held { lanes } => Ok((lanes, cut.vec4s.next_power_of_two().min(CHUNK / 4))),
        Schedule::Chunked { lanes } | Schedule::Split { lanes, .. } => Ok((lanes, CHUNK / 4)),
    }
}

fn check_lanes(lanes: u32, adapter: &Capabilities) -> Result<(), &'static str> {
    if lanes.is_power_of_two() && lanes <= adapter.invocations.min(LANES_MAX) {
        Ok(())
    } else {
        Err("lanes must be a power of two that fits a work-group")
    }
}

fn check_registers(schedule: Schedule, regs: usize, adapter: &Capabilities) -> Result<(), &'static str> {
    if regs > REGS_MAX {
        return Err("too few lanes to hold it in registers");
    }
    if !matches!(schedule, Schedule::Held { .. }) && regs > adapter.regs_in_loops {
        return Err("SwiftShader cannot compile it with fewer than 128 lanes");
    }
    Ok(())
}

/// The invocations of a work-group, and the spans that it keeps in its memory.
struct WorkGroup {
    size: u32,
    spans: usize,
}

impl WorkGroup {
    /// A work-group takes as many rows as fill it, or fewer if its memory has no room for their spans.
    fn new(
        schedule: Schedule,
        adapter: &Capabilities,
        (row_lanes, rows_adjacent): (u32, bool),
        cut: RowCut,
        span_words: usize,
    ) -> Result<Self, &'static str> {
        let full = if adapter.is_software {
            64
        } else {
            adapter.invocations.min(128)
        };
        let mut size = match schedule {
            Schedule::Held { .. } => (full / row_lanes).max(1) * row_lanes,
            Schedule::Chunked { .. } if rows_adjacent => full.max(row_lanes),
            Schedule::Chunked { .. } | Schedule::Split { .. } => row_lanes,
        };
        let keeps_spans = match schedule {
            Schedule::Held { .. } => cut.chunks > 1,
            Schedule::Chunked { .. } => true,
            Schedule::Split { .. } => false,
        };
        let spans = |size: u32| match keeps_spans {
            true => (size / row_lanes) as usize * cut.spans,
            false => 0,
        };
        let fits = |size: u32| {
            let span_bytes = spans(size).next_power_of_two().max(16) * span_words * 4;
            // The exchange between lanes takes four words for each invocation.
            span_bytes + size as usize * 16 <= adapter.group_memory as usize
        };
        while !fits(size) && size > row_lanes {
            size = (size / row_lanes / 2).max(1) * row_lanes;
        }
        if !fits(size) {
            return Err("its spans do not fit the adapter's group memory");
        }
        Ok(Self {
            size,
            spans: spans(size),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Adapters with the smallest and the largest capabilities that occur.
    fn all_adapters() -> Vec<Capabilities> {
        let mut all = Vec::new();
        for is_software in [false, true] {
            for subgroup in [None, Some(4), Some(8), Some(32), Some(64)] {
                for (invocations, group_memory) in [(64, 16 << 10), (256, 16 << 10), (1024, 48 << 10)] {
                    all.push(Capabilities {
                        is_software,
                        subgroup,
                        regs_in_loops: if subgroup == Some(4) && invocations > 64 {
                            2
                        } else {
                            REGS_MAX
                        },
                        invocations,
                        group_memory,
                    });
                }
            }
        }
        all
    }

    #[test]
    fn every_shape_has_a_plan_on_every_adapter() {
        for adapter in all_adapters() {
            for classes in [
                1, 3, 4, 5, 16, 17, 128, 129, 1024, 1025, 4096, 50_257, 128_256, 1_000_003, 3_000_000,
            ] {
                for count in [1, 3, 4, 255, 256, 70_000] {
                    for rows in [
                        Rows::new(count, classes),
                        Rows::of_shape(&[1, classes, count], 1).unwrap(),
                    ] {
                        let plan = Plan::new(&rows, &adapter, 7, true, None);
                        assert!(plan.is_ok(), "no plan for {rows:?} on {adapter:?}: {plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn schedules_that_cannot_run_say_why() {
        let adapter = &all_adapters()[1];
        for (schedule, classes) in [
            (Schedule::Held { lanes: 64 }, 5000),
            (Schedule::Held { lanes: 1 }, 512),
            (Schedule::Held { lanes: 8 }, 4),
            (Schedule::Held { lanes: 3 }, 64),
            (Schedule::Chunked { lanes: 512 }, 2048),
            (Schedule::Chunked { lanes: 0 }, 2048),
            (Schedule::Split { lanes: 64, pieces: 0 }, 4096),
            (Schedule::Split { lanes: 64, pieces: 5 }, 4096),
        ] {
            let plan = Plan::new(&Rows::new(2, classes), adapter, 3, false, Some(schedule));
            assert!(
                matches!(plan, Err(EncodeError::Schedule { schedule: named, .. }) if named == schedule),
                "{schedule} for rows of {classes} classes: {plan:?}, not an error that names it"
            );
        }
    }
}
