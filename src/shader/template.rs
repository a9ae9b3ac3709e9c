//! Joins the files of `shaders/` into one source. Lines that begin with `//#` direct it, and are comments to every
//! other tool:
//!
//! - `//#import "row/stats"` stands for that file, which is inserted once, however many files import it; `$NAME` in a
//!   path stands for a text;
//! - `//#if FLAG` or `//#if !FLAG` … `//#else` … `//#end` keeps one of two parts;
//! - `//#unroll NUMBER` … `//#end` repeats its lines, with 0, 1, … in the place of `$i`.
//!
//! Flags and numbers are constants of the source too, so that a function may contain `if FLAG`.

use std::collections::{BTreeMap, BTreeSet};

/// An invalid template line, or an undefined name: where it is, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shaders/{file}.wgsl:{line}: {what}")]
pub(crate) struct TemplateError {
    file: String,
    line: usize,
    what: String,
}

/// The flags, numbers and texts that conditions, repetitions and paths name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Definitions {
    pub(crate) flags: BTreeMap<&'static str, bool>,
    pub(crate) numbers: BTreeMap<&'static str, u32>,
    pub(crate) texts: BTreeMap<&'static str, &'static str>,
}

impl Definitions {
    /// The flags and numbers as WGSL.
    fn constants(&self) -> Vec<String> {
        let flags = self
            .flags
            .iter()
            .map(|(name, value)| format!("const {name}: bool = {value};"));
        let numbers = self
            .numbers
            .iter()
            .map(|(name, value)| format!("const {name}: u32 = {value}u;"));
        flags.chain(numbers).collect()
    }
}

/// A source, and the file and line that each of its lines comes from; `None` for the constants before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) source: String,
    pub(crate) origins: Vec<Option<(String, usize)>>,
}

impl Rendered {
    /// The files that it was joined from.
    #[cfg(test)]
    pub(crate) fn files(&self) -> BTreeSet<String> {
        self.origins.iter().flatten().map(|(file, _)| file.clone()).collect()
    }

    /// A compiler's message, with the lines of the joined source replaced by those of the files.
    pub(crate) fn located(&self, message: &str) -> String {
        let mut out = String::new();
        let mut rest = message;
        while let Some(at) = rest.find("wgsl:") {
            let (before, after) = rest.split_at(at + "wgsl:".len());
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let line = after[..digits]
                .parse::<usize>()
                .ok()
                .and_then(|line| line.checked_sub(1));
            match line.and_then(|line| self.origins.get(line)?.as_ref()) {
                Some((file, line)) => {
                    out.push_str(before.trim_end_matches("wgsl:"));
                    out.push_str(&format!("shaders/{file}.wgsl:{line}"));
                }
                None => out.push_str(&format!("{before}{}", &after[..digits])),
            }
            rest = &after[digits..];
        }
        out + rest
    }
}

/// Joins `file` and all that it imports. `find` gives the text of a file.
pub(crate) fn render<'a>(
    file: &str,
    definitions: &Definitions,
    find: impl Fn(&str) -> Option<&'a str>,
) -> Result<Rendered, TemplateError> {
    let constants = definitions.constants();
    let mut renderer = Renderer {
        definitions,
        find,
        imported: BTreeSet::from([file.to_string()]),
        origins: vec![None; constants.len()],
        lines: constants,
    };
    renderer.file(file, ("shaders", 0))?;
    Ok(Rendered {
        source: renderer.lines.join("\n") + "\n",
        origins: renderer.origins,
    })
}

struct Renderer<'d, F> {
    definitions: &'d Definitions,
    find: F,
    imported: BTreeSet<String>,
    lines: Vec<String>,
    origins: Vec<Option<(String, usize)>>,
}

/// A line of a file, with its number.
type Numbered<'t> = (usize, &'t str);

impl<'a, F: Fn(&str) -> Option<&'a str>> Renderer<'_, F> {
    /// Adds a whole file, which line `line` of file `by` imports.
    fn file(&mut self, file: &str, (by, line): (&str, usize)) -> Result<(), TemplateError> {
        let text = (self.find)(file).ok_or_else(|| error(by, line, format!("there is no file {file}.wgsl")))?;
        let lines: Vec<Numbered<'_>> = (1..).zip(text.lines()).collect();
        self.block(file, &lines, None)
    }

    /// Adds lines of a file; in a repetition, `repetition` is its number.
    fn block(&mut self, file: &str, lines: &[Numbered<'_>], repetition: Option<u32>) -> Result<(), TemplateError> {
        let mut rest = lines;
        while let Some((&(number, line), after)) = rest.split_first() {
            rest = after;
            let Some((word, argument)) = directive(line) else {
                let line = match repetition {
                    Some(i) => line.replace("$i", &i.to_string()),
                    None => line.to_string(),
                };
                self.lines.push(line);
                self.origins.push(Some((file.to_string(), number)));
                continue;
            };
            match word {
                "import" => self.import(file, number, argument)?,
                "if" => {
                    let (first, second, after) = parts(file, number, rest)?;
                    let kept = if self.flag(file, number, argument)? {
                        first
                    } else {
                        second
                    };
                    self.block(file, kept, repetition)?;
                    rest = after;
                }
                "unroll" => {
                    let (body, _, after) = parts(file, number, rest)?;
                    let count = self.definitions.numbers.get(argument);
                    let count = *count.ok_or_else(|| error(file, number, format!("no number is called {argument}")))?;
                    for i in 0..count {
                        self.block(file, body, Some(i))?;
                    }
                    rest = after;
                }
                _ => return Err(error(file, number, format!("//#{word} stands alone, or means nothing"))),
            }
        }
        Ok(())
    }

    fn import(&mut self, file: &str, number: usize, argument: &str) -> Result<(), TemplateError> {
        let path = argument.trim_matches('"');
        let path = match path.split_once('$') {
            None => path.to_string(),
            Some((before, name)) => {
                let text = self.definitions.texts.get(name);
                let text = text.ok_or_else(|| error(file, number, format!("no text is called {name}")))?;
                format!("{before}{text}")
            }
        };
        if self.imported.insert(path.clone()) {
            self.file(&path, (file, number))?;
        }
        Ok(())
    }

    fn flag(&self, file: &str, number: usize, argument: &str) -> Result<bool, TemplateError> {
        let name = argument.trim_start_matches('!');
        let flag = self.definitions.flags.get(name);
        let flag = *flag.ok_or_else(|| error(file, number, format!("no flag is called {name}")))?;
        Ok(flag != argument.starts_with('!'))
    }
}

fn error(file: &str, line: usize, what: String) -> TemplateError {
    let file = file.to_string();
    TemplateError { file, line, what }
}

/// Splits a line `//#word argument`.
fn directive(line: &str) -> Option<(&str, &str)> {
    let text = line.trim().strip_prefix("//#")?;
    Some(
        text.split_once(' ')
            .map_or((text, ""), |(word, rest)| (word, rest.trim())),
    )
}

/// The lines up to a block's own `//#else`, those up to its `//#end`, and those after it.
type Parts<'l, 't> = (&'l [Numbered<'t>], &'l [Numbered<'t>], &'l [Numbered<'t>]);

fn parts<'l, 't>(file: &str, start: usize, lines: &'l [Numbered<'t>]) -> Result<Parts<'l, 't>, TemplateError> {
    let (mut depth, mut middle) = (0, None);
    for (i, (_, line)) in lines.iter().enumerate() {
        match directive(line).map(|(word, _)| word) {
            Some("if" | "unroll") => depth += 1,
            Some("else") if depth == 0 => middle = Some(i),
            Some("end") if depth == 0 => {
                let second = middle.map_or(i..i, |middle| middle + 1..i);
                return Ok((&lines[..middle.unwrap_or(i)], &lines[second], &lines[i + 1..]));
            }
            Some("end") => depth -= 1,
            _ => {}
        }
    }
    Err(error(file, start, "this block has no //#end".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILES: &[(&str, &str)] = &[
        ("main", "//#import \"a\"\n//#import \"kinds/$KIND\"\nfn main() {}\n"),
        ("a", "//#import \"b\"\n//#if ON\na\n//#else\nnot a\n//#end"),
        ("b", "b\n//#unroll COUNT\nf($iu);\n//#if !ON\noff\n//#end\n//#end"),
        ("kinds/one", "//#import \"b\"\none"),
        ("lost", "\n//#import \"nowhere\""),
        ("open", "//#if ON\nx"),
        ("alone", "//#else"),
        ("unknown", "//#if OFF\n//#end"),
        ("uncounted", "//#unroll ON\n//#end"),
    ];

    fn definitions(on: bool) -> Definitions {
        Definitions {
            flags: [("ON", on)].into(),
            numbers: [("COUNT", 2)].into(),
            texts: [("KIND", "one")].into(),
        }
    }

    fn rendered(file: &str, on: bool) -> Result<Rendered, TemplateError> {
        let find = |name: &str| FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text);
        render(file, &definitions(on), find)
    }

    #[test]
    fn a_file_is_joined_once_below_what_it_needs() {
        let on = rendered("main", true).unwrap();
        let constants = "const ON: bool = true;\nconst COUNT: u32 = 2u;\n";
        assert_eq!(
            on.source,
            format!("{constants}b\nf(0u);\nf(1u);\na\none\nfn main() {{}}\n")
        );
        let off = rendered("main", false).unwrap();
        assert!(
            off.source.contains("b\nf(0u);\noff\nf(1u);\noff\nnot a\none"),
            "{}",
            off.source
        );
    }

    #[test]
    fn messages_name_file_and_line() {
        let on = rendered("main", true).unwrap();
        assert_eq!(on.located("error at wgsl:4:5 here"), "error at shaders/b.wgsl:3:5 here");
        assert_eq!(
            on.located("wgsl:5:1 and wgsl:8:2"),
            "shaders/b.wgsl:3:1 and shaders/main.wgsl:3:2"
        );
        assert_eq!(
            on.located("wgsl:1:1, wgsl:99:1, nothing"),
            "wgsl:1:1, wgsl:99:1, nothing"
        );
    }

    #[test]
    fn mistakes_say_where_they_are() {
        for (file, message) in [
            ("lost", "shaders/lost.wgsl:2: there is no file nowhere.wgsl"),
            ("open", "shaders/open.wgsl:1: this block has no //#end"),
            ("alone", "shaders/alone.wgsl:1: //#else stands alone, or means nothing"),
            ("unknown", "shaders/unknown.wgsl:1: no flag is called OFF"),
            ("uncounted", "shaders/uncounted.wgsl:1: no number is called ON"),
        ] {
            assert_eq!(rendered(file, true).unwrap_err().to_string(), message);
        }
    }
}
