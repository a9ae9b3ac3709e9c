//! What package registries have and tests need, fetched once into `target/tools`: nothing is installed in the system.

use crate::setup::apt;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn target() -> Result<PathBuf, String> {
    // This program is target/debug/xtask.
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = program.ancestors().nth(2).ok_or("xtask is not in a target folder")?;
    Ok(target.to_path_buf())
}

/// A folder of its own for a tool, made by `fetch` unless `file` is there already; gives the file's path.
fn fetched(name: &str, file: &str, fetch: impl FnOnce(&PathBuf) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = target()?.join("tools").join(name);
    let file = folder.join(file);
    if !file.exists() {
        println!("fetching {name}");
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        fetch(&folder)?;
    }
    if file.exists() {
        Ok(file)
    } else {
        Err(format!("{name} has no {}", file.display()))
    }
}

fn shell(script: &str, folder: &PathBuf) -> Result<(), String> {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("sh could not be run: {e}")),
    }
}

/// A file of a Debian package.
pub(crate) fn debian(package: &str, file: &str) -> Result<PathBuf, String> {
    fetched(package, file, |folder| {
        let download = || shell(&format!("apt-get download {package}"), folder);
        // The lists may be missing, or older than the archive.
        download().or_else(|_| apt(&["update"]).and_then(|()| download()))?;
        shell("dpkg --extract *.deb . && rm *.deb", folder)
    })
}

/// A file of a package of npm.
pub(crate) fn npm(package: &str, version: &str, file: &str) -> Result<PathBuf, String> {
    let file = format!("node_modules/{package}/{file}");
    fetched(package, &file, |folder| {
        shell(
            &format!("npm install --prefix . --no-audit --no-fund {package}@{version}"),
            folder,
        )
    })
}

/// A file of a source package of PyPI.
pub(crate) fn pypi(package: &str, version: &str, file: &str) -> Result<PathBuf, String> {
    let file = format!("{package}-{version}/{file}");
    fetched(package, &file, |folder| {
        let download = format!("python3 -m pip download --quiet --no-deps --no-binary :all: {package}=={version}");
        shell(
            &format!("{download} && tar -xzf *.tar.gz {file} && rm *.tar.gz"),
            folder,
        )
    })
}
