//! The lengths of lines and files.

use super::file::{File, Finding};

/// The kinds of files that people write and read. Data, pictures, lock files and licences are not among them.
pub(super) const KINDS: [&str; 9] = ["rs", "wgsl", "md", "py", "sh", "mjs", "js", "css", "html"];

/// A line must be shorter than this, in characters.
const COLUMNS: usize = 140;
/// Of Rust, WGSL and JavaScript.
const MAX_LINES: usize = 400;
const MAX_README_LINES: usize = 100;

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, message: String| {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            message,
        });
    };
    let is_markdown = file.has_extension(&["md"]);
    for (i, line) in file.text.lines().enumerate() {
        let columns = line.chars().count();
        // A row of a table cannot be broken.
        let is_table_row = is_markdown && line.trim_start().starts_with('|');
        if columns >= COLUMNS && !is_table_row {
            find(
                i + 1,
                format!("{columns} columns; a line must have fewer than {COLUMNS}"),
            );
        }
    }
    let max = if file.path == "README.md" {
        MAX_README_LINES
    } else if file.has_extension(&["rs", "wgsl", "js"]) {
        MAX_LINES
    } else {
        usize::MAX
    };
    let lines = file.text.lines().count();
    if lines > max {
        find(max + 1, format!("{lines} lines; this file may have {max}"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        let findings = check(&file);
        findings.into_iter().map(|f| (f.line, f.message)).collect()
    }

    #[test]
    fn lines_are_counted_in_characters() {
        let long = |n: usize| format!("a\n{}\n", "é".repeat(n));
        assert_eq!(found("a.rs", &long(139)), []);
        let message = "140 columns; a line must have fewer than 140".to_string();
        assert_eq!(found("a.py", &long(140)), [(2, message)]);
    }

    #[test]
    fn a_row_of_a_markdown_table_may_be_long() {
        let row = format!("  | {} |\n", "a".repeat(200));
        assert_eq!(found("docs/a.md", &row), []);
        assert_eq!(found("a.rs", &row).len(), 1);
    }

    #[test]
    fn files_of_code_and_the_readme_have_a_longest_length() {
        let lines = |n: usize| "a\n".repeat(n);
        for (path, max) in [("src/a.rs", 400), ("shaders/a.wgsl", 400), ("README.md", 100)] {
            assert_eq!(found(path, &lines(max)), [], "{path} of {max} lines");
            let longer = found(path, &lines(max + 1));
            let message = format!("{} lines; this file may have {max}", max + 1);
            assert_eq!(longer, [(max + 1, message)], "{path}");
        }
        assert_eq!(found("cli/README.md", &lines(1000)), []);
    }
}
