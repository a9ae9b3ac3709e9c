//! The outputs of a loss against the reference's.

use super::{Stored, Subject, equal, must, near};
use wgpu_softmax::reference::CrossEntropyReference;
use wgpu_softmax::{CrossEntropy, CrossEntropyOutput, Gradient, Reduction};

/// Every output that `options` ask for, and no other; numbers as [`near`] has them.
#[track_caller]
pub fn outputs_are<T: Stored>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) {
    let is_reduced = options.reduction != Reduction::None;
    let is_asked = options.row_losses || !is_reduced;
    for (output, is_asked, got, exact) in [
        ("row losses", is_asked, &out.row_losses, &exact.row_losses),
        (
            "row z-losses",
            options.row_z_losses,
            &out.row_z_losses,
            &exact.row_z_losses,
        ),
        ("lse", options.lse, &out.lse, &exact.lse),
        ("log_prob", options.log_prob, &out.log_prob, &exact.log_probs),
        ("entropy", options.entropy, &out.entropy, &exact.entropies),
    ] {
        optional(subject, output, got.as_deref(), is_asked.then_some(exact.as_slice()));
    }
    let gradient = (options.gradient != Gradient::None).then_some(&exact.gradient[..]);
    optional(subject, "gradient", out.gradient.as_deref(), gradient);
    let argmax = out
        .argmax
        .as_ref()
        .map(|argmax| argmax.iter().map(|&c| c as usize).collect::<Vec<_>>());
    equal(subject, "whether there is argmax", argmax.is_some(), options.argmax);
    must(subject.each(
        "argmax",
        &argmax.unwrap_or_default(),
        if options.argmax { &exact.argmax } else { &[] },
    ));
    counts_are(subject, options, out, exact);
    let one = |value: &Option<f32>| value.map(|value| vec![value]);
    optional(
        subject,
        "loss",
        one(&out.loss).as_deref(),
        is_reduced.then_some(&[exact.loss]),
    );
    let has_z_loss = is_reduced && options.z_loss != 0.0;
    optional(
        subject,
        "z-loss",
        one(&out.z_loss).as_deref(),
        has_z_loss.then_some(&[exact.z_loss]),
    );
}

/// The numbers of rows that were counted, and that were correct.
#[track_caller]
pub fn counts_are<T>(
    subject: &Subject<'_>,
    options: &CrossEntropy,
    out: &CrossEntropyOutput<T>,
    exact: &CrossEntropyReference,
) {
    equal(subject, "counted", out.counted, exact.counted);
    equal(
        subject,
        "correct",
        out.correct,
        options.correct.then_some(exact.correct),
    );
}

/// Numbers as [`near`] has them, which are there where `exact` is.
#[track_caller]
pub fn optional<T: Stored>(subject: &Subject<'_>, output: &str, got: Option<&[T]>, exact: Option<&[f64]>) {
    equal(
        subject,
        &format!("whether there is {output}"),
        got.is_some(),
        exact.is_some(),
    );
    near(subject, output, got.unwrap_or_default(), exact.unwrap_or_default());
}
