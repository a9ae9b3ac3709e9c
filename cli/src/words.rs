//! Flags as people type them: with underscores, as they are called in Python.

use clap::Command;
use std::collections::HashSet;
use std::ffi::OsString;

/// The words of a command line, with hyphens in the flags that `cli` or one of its commands has. Other words stay as they are, since they
/// may be the names of files.
pub(crate) fn hyphenated(cli: &Command, words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let commands = std::iter::once(cli).chain(cli.get_subcommands());
    let flags: HashSet<&str> = commands
        .flat_map(Command::get_arguments)
        .flat_map(|arg| {
            arg.get_long()
                .into_iter()
                .chain(arg.get_all_aliases().unwrap_or_default())
        })
        .collect();
    let hyphenated = |word: OsString| {
        let flag = word.to_str().and_then(|word| word.strip_prefix("--"));
        let Some(flag) = flag else { return word };
        let (name, value) = flag
            .split_once('=')
            .map_or((flag, String::new()), |(name, value)| (name, format!("={value}")));
        let name = name.replace('_', "-");
        if flags.contains(&name[..]) {
            format!("--{name}{value}").into()
        } else {
            word
        }
    };
    words.map(hyphenated).collect()
}
