//! `wgpu-softmax bce`, compared with its formula in f64.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, close, numbers};

/// The weight of an element.
type Weight<'a> = &'a dyn Fn(usize) -> f32;

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[test]
fn losses_and_gradients_with_weights() {
    let folder = Folder::new();
    let x = numbers(12);
    let t: Vec<f32> = (0..12).map(|i| (i % 5) as f32 / 4.0).collect();
    let (by_class, by_row, positive) = ([1.0f32, 2.0, 0.5, 0.0], [1.0f32, 3.0, -1.0], [1.0f32, 2.0, 3.0, 0.5]);
    folder.write("x.npy", &[3, 4], &x);
    folder.write("t.npy", &[3, 4], &t);
    folder.write("classes.npy", &[4], &by_class);
    folder.write("rows.npy", &[3, 1], &by_row);
    folder.write("positive.npy", &[4], &positive);
    let all = |_: usize| 1.0;
    let of_class = |i: usize| by_class[i % 4];
    let of_row = |i: usize| by_row[i / 4];
    let cases: [(&str, Weight<'_>, [f32; 4]); 5] = [
        ("", &all, [1.0; 4]),
        ("--weight classes.npy", &of_class, [1.0; 4]),
        ("--weight rows.npy --pos-weight positive.npy", &of_row, positive),
        ("--pos_weight 2.5", &all, [2.5; 4]),
        ("--axis -1 --pos-weight positive.npy", &all, positive),
    ];
    for (flags, weight, positive) in cases {
        let each = |i: usize| {
            let (x, t, p) = (f64::from(x[i]), f64::from(t[i]), f64::from(positive[i % 4]));
            let (w, sigmoid) = (f64::from(weight(i)), 1.0 / (1.0 + (-x).exp()));
            let loss = w * ((1.0 - t) * softplus(x) + p * t * softplus(-x));
            (loss, w * ((1.0 - t) * sigmoid - p * t * (1.0 - sigmoid)))
        };
        let (losses, gradient): (Vec<f64>, Vec<f64>) = (0..12).map(each).unzip();
        folder.done(&format!(
            "bce x.npy t.npy --reduction none --loss l.npy --grad g.npy {flags}"
        ));
        assert_eq!(folder.read::<f32>("l.npy").0, [3, 4]);
        close(flags, &folder.read::<f32>("l.npy").1, &losses);
        close(flags, &folder.read::<f32>("g.npy").1, &gradient);
        for (reduction, parts) in [("mean", 12.0), ("sum", 1.0)] {
            folder.done(&format!(
                "bce x.npy t.npy --reduction {reduction} --loss l.npy --grad g.npy {flags}"
            ));
            let (shape, loss) = folder.read::<f32>("l.npy");
            assert!(shape.is_empty());
            close(flags, &loss, &[losses.iter().sum::<f64>() / parts]);
            let parts: Vec<f64> = gradient.iter().map(|g| g / parts).collect();
            close(flags, &folder.read::<f32>("g.npy").1, &parts);
        }
    }
}

#[test]
fn targets_of_any_kind_and_what_is_printed() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 2], &numbers(4));
    folder.write("f.npy", &[2, 2], &[0f32, 1.0, 1.0, 0.0]);
    folder.write("i.npy", &[2, 2], &[0i64, 1, 1, 0]);
    folder.write("b.npy", &[2, 2], &[false, true, true, false]);
    let line = folder.done("bce x.npy f.npy");
    assert!(line.starts_with(b"loss "), "{line:?}");
    assert_eq!(folder.done("bce x.npy i.npy"), line);
    assert_eq!(folder.done("bce x.npy b.npy"), line);
    let json: serde_json::Value = serde_json::from_slice(&folder.done("--json bce x.npy f.npy")).unwrap();
    assert_eq!(json["elements"], 4);
    assert!(json["loss"].is_number() && json["adapter"].is_string(), "{json}");
    folder.write("one.npy", &[], &[0f32]);
    folder.write("true.npy", &[], &[true]);
    assert_eq!(folder.done("bce one.npy true.npy --grad g.npy"), b"loss 0.693147\n");
    assert_eq!(folder.read::<f32>("g.npy"), (vec![], vec![-0.5]));
}

#[test]
fn mistakes_exit_with_2() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 3], &numbers(6));
    folder.write("t.npy", &[2, 3], &[0f32, 1.0, 0.5, 0.0, 0.0, 0.25]);
    folder.write("out.npy", &[2, 3], &[0f32, 1.0, 0.5, 0.0, 1.5, 0.25]);
    folder.write("nan.npy", &[2, 3], &[0f32, f32::NAN, 0.5, 0.0, 1.5, 0.25]);
    folder.write("many.npy", &[2, 3], &[-1i64; 6]);
    folder.write("classes.npy", &[2], &[0i64, 1]);
    folder.write("w.npy", &[3], &[1f32, f32::INFINITY, 1.0]);
    for (words, says) in [
        (
            "bce x.npy classes.npy",
            "targets have shape [2], but logits of shape [2, 3] need one for each",
        ),
        (
            "bce x.npy out.npy",
            "out.npy: element [1, 1] has target 1.5, but must be from 0 to 1",
        ),
        (
            "bce x.npy nan.npy",
            "nan.npy: element [0, 1] has target NaN, but must be from 0 to 1; 1 more element has such a target",
        ),
        (
            "bce x.npy many.npy",
            "many.npy: element [0, 0] has target -1, but must be from 0 to 1; 5 more elements have such targets",
        ),
        (
            "bce x.npy t.npy --weight w.npy",
            "w.npy: weight [1] is inf, but must be finite",
        ),
        (
            "bce x.npy t.npy --pos-weight w.npy",
            "the positive weight of class 1 is inf",
        ),
        (
            "bce x.npy t.npy --pos-weight nan",
            "--pos-weight is NaN, but must be finite",
        ),
        (
            "bce x.npy t.npy --pos-weight t.npy",
            "positive weights have shape [2, 3], but 3 classes need [3]",
        ),
        (
            "bce x.npy t.npy --weight classes.npy",
            "weights must be f32, f16 or f64, not",
        ),
        ("bce x.npy t.npy --reduction none", "give --loss OUT"),
        (
            "bce x.npy t.npy --grad t.npy",
            "--grad would replace what TARGETS reads",
        ),
    ] {
        let (code, message) = folder.fails(words);
        assert_eq!(code, 2, "{words}: {message}");
        assert!(message.contains(says), "{words}: {message}");
    }
}
