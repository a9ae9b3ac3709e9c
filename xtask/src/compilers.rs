//! Every variant of the kernels through other people's compilers: SPIR-V through spirv-val, WGSL through Tint, the compiler of
//! Chromium, HLSL through DXC, that of DirectX 12. The library's own test has written them to a folder.

use crate::counts::{Counts, run};
use crate::tools;
use std::path::{Path, PathBuf};
use std::process::Command;

type Check = fn(&[PathBuf]) -> Result<Counts, String>;

/// DXC takes an hour for all and downloads 67 MB: for `cargo xtask test --all`.
const COMPILERS: &[(&str, &str, Check, bool)] = &[
    ("spirv-val", "spv", spirv_val, true),
    ("Tint", "wgsl", tint, true),
    ("DXC", "hlsl", dxc, false),
];

/// Where the variants are to be written.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let folder = tools::target()?.join("variants");
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    // Those of another version must not be taken for this one's.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(fail)?;
    }
    std::fs::create_dir_all(&folder).map_err(fail)?;
    Ok(folder)
}

/// Each compiler over the folder, side by side. One that is not to be had is said, and its variants counted as skipped.
pub(crate) fn check(folder: &Path, all: bool) -> Result<Vec<(String, Counts)>, String> {
    let jobs = COMPILERS.iter().filter(|(.., always)| all || *always);
    std::thread::scope(|scope| {
        let threads: Vec<_> = jobs
            .map(|&(name, extension, check, _)| {
                let job = move || -> Result<(String, Counts), String> {
                    let files = files(folder, extension)?;
                    let counts = check(&files).unwrap_or_else(|message| {
                        println!("{name}: not run: {message}");
                        Counts {
                            skipped: files.len(),
                            ..Counts::default()
                        }
                    });
                    Ok((format!("variants: {name}"), counts))
                };
                scope.spawn(job)
            })
            .collect();
        let outcomes = threads.into_iter().map(|t| t.join());
        outcomes.map(|o| o.map_err(|_| "a check panicked")?).collect()
    })
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    if files.is_empty() {
        return Err(format!("no variants in {}", folder.display()));
    }
    Ok(files)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

fn spirv_val(files: &[PathBuf]) -> Result<Counts, String> {
    let is_installed = Command::new("spirv-val").arg("--version").output().is_ok();
    let program = if is_installed {
        "spirv-val".into()
    } else {
        tools::debian("spirv-tools", "usr/bin/spirv-val")?
    };
    println!("== spirv-val");
    let mut counts = Counts::default();
    for file in files {
        let output = Command::new(&program)
            .args(["--target-env", "vulkan1.1"])
            .arg(file)
            .output();
        let output = output.map_err(|e| format!("{}: {e}", program.display()))?;
        if output.status.success() {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            println!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(counts)
}

fn tint(files: &[PathBuf]) -> Result<Counts, String> {
    let library = tools::npm("webgpu", "0.6.2", "index.js")?;
    run(
        "Tint",
        Command::new("node").arg(script("tint.mjs")).arg(library).args(files),
    )
}

fn dxc(files: &[PathBuf]) -> Result<Counts, String> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x86_64",
        "aarch64" => "aarch64",
        other => return Err(format!("there is none for {other}")),
    };
    let file = format!("compushady/backends/libdxcompiler_{machine}.so.3.7");
    let library = tools::pypi("compushady", "0.17.5", &file)?;
    run(
        "DXC",
        Command::new("python3").arg(script("dxc.py")).arg(library).args(files),
    )
}
