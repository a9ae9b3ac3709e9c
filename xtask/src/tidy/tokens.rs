//! Splits Rust source into tokens, without comments, the text of strings, characters and lifetimes. It is simpler than Rust's
//! own lexer, and enough for finding imports.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// An identifier, a keyword or a number; `::`; or one other character. `"` stands for a whole string.
    pub(super) text: &'a str,
    pub(super) line: usize,
}

pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (length, text) = next(rest, first);
        if let Some(text) = text {
            found.push(Token { text, line });
        }
        let (read, after) = rest.split_at(length);
        line += read.matches('\n').count();
        rest = after;
    }
    found
}

/// How many bytes to read, and the token in them if there is one.
fn next(rest: &str, first: char) -> (usize, Option<&str>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(length) = string(rest) {
        return (length, Some("\""));
    }
    if first == '\'' {
        return (quote(rest), None);
    }
    if first.is_alphanumeric() || first == '_' {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let length = length.unwrap_or(rest.len());
        return (length, Some(&rest[..length]));
    }
    let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (length, (!first.is_whitespace()).then_some(&rest[..length]))
}

/// The length of a block comment. These can be nested.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string with its prefix, if one begins here.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["", "b", "c"].into_iter().find(|p| {
        let after = &rest[p.len().min(rest.len())..];
        rest.starts_with(p) && after.starts_with('"')
    });
    if let Some(prefix) = prefix {
        return Some(prefix.len() + 1 + closing_quote(&rest[prefix.len() + 1..], '"'));
    }
    // A raw string ends with as many # as it began with.
    let prefix = ["r", "br", "cr"].into_iter().find(|p| rest.starts_with(p))?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let text = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text.find(&end).map_or(text.len(), |at| at + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

/// The length of a character literal, or 1 for the quote that begins a lifetime.
fn quote(rest: &str) -> usize {
    let mut after = rest[1..].chars();
    match (after.next(), after.next()) {
        (Some('\\'), _) => 1 + closing_quote(&rest[1..], '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// The length up to and with the closing quote. The character after a backslash does not close.
fn closing_quote(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn words_and_signs_with_their_lines() {
        let found = tokens("use crate::a;\nuse b;");
        let found: Vec<(&str, usize)> = found.iter().map(|t| (t.text, t.line)).collect();
        let first = [("use", 1), ("crate", 1), ("::", 1), ("a", 1), (";", 1)];
        let second = [("use", 2), ("b", 2), (";", 2)];
        assert_eq!(found, [&first[..], &second].concat());
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(texts("a // use crate::b;\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    }

    #[test]
    fn strings_and_characters_are_left_out() {
        assert_eq!(texts(r#"a("use b \" c", d)"#), ["a", "(", "\"", ",", "d", ")"]);
        assert_eq!(
            texts(r###"r#"use "b""# c br"d" b"e" crate"###),
            ["\"", "c", "\"", "\"", "crate"]
        );
        assert_eq!(texts(r"'a' '\'' '\u{41}' '{' b"), ["b"]);
        assert_eq!(texts("&'a str<'_>"), ["&", "a", "str", "<", "_", ">"]);
    }
}
