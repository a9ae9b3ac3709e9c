//! Small crates, each a list of files, and the circles in them.

use super::*;

fn found(files: &[(&str, &str)]) -> Vec<String> {
    // Later files of the same name replace this empty root.
    let root = ("lib.rs", "");
    let files: Vec<File> = [&[root], files]
        .concat()
        .iter()
        .map(|(path, text)| File {
            path: format!("src/{path}"),
            text: text.to_string(),
        })
        .collect();
    circles("src", &files).iter().map(|f| f.to_string()).collect()
}

#[test]
fn every_form_of_use_is_read() {
    let source = Source::read(
        "use a; pub(crate) use b::{self, c::{D, E as F}, g::*,};\nfn f() -> impl Fn() + use<> { h::i(); x.h::<u8>() }",
    );
    let paths: Vec<String> = source.imports().map(|p| p.names.join("::")).collect();
    assert_eq!(paths, ["a", "b", "b::c::D", "b::c::E", "b::g::*", "h::i"]);
    assert!(source.import_named("F").is_some() && source.import_named("E").is_none());
    assert!(source.defines("f") && !source.defines("D"));
}

#[test]
fn two_files_that_import_each_other() {
    let found = found(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "//! use crate::c;\nuse crate::b::B;\npub struct A;"),
        ("b.rs", "use std::fmt;\nuse super::a::{self, A};\npub struct B;"),
    ]);
    let circle = "files import each other in a circle: src/a.rs:2 -> src/b.rs:2 -> src/a.rs";
    assert_eq!(found, [format!("src/a.rs:2: {circle}")]);
}

#[test]
fn a_longer_circle_through_modules_in_folders_and_paths_in_code() {
    let found = found(&[
        ("main.rs", "mod a; mod b; fn main() { a::run() }"),
        ("a.rs", "mod c;\nuse c::D;\nfn run() {}"),
        ("a/c.rs", "pub struct D;\n\nfn f() { crate::b::g::<u8>() }"),
        ("b/mod.rs", "use crate::{\n    a::{\n        run,\n    },\n};"),
    ]);
    let circle = "files import each other in a circle: src/a.rs:2 -> src/a/c.rs:3 -> src/b/mod.rs:3 -> src/a.rs";
    assert_eq!(found, [format!("src/a.rs:2: {circle}")]);
}

#[test]
fn a_child_may_use_its_parent_unless_the_parent_names_it() {
    let child = ("a/b.rs", "use super::Other;\npub struct Thing;");
    let declares = ("a.rs", "mod b;\nstruct Other;");
    assert_eq!(found(&[declares, child]), Vec::<String>::new());
    for names in [
        "mod b;\nuse b::Thing;\nstruct Other;",
        "mod b;\npub use b::Thing;\nstruct Other;",
        "mod b;\nuse self::b::*;\nstruct Other;",
        "mod b;\nstruct Other(b::Thing);",
    ] {
        assert_eq!(found(&[("a.rs", names), child]).len(), 1, "{names}");
    }
}

#[test]
fn re_exports_lead_to_the_file_that_defines() {
    let root = ("lib.rs", "pub use a::A;\npub use b::*;\npub use wgpu;");
    let a = ("a.rs", "use crate::{B, wgpu};\npub struct A;");
    // `B` is found behind the glob, and nothing is the root's.
    assert_eq!(found(&[root, a, ("b.rs", "pub struct B;")]), Vec::<String>::new());
    let b = ("b.rs", "use crate::A;\npub struct B;");
    let circle = "files import each other in a circle: src/a.rs:1 -> src/b.rs:1 -> src/a.rs";
    assert_eq!(found(&[root, a, b]), [format!("src/a.rs:1: {circle}")]);
}

#[test]
fn a_parents_own_import_is_no_import_of_the_parent() {
    let files = [
        ("a.rs", "mod b;\nuse crate::c::C as D;\nuse b::B;"),
        ("a/b.rs", "use super::D;\npub struct B;"),
        ("c.rs", "pub struct C;"),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
}

#[test]
fn modules_within_a_file_are_that_file() {
    let files = [
        (
            "a.rs",
            "use crate::b::B;\nmod tests {\n    use super::*;\n    use super::super::c::C;\n}",
        ),
        ("b.rs", "pub struct B;"),
        ("c.rs", "pub struct C;"),
        ("lib.rs", "pub use a::X;\nfn f() {}"),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
}

#[test]
fn a_crate_of_the_same_name_as_a_module_elsewhere_is_no_import() {
    let files = [
        ("arrays.rs", "mod json;\nuse json::J;\npub struct A;"),
        (
            "arrays/json.rs",
            "use json::Value;\npub struct J;\nfn f() { json::parse() }",
        ),
        ("b.rs", "use json::Value;\nuse crate::arrays::A;"),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
}
