//! The printed page, and the comparison of every number on it.

use std::error::Error;
use std::path::PathBuf;

/// The largest difference allowed between a number and the f64 result: relative, or absolute where that result is below 1.
pub(crate) const TOLERANCE: f64 = 2e-6;

/// Width and height of a figure, in pixels.
pub(crate) const FIGURE_SIZE: (u32, u32) = (720, 460);

pub(crate) struct Page {
    folder: PathBuf,
    section: usize,
    checked: usize,
    /// The largest difference so far, measured as [`TOLERANCE`] is.
    worst: f64,
}

impl Page {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            section: 0,
            checked: 0,
            worst: 0.0,
        }
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.section += 1;
        println!("\n{}. {title}", self.section);
    }

    /// Prints a formula and the call that computes it.
    pub(crate) fn formula(&self, formula: &str, call: &str) {
        println!("\n   {formula}\n   {call}");
    }

    /// Prints numbers, and compares them with the results of plain f64 arithmetic.
    pub(crate) fn numbers(&mut self, name: &str, got: &[f32], exact: &[f64]) -> Result<(), Box<dyn Error>> {
        let list: Vec<String> = got.iter().map(|v| format!("{v:.7}")).collect();
        println!("      {name} = {}", list.join("  "));
        self.check(name, got, exact)
    }

    pub(crate) fn number(&mut self, name: &str, got: f32, exact: f64) -> Result<(), Box<dyn Error>> {
        self.numbers(name, &[got], &[exact])
    }

    /// Like [`Page::numbers`], for more numbers than are worth printing.
    pub(crate) fn check(&mut self, name: &str, got: &[f32], exact: &[f64]) -> Result<(), Box<dyn Error>> {
        if got.len() != exact.len() {
            return Err(format!("{name}: {} numbers for {}", got.len(), exact.len()).into());
        }
        for (&got, &exact) in got.iter().zip(exact) {
            let off = (f64::from(got) - exact).abs() / exact.abs().max(1.0);
            // No comparison finds a NaN.
            if off.is_nan() || off > TOLERANCE {
                return Err(format!("{name}: {got} for {exact}, off by more than {TOLERANCE:e}").into());
            }
            self.worst = self.worst.max(off);
        }
        self.checked += got.len();
        Ok(())
    }

    pub(crate) fn figure(&self, name: &str, svg: &str) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join(name);
        std::fs::write(&path, svg).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("      figure: {}", path.display());
        Ok(())
    }

    pub(crate) fn end(self) -> Result<(), Box<dyn Error>> {
        println!(
            "\n{} numbers, none further from plain f64 arithmetic than {:.1e} ({TOLERANCE:e} is allowed)",
            self.checked, self.worst
        );
        Ok(())
    }
}
