//! Circles of files that import each other, found in the text of `use` declarations and of paths like `crate::a::b`.
//!
//! A path leads to the file that defines what it names, through any re-export on the way: `crate::Rows` is an import of
//! `rows.rs`, not of `lib.rs`. A parent that only declares `mod child;` imports nothing; one that names `child::Thing` does.

mod graph;
mod paths;

use super::file::{File, Finding};
use paths::{Path, Source};
use std::collections::{BTreeMap, BTreeSet};

/// The path of a module within its crate; the root's is empty.
type Module = Vec<String>;

/// One finding for each circle among the files below `folder`.
pub(super) fn circles(folder: &str, files: &[File]) -> Vec<Finding> {
    let modules: Modules = files
        .iter()
        .filter_map(|file| Some((module_of(folder, &file.path)?, file)))
        .map(|(module, file)| {
            let source = Source::read(&file.text);
            (module, (file.path.as_str(), source))
        })
        .collect();
    let mut edges: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (module, (path, source)) in &modules {
        for import in source.imports() {
            let Some(target) = resolve(&modules, module, import, &mut BTreeSet::new()) else {
                continue;
            };
            let target = modules[&target].0;
            if target != *path {
                edges.entry(path).or_default().entry(target).or_insert(import.line);
            }
        }
    }
    let circles = graph::circles(&edges);
    circles.iter().map(|circle| finding(circle)).collect()
}

type Modules<'a> = BTreeMap<Module, (&'a str, Source)>;

fn finding(circle: &[(&str, usize)]) -> Finding {
    let (path, line) = circle[0];
    let steps: Vec<String> = circle.iter().map(|(path, line)| format!("{path}:{line}")).collect();
    Finding {
        path: path.into(),
        line,
        message: format!("files import each other in a circle: {} -> {path}", steps.join(" -> ")),
    }
}

/// The module that a file is, if it is one below `folder`.
fn module_of(folder: &str, path: &str) -> Option<Module> {
    let path = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut module: Module = path.split('/').map(String::from).collect();
    let last = module.last().map(String::as_str);
    if last == Some("mod") || (module.len() == 1 && matches!(last, Some("lib" | "main"))) {
        module.pop();
    }
    Some(module)
}

/// The module whose file defines what a path names; `None` for a path into another crate. `seen` stops re-exports of each
/// other.
fn resolve(
    modules: &Modules<'_>,
    from: &Module,
    path: &Path,
    seen: &mut BTreeSet<(Module, Vec<String>)>,
) -> Option<Module> {
    let (mut module, mut names) = start(modules, from, path)?;
    while let Some((name, rest)) = names.split_first() {
        let child = [&module[..], std::slice::from_ref(name)].concat();
        if modules.contains_key(&child) {
            (module, names) = (child, rest);
            continue;
        }
        if !seen.insert((module.clone(), names.to_vec())) {
            return None;
        }
        let source = &modules[&module].1;
        let reexport = source.import_named(name);
        let globs = source
            .imports()
            .filter(|p| p.is_glob() && reexport.is_none() && !source.defines(name));
        let mut nexts = reexport.into_iter().chain(globs);
        let found = nexts.find_map(|next| {
            let target = resolve(modules, &module, next, seen)?;
            (reexport.is_some() || modules[&target].1.defines(name)).then_some(target)
        });
        return match found {
            // What is re-exported may come from another crate, which is no import of this one's files.
            None if reexport.is_some() => None,
            None => Some(module),
            found => found,
        };
    }
    Some(module)
}

/// Where a path begins, and the names that follow.
fn start<'p>(modules: &Modules<'_>, from: &Module, path: &'p Path) -> Option<(Module, &'p [String])> {
    let mut module = [&from[..], &path.inline].concat();
    let mut names = &path.names[..];
    let first = names.first()?.as_str();
    if first == "crate" {
        module.clear();
        names = &names[1..];
    } else if first == "self" {
        names = &names[1..];
    } else if first != "super" {
        let child = [&module[..], &names[..1]].concat();
        modules.get(&child)?;
    }
    while names.first().is_some_and(|name| name == "super") {
        module.pop()?;
        names = &names[1..];
    }
    // Modules within a file are no files.
    while !modules.contains_key(&module) {
        module.pop()?;
    }
    Some((module, names))
}

#[cfg(test)]
mod tests;
