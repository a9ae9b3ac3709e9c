//! Starts the cases under `mpirun`, each with a limit of its own.

use super::Case;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The variable that says which case a rank runs.
pub(super) const CASE: &str = "WGPU_SOFTMAX_MPI_CASE";

/// On two busy cores with a software driver. A case that hangs ends here, and has failed.
const LIMIT: Duration = Duration::from_secs(240);
/// From the start of a program of which a rank ends early to its end; most of it is devices being made.
const LIMIT_OF_FAILURES: Duration = Duration::from_secs(60);

/// Runs the cases whose names contain the first argument, and prints what cargo's own test programs print.
pub(super) fn all(cases: &[Case]) {
    let filter = std::env::args()
        .skip(1)
        .find(|a| !a.starts_with('-'))
        .unwrap_or_default();
    let (mut passed, mut failed, mut left_out) = (0, 0, 0);
    for (number, case) in cases.iter().enumerate() {
        if !case.name.contains(&filter) {
            left_out += 1;
            continue;
        }
        let start = Instant::now();
        let outcome = run(number, case);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("test {} ({} ranks) ... ok ({seconds:.1} s)", case.name, case.ranks);
            }
            Err(message) => {
                failed += 1;
                println!("test {} ({} ranks) ... FAILED: {message}", case.name, case.ranks);
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out"
    );
    if failed > 0 {
        std::process::exit(1);
    }
}

fn run(number: usize, case: &Case) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("mpirun");
    command.args(["-n", &case.ranks.to_string()]).arg(program);
    // What OpenMPI asks for in containers, where all is root's, and of fewer cores than ranks. Others take no notice.
    for name in [
        "ALLOW_RUN_AS_ROOT",
        "ALLOW_RUN_AS_ROOT_CONFIRM",
        "MCA_rmaps_base_oversubscribe",
        "MCA_mpi_yield_when_idle",
    ] {
        command.env(format!("OMPI_{name}"), "1");
    }
    command.env(CASE, number.to_string()).stdin(Stdio::null());
    if !case.succeeds {
        // It is to fail, and says so at length.
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let mut child = command.spawn().map_err(|e| format!("mpirun could not be run: {e}"))?;
    let (start, limit) = (Instant::now(), if case.succeeds { LIMIT } else { LIMIT_OF_FAILURES });
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() == case.succeeds => return Ok(()),
            Some(status) => return Err(format!("mpirun ended with {status}")),
            None if start.elapsed() > limit => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("it still ran after {} s", limit.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
