//! Damage done to files at random, for the property tests of the readers.

use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
pub(super) enum Corruption {
    /// Another byte at this position.
    Overwrite(usize, u8),
    /// A text put in before this position.
    Insert(usize, &'static str),
    /// The end cut off from this position on.
    Truncate(usize),
}

/// A random corruption; `texts` are those that may be inserted.
pub(super) fn corruption(texts: &'static [&'static str]) -> impl Strategy<Value = Corruption> {
    prop_oneof![
        3 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Corruption::Overwrite(at, byte)),
        3 => (any::<usize>(), select(texts)).prop_map(|(at, text)| Corruption::Insert(at, text)),
        1 => any::<usize>().prop_map(Corruption::Truncate),
    ]
}

/// Applies corruptions in turn. Positions are taken modulo the length.
pub(super) fn corrupt(mut bytes: Vec<u8>, corruptions: Vec<Corruption>) -> Vec<u8> {
    for corruption in corruptions {
        let within = |at: usize| at % bytes.len().max(1);
        match corruption {
            Corruption::Overwrite(at, byte) => {
                let at = within(at);
                bytes.get_mut(at).into_iter().for_each(|b| *b = byte);
            }
            Corruption::Insert(at, text) => {
                let at = within(at);
                bytes.splice(at..at, text.bytes());
            }
            Corruption::Truncate(at) => bytes.truncate(within(at)),
        }
    }
    bytes
}
