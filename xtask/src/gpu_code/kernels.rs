//! The kernels that are compiled. A test of the library writes them to a folder, with a list of what they are.

use crate::run::cargo;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// A kernel, and what it runs on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kernel {
    /// The name of its files, without their extensions.
    pub(crate) file: String,
    pub(crate) operation: String,
    pub(crate) type_name: String,
    pub(crate) rows: u64,
    pub(crate) classes: u64,
    pub(crate) schedule: String,
    /// Whether the library would choose this schedule.
    pub(crate) is_chosen: bool,
    pub(crate) pass: Pass,
    /// Classes that a lane holds, or takes at a time.
    pub(crate) lane_classes: f64,
    /// How often a lane reads from work-group memory in the loop that combines what the others have found.
    pub(crate) fold_steps: f64,
    /// The numbers of its bindings, and whether they are uniform buffers.
    pub(crate) bindings: Vec<(u32, bool)>,
}

/// Which part of the operation a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Whole,
    /// The first dispatch over split rows.
    Statistics,
    /// The second.
    Write,
    /// The first, where the lanes take all chunks of a row at once, so that it has no loop.
    OneStep,
    /// One of more, of which it is not said what a class costs.
    Step,
}

impl Kernel {
    /// Has the library write its kernels to `folder`.
    pub(crate) fn write_all(folder: &Path) -> Result<(), String> {
        let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(fail)?;
        }
        std::fs::create_dir_all(folder).map_err(fail)?;
        let test = "kernels_for_real_gpus";
        let mut command = cargo(&["test", "--all-features", "--package", "wgpu-softmax", "--lib", test]);
        let output = command.env("GPU_CODE_FOLDER", folder).output();
        let output = output.map_err(|e| format!("cargo test: {e}"))?;
        if output.status.success() {
            Ok(())
        } else {
            let texts = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned());
            Err(format!("cargo test {test}: {}", texts.concat()))
        }
    }

    /// The kernels that were written to `folder`.
    pub(crate) fn read_all(folder: &Path) -> Result<Vec<Self>, String> {
        let path = folder.join("kernels.json");
        let fail = |e: String| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| fail(e.to_string()))?;
        let all: Vec<Value> = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        let read = all
            .iter()
            .map(|value| Self::parse(value).ok_or_else(|| fail(format!("{value}"))));
        read.collect()
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = |name| Some(value[name].as_str()?.to_string());
        let bindings = value["bindings"].as_array()?.iter();
        let bindings = bindings.map(|b| Some((b["number"].as_u64()? as u32, b["is_uniform"].as_bool()?)));
        Some(Self {
            file: text("file")?,
            operation: text("operation")?,
            type_name: text("type")?,
            rows: value["rows"].as_u64()?,
            classes: value["classes"].as_u64()?,
            schedule: text("schedule")?,
            is_chosen: value["is_chosen"].as_bool()?,
            pass: match value["pass"].as_str()? {
                "whole" => Pass::Whole,
                "statistics" => Pass::Statistics,
                "write" => Pass::Write,
                "one step" => Pass::OneStep,
                "step" => Pass::Step,
                _ => return None,
            },
            lane_classes: value["lane_classes"].as_f64()?,
            fold_steps: value["fold_steps"].as_f64()?,
            bindings: bindings.collect::<Option<_>>()?,
        })
    }

    pub(crate) fn path(&self, folder: &Path, extension: &str) -> PathBuf {
        folder.join(&self.file).with_extension(extension)
    }

    /// Whether a lane goes through its classes in a loop.
    pub(crate) fn has_loop(&self) -> bool {
        !self.is_held() && self.pass != Pass::OneStep
    }

    /// Whether each lane holds its classes in registers.
    pub(crate) fn is_held(&self) -> bool {
        self.schedule.starts_with("held/")
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, type_name) = (&self.operation, &self.type_name);
        write!(
            f,
            "{operation} {type_name} {}x{} {}",
            self.rows, self.classes, self.schedule
        )?;
        match self.pass {
            Pass::Whole | Pass::Step => Ok(()),
            Pass::Statistics | Pass::OneStep => f.write_str(" statistics"),
            Pass::Write => f.write_str(" write"),
        }
    }
}
