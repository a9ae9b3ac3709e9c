//! `mutations.txt`: faults in the shaders, and what finds each.

use std::path::Path;

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    /// What kind of fault it is, in a word or two.
    pub(crate) kind: String,
    /// The path below `shaders/`, without its extension.
    pub(crate) file: String,
    /// What is replaced, which must occur once.
    pub(crate) find: String,
    pub(crate) with: String,
    pub(crate) killer: Killer,
}

/// What finds a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Killer {
    /// A check of `verify`, by its whole name; all of them if it is empty.
    Verify(String),
    /// A test, as the words after `cargo test --test`.
    Test(String),
    /// Nothing, because no result changes, for this reason.
    Nothing(String),
}

impl Mutation {
    /// The file's text with the fault in it.
    pub(crate) fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.with, 1)),
            count => Err(format!(
                "its text is {count} times in shaders/{}.wgsl, and must be there once: mend it in xtask/mutations.txt",
                self.file
            )),
        }
    }
}

/// Reads the list.
pub(crate) fn read() -> Result<Vec<Mutation>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text).map_err(|message| format!("xtask/mutations.txt:{message}"))
}

/// The words that begin the lines of a fault.
const WORDS: [&str; 6] = ["file", "find", "with", "verify", "test", "none"];

fn parse(text: &str) -> Result<Vec<Mutation>, String> {
    let mut all: Vec<Mutation> = Vec::new();
    let mut block: Vec<(&str, String)> = Vec::new();
    let mut begun: Option<(usize, &str)> = None;
    let lines = text.lines().chain([""]);
    for (number, line) in (1..).zip(lines) {
        if line.starts_with('#') {
            continue;
        }
        match (begun, line) {
            (None, "") => {}
            (None, heading) => begun = Some((number, heading)),
            (Some((start, heading)), "") => {
                let mutation = of_block(heading, &block).map_err(|message| format!("{start}: {message}"))?;
                if all.iter().any(|m| m.name == mutation.name) {
                    return Err(format!("{start}: there are two faults with the name {}", mutation.name));
                }
                all.push(mutation);
                block.clear();
                begun = None;
            }
            (Some(_), line) => {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                if !WORDS.contains(&word) {
                    return Err(format!("{number}: a line begins with one of {}", WORDS.join(", ")));
                }
                block.push((word, rest.replace("\\n", "\n")));
            }
        }
    }
    Ok(all)
}

fn of_block(heading: &str, block: &[(&str, String)]) -> Result<Mutation, String> {
    let one = |word: &str| {
        let mut all = block.iter().filter(|(w, _)| *w == word).map(|(_, rest)| rest.clone());
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(format!("{heading} has two lines «{word}»")),
        }
    };
    let needed = |word: &str| one(word)?.ok_or_else(|| format!("{heading} has no line «{word}»"));
    let (name, kind) = heading
        .split_once(": ")
        .ok_or("a fault begins with «name: kind»".to_string())?;
    let killer = match (one("verify")?, one("test")?, one("none")?) {
        (Some(check), None, None) => Killer::Verify(check),
        (None, Some(words), None) => Killer::Test(words),
        (None, None, Some(reason)) if !reason.is_empty() => Killer::Nothing(reason),
        _ => {
            return Err(format!(
                "{heading} needs one line of «verify CHECK», «test FILE FILTER» and «none REASON»"
            ));
        }
    };
    Ok(Mutation {
        name: name.into(),
        kind: kind.into(),
        file: needed("file")?,
        find: needed("find")?,
        with: needed("with")?,
        killer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_name_a_place_and_something_that_finds_it() {
        let text = "# A comment.\n\nless: sign\nfile a/b\nfind x + y\nwith x - y\nverify softmax/f32\n\n\
            gone: guard\nfile a/b\nfind if is_there {\\n    stop();\nwith {\nnone it is always there\n";
        let all = parse(text).unwrap_or_default();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].kind.as_str()), ("less", "sign"));
        assert_eq!(all[0].killer, Killer::Verify("softmax/f32".into()));
        assert_eq!(all[0].applied("let z = x + y;"), Ok("let z = x - y;".into()));
        assert_eq!(all[1].find, "if is_there {\n    stop();");
        assert!(all[0].applied("x + y + x + y").is_err_and(|e| e.contains("2 times")));
        assert!(all[0].applied("x * y").is_err_and(|e| e.contains("0 times")));
    }

    #[test]
    fn mistakes_in_the_list_are_named() {
        let block = |lines: &str| {
            parse(&format!("n: kind\nfile a\nfind b\n{lines}\n"))
                .err()
                .unwrap_or_default()
        };
        assert!(block("with c").contains("1: n: kind needs one line of «verify CHECK»"));
        assert!(block("with c\nverify\ntest options").contains("needs one line of"));
        assert!(block("verify").contains("no line «with»"));
        assert!(block("with c\nwith d\nverify").contains("two lines «with»"));
        assert!(block("into c\nverify").contains("4: a line begins with one of"));
        let twice = parse("n: k\nfile a\nfind b\nwith c\nverify\n\nn: k\nfile a\nfind b\nwith c\nverify\n");
        assert!(twice.is_err_and(|e| e.contains("two faults")));
    }

    #[test]
    fn every_fault_applies() -> Result<(), String> {
        for mutation in read()? {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../shaders")
                .join(format!("{}.wgsl", mutation.file));
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", mutation.file))?;
            let applied = mutation.applied(&text).map_err(|e| format!("{}: {e}", mutation.name))?;
            assert_ne!(applied, text, "{} changes nothing", mutation.name);
        }
        Ok(())
    }
}
