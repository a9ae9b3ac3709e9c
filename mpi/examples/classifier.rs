//! A linear classifier with 200,000 classes, whose weights lie on all ranks: each has those of its classes, computes their logits
//! and their gradient, and never sees the others. The losses have the same bits for every number of ranks.
//!
//! `mpirun -n 4 target/mpi/debug/examples/classifier 2` has 2 ranks share a row, and so 2 groups with half of the rows each. Without
//! an argument all ranks share all rows.

use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::{Communicator, CommunicatorCollectives};
use std::error::Error;
use std::time::{Duration, Instant};
use wgpu_softmax_mpi::wgpu_softmax::{CrossEntropy, Gpu, Gradient, Rows};
use wgpu_softmax_mpi::{Ranks, Traffic};

const CLASSES: usize = 200_000;
const ROWS: usize = 16;
const FEATURES: usize = 32;
const STEPS: usize = 8;
const RATE: f32 = 4.0;

/// Rows that each rank makes for itself: a class, and features that depend on it.
fn row(number: usize) -> (u32, [f32; FEATURES]) {
    let mut bits = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(number as u64 + 1);
    let mut next = || {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        bits >> 32
    };
    let class = (next() % CLASSES as u64) as u32;
    (class, std::array::from_fn(|_| (next() % 2048) as f32 / 1024.0 - 1.0))
}

/// The weights of a rank's classes.
struct Model {
    weights: Vec<[f32; FEATURES]>,
}

impl Model {
    /// Of these rows, class by class; the order of the features is always the same.
    fn logits(&self, rows: &[[f32; FEATURES]]) -> Vec<f32> {
        let dot = |w: &[f32; FEATURES], x: &[f32; FEATURES]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
        let of_row = |x| self.weights.iter().map(move |w| dot(w, x));
        rows.iter().flat_map(of_row).collect()
    }

    /// A step down the gradient of all rows, which are added in their order whichever rank has had them.
    fn learn(&mut self, rows: &[[f32; FEATURES]], gradient: &[f32]) {
        let classes = self.weights.len();
        for (class, weights) in self.weights.iter_mut().enumerate() {
            for (number, x) in rows.iter().enumerate() {
                let g = RATE * gradient[number * classes + class];
                weights.iter_mut().zip(x).for_each(|(w, x)| *w -= g * x);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let universe = mpi::initialize().ok_or("MPI is in use already")?;
    let world = universe.world();
    let vocab_ranks = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => world.size() as usize,
    };
    let ranks = Ranks::new(&universe, vocab_ranks)?;
    let gpu = ranks.agree(Gpu::new())?;
    let (groups, group) = (ranks.data_ranks(), ranks.data_rank());
    let share = ROWS.is_multiple_of(groups).then_some(ROWS / groups);
    let share = ranks.agree(share.ok_or("the groups must have as many rows each"))?;
    let rows = ranks.shard(share, CLASSES)?;
    // The ranks with the same classes. Their gradients meet outside of the crate, which leaves logits where they are.
    let color = Color::with_value(ranks.vocab_rank() as i32);
    let peers = world.split_by_color(color).ok_or("a rank without a color")?;

    let (targets, features): (Vec<_>, Vec<_>) = (0..ROWS).map(row).unzip();
    let own = group * share..(group + 1) * share;
    let (targets, own) = (&targets[own.clone()], &features[own]);
    let mut model = Model {
        weights: vec![[0.0; FEATURES]; rows.classes()],
    };
    let mut times = Times::from(ranks.traffic());
    for step in 1..=STEPS {
        let loss = train(
            &ranks,
            &gpu,
            &peers,
            (rows, targets, own, &features),
            &mut model,
            &mut times,
        )?;
        if ranks.rank() == 0 {
            println!("step {step}: loss {loss:.6}, bits {:08x}", loss.to_bits());
        }
        if step == 1 {
            // Kernels were compiled in it.
            times = Times::from(ranks.traffic());
        }
    }
    if ranks.rank() == 0 {
        times.print(&ranks, rows);
    }
    Ok(())
}

/// Where the time goes: to the products of the model on the processor, and to the loss.
struct Times {
    model: Duration,
    loss: Duration,
    start: Instant,
    before: Traffic,
}

impl From<Traffic> for Times {
    fn from(before: Traffic) -> Self {
        Self {
            model: Duration::ZERO,
            loss: Duration::ZERO,
            start: Instant::now(),
            before,
        }
    }
}

type Batch<'a> = (Rows, &'a [u32], &'a [[f32; FEATURES]], &'a [[f32; FEATURES]]);

fn train(
    ranks: &Ranks<'_>,
    gpu: &Gpu,
    peers: &SimpleCommunicator,
    (rows, targets, own, features): Batch<'_>,
    model: &mut Model,
    times: &mut Times,
) -> Result<f32, Box<dyn Error>> {
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let start = Instant::now();
    let logits = model.logits(own);
    times.model += start.elapsed();
    let start = Instant::now();
    let out = ranks.cross_entropy(gpu, &logits, targets, rows, &options)?;
    times.loss += start.elapsed();
    let start = Instant::now();
    let gradient = out.gradient.ok_or("no gradient")?;
    let mut all = vec![0f32; gradient.len() * ranks.data_ranks()];
    peers.all_gather_into(&gradient[..], &mut all[..]);
    model.learn(features, &all);
    times.model += start.elapsed();
    Ok(out.loss.ok_or("no loss")?)
}

impl Times {
    fn print(&self, ranks: &Ranks<'_>, rows: Rows) {
        const TIMED: u64 = STEPS as u64 - 1;
        let seconds = |time: Duration| time.as_secs_f64() / TIMED as f64;
        let (before, after) = (self.before, ranks.traffic());
        println!(
            "{} x {} ranks, {} classes each: {:.3} s a step, of which the loss took {:.3} s and the model {:.3} s",
            ranks.data_ranks(),
            ranks.vocab_ranks(),
            rows.classes(),
            seconds(self.start.elapsed()),
            seconds(self.loss),
            seconds(self.model),
        );
        println!(
            "rank 0, a step: {} gathers, {} bytes sent and {} received; its rows have {} bytes of logits",
            (after.gathers - before.gathers) / TIMED,
            (after.sent - before.sent) / TIMED,
            (after.received - before.received) / TIMED,
            ROWS / ranks.data_ranks() * CLASSES * 4,
        );
    }
}
