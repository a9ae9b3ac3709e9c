//! The calls on several ranks. Started by cargo this program starts itself under `mpirun`, once for each case; started there it
//! is a rank.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "ranks/equal.rs"]
mod equal;
#[path = "ranks/errors.rs"]
mod errors;
#[path = "ranks/launch.rs"]
mod launch;

use mpi::environment::Universe;
use wgpu_softmax::{Gpu, Schedule};
use wgpu_softmax_mpi::Ranks;

/// One whose kernels drivers compile quickly.
const SCHEDULE: Option<Schedule> = Some(Schedule::Split { lanes: 32, pieces: 1 });

/// What a rank does: the universe, and how many ranks are to share a row.
type Run = fn(&Universe, usize);

/// A case: its name, its ranks, how many share a row, what each does, and whether `mpirun` is to end without an error.
struct Case {
    name: &'static str,
    ranks: usize,
    vocab_ranks: usize,
    run: Run,
    succeeds: bool,
}

const fn case(name: &'static str, ranks: usize, vocab_ranks: usize, run: Run) -> Case {
    Case {
        name,
        ranks,
        vocab_ranks,
        run,
        succeeds: true,
    }
}

const CASES: &[Case] = &[
    case("one rank has the bits of one call", 1, 1, equal::all),
    case("rows in two parts have the bits of whole ones", 2, 2, equal::all),
    case("losses of two groups have the bits of one batch", 2, 1, equal::all),
    case("rows in four parts have the bits of whole ones", 4, 4, equal::some),
    case("two groups of two have the bits of one call", 4, 2, equal::all),
    case("whole rows of four groups, one without rows", 4, 1, equal::whole_rows),
    case(
        "a bad target of one rank is the same error on all of two",
        2,
        2,
        errors::bad_target,
    ),
    case(
        "a bad target of one rank is the same error on all of four",
        4,
        2,
        errors::bad_target,
    ),
    case(
        "calls that differ are the same error on all",
        4,
        2,
        errors::differing_calls,
    ),
    case("a rank without a Gpu is the same error on all", 4, 4, errors::no_gpu),
    case(
        "a lost device of one rank is the same error on all",
        4,
        2,
        errors::lost_device,
    ),
    case("ranks in no grid, and rows too short for them", 2, 2, errors::grids),
    case(
        "a rank that returns ends the calls of the others",
        4,
        2,
        errors::one_returns,
    ),
    case(
        "a rank that panics ends the calls of the others",
        4,
        4,
        errors::one_panics,
    ),
    Case {
        succeeds: false,
        ..case("a rank that exits ends the others", 4, 4, errors::one_exits)
    },
];

fn main() {
    match std::env::var(launch::CASE) {
        Ok(number) => {
            let case = &CASES[number.parse::<usize>().expect("a number")];
            let universe = mpi::initialize().expect("MPI is not yet initialized");
            (case.run)(&universe, case.vocab_ranks);
        }
        Err(_) => launch::all(CASES),
    }
}

/// The ranks of a case, and the device of this one.
fn ranks(universe: &Universe, vocab_ranks: usize) -> (Ranks<'_>, Gpu) {
    let ranks = Ranks::new(universe, vocab_ranks).unwrap();
    assert_eq!(ranks.vocab_ranks(), vocab_ranks);
    let gpu = ranks.agree(Gpu::new()).unwrap();
    (ranks, gpu)
}
