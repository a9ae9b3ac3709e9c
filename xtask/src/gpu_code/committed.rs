//! The file of what a class may cost.

use super::figures::Figure;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// By how much a number may exceed the committed one.
const TOLERANCE: f64 = 0.02;

/// Numbers by GPU, operation and rows.
pub(crate) struct Committed(Map<String, Value>);

impl Committed {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/gpu_code.json")
    }

    /// Empty if there is no such file.
    pub(crate) fn read() -> Result<Self, String> {
        let path = Self::path();
        let fail = |e: String| format!("{}: {e}", path.display());
        match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self(Map::new())),
            Err(e) => Err(fail(e.to_string())),
            Ok(text) => serde_json::from_str(&text).map(Self).map_err(|e| fail(e.to_string())),
        }
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let path = Self::path();
        let text = serde_json::to_string_pretty(&self.0).map_err(|e| e.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Replaces the numbers of a GPU.
    pub(crate) fn set(&mut self, target: &str, figures: &[Figure]) {
        self.0.insert(target.into(), by_operation(figures));
    }

    pub(crate) fn has(&self, target: &str) -> bool {
        self.0.contains_key(target)
    }

    /// For each number of a GPU that has committed ones, what is wrong with it, if anything is.
    pub(crate) fn compare(&self, target: &str, figures: &[Figure]) -> Vec<Option<String>> {
        let Some(committed) = self.0.get(target) else {
            return Vec::new();
        };
        let compare = |figure: &Figure| {
            let (operation, rows, cost) = (&figure.operation, &figure.rows, figure.cost);
            match committed[operation][rows].as_f64() {
                None => Some(format!(
                    "{operation} {rows}: {cost:.2} a class, and no number is committed"
                )),
                Some(before) if cost > before * (1.0 + TOLERANCE) => Some(format!(
                    "{operation} {rows}: {cost:.2} a class, more than the {before} that are committed"
                )),
                Some(_) => None,
            }
        };
        let mut all: Vec<Option<String>> = figures.iter().map(compare).collect();
        let now = by_operation(figures);
        for (operation, rows) in committed.as_object().into_iter().flatten() {
            let gone = rows
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| now[operation][name].is_null());
            all.extend(gone.map(|(rows, _)| Some(format!("{operation} {rows}: committed, but measured no more"))));
        }
        all
    }
}

/// Rounded, so that the file says what one would say.
pub(crate) fn by_operation(figures: &[Figure]) -> Value {
    let mut all = Value::Object(Map::new());
    for figure in figures {
        all[&figure.operation][&figure.rows] = ((figure.cost * 100.0).round() / 100.0).into();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(rows: &str, cost: f64) -> Figure {
        Figure {
            operation: "softmax f32".into(),
            rows: rows.into(),
            schedule: String::new(),
            cost,
        }
    }

    #[test]
    fn more_than_was_committed_is_wrong_and_so_is_a_number_too_many_or_too_few() {
        let mut committed = Committed(Map::new());
        assert!(
            committed.compare("navi21", &[figure("8x64", 10.0)]).is_empty(),
            "nothing is committed"
        );
        committed.set("navi21", &[figure("8x64", 10.0), figure("8x99", 20.004)]);
        let wrong = |figures: &[Figure]| {
            committed
                .compare("navi21", figures)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let good = [figure("8x64", 10.1), figure("8x99", 19.0)];
        assert_eq!(wrong(&good), [""; 0]);
        assert_eq!(
            wrong(&[figure("8x64", 10.3), figure("8x99", 20.0)]),
            ["softmax f32 8x64: 10.30 a class, more than the 10 that are committed"]
        );
        assert_eq!(
            wrong(&[figure("8x64", 10.0), figure("9x99", 20.0)]),
            [
                "softmax f32 9x99: 20.00 a class, and no number is committed",
                "softmax f32 8x99: committed, but measured no more"
            ]
        );
    }
}
