//! Masks: causal, for each class, or for each element, which smaller ones are repeated to.

use crate::arrays::{self, Array};
use crate::console;
use crate::failure::Failure;
use crate::layout::Layout;
use std::path::Path;
use wgpu_softmax::{Mask, Values};

/// Whether the word stands there in place of a file.
pub(super) fn is_causal(path: &Path) -> bool {
    path == Path::new("causal")
}

/// The mask that the flags ask for.
pub(super) fn read(path: Option<&Path>, offset: Option<i64>, layout: &Layout) -> Result<Mask, Failure> {
    let causal = path.is_some_and(is_causal);
    if offset.is_some() && !causal {
        return Err(Failure::Caller(
            "--causal-offset needs --mask causal, which it moves".into(),
        ));
    }
    match path {
        None => Ok(Mask::None),
        Some(_) if causal => self::causal(layout, offset.unwrap_or(0)),
        Some(path) if path.as_os_str().eq_ignore_ascii_case("causal") && !path.exists() => {
            let message = "there is no such file: did you mean --mask causal?";
            Err(arrays::refused(path, message))
        }
        Some(path) => of_array(path, "the mask", arrays::mask(path)?, layout),
    }
}

fn causal(layout: &Layout, offset: i64) -> Result<Mask, Failure> {
    if !layout.class_axis_is_last() {
        return Err(Failure::Caller(format!(
            "--mask causal needs the class axis last, but it is axis {} of shape {:?}: --axis -1, or a mask in a file",
            layout.axis(),
            layout.shape()
        )));
    }
    let group = match layout.shape() {
        [.., group, _] => *group,
        _ => layout.count(),
    };
    let group = group.max(1);
    Ok(Mask::Causal { group, offset })
}

/// Weights of elements, which are laid out as masks are.
pub(crate) fn weights(path: &Path, layout: &Layout) -> Result<Mask, Failure> {
    arrays::refuse_number(path, "weights")?;
    let weights = arrays::floats(path, "weights")?;
    if let Some(at) = weights.values.iter().position(|w| !w.is_finite()) {
        let (weight, index) = (weights.values[at], Layout::index_in(&weights.shape, at));
        let message = format!("weight {index:?} is {weight}, but must be finite");
        return Err(arrays::refused(path, &message));
    }
    of_array(path, "the weight", weights, layout)
}

fn of_array(path: &Path, what: &str, mask: Array<f32>, layout: &Layout) -> Result<Mask, Failure> {
    let (shape, classes) = (layout.shape(), layout.classes());
    if mask.shape == [classes] {
        if !layout.class_axis_is_last() && shape.last() == Some(&classes) {
            console::note(&format!(
                "note: {what} of shape {:?} fits the class axis {} and the last axis of logits of shape {shape:?}; the class axis was \
                 taken",
                mask.shape,
                layout.axis()
            ));
        }
        return Ok(Mask::Classes(Values::from(mask.values)));
    }
    if mask.shape == shape || fits_alone(&mask.shape, layout) {
        return Ok(Mask::Full(Values::from(mask.values)));
    }
    if let Some(strides) = strides(&mask.shape, shape) {
        let only_classes = mask.shape.iter().product::<usize>() == classes && strides[layout.axis()] == 1;
        return Ok(if only_classes && classes > 1 {
            Mask::Classes(Values::from(mask.values))
        } else {
            Mask::Full(Values::from(repeated(&mask.values, &strides, shape)))
        });
    }
    let flat = [layout.count(), classes];
    let mut possible = vec![format!("[{classes}] (the classes)")];
    if layout.class_axis_is_last() && flat != shape {
        possible.push(format!("{flat:?} (rows, classes)"));
    }
    Err(arrays::refused(
        path,
        &format!(
            "{what} has shape {:?}, but logits of shape {shape:?} need {} or their own shape, in which an axis may have length 1{}",
            mask.shape,
            possible.join(", "),
            layout.other_axes(|other| fits_alone(&mask.shape, other))
        ),
    ))
}

/// Whether a mask of this shape fits for the class axis that is taken, and not whichever it is.
fn fits_alone(mask: &[usize], layout: &Layout) -> bool {
    mask == [layout.classes()] || (layout.class_axis_is_last() && mask == [layout.count(), layout.classes()])
}

/// How far a step along each axis of `shape` goes in an array that numpy would repeat to it: 0 where it is repeated. `None` if it
/// cannot be repeated to it.
fn strides(small: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
    let missing = shape.len().checked_sub(small.len())?;
    let mut strides = vec![0; shape.len()];
    let mut stride = 1usize;
    for (axis, &length) in small.iter().enumerate().rev() {
        match (length, shape[missing + axis]) {
            (1, _) => {}
            (length, whole) if length == whole => strides[missing + axis] = stride,
            _ => return None,
        }
        stride = stride.checked_mul(length)?;
    }
    Some(strides)
}

/// The elements of `shape` in C order.
fn repeated(values: &[f32], strides: &[usize], shape: &[usize]) -> Vec<f32> {
    // From the last axis on, each axis repeats or moves what the axes after it pick.
    let mut picked: Vec<usize> = vec![0];
    for (&length, &stride) in shape.iter().zip(strides).rev() {
        let along = |i: usize| picked.iter().map(move |at| at + i * stride);
        picked = (0..length).flat_map(along).collect();
    }
    picked.into_iter().map(|at| values[at]).collect()
}
