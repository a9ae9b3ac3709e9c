//! Tools out of package registries. They are downloaded once into `target/tools`; only drivers, with [`apt`], are installed in
//! the system.

use std::path::PathBuf;
use std::process::Command;

/// The target folder.
pub(crate) fn target() -> Result<PathBuf, String> {
    // This program is target/debug/xtask.
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = program.ancestors().nth(2).ok_or("xtask is not in a target folder")?;
    Ok(target.to_path_buf())
}

/// The path of a tool's `file`. Unless it is there already, `fetch` gets it into a folder of the tool's own.
pub(crate) fn fetched(
    name: &str,
    file: &str,
    fetch: impl FnOnce(&PathBuf) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = target()?.join("tools").join(name);
    let file = folder.join(file);
    if !file.exists() {
        eprintln!("fetching {name}");
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        fetch(&folder)?;
    }
    if file.exists() {
        Ok(file)
    } else {
        Err(format!("{name} has no {}", file.display()))
    }
}

pub(crate) fn shell(script: &str, folder: &PathBuf) -> Result<(), String> {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("sh could not be run: {e}")),
    }
}

/// Runs apt-get as root.
pub(crate) fn apt(arguments: &[&str]) -> Result<(), String> {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        Command::new("sudo")
    };
    if !is_root {
        command.arg("apt-get");
    }
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {} failed ({status})", arguments.join(" "))),
        Err(e) => Err(format!("apt-get could not be run: {e}")),
    }
}

/// A file of a Debian package, which is unpacked and not installed.
pub(crate) fn debian(package: &str, file: &str) -> Result<PathBuf, String> {
    fetched(package, file, |folder| {
        let download = || shell(&format!("apt-get download {package}"), folder);
        // The package lists may be missing, or name versions that the archive no longer has.
        download().or_else(|_| apt(&["update"]).and_then(|()| download()))?;
        shell("dpkg --extract *.deb . && rm *.deb", folder)
    })
}

/// A file of an npm package.
pub(crate) fn npm(package: &str, version: &str, file: &str) -> Result<PathBuf, String> {
    let file = format!("node_modules/{package}/{file}");
    fetched(package, &file, |folder| {
        shell(
            &format!("npm install --prefix . --no-audit --no-fund {package}@{version}"),
            folder,
        )
    })
}

/// A file of a source package on PyPI.
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
