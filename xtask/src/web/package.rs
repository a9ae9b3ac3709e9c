//! The npm package: the module, its bindings, what is written by hand in `web/npm`, and how large it all is.

use super::standard_library::{StandardLibrary, folder, module};
use crate::run::{cargo, run};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const MANIFEST: &str = "web/Cargo.toml";

/// The name of the bindings' files.
const NAME: &str = "wgpu_softmax_web";

/// Most bytes of the small package's module, as it is and compressed: what it has now, so that growth shows. It was 534,000 and 203,000
/// before losses had weights of rows, teachers, sinks, Hessians and rows of unequal length.
const MOST_BYTES: [usize; 2] = [580_000, 218_000];

/// Where the parts of the package are.
pub(crate) struct Package {
    /// What is served: the page, its tests, and the package in `pkg`.
    pub(crate) site: PathBuf,
}

/// Builds the package with `verify`, and without it to see how large that is.
pub(crate) fn build_all(library: &StandardLibrary) -> Result<Package, String> {
    let web = folder()?;
    let small = web.join("small");
    build(library, &["--no-default-features"], &small)?;
    let site = web.join("site");
    fresh(&site)?;
    build(library, &[], &site.join("pkg"))?;
    for (from, to) in [("examples/web", ""), ("web/tests", "tests"), ("data", "data")] {
        copy_all(Path::new(from), &site.join(to))?;
    }
    println!("the package is in {}", site.join("pkg").display());
    print_size("with verify", &site.join("pkg"))?;
    let sizes = print_size("softmax, cross-entropy and sampling", &small)?;
    if sizes[0] > MOST_BYTES[0] || sizes[1] > MOST_BYTES[1] {
        return Err(format!(
            "the small module may have {} bytes, {} compressed",
            MOST_BYTES[0], MOST_BYTES[1]
        ));
    }
    Ok(Package { site })
}

fn build(library: &StandardLibrary, features: &[&str], to: &Path) -> Result<(), String> {
    let mut build = library.cargo("build", &["--release", "--quiet", "--manifest-path", MANIFEST]);
    succeeded(&format!("web: module {}", features.join(" ")), build.args(features))?;
    let mut bindgen = cargo(&[
        "run",
        "--quiet",
        "--manifest-path",
        MANIFEST,
        "--package",
        "wgpu-softmax-bindgen",
        "--",
    ]);
    fresh(to)?;
    bindgen
        .arg(module()?)
        .arg(to)
        .arg(NAME)
        .env("CARGO_TARGET_DIR", folder()?);
    succeeded("web: bindings", &mut bindgen)?;
    copy_all(Path::new("web/npm"), to)
}

fn succeeded(name: &str, command: &mut Command) -> Result<(), String> {
    match run(name, command)? {
        crate::report::Outcome::Ok => Ok(()),
        _ => Err(format!("{name} failed")),
    }
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<(), String> {
    // It may not be there yet.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{} could not be copied: {e}", from.display());
    std::fs::create_dir_all(to).map_err(fail)?;
    for entry in std::fs::read_dir(from).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            std::fs::copy(&path, to.join(name)).map_err(fail)?;
        }
    }
    Ok(())
}

/// The bytes of a package's module, and those of it compressed.
fn print_size(what: &str, package: &Path) -> Result<[usize; 2], String> {
    let file = package.join(format!("{NAME}_bg.wasm"));
    let bytes = std::fs::read(&file)
        .map_err(|e| format!("{}: {e}", file.display()))?
        .len();
    let compressed = Command::new("gzip").args(["-9", "--stdout"]).arg(&file).output();
    let compressed = compressed
        .map_err(|e| format!("gzip could not be run: {e}"))?
        .stdout
        .len();
    println!("{what}: {bytes} bytes, {compressed} compressed");
    Ok([bytes, compressed])
}
