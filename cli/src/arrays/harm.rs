//! What happens to files on their way, for the tests of those who read them.

use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
pub(super) enum Harm {
    Byte(usize, u8),
    Text(usize, &'static str),
    Cut(usize),
}

/// One of the texts put in somewhere, another byte, or the end cut off.
pub(super) fn harm(texts: &'static [&'static str]) -> impl Strategy<Value = Harm> {
    prop_oneof![
        3 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        3 => (any::<usize>(), select(texts)).prop_map(|(at, text)| Harm::Text(at, text)),
        1 => any::<usize>().prop_map(Harm::Cut),
    ]
}

pub(super) fn harmed(mut bytes: Vec<u8>, harms: Vec<Harm>) -> Vec<u8> {
    for harm in harms {
        let at = |at: usize| at % bytes.len().max(1);
        match harm {
            Harm::Byte(place, byte) => {
                let place = at(place);
                bytes.get_mut(place).into_iter().for_each(|b| *b = byte);
            }
            Harm::Text(place, text) => {
                let place = at(place);
                bytes.splice(place..place, text.bytes());
            }
            Harm::Cut(place) => bytes.truncate(at(place)),
        }
    }
    bytes
}
