//! AMD's GPUs: Mesa's driver RADV, which compiles for any of them without having one. It is that of Debian 13, since older
//! ones cannot; it is unpacked with its own C library, and nothing is installed.

use super::amd;
use super::compiled::{Compilation, Compiled, show_progress};
use super::kernels::Kernel;
use crate::tools;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The subcommand with which this program is run again, under the driver's C library.
pub(crate) const SUBCOMMAND: &str = "gpu-code-driver";

/// The unpacked driver.
pub(crate) struct Radv {
    loader: PathBuf,
    libraries: PathBuf,
    manifest: PathBuf,
}

/// Debian's lists and packages have a folder of their own here, so that those of this machine stay as they are.
const FETCH: &str = r#"
rm -rf apt tree
mkdir -p apt/lists/partial apt/archives/partial tree
: > apt/status
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/$' || echo http://deb.debian.org/debian/)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > apt/sources.list
own="-o Dir::Etc::SourceList=$PWD/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State=$PWD/apt"
own="$own -o Dir::State::status=$PWD/apt/status -o Dir::Cache=$PWD/apt -o Debug::NoLocking=1"
apt-get $own update
apt-get $own --yes --no-install-recommends --download-only install mesa-vulkan-drivers libvulkan1
for package in apt/archives/*.deb; do dpkg --extract "$package" tree; done
rm -r apt
"#;

impl Radv {
    /// The driver, downloaded and unpacked unless it is there already.
    pub(crate) fn find() -> Result<Self, String> {
        let (machine, loader) = match std::env::consts::ARCH {
            "x86_64" => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            "aarch64" => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
            other => return Err(format!("there is no RADV for {other}")),
        };
        // The manifest is written last, and so is there only if all is.
        let manifest = tools::fetched("radv", "radv.json", |folder| {
            let fetched = tools::shell(FETCH, folder);
            // The script itself would make the message long.
            fetched.map_err(|e| e.replace(FETCH, "apt-get, for Debian's Mesa"))?;
            let driver = libraries(folder, machine).join("libvulkan_radeon.so");
            let icd = serde_json::json!({"library_path": driver, "api_version": "1.4.305"});
            let text = serde_json::json!({"file_format_version": "1.0.0", "ICD": icd}).to_string();
            std::fs::write(folder.join("radv.json"), text).map_err(|e| e.to_string())
        })?;
        let libraries = libraries(manifest.parent().unwrap_or(Path::new("")), machine);
        Ok(Self {
            loader: libraries.join(loader),
            libraries,
            manifest,
        })
    }

    /// Compiles the kernels of `folder` for the GPUs that Mesa calls `family`.
    pub(crate) fn compile(&self, family: &str, folder: &Path, kernels: &[Kernel]) -> Result<Compilation, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        // Mesa notices that there is no GPU, which is nothing that anyone needs to see.
        let log = folder.join("radv.log");
        let errors = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut child = Command::new(&self.loader)
            .arg("--library-path")
            .args([&self.libraries, &program])
            .arg(SUBCOMMAND)
            .arg(folder)
            .env("RADV_FORCE_FAMILY", family)
            .env("MESA_SHADER_CACHE_DISABLE", "1")
            // The second name is the one that older loaders know.
            .envs(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, &self.manifest)))
            .env("VK_LOADER_LAYERS_DISABLE", "~all~")
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.loader.display()))?;
        let lines = child.stdout.take().into_iter();
        let mut lines = lines.flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok);
        // The first line is the driver's name.
        let compiler = lines.next().unwrap_or_default();
        let mut compiled = Vec::new();
        for (kernel, line) in kernels.iter().zip(lines) {
            let one = read(&line, &kernel.path(folder, &format!("{family}.s")));
            compiled.push(one.map_err(|e| format!("{kernel}: {e}"))?);
            show_progress(family, compiled.len(), kernels.len());
        }
        let status = child.wait().map_err(|e| e.to_string())?;
        match kernels.get(compiled.len()) {
            None if status.success() => Ok(Compilation {
                compiler,
                kernels: compiled,
            }),
            next => {
                let next = next.map_or_else(String::new, |kernel| format!(", at {kernel}"));
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                Err(format!("RADV for {family} ended with {status}{next}: {}", log.trim()))
            }
        }
    }
}

/// Reads what the driver says of a kernel, and leaves its assembly in a file.
fn read(line: &str, file: &Path) -> Result<Compiled, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
    let statistic = |name: &str| {
        let number = value["statistics"][name].as_f64();
        number.ok_or_else(|| format!("RADV has no statistic {name:?}"))
    };
    let assembly = value["assembly"].as_str().ok_or("RADV gives no assembly")?;
    std::fs::write(file, assembly).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(Compiled {
        listing: amd::listing(assembly),
        registers: statistic("VGPRs")?,
        spills: statistic("Spilled VGPRs")? + statistic("Spilled SGPRs")?,
        scratch: statistic("Scratch size")?,
        group_memory: statistic("LDS size")?,
        subgroups: Some(statistic("Subgroups per SIMD")?),
    })
}

fn libraries(folder: &Path, machine: &str) -> PathBuf {
    folder.join("tree/usr/lib").join(machine)
}
