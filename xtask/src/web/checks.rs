//! The checks of `web/tests/checks.js` and of the page in a browser, and those of the library itself.

use super::browser::Browser;
use super::package::Package;
use super::page;
use super::server::Server;
use super::standard_library::folder;
use crate::report::{Counts, Outcome};
use crate::run::cargo;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a check, and what the whole of `verify`, may take.
const MINUTES: Duration = Duration::from_secs(10 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Runs every check in whose name `only` is, on a page of its own each; besides those in JavaScript, a click, a comparison of the
/// bits with those of an adapter of this machine, and those of the page.
pub(crate) fn run(package: &Package, chromium: &Path, only: &str) -> Result<Outcome, String> {
    let server = Server::start(&package.site)?;
    let blank = server.url("tests/blank.html");
    let mut browser = Browser::start(chromium, &blank)?;
    let names = browser.evaluate("import('/tests/checks.js').then(m => Object.keys(m))", MINUTES)?;
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut counts = Counts::default();
    let of_page = page::CHECKS.map(|(name, _)| name);
    for name in names
        .chain([CLICK, BITS])
        .chain(of_page)
        .filter(|name| name.contains(only))
    {
        browser.navigate(&blank)?;
        let start = Instant::now();
        let on_page = page::CHECKS.iter().find(|check| check.0 == name);
        let outcome = match (on_page, name) {
            (Some((_, check)), _) => page::run(&mut browser, &server, *check),
            (None, CLICK) => click(&mut browser),
            (None, BITS) => compare_bits(&mut browser),
            _ => {
                let check = format!("import('/tests/checks.js').then(m => m.{name}())");
                let outcome = browser.evaluate(&check, MINUTES);
                outcome.map(|said| said.as_str().unwrap_or_default().into())
            }
        };
        if outcome.is_err() {
            browser.screenshot(&folder()?.join("failed.png"))?;
        }
        count(&mut counts, name, outcome, start);
    }
    Ok(Outcome::Counted(counts))
}

const CLICK: &str = "a_click_computes";
const BITS: &str = "the_bits_are_those_of_this_machines_adapter";

/// A person's click on the page's button.
fn click(browser: &mut Browser) -> Result<String, String> {
    browser.click("#softmax")?;
    let said = "new Promise(ok => setInterval(() => said.textContent && ok(said.textContent), 20))";
    let said = browser.evaluate(said, Duration::from_secs(60))?;
    match said.as_str() {
        Some(said) if said.split(' ').count() == 3 => Ok(said.into()),
        _ => Err(format!("the page says {said}")),
    }
}

fn count(counts: &mut Counts, name: &str, outcome: Result<String, String>, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(said) => {
            counts.passed += 1;
            println!("test {name} ... ok ({seconds:.1} s) {said}");
        }
        Err(message) => {
            counts.failed += 1;
            println!("test {name} ... FAILED ({seconds:.1} s)\n{message}");
        }
    }
}

/// The hashes of the twin checks, here and in the browser, of cases up to so many elements.
fn compare_bits(browser: &mut Browser) -> Result<String, String> {
    const MOST: &str = "10000";
    let arguments = [
        "run",
        "--quiet",
        "--package",
        "wgpu-softmax-cli",
        "--",
        "verify",
        "--json",
        "--only",
        "twin",
    ];
    let native = cargo(&arguments).args(["--most-elements", MOST]).output();
    let native = native.map_err(|e| format!("cargo: {e}"))?;
    let native: Vec<Value> = String::from_utf8_lossy(&native.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let output = browser.evaluate(&verification("twin", MOST), MINUTES)?;
    let checks = output["checks"].as_array().cloned().unwrap_or_default();
    println!("{}", output["table"].as_str().unwrap_or_default());
    if native.is_empty() || native.len() != checks.len() || output["failed"] != 0 {
        return Err(format!(
            "{} checks here, {} in the browser, failed {}",
            native.len(),
            checks.len(),
            output["failed"]
        ));
    }
    for (here, there) in native.iter().zip(&checks) {
        if here["hash"] != there["hash"] || here["cases"] != there["cases"] || here["hash"].is_null() {
            return Err(format!("here {here}\nin the browser {there}"));
        }
    }
    Ok(format!("{} hashes", checks.len()))
}

fn verification(only: &str, most_elements: &str) -> String {
    let options = format!("{{ only: {}, mostElements: {most_elements} }}", Value::from(only));
    format!("import('/pkg/index.js').then(async m => (await m.init(), m.verify({options})))")
}

/// The library's own checks, as a table.
pub(crate) fn verify(browser: &mut Browser, only: &str) -> Result<(), String> {
    let output = browser.evaluate(&verification(only, "undefined"), HOUR)?;
    println!("{}", output["table"].as_str().unwrap_or_default());
    match output["failed"].as_u64() {
        Some(0) => Ok(()),
        failed => Err(format!("{failed:?} cases failed in the browser")),
    }
}
