//! Prints what became of the kernels.

use super::committed::by_operation;
use super::compiled::{Compilation, Compiled};
use super::figures::Figure;
use super::kernels::Kernel;
use super::listing::Kind;
use super::target::Target;
use serde_json::{Value, json};

/// The kinds, under the names that they have in the tables.
const KINDS: [(Kind, &str); 12] = [
    (Kind::Vector, "VALU"),
    (Kind::Fma, "FMA"),
    (Kind::Alu, "ALU"),
    (Kind::Special, "MUFU"),
    (Kind::Scalar, "scalar"),
    (Kind::Load, "load"),
    (Kind::Store, "store"),
    (Kind::ScalarLoad, "scalar load"),
    (Kind::Group, "LDS"),
    (Kind::Shuffle, "shuffle"),
    (Kind::Barrier, "barrier"),
    (Kind::Control, "control"),
];

/// A GPU's results.
pub(crate) struct Results<'a> {
    pub(crate) target: &'a Target,
    pub(crate) kernels: &'a [Kernel],
    pub(crate) compilation: &'a Compilation,
    pub(crate) figures: &'a [Figure],
}

impl Results<'_> {
    pub(crate) fn print(&self) {
        let Target { name, .. } = self.target;
        println!(
            "\n## {name}: {}\n\n{} a class:\n",
            self.compilation.compiler,
            self.target.unit()
        );
        print_table(&self.figures_table());
        println!("\nInstructions and resources of each kernel:\n");
        print_table(&self.kernels_table());
    }

    /// A line for each shape, a column for each operation.
    fn figures_table(&self) -> Vec<Vec<String>> {
        let operations = distinct(self.figures.iter().map(|f| f.operation.clone()));
        let shapes = distinct(self.figures.iter().map(|f| f.rows.clone()));
        let head = [vec!["rows".to_string(), "schedule".into()], operations.clone()].concat();
        let lines = shapes.iter().map(|rows| {
            let of_shape = || self.figures.iter().filter(|f| f.rows == *rows);
            let schedules = distinct(of_shape().map(|f| f.schedule.clone())).join(", ");
            let costs = operations.iter().map(|operation| {
                let figure = of_shape().find(|f| f.operation == *operation);
                figure.map_or_else(String::new, |f| format!("{:.2}", f.cost))
            });
            [rows.clone(), schedules].into_iter().chain(costs).collect()
        });
        [head].into_iter().chain(lines).collect()
    }

    fn kernels_table(&self) -> Vec<Vec<String>> {
        let counted: Vec<_> = self.compilation.kernels.iter().map(|c| c.listing.counts()).collect();
        let kinds: Vec<_> = KINDS
            .iter()
            .filter(|(kind, _)| counted.iter().any(|c| c.contains_key(kind)))
            .collect();
        let mut head = vec!["kernel".to_string()];
        head.extend(kinds.iter().map(|(_, name)| name.to_string()));
        head.extend(resources(None).map(|(name, _)| name.to_string()));
        let mut table = vec![head];
        for ((kernel, compiled), counts) in self.kernels.iter().zip(&self.compilation.kernels).zip(counted) {
            let mut line = vec![kernel.to_string()];
            line.extend(
                kinds
                    .iter()
                    .map(|(kind, _)| counts.get(kind).unwrap_or(&0.0).to_string()),
            );
            let numbers = resources(Some(compiled)).map(|(_, number)| number);
            line.extend(numbers.map(|number| number.map_or_else(String::new, |n| n.to_string())));
            table.push(line);
        }
        table
    }

    pub(crate) fn to_json(&self) -> Value {
        let kernels = self
            .kernels
            .iter()
            .zip(&self.compilation.kernels)
            .map(|(kernel, compiled)| {
                let counts = compiled.listing.counts();
                let named = KINDS
                    .iter()
                    .filter_map(|(kind, name)| Some((name.to_string(), json!(counts.get(kind)?))));
                let resources = resources(Some(compiled)).into_iter();
                let resources = resources.filter_map(|(name, number)| Some((name.to_string(), json!(number?))));
                json!({
                    "kernel": kernel.to_string(),
                    "instructions": Value::Object(named.collect()),
                    "resources": Value::Object(resources.collect()),
                })
            });
        json!({
            "compiler": self.compilation.compiler,
            "unit": self.target.unit(),
            "per_class": by_operation(self.figures),
            "kernels": kernels.collect::<Value>(),
        })
    }
}

/// The resources under their names in the tables; without a kernel, the names alone.
fn resources(compiled: Option<&Compiled>) -> [(&'static str, Option<f64>); 5] {
    [
        ("registers", compiled.map(|c| c.registers)),
        ("spills", compiled.map(|c| c.spills)),
        ("scratch", compiled.map(|c| c.scratch)),
        ("LDS bytes", compiled.map(|c| c.group_memory)),
        ("subgroups", compiled.and_then(|c| c.subgroups)),
    ]
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// As Markdown, with all columns but the first flush right. The first line is the head.
fn print_table(lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|l| Some(l.get(column)?.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let cells = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        if number == 0 {
            let rules = widths.iter().enumerate().map(|(column, &width)| match column {
                0 => "-".repeat(width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            });
            println!("| {} |", rules.collect::<Vec<_>>().join(" | "));
        }
    }
}
