//! Gives every variant of the kernels to compilers other than naga: the SPIR-V to spirv-val, the WGSL to Tint, which is
//! Chromium's compiler, and the HLSL to DXC, which is that of DirectX 12. A test of the library writes the variants to a folder.

use crate::report::{Counts, Outcome, Report};
use crate::run::run;
use crate::tools;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Compiler {
    name: &'static str,
    /// Of the files that it takes.
    extension: &'static str,
    check: fn(&[PathBuf]) -> Result<Outcome, String>,
    /// Whether it needs `cargo xtask test --all`.
    is_slow: bool,
}

const COMPILERS: [Compiler; 3] = [
    Compiler {
        name: "spirv-val",
        extension: "spv",
        check: spirv_val,
        is_slow: false,
    },
    Compiler {
        name: "Tint",
        extension: "wgsl",
        check: tint,
        is_slow: false,
    },
    // It takes an hour for all variants, and downloads 67 MB.
    Compiler {
        name: "DXC",
        extension: "hlsl",
        check: dxc,
        is_slow: true,
    },
];

/// The folder that the variants are to be written to, empty.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let folder = tools::target()?.join("variants");
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    // Variants that another version of the library wrote there must not be checked again.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(fail)?;
    }
    std::fs::create_dir_all(&folder).map_err(fail)?;
    Ok(folder)
}

/// Runs the compilers at the same time. If one cannot be had, that is printed, and its variants are counted as skipped.
pub(crate) fn check(folder: &Path, all: bool) -> Result<Report, String> {
    std::thread::scope(|scope| {
        let chosen = COMPILERS.iter().filter(|c| all || !c.is_slow);
        let threads: Vec<_> = chosen.map(|c| (c, scope.spawn(|| check_with(c, folder)))).collect();
        let mut report = Report::default();
        for (compiler, thread) in threads {
            let outcome = thread.join().map_err(|_| "a check panicked")?;
            report.add(&format!("variants: {}", compiler.name), outcome);
        }
        Ok(report)
    })
}

fn check_with(compiler: &Compiler, folder: &Path) -> Result<Outcome, String> {
    let files = files(folder, compiler.extension)?;
    Ok((compiler.check)(&files).unwrap_or_else(|message| {
        println!("{}: not run: {message}", compiler.name);
        Outcome::Counted(Counts {
            skipped: files.len(),
            ..Counts::default()
        })
    }))
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

fn spirv_val(files: &[PathBuf]) -> Result<Outcome, String> {
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
    Ok(Outcome::Counted(counts))
}

fn tint(files: &[PathBuf]) -> Result<Outcome, String> {
    let library = tools::npm("webgpu", "0.6.2", "index.js")?;
    run(
        "Tint",
        Command::new("node").arg(script("tint.mjs")).arg(library).args(files),
    )
}

fn dxc(files: &[PathBuf]) -> Result<Outcome, String> {
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
