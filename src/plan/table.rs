//! The table of schedules: which schedule is chosen for which rows on which adapter. Each line should be one that
//! `bench` shows to be right.

use super::capabilities::Capabilities;
use super::shape::{CHUNK, LANES_MAX, REGS_MAX, SPANS_MAX};
use crate::rows::Rows;
use crate::schedule::Schedule;

/// The schedule that is best as far as we know. `compiles_slowly`: a kernel of many options, whose body is long.
pub(super) fn choose(rows: &Rows, adapter: &Capabilities, compiles_slowly: bool) -> Schedule {
    let (count, classes) = (rows.count(), rows.classes());
    let vec4s = classes.div_ceil(4).next_power_of_two() as u32;
    let chunks = classes.div_ceil(CHUNK);
    if adapter.is_software {
        // Rasterisers run 8 lanes at once on each of a few cores, and pay for barriers and shuffles.
        // Without subgroups (OpenGL), or with many options, long rows get more lanes. That is 1.5 times slower, but the
        // driver compiles a kernel in a quarter of the time, 1 s rather than 4 s, during which no other thread may use
        // an OpenGL device.
        let lanes = if adapter.subgroup.is_some() && !compiles_slowly {
            8
        } else {
            32
        };
        let looped = lanes.max(adapter.lanes_in_loops());
        return match (classes, count) {
            (..=128, _) => Schedule::Held { lanes: 1 },
            (..=256, _) => Schedule::Held { lanes: 8 },
            (..=1024, _) => Schedule::Held { lanes },
            // Memory is read once rather than twice: this takes 1.6 times as long as a copy, where `Chunked` took 3.4
            // times as long (benches/RESULTS.md).
            (..=131_072, 4..) if rows.inner() == 1 && lanes * chunks as u32 <= adapter.invocations => {
                Schedule::Held { lanes }
            }
            (16_384.., ..=3) => Schedule::Split {
                lanes: looped,
                pieces: chunks.min(16) as u32,
            },
            _ => Schedule::Chunked { lanes: looped },
        };
    }
    // Hardware GPUs run hundreds of work-groups at once, and want neighbouring lanes on neighbouring addresses. No time was
    // measured on one: the numbers are VALU instructions a class, softmax / loss + gradient in f32 on RDNA 2, by Mesa's
    // compiler (`cargo xtask gpu-code`).
    let wide = adapter.invocations.min(LANES_MAX);
    match (classes, count) {
        (..=16, _) => Schedule::Held { lanes: 1 },
        (..=1024, _) if rows.inner() > 1 => Schedule::Held {
            lanes: vec4s.div_ceil(REGS_MAX as u32),
        },
        // What a lane does once for its row is shared by 16 classes at least, where it has so many. At 64 classes with 16, 4
        // and 2 lanes: 70 / 114, 47 / 59 and less still; but with 2, neighbouring lanes no longer fill a line of memory.
        (..=1024, _) => Schedule::Held {
            lanes: (vec4s / 4).clamp(1, 32),
        },
        _ if rows.inner() > 1 => Schedule::Chunked { lanes: 8 },
        // 52 / 59 at 4,096 classes. Rows of up to 16 chunks, so that on NVIDIA's GPUs a lane may have 128 hardware
        // registers, enough for its 8 vec4s.
        _ if (chunks <= 4 || count > 255) && 32 * chunks as u32 <= adapter.invocations.min(512) => {
            Schedule::Held { lanes: 32 }
        }
        // 80 / 82 at 128,256 classes. Each chunk has 32 lanes, with 8 vec4s each; 256 lanes with one vec4 each took 230,
        // most of it for reductions. Where there are few chunks in all, each gets a work-group, so that they spread over
        // the GPU; else a work-group takes eight at once.
        (_, ..=255) if chunks > 4 && count * chunks <= 4096 => Schedule::Split {
            lanes: adapter.chunk_lanes(),
            pieces: chunks.min(128) as u32,
        },
        (_, ..=255) if chunks > 4 => Schedule::Split {
            lanes: wide,
            pieces: chunks.div_ceil(8).min(1024 / count.max(1)).clamp(1, 128) as u32,
        },
        _ => Schedule::Chunked { lanes: wide },
    }
}

/// The schedule of a shard.
pub(super) fn choose_shard(rows: &Rows, adapter: &Capabilities, compiles_slowly: bool) -> Schedule {
    let spans = rows.spans();
    if adapter.is_software {
        let lanes = if compiles_slowly { 32 } else { 8 };
        return Schedule::Split {
            lanes: adapter.lanes_in_loops().max(lanes),
            pieces: if rows.count() < 4 { spans.min(16) as u32 } else { 1 },
        };
    }
    Schedule::Split {
        lanes: adapter.chunk_lanes(),
        pieces: spans.min(4096 / rows.count().max(1)).clamp(1, 128) as u32,
    }
}

/// Chunks that the lanes of one go through on a rasteriser: a search visits each up to sixteen times, in 32 steps.
const CHUNKS_OF_LANES: usize = 128;

/// The schedule of a pass that leaves statistics, in which each chunk has lanes of its own, and the lanes of kernels in which
/// a work-group has a row to itself.
pub(super) fn choose_passes(rows: &Rows, adapter: &Capabilities) -> (Schedule, u32) {
    let (lanes, chunks) = (adapter.pass_lanes(), rows.classes().div_ceil(CHUNK));
    let at_once = chunks
        .next_power_of_two()
        .min((adapter.invocations.min(LANES_MAX) / lanes) as usize);
    let schedule = Schedule::Split {
        lanes: lanes * at_once as u32,
        pieces: chunks.div_ceil(at_once).min(SPANS_MAX) as u32,
    };
    // On a rasteriser, barriers among more lanes than run at once cost more than the lanes bring; but llvmpipe leaves every
    // loop of a kernel once they have taken 65,535 steps together, so that long rows need more lanes.
    let row = if adapter.is_software {
        chunks.div_ceil(CHUNKS_OF_LANES).next_power_of_two().min(at_once)
    } else {
        at_once
    };
    (schedule, lanes * row as u32)
}
