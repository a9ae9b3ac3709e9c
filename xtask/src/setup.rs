//! Adapters: found, or, on Debian and its like, installed.

use crate::tools::debian;
use std::path::{Path, PathBuf};
use std::process::Command;
use wgpu_softmax::wgpu::{Backend, DeviceType};
use wgpu_softmax::{GpuOptions, adapters as find};

/// An adapter that tests run on.
pub(crate) struct Adapter {
    pub(crate) name: String,
    /// The word that `WGPU_BACKEND` knows it by.
    pub(crate) backend: &'static str,
    is_software: bool,
    /// Where its driver is, if not where drivers usually are.
    driver: Option<PathBuf>,
}

impl Adapter {
    /// What makes a program take this adapter.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("WGPU_BACKEND", self.backend.to_string())];
        if self.backend == "gl" {
            // wgpu has one OpenGL context for all threads, and panics in one that waits 6 s for it. The library's own
            // calls take turns; what the tests themselves submit and wait for does not.
            all.push(("RUST_TEST_THREADS", "1".into()));
        }
        if let Some(driver) = &self.driver {
            // The older of the two names is for older loaders.
            all.extend(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, driver.display().to_string())));
        }
        all
    }
}

/// Chromium's software driver, fetched: another compiler behind Vulkan, with subgroups of 4.
pub(crate) fn swiftshader() -> Result<Adapter, String> {
    let driver = debian("chromium-common", "usr/lib/chromium/vk_swiftshader_icd.json")?;
    Ok(Adapter {
        name: "SwiftShader".into(),
        backend: "vulkan",
        is_software: true,
        driver: Some(driver),
    })
}

/// EGL complains without a folder of its own.
pub(crate) fn environment() -> Vec<(&'static str, String)> {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(_) => Vec::new(),
        None => vec![("XDG_RUNTIME_DIR", std::env::temp_dir().display().to_string())],
    }
}

/// The first adapter of each backend. Where there is no hardware, both of Mesa's software drivers are wanted, Vulkan with
/// subgroups and OpenGL without, and installed if that can be done here.
pub(crate) fn adapters() -> Result<Vec<Adapter>, String> {
    let found = look()?;
    let has = |backend| found.iter().any(|a| a.backend == backend);
    if found.iter().any(|a| !a.is_software) || (has("vulkan") && has("gl")) {
        return Ok(found);
    }
    let installed = install();
    let found = look()?;
    match (installed, found.is_empty()) {
        (Err(message), true) => return Err(message),
        (Err(message), false) => println!("note: not every software adapter is here: {message}"),
        (Ok(()), true) => return Err("the drivers are installed, but there is still no GPU adapter".into()),
        (Ok(()), false) => {}
    }
    Ok(found)
}

fn install() -> Result<(), String> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("install your GPU's Vulkan driver, or Mesa's software one (lavapipe)".into());
    }
    println!("No GPU was found: installing Mesa's software drivers with apt-get.");
    apt(&["update"])?;
    apt(&[
        "install",
        "--yes",
        "--no-install-recommends",
        "mesa-vulkan-drivers",
        "libegl1",
        "libgl1-mesa-dri",
    ])
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
            println!("found: {} ({backend}) {}", info.name, info.driver_info);
            found.push(Adapter {
                is_software: info.device_type == DeviceType::Cpu,
                name: info.name,
                backend,
                driver: None,
            });
        }
    }
    Ok(found)
}

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
