//! The paths that a file names, and what it defines.

use crate::tidy::tokens::{Token, tokens};
use std::collections::BTreeSet;

/// A path in a `use` declaration, or one in code that begins with a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The last is `*` for a glob.
    pub(super) names: Vec<String>,
    pub(super) line: usize,
    /// The modules within the file that the path is in.
    pub(super) inline: Vec<String>,
    /// The name under which a `use` imports it.
    alias: Option<String>,
}

impl Path {
    pub(super) fn is_glob(&self) -> bool {
        self.names.last().is_some_and(|name| name == "*")
    }
}

#[derive(Default)]
pub(super) struct Source {
    paths: Vec<Path>,
    defined: BTreeSet<String>,
}

/// The keywords that the name of a definition follows.
const DEFINING: [&str; 9] = [
    "const",
    "enum",
    "fn",
    "macro_rules",
    "static",
    "struct",
    "trait",
    "type",
    "union",
];

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let mut reader = Reader {
            tokens: &tokens(text),
            at: 0,
            modules: Vec::new(),
            depth: 0,
            source: Self::default(),
        };
        while reader.at < reader.tokens.len() {
            reader.step();
        }
        reader.source
    }

    pub(super) fn imports(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter()
    }

    /// The path that a `use` imports under this name.
    pub(super) fn import_named(&self, name: &str) -> Option<&Path> {
        let of_module = |path: &&Path| path.inline.is_empty() && path.alias.as_deref() == Some(name);
        self.paths.iter().find(of_module)
    }

    pub(super) fn defines(&self, name: &str) -> bool {
        self.defined.contains(name)
    }
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    /// The modules within the file that are open at this token, each with the depth of braces outside it.
    modules: Vec<(String, usize)>,
    depth: usize,
    source: Source,
}

impl<'t> Reader<'t> {
    fn text(&self, ahead: usize) -> &'t str {
        self.tokens.get(self.at + ahead).map_or("", |t| t.text)
    }

    fn path(&self, names: Vec<String>, line: usize, alias: Option<String>) -> Path {
        Path {
            names,
            line,
            inline: self.modules.iter().map(|(name, _)| name.clone()).collect(),
            alias,
        }
    }

    fn step(&mut self) {
        match self.text(0) {
            // `impl Trait + use<'a>` imports nothing.
            "use" if self.text(1) != "<" => {
                self.at += 1;
                self.read_use(&[]);
                return;
            }
            "mod" if self.text(2) == "{" => {
                self.modules.push((self.text(1).into(), self.depth));
                self.at += 1;
            }
            "{" => self.depth += 1,
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.modules.retain(|(_, depth)| *depth < self.depth);
            }
            word if DEFINING.contains(&word) => {
                let name = self.text(if self.text(1) == "!" { 2 } else { 1 });
                self.source.defined.insert(name.into());
            }
            // A method with type arguments, as in `x.name::<u8>()`, is no path.
            "." => self.at += 1,
            _ if self.text(1) == "::" && is_name(self.text(0)) => {
                self.read_path();
                return;
            }
            _ => {}
        }
        self.at += 1;
    }

    /// A path in code.
    fn read_path(&mut self) {
        let line = self.tokens[self.at].line;
        let mut names = vec![self.text(0).to_string()];
        self.at += 1;
        while self.text(0) == "::" && is_name(self.text(1)) {
            names.push(self.text(1).into());
            self.at += 2;
        }
        let path = self.path(names, line, None);
        self.source.paths.push(path);
    }

    /// The rest of a `use` declaration, or one of the branches in its braces.
    fn read_use(&mut self, before: &[String]) {
        let line = self.tokens.get(self.at).map_or(0, |t| t.line);
        let mut names = before.to_vec();
        loop {
            match self.text(0) {
                "" => return,
                "::" => {}
                "{" => {
                    while !matches!(self.text(0), "}" | "") {
                        self.at += 1;
                        self.read_use(&names);
                    }
                    self.at += 1;
                    return;
                }
                "," | "}" | ";" => break,
                "as" => {
                    let alias = self.text(1).to_string();
                    self.at += 2;
                    return self.add_use(names, line, Some(alias));
                }
                name => names.push(name.into()),
            }
            self.at += 1;
        }
        // The comma before a closing brace is followed by nothing.
        if names.len() > before.len() {
            self.add_use(names, line, None);
        }
    }

    fn add_use(&mut self, mut names: Vec<String>, line: usize, alias: Option<String>) {
        // `a::{self, b}` imports `a` itself.
        if names.len() > 1 && names.last().is_some_and(|name| name == "self") {
            names.pop();
        }
        let alias = alias.or_else(|| names.last().cloned());
        let path = self.path(names, line, alias);
        self.source.paths.push(path);
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
