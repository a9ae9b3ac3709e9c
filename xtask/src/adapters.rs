//! The adapters that tests run on: those of this machine or, on Debian and its relatives, software adapters that are installed
//! if there are none.

use crate::tools::{apt, debian};
use std::path::{Path, PathBuf};
use wgpu_softmax::GpuOptions;
use wgpu_softmax::wgpu::{Backend, DeviceType, Features};

/// An adapter that tests run on.
pub(crate) struct Adapter {
    pub(crate) name: String,
    /// The value of `WGPU_BACKEND` for it.
    pub(crate) backend: &'static str,
    is_software: bool,
    pub(crate) has_subgroups: bool,
    /// The driver's description, if it is not installed where the Vulkan loader looks.
    driver: Option<PathBuf>,
}

impl Adapter {
    /// The variables that make a program use this adapter.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("WGPU_BACKEND", self.backend.to_string())];
        if self.backend == "gl" {
            // wgpu has one OpenGL context for all threads, and a thread that waits 6 s for it panics. The library's own calls
            // take turns; what the tests submit and wait for themselves does not.
            all.push(("RUST_TEST_THREADS", "1".into()));
        }
        if let Some(driver) = &self.driver {
            // The second name is the one that older loaders know.
            all.extend(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, driver.display().to_string())));
        }
        all
    }
}

/// Chromium's software driver, downloaded: it has another compiler than Mesa's, and subgroups of 4.
pub(crate) fn swiftshader() -> Result<Adapter, String> {
    let driver = debian("chromium-common", "usr/lib/chromium/vk_swiftshader_icd.json")?;
    Ok(Adapter {
        name: "SwiftShader".into(),
        backend: "vulkan",
        is_software: true,
        has_subgroups: true,
        driver: Some(driver),
    })
}

/// The first adapter of each backend. On a machine without a GPU these should be Mesa's Vulkan driver, which has subgroups,
/// and its OpenGL driver, which has none; what is missing of them is installed if possible.
pub(crate) fn find_or_install() -> Result<Vec<Adapter>, String> {
    let found = find()?;
    let has = |backend| found.iter().any(|a| a.backend == backend);
    if found.iter().any(|a| !a.is_software) || (has("vulkan") && has("gl")) {
        return Ok(found);
    }
    let installed = install();
    let found = find()?;
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

fn find() -> Result<Vec<Adapter>, String> {
    let all = pollster::block_on(wgpu_softmax::adapters(&GpuOptions::default())).map_err(|e| e.to_string())?;
    let mut found: Vec<Adapter> = Vec::new();
    for adapter in &all {
        let info = adapter.get_info();
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
                has_subgroups: adapter.features().contains(Features::SUBGROUP),
                name: info.name,
                backend,
                driver: None,
            });
        }
    }
    Ok(found)
}
