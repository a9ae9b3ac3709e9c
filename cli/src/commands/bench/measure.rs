//! Measures one case: checks its result first, then times it in turn with a copy.

use super::case::Case;
use super::check;
use super::copy::Copy;
use super::host::{self, HostTimes};
use super::timer::{Repeat, Timer, median};
use super::work::Work;
use crate::failure::Failure;
use crate::logits::DtypeWord;
use half::{bf16, f16};
use std::time::{Duration, Instant};
use wgpu_softmax::{Element, Gpu, Recorded, Rows, Schedule};

/// An operation is recorded so often in a row as a step of training records operations: the first time after waiting for
/// the device takes 10 to 30 us more, because nothing is in the processor's caches.
const RECORDINGS: usize = 8;

pub(super) struct Measured {
    pub(super) schedule: Schedule,
    /// The median time of the operation, and of the copy.
    pub(super) ms: f64,
    pub(super) copy_ms: f64,
    /// That of the logsumexp of the same logits, beside sampling.
    pub(super) lse_ms: Option<f64>,
    /// What the operation must move at least.
    pub(super) bytes: u64,
    /// The median time that the host takes to record it: on buffers that are checked and bound anew, bound once, and
    /// bound once into a compute pass that is open.
    pub(super) record_us: f64,
    pub(super) bound_us: f64,
    pub(super) in_pass_us: f64,
    pub(super) recorded: Recorded,
    pub(super) host: HostTimes,
}

impl Measured {
    /// The speed of the operation as a share of the copy's.
    pub(super) fn share_of_copy(&self) -> f64 {
        self.copy_ms / self.ms
    }
}

/// Measures a case for about `time`, and its call on host slices for as long again.
pub(super) fn measure(gpu: &Gpu, timer: &Timer<'_>, case: &Case, time: Duration) -> Result<Measured, Failure> {
    match case.dtype {
        DtypeWord::F32 => measure_stored::<f32>(gpu, timer, case, time),
        DtypeWord::F16 => measure_stored::<f16>(gpu, timer, case, time),
        DtypeWord::Bf16 => measure_stored::<bf16>(gpu, timer, case, time),
    }
}

/// The microseconds of the host's clock that something takes.
fn us(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let before = Instant::now();
    work()?;
    Ok(before.elapsed().as_secs_f64() * 1e6)
}

fn measure_stored<T: Element>(gpu: &Gpu, timer: &Timer<'_>, case: &Case, time: Duration) -> Result<Measured, Failure> {
    let rows = Rows::new(case.rows, case.classes);
    let work = Work::new::<T>(gpu, case.op, rows, case.schedule)?;
    check::check::<T>(gpu, &work)?;
    let copy = Copy::best(gpu, timer, work.bytes)?;
    let bound = work.bind()?;
    let lse = (case.op.is_sampling().then(|| work.bind_logsumexp(gpu, T::DTYPE))).transpose()?;
    let (mut ms, mut copy_ms, mut lse_ms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut record_us, mut bound_us, mut in_pass_us) = (Vec::new(), Vec::new(), Vec::new());
    let mut recorded = Recorded::default();
    // They alternate, so that whatever slows the machine down slows all.
    let mut repeat = Repeat::new(time);
    while repeat.again() {
        copy_ms.push(timer.ms(|encoder| copy.encode(encoder))?);
        ms.push(timer.ms(|encoder| {
            recorded = work.encode(encoder)?;
            Ok(())
        })?);
        if let Some(lse) = &lse {
            lse_ms.push(timer.ms(|encoder| {
                lse.encode(encoder);
                Ok(())
            })?);
        }
        // What is recorded here is thrown away.
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for _ in 0..RECORDINGS {
            record_us.push(us(|| work.encode(&mut encoder).map(|_| ()))?);
            bound_us.push(us(|| {
                bound.encode(&mut encoder);
                Ok(())
            })?);
            let mut pass = encoder.begin_compute_pass(&Default::default());
            in_pass_us.push(us(|| {
                bound.record(&mut pass);
                Ok(())
            })?);
        }
    }
    Ok(Measured {
        schedule: work.schedule(),
        ms: median(ms),
        copy_ms: median(copy_ms),
        lse_ms: lse.map(|_| median(lse_ms)),
        bytes: work.bytes,
        record_us: median(record_us),
        bound_us: median(bound_us),
        in_pass_us: median(in_pass_us),
        recorded,
        host: host::measure::<T>(gpu, case.op, rows, case.schedule, time)?,
    })
}
