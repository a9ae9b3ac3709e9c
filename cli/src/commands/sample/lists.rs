//! What rows have lists of: tokens of the past, allowed classes, biases.

use crate::arrays::{self, Array, refused as caller};
use crate::failure::Failure;
use crate::layout::Layout;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use wgpu_softmax::{Allowed, History, LogitBias, NO_TOKEN, TargetIndex, Values, Words};

/// Reads the histories.
pub(super) fn history(path: &Path, layout: &Layout) -> Result<History, Failure> {
    let Array { shape, values } = arrays::integers(path, "--history")?;
    let Some(length) = layout.list_length(&shape) else {
        let (rows, row_shape) = (layout.count(), layout.row_shape());
        let whole = [
            &row_shape.iter().map(usize::to_string).collect::<Vec<_>>()[..],
            &["n".into()],
        ]
        .concat();
        let whole = whole.join(", ");
        let flat = if row_shape.len() == 1 {
            String::new()
        } else {
            format!(" or [{rows}, n]")
        };
        return Err(caller(
            path,
            &format!(
                "--history has shape {shape:?}, but {} need [{whole}]{flat}, n tokens a row, padded with -1 at the end",
                layout.describe()
            ),
        ));
    };
    let mut tokens: Vec<u32> = Vec::with_capacity(values.len());
    for (at, token) in values.iter().map(|token| token.value()).enumerate() {
        let (row, place) = (at / length, at % length);
        let here = || {
            format!(
                "--history has token {token} in row {:?}, at place {place}",
                layout.index(row)
            )
        };
        let follows_padding = place > 0 && tokens.last() == Some(&NO_TOKEN);
        match usize::try_from(token) {
            Ok(class) if class < layout.classes() && !follows_padding => tokens.push(class as u32),
            Ok(class) if class < layout.classes() => {
                return Err(caller(path, &format!("{} after -1, which pads at the end", here())));
            }
            _ if token == -1 => tokens.push(NO_TOKEN),
            _ => {
                let classes = layout.classes();
                let message = format!("{}, but there are {classes} classes (-1 pads at the end)", here());
                return Err(caller(path, &message));
            }
        }
    }
    let tokens = Words::from(tokens);
    Ok(History { length, tokens })
}

/// Reads the bits of the allowed classes.
pub(super) fn allowed(path: &Path, layout: &Layout) -> Result<Allowed, Failure> {
    let Array { shape, values } = arrays::words(path, "--allowed")?;
    let (words, count) = (layout.classes().div_ceil(32), layout.count());
    if shape == [words] {
        return Ok(Allowed::All(values.into()));
    }
    if layout.list_length(&shape) == Some(words) {
        return Ok(Allowed::PerRow(values.into()));
    }
    Err(caller(
        path,
        &format!(
            "--allowed has shape {shape:?}, but {} need [{words}], a bit for each of {} classes, or [{count}, {words}]",
            layout.describe(),
            layout.classes()
        ),
    ))
}

/// All members of a JSON object. `serde_json::Map` keeps the last of those that have one name, without a word.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The classes of one JSON object, and their biases. `row` is that of a message.
fn pairs(
    path: &Path,
    row: Option<Vec<usize>>,
    Members(members): &Members,
    classes: usize,
) -> Result<Vec<(u32, f32)>, Failure> {
    let place = row.map_or(String::new(), |row| format!(" in row {row:?}"));
    let refused = |message: String| Err(caller(path, &message));
    let mut pairs: Vec<(u32, f32)> = Vec::with_capacity(members.len());
    for (key, value) in members {
        let class = match key.parse::<u32>() {
            Ok(class) if (class as usize) < classes => class,
            Ok(_) => {
                return refused(format!(
                    "--logit-bias has class {key}{place}, but there are {classes} classes"
                ));
            }
            Err(_) => {
                return refused(format!(
                    "--logit-bias has {key:?}{place} for a class: it must be from \"0\" to \"{}\"",
                    classes - 1
                ));
            }
        };
        let bias = match value {
            Value::String(word) if ["-inf", "-Infinity"].contains(&word.as_str()) => Some(f32::NEG_INFINITY),
            value => value.as_f64().map(|bias| bias as f32).filter(|bias| bias.is_finite()),
        };
        let Some(bias) = bias else {
            return refused(format!(
                "--logit-bias of class {key}{place} is {value}, but must be a finite f32, or \"-inf\", which bans the class"
            ));
        };
        pairs.push((class, bias));
    }
    pairs.sort_unstable_by_key(|(class, _)| *class);
    match pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        Some(two) => refused(format!("--logit-bias has class {}{place} twice", two[0].0)),
        None => Ok(pairs),
    }
}

/// Reads the biases. `None` if there are none in the file.
pub(super) fn bias(path: &Path, layout: &Layout) -> Result<Option<LogitBias>, Failure> {
    let text = String::from_utf8(arrays::read(path)?).map_err(|e| caller(path, &format!("no JSON: {e}")))?;
    let no_json = |e: serde_json::Error| {
        let infinity = if text.contains("Infinity") {
            " (minus infinity is written \"-inf\", with quotes)"
        } else {
            ""
        };
        caller(path, &format!("no JSON: {e}{infinity}"))
    };
    let kind = "--logit-bias must be a JSON object, class to bias, or a list of them, one for each row";
    let (count, classes) = (layout.count(), layout.classes());
    // Read once more below, where it is known what it is.
    let (lists, per_row) = match serde_json::from_str(&text).map_err(no_json)? {
        Value::Object(_) => {
            let members = serde_json::from_str(&text).map_err(no_json)?;
            (vec![pairs(path, None, &members, classes)?], false)
        }
        Value::Array(list) if list.len() != count => {
            let message = format!(
                "--logit-bias has a list of {}, but {} have {}",
                list.len(),
                layout.describe(),
                layout.count_in_words()
            );
            return Err(caller(path, &message));
        }
        Value::Array(list) => {
            if let Some(row) = list.iter().position(|value| !value.is_object()) {
                let (index, value) = (layout.index(row), &list[row]);
                return Err(caller(path, &format!("{kind}; row {index:?} is {value}")));
            }
            let list: Vec<Members> = serde_json::from_str(&text).map_err(no_json)?;
            let row_pairs = |(row, members)| pairs(path, Some(layout.index(row)), members, classes);
            (list.iter().enumerate().map(row_pairs).collect::<Result<_, _>>()?, true)
        }
        _ => return Err(caller(path, kind)),
    };
    let length = lists.iter().map(Vec::len).max().unwrap_or(0);
    if length == 0 {
        return Ok(None);
    }
    let padded = lists.into_iter().flat_map(|mut list| {
        list.resize(length, (NO_TOKEN, 0.0));
        list
    });
    let (biased, values): (Vec<u32>, Vec<f32>) = padded.unzip();
    Ok(Some(LogitBias {
        length,
        per_row,
        classes: biased.into(),
        values: Values::from(values),
    }))
}
