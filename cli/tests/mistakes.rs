//! The exit codes and the `error:` lines, as a script sees them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, error};

/// What is run, and a part of what it says. In front, SOFTMAX and LOSS stand for commands that would go well.
const MISTAKES: &str = "
cross-entropy x.npy bad.npy --grad y.npy --loss y.npy => row 1 has target 10, but there are 10 classes
cross-entropy x.npy huge_target.npy --loss y.npy => row 1 has target 18446744073709551615,
cross-entropy x.npy short.npy --loss y.npy => shape [2], but logits of shape [3, 10]
cross-entropy x.npy square.npy --loss y.npy => shape [3, 3], but logits of shape [3, 10]
cross-entropy x.npy one_hot.npy --loss y.npy => need [3] of classes (integers)
cross-entropy x.npy bool.npy --loss y.npy => targets must be integers or floats, not '|b1'
cross-entropy x.npy x.npy --loss y.npy --ignore-index 1 => --ignore-index cannot go with targets
softmax missing.npy -o y.npy => missing.npy
softmax cut.npy -o y.npy => cut.npy
softmax text.npy -o y.npy => no .npy array
softmax huge.npy -o y.npy => too large
softmax bad.npy -o y.npy => logits must be f32, f16 or f64, not '<i8'
softmax x.npy -o nowhere/y.npy => no folder nowhere
softmax x.npy => -o <OUT>
no-such-command => no-such-command
SOFTMAX --axis 2 => axis 2
SOFTMAX --no-such-flag => --no-such-flag
SOFTMAX --dtype f64 => --dtype
SOFTMAX --scale nan => scale
SOFTMAX --scale -inf => scale
SOFTMAX --scale --log => --scale
SOFTMAX --softcap 0 => softcap
SOFTMAX --softcap -1e-3 => softcap
SOFTMAX --softcap inf => softcap
SOFTMAX --mask square.npy => shape [3, 3], but logits of shape [3, 10] need [10]
SOFTMAX --mask bool.npy => (0 keeps a class, -inf takes it out) must be f32, f16 or f64, not '|b1'
SOFTMAX --mask missing.npy => missing.npy
LOSS --weight square.npy => weights have shape [3, 3], but 10 classes need [10]
LOSS --weight t.npy => weights must be f32, f16 or f64, not '<i8'
LOSS --label-smoothing 1.5 => label_smoothing
LOSS --label-smoothing -0.5 => label_smoothing
LOSS --z-loss nan => z_loss
LOSS --normalizer inf => normalizer
LOSS --normalizer 2 --reduction sum => normalizer cannot go with a reduction other than Mean
cross-entropy x.npy x.npy --loss y.npy --input log-probs => input: LogProbs cannot go with targets
LOSS --input log-probs --log-probs y.npy => --log-probs cannot go with --input log-probs
LOSS --input log-probs --lse y.npy => input: LogProbs cannot go with lse
LOSS --input log-probs --label-smoothing 0.1 => input: LogProbs cannot go with label_smoothing
LOSS --input log-probs --z-loss 0.1 => input: LogProbs cannot go with z_loss
LOSS --input log-probs --scale 2 => input: LogProbs cannot go with adjust: scale
LOSS --input log-probs --softcap 2 => input: LogProbs cannot go with adjust: scale, bias, softcap
LOSS --input log-probs --mask causal => input: LogProbs cannot go with adjust: scale, bias, softcap and mask
";

#[test]
fn mistakes_exit_with_2_and_leave_no_output() {
    let folder = Folder::new();
    folder.write("x.npy", &[3, 10], &[0f32; 30]);
    folder.write("t.npy", &[3], &[0i64, 9, 3]);
    folder.write("bad.npy", &[3], &[0i64, 10, 3]);
    folder.write("huge_target.npy", &[3], &[0u64, u64::MAX, 3]);
    folder.write("short.npy", &[2], &[0i64, 1]);
    folder.write("square.npy", &[3, 3], &[0f32; 9]);
    folder.write("bool.npy", &[10], &[true; 10]);
    folder.write("one_hot.npy", &[3, 10], &[0i64; 30]);
    let whole = std::fs::read(folder.at("x.npy")).unwrap();
    std::fs::write(folder.at("cut.npy"), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(folder.at("text.npy"), "no array").unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n";
    let huge = [
        &b"\x93NUMPY\x01\x00"[..],
        &(header.len() as u16).to_le_bytes(),
        header.as_bytes(),
    ];
    std::fs::write(folder.at("huge.npy"), huge.concat()).unwrap();

    let mistakes = MISTAKES
        .replace("SOFTMAX", "softmax x.npy -o y.npy")
        .replace("LOSS", "cross-entropy x.npy t.npy --loss y.npy");
    for mistake in mistakes.trim().lines() {
        let (words, says) = mistake.split_once(" => ").unwrap();
        let (code, message) = folder.fails(words);
        assert_eq!(code, 2, "{words}: {message}");
        assert!(message.contains(says), "{words}: {message}");
        assert!(!folder.at("y.npy").exists(), "{words}");
    }
    let words = ["--adapter", "no such adapter", "softmax", "x.npy", "-o", "y.npy"];
    assert_eq!(error(&folder.run(&words)).0, 1);
    assert!(!folder.at("y.npy").exists());
}
