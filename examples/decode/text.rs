//! The text that the model learns, and its characters as tokens.

use std::error::Error;

/// A paragraph a line.
pub(crate) fn load() -> String {
    let lines: Vec<_> = include_str!("text.txt").lines().collect();
    let paragraphs: Vec<_> = lines.split(|line| line.is_empty()).map(|p| p.join(" ")).collect();
    paragraphs.join("\n") + "\n"
}

/// The characters that occur in a text; each one's token is its place among them.
pub(crate) struct Vocabulary(Vec<char>);

impl Vocabulary {
    pub(crate) fn of(text: &str) -> Self {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        Self(characters)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn tokens(&self, text: &str) -> Result<Vec<u32>, Box<dyn Error>> {
        let token = |c: char| match self.0.binary_search(&c) {
            Ok(place) => Ok(place as u32),
            Err(_) => Err(format!("the text has no {c:?}").into()),
        };
        text.chars().map(token).collect()
    }

    pub(crate) fn text(&self, tokens: &[u32]) -> Result<String, Box<dyn Error>> {
        let character = |&token: &u32| self.0.get(token as usize).ok_or(format!("there is no token {token}"));
        Ok(tokens.iter().map(character).collect::<Result<_, _>>()?)
    }
}
