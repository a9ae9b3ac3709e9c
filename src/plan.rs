//! Which kernel for which rows on which adapter. A plan changes speed, never bits: every schedule follows the canonical
//! order of `shaders/chunk.wgsl`.

use crate::error::EncodeError;
use crate::rows::Rows;
use crate::shader::{Reduce, RowShape};
use std::fmt;
use std::str::FromStr;

/// Classes of a chunk.
pub(crate) const CHUNK: usize = 1024;
/// Spans of a row at most.
const SPANS: usize = 1024;
/// Quads one lane can hold; as many fragments are in `shaders/held`.
const HELD_MAX: usize = 32;
/// Lanes of a row, or of each of its chunks, at most.
const LANES_MAX: u32 = 256;

/// How the lanes of a GPU share the rows. The results have the same bits under every one that can run the rows.
///
/// `lanes` is the number of invocations that share a row, or with `Held` each 1,024 classes of one: a power of two up to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// The row stays in registers; memory is read once and written once. Each 1,024 classes have lanes of their own, which
    /// must fit a work-group together.
    Held {
        /// Invocations that share a row, or each 1,024 classes of a longer one.
        lanes: u32,
    },
    /// Any number of classes: chunk by chunk; memory is read twice and written once.
    Chunked {
        /// Invocations that share a row.
        lanes: u32,
    },
    /// As `Chunked`, but each row is shared among work-groups, in two dispatches: for few, long rows.
    Split {
        /// Invocations of a work-group.
        lanes: u32,
        /// Work-groups that share a row.
        pieces: u32,
    },
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { lanes } => write!(f, "held/{lanes}"),
            Self::Chunked { lanes } => write!(f, "chunked/{lanes}"),
            Self::Split { lanes, pieces } => write!(f, "split/{lanes}x{pieces}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// As it is displayed: `held/8`, `chunked/64`, `split/256x16`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().ok();
        let parsed = match text.split_once('/') {
            Some(("held", lanes)) => number(lanes).map(|lanes| Self::Held { lanes }),
            Some(("chunked", lanes)) => number(lanes).map(|lanes| Self::Chunked { lanes }),
            Some(("split", both)) => both.split_once('x').and_then(|(lanes, pieces)| {
                let (lanes, pieces) = (number(lanes)?, number(pieces)?);
                Some(Self::Split { lanes, pieces })
            }),
            _ => None,
        };
        parsed.ok_or_else(|| format!("{text:?} is no schedule: held/8, chunked/64 and split/256x16 are"))
    }
}

/// What a plan asks of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traits {
    /// A software rasteriser: narrow, with dear barriers.
    pub(crate) is_software: bool,
    /// The smallest subgroup, where subgroups are used.
    pub(crate) subgroup: Option<u32>,
    /// Quads that a lane can hold in a loop over chunks.
    held_in_loops: usize,
    invocations: u32,
    group_memory: u32,
}

impl Traits {
    pub(crate) fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, subgroups: bool) -> Self {
        let smallest = info.subgroup_min_size;
        Self {
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            subgroup: (subgroups && smallest >= 4 && smallest.is_power_of_two()).then_some(smallest),
            // SwiftShader takes memory without end to compile a loop that stores more quads one element at a time.
            held_in_loops: if info.name.contains("SwiftShader") { 2 } else { HELD_MAX },
            invocations: limits.max_compute_invocations_per_workgroup.min(1024),
            group_memory: limits.max_compute_workgroup_storage_size,
        }
    }

    /// Lanes that a loop over chunks needs at least.
    fn lanes_in_loops(&self) -> u32 {
        (CHUNK / 4 / self.held_in_loops) as u32
    }
}

/// A schedule and the numbers of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    pub(crate) shape: RowShape,
    pub(crate) spans: u32,
}

impl Plan {
    /// The plan for `rows`: the caller's schedule, or the best known one.
    pub(crate) fn new(
        rows: &Rows,
        traits: &Traits,
        span_words: usize,
        is_heavy: bool,
        forced: Option<Schedule>,
    ) -> Result<Self, EncodeError> {
        let mut schedule = forced.unwrap_or_else(|| choose(rows, traits, is_heavy));
        let mut plan = Self::of(schedule, rows, traits, span_words);
        if forced.is_none() && plan.is_err() {
            // A row of millions of classes, of which much is kept, overflows group memory.
            schedule = Schedule::Split {
                lanes: traits.lanes_in_loops(),
                pieces: 1,
            };
            plan = Self::of(schedule, rows, traits, span_words);
        }
        plan.map_err(|why| EncodeError::Schedule {
            schedule: schedule.to_string(),
            classes: rows.classes(),
            why,
        })
    }

    fn of(schedule: Schedule, rows: &Rows, traits: &Traits, span_words: usize) -> Result<Self, &'static str> {
        let quads = rows.classes().div_ceil(4);
        let chunks = rows.classes().div_ceil(CHUNK);
        let spans = chunks.div_ceil(chunks.div_ceil(SPANS));
        let (lanes, quads_held) = match schedule {
            Schedule::Held { .. } if chunks > 1 && rows.inner() > 1 => {
                return Err("held rows of more than 1,024 classes have the class axis last");
            }
            Schedule::Held { lanes } => (lanes, quads.next_power_of_two().min(CHUNK / 4)),
            Schedule::Chunked { lanes } | Schedule::Split { lanes, .. } => (lanes, CHUNK / 4),
        };
        if !lanes.is_power_of_two() || lanes > traits.invocations.min(LANES_MAX) {
            return Err("lanes must be a power of two that fits a work-group");
        }
        let row_chunks = match schedule {
            Schedule::Held { .. } => chunks as u32,
            _ => 1,
        };
        let row_lanes = lanes.saturating_mul(row_chunks);
        if row_lanes > traits.invocations {
            return Err("the lanes of its chunks do not fit a work-group");
        }
        let held = quads_held.div_ceil(lanes as usize);
        if held > HELD_MAX {
            return Err("too few lanes to hold it in registers");
        }
        if !matches!(schedule, Schedule::Held { .. }) && held > traits.held_in_loops {
            return Err("SwiftShader cannot compile it with fewer than 128 lanes");
        }
        if matches!(schedule, Schedule::Held { .. }) && lanes as usize > quads_held {
            return Err("more lanes than quads of four classes");
        }
        if matches!(schedule, Schedule::Split { pieces, .. } if pieces == 0 || pieces as usize > spans) {
            return Err("pieces must be between 1 and the number of 1,024-class spans");
        }
        let rows_adjacent = rows.inner() > 1 && !matches!(schedule, Schedule::Split { .. });
        let reduce = match traits.subgroup {
            Some(size) if !rows_adjacent && lanes > 1 => Reduce::Subgroup { lanes: size.min(lanes) },
            _ => Reduce::Workgroup { rows_adjacent },
        };
        // A work-group takes as many rows as fill it, except where each keeps spans in group memory.
        let full = if traits.is_software {
            64
        } else {
            traits.invocations.min(128)
        };
        let mut workgroup_size = match schedule {
            Schedule::Held { .. } => (full / row_lanes).max(1) * row_lanes,
            Schedule::Chunked { .. } if rows_adjacent => full.max(lanes),
            Schedule::Chunked { .. } | Schedule::Split { .. } => lanes,
        };
        let keeps_spans = match schedule {
            Schedule::Held { .. } => chunks > 1,
            Schedule::Chunked { .. } => true,
            Schedule::Split { .. } => false,
        };
        let group_spans = |size: u32| {
            if keeps_spans {
                (size / row_lanes) as usize * spans
            } else {
                0
            }
        };
        let fits = |size: u32| {
            group_spans(size).next_power_of_two() * span_words * 4 + size as usize * 8 <= traits.group_memory as usize
        };
        while !fits(workgroup_size) && workgroup_size > row_lanes {
            workgroup_size = (workgroup_size / row_lanes / 2).max(1) * row_lanes;
        }
        if !fits(workgroup_size) {
            return Err("its spans do not fit the adapter's group memory");
        }
        Ok(Self {
            schedule,
            spans: spans as u32,
            shape: RowShape {
                workgroup_size,
                lanes,
                row_chunks,
                held: held as u32,
                used: match schedule {
                    Schedule::Held { .. } => quads.min(CHUNK / 4).div_ceil(lanes as usize) as u32,
                    _ => held as u32,
                },
                // A kernel for each number of classes that is used, but short ones, soon compiled.
                classes: if lanes == 1 { rows.classes() as u32 } else { 0 },
                reduce,
                group_spans: group_spans(workgroup_size).next_power_of_two().max(16) as u32,
            },
        })
    }

    pub(crate) fn pieces(&self) -> u32 {
        match self.schedule {
            Schedule::Split { pieces, .. } => pieces,
            _ => 1,
        }
    }
}

/// The table. `bench` is to show that each line is right.
///
/// `is_heavy`: a kernel of many options, whose body is long.
fn choose(rows: &Rows, traits: &Traits, is_heavy: bool) -> Schedule {
    let (count, classes) = (rows.count(), rows.classes());
    let quads = classes.div_ceil(4).next_power_of_two() as u32;
    let chunks = classes.div_ceil(CHUNK);
    if traits.is_software {
        // Rasterisers run 8 lanes at once on each of a few cores, and pay for barriers and shuffles.
        // Without subgroups (OpenGL), or with many options, long rows take more lanes: 1.5 times slower, but the driver
        // compiles a kernel in a quarter of the time: 1 s rather than 4, in which no other thread may use an OpenGL device.
        let lanes = if traits.subgroup.is_some() && !is_heavy { 8 } else { 32 };
        let looped = lanes.max(traits.lanes_in_loops());
        return match (classes, count) {
            (..=128, _) => Schedule::Held { lanes: 1 },
            (..=256, _) => Schedule::Held { lanes: 8 },
            (..=1024, _) => Schedule::Held { lanes },
            // One read rather than two: 1.6 times a copy where chunk by chunk it was 3.4 (benches/RESULTS.md).
            (..=131_072, 4..) if rows.inner() == 1 && lanes * chunks as u32 <= traits.invocations => {
                Schedule::Held { lanes }
            }
            (16_384.., ..=3) => Schedule::Split {
                lanes: looped,
                pieces: chunks.min(16) as u32,
            },
            _ => Schedule::Chunked { lanes: looped },
        };
    }
    // Real GPUs run hundreds of work-groups at once, and want neighbouring lanes on neighbouring addresses.
    let wide = traits.invocations.min(LANES_MAX);
    match (classes, count) {
        (..=16, _) => Schedule::Held { lanes: 1 },
        (..=1024, _) if rows.inner() > 1 => Schedule::Held {
            lanes: quads.div_ceil(HELD_MAX as u32),
        },
        (..=1024, _) => Schedule::Held {
            lanes: quads.clamp(1, 32),
        },
        _ if rows.inner() > 1 => Schedule::Chunked { lanes: 8 },
        // Up to 16 chunks, so that a lane has 128 registers on NVIDIA's: 32 hold its quads. A prediction, not measured yet.
        _ if (chunks <= 4 || count > 255) && 32 * chunks as u32 <= traits.invocations.min(512) => {
            Schedule::Held { lanes: 32 }
        }
        (_, ..=255) if chunks > 4 => Schedule::Split {
            lanes: wide,
            pieces: chunks.min(1024 / count.max(1)).clamp(1, 128) as u32,
        },
        _ => Schedule::Chunked { lanes: wide },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Adapters at the corners of what there is.
    fn all_traits() -> Vec<Traits> {
        let mut all = Vec::new();
        for is_software in [false, true] {
            for subgroup in [None, Some(4), Some(8), Some(32), Some(64)] {
                for (invocations, group_memory) in [(64, 16 << 10), (256, 16 << 10), (1024, 48 << 10)] {
                    all.push(Traits {
                        is_software,
                        subgroup,
                        held_in_loops: if subgroup == Some(4) && invocations > 64 {
                            2
                        } else {
                            HELD_MAX
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
        for traits in all_traits() {
            for classes in [
                1, 3, 4, 5, 16, 17, 128, 129, 1024, 1025, 4096, 50_257, 128_256, 1_000_003, 3_000_000,
            ] {
                for count in [1, 3, 4, 255, 256, 70_000] {
                    for rows in [
                        Rows::new(count, classes),
                        Rows::of_shape(&[1, classes, count], 1).unwrap(),
                    ] {
                        let plan = Plan::new(&rows, &traits, 7, true, None);
                        assert!(plan.is_ok(), "{rows:?} on {traits:?}: {plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn schedules_are_read_as_they_are_displayed() {
        for text in ["held/8", "chunked/64", "split/256x16"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in ["", "held", "held/", "held/-1", "split/8", "split/8x", "chunk/8"] {
            assert!(text.parse::<Schedule>().unwrap_err().contains("schedule"), "{text}");
        }
    }

    #[test]
    fn schedules_that_cannot_run_say_why() {
        let traits = &all_traits()[1];
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
            let plan = Plan::new(&Rows::new(2, classes), traits, 3, false, Some(schedule));
            assert!(
                matches!(plan, Err(EncodeError::Schedule { .. })),
                "{schedule}: {plan:?}"
            );
        }
    }
}
