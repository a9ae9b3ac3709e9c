//! [`Schedule`]: how the lanes of a GPU share the rows, and its text form.

use std::fmt;
use std::str::FromStr;

/// How the lanes of a GPU share the rows. The results have the same bits under every one that can run the rows.
///
/// `lanes` is the number of invocations that share a row, or with `Held` each 1,024 classes of a longer row: a power of
/// two up to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// The row stays in registers; memory is read once and written once. Each 1,024 classes have lanes of their own,
    /// which must fit a work-group together.
    Held {
        /// Invocations that share a row, or each 1,024 classes of a longer one.
        lanes: u32,
    },
    /// Any number of classes: chunk by chunk; memory is read twice and written once.
    Chunked {
        /// Invocations that share a row.
        lanes: u32,
    },
    /// As `Chunked`, but each row is shared among work-groups, in two dispatches: for few, long rows.
    Split {
        /// Invocations of a work-group.
        lanes: u32,
        /// Work-groups that share a row.
        pieces: u32,
    },
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { lanes } => write!(f, "held/{lanes}"),
            Self::Chunked { lanes } => write!(f, "chunked/{lanes}"),
            Self::Split { lanes, pieces } => write!(f, "split/{lanes}x{pieces}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// Parses the text form as it is displayed: `held/8`, `chunked/64`, `split/256x16`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().ok();
        let parsed = match text.split_once('/') {
            Some(("held", lanes)) => number(lanes).map(|lanes| Self::Held { lanes }),
            Some(("chunked", lanes)) => number(lanes).map(|lanes| Self::Chunked { lanes }),
            Some(("split", both)) => both.split_once('x').and_then(|(lanes, pieces)| {
                let (lanes, pieces) = (number(lanes)?, number(pieces)?);
                Some(Self::Split { lanes, pieces })
            }),
            _ => None,
        };
        parsed.ok_or_else(|| format!("{text:?} is no schedule: held/8, chunked/64 and split/256x16 are"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn schedules_are_read_as_they_are_displayed() {
        for text in ["held/8", "chunked/64", "split/256x16"] {
            let parsed = text.parse::<Schedule>().unwrap();
            assert_eq!(parsed.to_string(), text, "{text:?} was read as {parsed:?}");
        }
        for text in ["", "held", "held/", "held/-1", "split/8", "split/8x", "chunk/8"] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.contains("schedule"), "{text:?}: {error}");
        }
    }
}
