//! What `bench` prints and draws.

use super::case::{Case, Op, word};
use super::host::HostTimes;
use super::measure::Measured;
use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use crate::plot::{self, Bar};
use serde_json::json;
use wgpu_softmax::Recorded;
use wgpu_softmax::wgpu::AdapterInfo;

/// The adapter and the clock on standard error.
pub(super) fn note_adapter(info: &AdapterInfo, clock: &str) {
    console::note(&format!(
        "{} ({}) {}, times by {clock}",
        info.name, info.backend, info.driver_info
    ));
}

/// The table's heading.
pub(super) fn print_heading(global: &Global) -> Result<(), Failure> {
    if global.json {
        return Ok(());
    }
    console::line(&format!(
        "{:<18} {:>16} {:>5} {:>12} {:>9} {:>9} {:>6} {:>9} {:>8} {:>10} {:>9} {:>10} {:>10} {:>9} {:>9} {:>9}  share of a copy",
        "op",
        "rows x classes",
        "type",
        "schedule",
        "ms",
        "copy ms",
        "ratio",
        "lse ratio",
        "GB/s",
        "record us",
        "bound us",
        "in pass us",
        "dispatches",
        "allocated",
        "host ms",
        "memcpy ms"
    ))
}

/// A line of the table, or an object of JSON.
pub(super) fn print(global: &Global, info: &AdapterInfo, case: &Case, measured: &Measured) -> Result<(), Failure> {
    let Case { rows, classes, .. } = case;
    let (op, dtype, schedule) = (word(case.op), word(case.dtype), measured.schedule.to_string());
    let (ms, copy_ms) = (measured.ms, measured.copy_ms);
    let (record_us, bound_us, in_pass_us) = (measured.record_us, measured.bound_us, measured.in_pass_us);
    let (gbps, ratio) = (measured.bytes as f64 / ms / 1e6, ms / copy_ms);
    let lse_ratio = measured.lse_ms.map(|lse_ms| ms / lse_ms);
    let HostTimes { ms: host_ms, memcpy_ms } = measured.host;
    let Recorded {
        dispatches,
        allocated_bytes,
        ..
    } = measured.recorded;
    if global.json {
        let line = json!({
            "op": op, "rows": rows, "classes": classes, "dtype": dtype, "adapter": info.name,
            "backend": info.backend.to_string(), "schedule": schedule, "ms": ms, "copy_ms": copy_ms,
            "bytes": measured.bytes, "gbps": gbps, "ratio": ratio, "record_us": record_us,
            "bound_us": bound_us, "in_pass_us": in_pass_us, "dispatches": dispatches, "allocated_bytes": allocated_bytes,
            "lse_ms": measured.lse_ms, "lse_ratio": lse_ratio, "host_ms": host_ms, "memcpy_ms": memcpy_ms,
        });
        return console::line(&line.to_string());
    }
    let shape = format!("{rows} x {classes}");
    let lse_ratio = lse_ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
    // Ten blocks stand for the speed of a copy.
    let share = "█".repeat((10.0 * measured.share_of_copy()).round().clamp(0.0, 12.0) as usize);
    console::line(&format!(
        "{op:<18} {shape:>16} {dtype:>5} {schedule:>12} {ms:>9.3} {copy_ms:>9.3} {ratio:>6.2} {lse_ratio:>9} {gbps:>8.2} \
         {record_us:>10.1} {bound_us:>9.1} {in_pass_us:>10.1} {dispatches:>10} {allocated_bytes:>9} {host_ms:>9.3} \
         {memcpy_ms:>9.3}  {share}"
    ))
}

pub(super) fn plot_bar(case: &Case, measured: &Measured) -> Bar {
    let Case { rows, classes, .. } = case;
    let Measured { schedule, ms, .. } = measured;
    let share = measured.share_of_copy();
    Bar {
        name: format!("{} {rows} x {classes} {}, {schedule}", word(case.op), word(case.dtype)),
        length: share,
        text: format!("{:.0} %, {ms:.2} ms", 100.0 * share),
        color: match case.op {
            Op::Softmax | Op::LogSoftmax | Op::SoftmaxGrad => plot::BLUE,
            _ => plot::ORANGE,
        },
    }
}
