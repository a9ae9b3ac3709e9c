//! `cargo xtask web`: the crate for browsers, which is no member of the workspace because it needs the wasm32 target. Its package
//! is built and tried in a real, headless Chromium.

mod browser;
mod checks;
mod input;
mod package;
mod page;
mod server;
mod standard_library;
mod strokes;

use crate::report::{Counts, Outcome, Report};
use crate::run::run;
use browser::Browser;
use package::MANIFEST;
use server::Server;
use standard_library::StandardLibrary;
use std::path::Path;

/// Clippy for wasm32: of the library without features and with all, and of the crate for browsers.
const CLIPPY: &[(&str, &[&str])] = &[
    ("library", &["--package", "wgpu-softmax", "--lib"]),
    (
        "library, no features",
        &["--package", "wgpu-softmax", "--lib", "--no-default-features"],
    ),
    ("web crate", &["--manifest-path", MANIFEST]),
    (
        "web crate, small",
        &["--manifest-path", MANIFEST, "--no-default-features"],
    ),
];

/// Formatting, clippy, the package and the checks in a browser. What is missing here is said, and counted as skipped.
pub(crate) fn check() -> Report {
    let found = StandardLibrary::find_or_fetch().and_then(|library| Ok((library, browser::find_or_install()?)));
    match found {
        Ok((library, chromium)) => everything(&library, &chromium),
        Err(message) => not_run("web", &message),
    }
}

/// As [`check`], where somebody has asked for nothing else.
pub(crate) fn run_alone(words: &[&str]) -> Result<(), String> {
    let library = StandardLibrary::find_or_fetch()?;
    match words {
        [] => everything(&library, &browser::find_or_install()?).conclude(),
        ["--serve"] => serve(&library),
        ["--package"] => Report::of("package", package::build_all(&library).map(|_| Outcome::Ok)).conclude(),
        ["--test", only] => {
            let package = package::build_all(&library)?;
            Report::of(
                "web: in Chromium",
                checks::run(&package, &browser::find_or_install()?, only),
            )
            .conclude()
        }
        ["--verify", only @ ..] => verify(&library, &only.join(" ")),
        _ => Err("usage: cargo xtask web [--serve | --package | --test TEXT | --verify [TEXT]]".into()),
    }
}

/// Clippy alone, for `cargo xtask test`, where the standard library is at hand or can be fetched.
pub(crate) fn check_clippy() -> Report {
    match StandardLibrary::find_or_fetch() {
        Ok(library) => clippy(&library),
        Err(message) => not_run("web: clippy", &message),
    }
}

/// The report of what was not run.
fn not_run(name: &str, message: &str) -> Report {
    println!("{name}: not run: {message}");
    let skipped = Counts {
        skipped: 1,
        ..Counts::default()
    };
    Report::of(name, Ok(Outcome::Counted(skipped)))
}

fn clippy(library: &StandardLibrary) -> Report {
    let mut report = Report::default();
    for (what, arguments) in CLIPPY {
        let name = format!("web: clippy, {what}");
        let mut command = library.cargo("clippy", arguments);
        command.args(["--", "--deny", "warnings"]);
        report.add(&name, run(&name, &mut command));
    }
    report
}

fn everything(library: &StandardLibrary, chromium: &Path) -> Report {
    let mut format = crate::run::cargo(&["fmt", "--check", "--all", "--manifest-path", MANIFEST]);
    let mut report = Report::of("web: formatting", run("web: formatting", &mut format));
    report.extend(clippy(library));
    match package::build_all(library) {
        Ok(package) => report.add("web: in Chromium", checks::run(&package, chromium, "")),
        Err(message) => report.add("web: package", Err(message)),
    }
    report
}

/// Shows the page to people.
fn serve(library: &StandardLibrary) -> Result<(), String> {
    let package = package::build_all(library)?;
    let server = Server::start(&package.site)?;
    println!(
        "http://127.0.0.1:{}/ shows the page until you press Ctrl+C",
        server.port
    );
    loop {
        std::thread::park();
    }
}

/// The checks of the library in Chromium, and their table.
fn verify(library: &StandardLibrary, only: &str) -> Result<(), String> {
    let chromium = browser::find_or_install()?;
    let package = package::build_all(library)?;
    let server = Server::start(&package.site)?;
    let mut browser = Browser::start(&chromium, &server.url("tests/blank.html"))?;
    checks::verify(&mut browser, only)
}
