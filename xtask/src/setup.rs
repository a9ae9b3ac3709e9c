//! Adapters: found, or, on Debian and its like, installed.

use std::path::Path;
use std::process::Command;
use wgpu_softmax::wgpu::Backend;
use wgpu_softmax::{GpuOptions, adapters as find};

/// An adapter that tests run on.
pub(crate) struct Adapter {
    pub(crate) name: String,
    /// The word that `WGPU_BACKEND` knows it by.
    pub(crate) backend: &'static str,
}

/// EGL complains without a folder of its own.
pub(crate) fn environment() -> Vec<(&'static str, String)> {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(_) => Vec::new(),
        None => vec![("XDG_RUNTIME_DIR", std::env::temp_dir().display().to_string())],
    }
}

/// The first adapter of each backend, after installing a software one where there is none.
pub(crate) fn adapters() -> Result<Vec<Adapter>, String> {
    let found = look()?;
    if !found.is_empty() {
        return Ok(found);
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(
            "no GPU adapter was found; install your GPU's Vulkan driver, or Mesa's software one (lavapipe)".into(),
        );
    }
    println!("No GPU adapter was found: installing Mesa's software drivers with apt-get.");
    apt(&["update"])?;
    apt(&[
        "install",
        "--yes",
        "--no-install-recommends",
        "mesa-vulkan-drivers",
        "libegl1",
        "libgl1-mesa-dri",
    ])?;
    let found = look()?;
    if found.is_empty() {
        return Err("mesa-vulkan-drivers is installed, but there is still no GPU adapter".into());
    }
    Ok(found)
}

/// The first adapter of each backend.
fn look() -> Result<Vec<Adapter>, String> {
    let all = pollster::block_on(find(&GpuOptions::default())).map_err(|e| e.to_string())?;
    let mut found: Vec<Adapter> = Vec::new();
    for info in all.iter().map(|a| a.get_info()) {
        let backend = match info.backend {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
            _ => continue,
        };
        if found.iter().all(|a| a.backend != backend) {
            println!("adapter: {} ({backend}) {}", info.name, info.driver_info);
            found.push(Adapter {
                name: info.name,
                backend,
            });
        }
    }
    Ok(found)
}

fn apt(arguments: &[&str]) -> Result<(), String> {
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
