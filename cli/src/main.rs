//! The `wgpu-softmax` command: a thin layer over the library. It reads arrays, makes one library call (and one more for
//! `--log-probs`), writes arrays.
//!
//! Each command has a file of its own name in `commands/`. They share what stands beside this file: `words` takes flags as
//! people spell them, `global` has the flags of every command and opens the adapter, `arrays` reads files, `layout` knows where
//! rows lie, `number` has the flags that take numbers, `logits` those about logits, `loss` prints one, `output` writes files,
//! `plot` draws, and `console` and `progress` talk to people. `failure` has the exit codes, `environment` what drivers are told.

mod arrays;
mod commands;
mod console;
mod environment;
mod failure;
mod global;
mod layout;
mod logits;
mod loss;
mod number;
mod output;
mod plot;
mod progress;
mod words;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use commands::Command;
use failure::Failure;
use global::Global;
use std::process::ExitCode;

/// Softmax, cross-entropy and sampling of .npy and .safetensors arrays on the GPU.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    environment::silence_wayland();
    let outcome = match Cli::try_parse_from(words::hyphenated(&Cli::command(), std::env::args_os())) {
        Ok(cli) => cli.command.run(&cli.global),
        // Help and the version are clap's "errors" that belong on standard output.
        Err(error) if !error.use_stderr() => console::text(&error.to_string()),
        Err(error) => Err(usage_error(&error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::note(&failure.line());
            failure.exit_code()
        }
    }
}

/// What clap says of wrong flags, with its tips, but without the usage that follows: an error is one line.
fn usage_error(error: &clap::Error) -> Failure {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    if matches!(
        error.kind(),
        MissingSubcommand | DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let cli = Cli::command();
        let commands: Vec<&str> = cli.get_subcommands().map(|c| c.get_name()).collect();
        return Failure::Caller(format!("a command is missing, one of {}", commands.join(", ")));
    }
    let text = error.to_string();
    let is_said = |part: &&str| !part.starts_with("Usage:") && !part.starts_with("For more information");
    let parts: Vec<&str> = text.split("\n\n").map(str::trim).filter(is_said).collect();
    Failure::Caller(parts.join("; ").trim_start_matches("error: ").into())
}
