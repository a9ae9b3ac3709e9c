//! Rows that are all but certain: losses, log-probabilities and gradients of `cross-entropy` have the digits of an f32,
//! however small they are.
#![allow(clippy::unwrap_used, clippy::excessive_precision)]

mod common;

use common::Folder;
use wgpu_softmax::testing::{Bound, GRADIENT_ULP, LOSS_ULP};

const GAPS: [f32; 5] = [10.0, 15.0, 17.0, 30.0, 80.0];

/// A class that is `gap` above the next, at a different place for each gap. The others lie up to 3 below that.
fn row(gap: f32, number: usize, classes: usize) -> (Vec<f32>, usize) {
    let largest = (number * 7 + 1) % classes;
    let other = |c: usize| 2.5 - gap - (c % 13) as f32 / 4.0;
    let mut row: Vec<f32> = (0..classes).map(other).collect();
    // The next has the gap exactly.
    row[(largest + 1) % classes] = 2.5 - gap;
    row[largest] = 2.5;
    (row, largest)
}

/// Log-probabilities and probabilities' distances from 1, with ln d = ln(1 + s) from s alone.
fn exact(row: &[f32], largest: usize) -> (Vec<f64>, Vec<f64>) {
    let shifted: Vec<f64> = row.iter().map(|&x| f64::from(x) - f64::from(row[largest])).collect();
    let others = shifted.iter().enumerate().filter(|&(c, _)| c != largest);
    let s: f64 = others.map(|(_, v)| v.exp()).sum();
    let log_probs: Vec<f64> = shifted.iter().map(|v| v - s.ln_1p()).collect();
    let complements = shifted.iter().enumerate().map(|(c, v)| {
        if c == largest {
            s / (1.0 + s)
        } else {
            1.0 - v.exp() / (1.0 + s)
        }
    });
    (log_probs, complements.collect())
}

#[track_caller]
fn within(what: &str, got: &[f32], want: &[f64], ulps: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(got) - want).abs();
        let Bound { allowed, unit } = Bound::of_itself(want, ulps);
        let in_ulps = off / unit;
        assert!(
            off <= allowed,
            "{what}: element {i} is {got:e}, not {want:e}: {in_ulps:.1} ULP off, and {ulps} are allowed"
        );
    }
}

/// Each gap with the largest class as the target, and then with the class after it.
#[test]
fn small_losses_have_all_their_digits() {
    let folder = Folder::new();
    for classes in [2, 10, 1000] {
        let (mut x, mut targets, mut losses) = (Vec::new(), Vec::new(), Vec::new());
        let (mut log_probs, mut gradient) = (Vec::new(), Vec::new());
        for (number, gap) in GAPS.into_iter().enumerate() {
            let (row, largest) = row(gap, number, classes);
            let (row_log_probs, complements) = exact(&row, largest);
            for target in [largest, (largest + 1) % classes] {
                let of_class = |c: usize| {
                    if c == target {
                        -complements[c]
                    } else {
                        row_log_probs[c].exp()
                    }
                };
                losses.push(-row_log_probs[target]);
                gradient.extend((0..classes).map(of_class));
                x.extend_from_slice(&row);
                log_probs.extend_from_slice(&row_log_probs);
                targets.push(target as i64);
            }
        }
        folder.write("x.npy", &[targets.len(), classes], &x);
        folder.write("t.npy", &[targets.len()], &targets);
        folder.done("cross-entropy x.npy t.npy --reduction none --loss l.npy --grad g.npy --log-probs y.npy");
        let read = |name| folder.read::<f32>(name).1;
        within(
            &format!("losses of {classes} classes"),
            &read("l.npy"),
            &losses,
            LOSS_ULP,
        );
        within(
            &format!("log-probabilities of {classes}"),
            &read("y.npy"),
            &log_probs,
            LOSS_ULP,
        );
        within(
            &format!("gradient of {classes} classes"),
            &read("g.npy"),
            &gradient,
            GRADIENT_ULP,
        );
    }
}

#[test]
fn the_printed_loss_of_a_gap_of_17() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[17f32, 0.0]);
    folder.write("t.npy", &[1], &[0i64]);
    // The exact loss, log1p(e^-17), is 4.1399377e-8, and a unit in its last place is 3.6e-15.
    let printed = String::from_utf8(folder.done("cross-entropy x.npy t.npy")).unwrap();
    let loss: f64 = printed.trim().trim_start_matches("loss ").parse().unwrap();
    assert!((loss - 4.139_937_7e-8).abs() <= 4.0 * 3.6e-15, "{printed}");
    let json = folder.done("--json cross-entropy x.npy t.npy");
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let loss = json["loss"].as_f64().unwrap();
    let off = (loss - 4.1399376330897474e-8).abs();
    assert!(off <= Bound::of_itself(4.14e-8, LOSS_ULP).allowed, "{json}");
}
