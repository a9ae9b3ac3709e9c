//! What people asked for: sinks of a softmax, and weights of the rows of a loss, compared with their formulas in f64.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, close, log_softmax, numbers, rows, wide};

const INF: f32 = f32::INFINITY;

/// A sink is a class more in the denominator: its log-softmax is that of rows with one column more, without the column.
fn with_sinks(x: &[f32], classes: usize, sinks: &[f32]) -> Vec<f64> {
    let longer: Vec<f64> = x
        .chunks(classes)
        .zip(sinks)
        .flat_map(|(row, &sink)| row.iter().copied().chain([sink]).map(f64::from))
        .collect();
    let y = log_softmax(&longer, &rows(&[sinks.len(), classes + 1], 1));
    y.chunks(classes + 1).flat_map(|row| row[..classes].to_vec()).collect()
}

#[test]
fn a_sink_is_one_more_logit_of_each_row() {
    let folder = Folder::new();
    let x = numbers(12);
    let sinks = [-2.0f32, 0.5, 9.0];
    folder.write("x.npy", &[3, 4], &x);
    folder.write("s.npy", &[3], &sinks);
    folder.write("whole.npy", &[3], &[0i32, -1, 2]);
    folder.write("one.npy", &[], &[1.5f64]);
    for (flag, sinks) in [
        ("0", [0.0f32; 3]),
        ("-2.5", [-2.5; 3]),
        ("one.npy", [1.5; 3]),
        ("s.npy", sinks),
        ("whole.npy", [0.0, -1.0, 2.0]),
    ] {
        let log_probs = with_sinks(&x, 4, &sinks);
        folder.done(&format!("softmax x.npy -o y.npy --sink {flag} --log"));
        close(flag, &folder.read::<f32>("y.npy").1, &log_probs);
        folder.done(&format!("softmax x.npy -o y.npy --sink {flag}"));
        let probs: Vec<f64> = log_probs.iter().map(|v| v.exp()).collect();
        close(flag, &folder.read::<f32>("y.npy").1, &probs);
    }
}

/// Of logits with the class axis in the middle; the scale and the mask leave the sink as it is.
#[test]
fn sinks_beside_scale_mask_and_another_axis() {
    let folder = Folder::new();
    let (x, sinks) = (numbers(24), [0.0f32, 1.0, -1.0, 2.0, 0.5, -3.0]);
    folder.write("x.npy", &[2, 4, 3], &x);
    folder.write("s.npy", &[2, 3], &sinks);
    folder.write("mask.npy", &[4], &[true, false, true, true]);
    folder.done("softmax x.npy -o y.npy --axis 1 --sink s.npy --scale 0.5 --mask mask.npy");
    let rows = rows(&[2, 4, 3], 1);
    let in_order: Vec<f32> = rows
        .iter()
        .flat_map(|row| row.iter().enumerate())
        .map(|(c, &i)| if c == 1 { -INF } else { x[i] * 0.5 })
        .collect();
    let got = folder.read::<f32>("y.npy").1;
    let got: Vec<f32> = rows.iter().flatten().map(|&i| got[i]).collect();
    let want: Vec<f64> = with_sinks(&in_order, 4, &sinks).iter().map(|v| v.exp()).collect();
    close("axis 1", &got, &want);
}

/// "Softmax plus one" of a row in which every class is masked is 0, not NaN.
#[test]
fn a_sink_takes_all_of_a_masked_row() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 3], &[-INF; 3]);
    folder.done("softmax x.npy -o y.npy --sink 0");
    assert_eq!(folder.read::<f32>("y.npy").1, [0.0; 3]);
    folder.done("softmax x.npy -o y.npy --sink 0 --log");
    assert_eq!(folder.read::<f32>("y.npy").1, [-INF; 3]);
}

/// Three rows of equal logits over 2, 4 and 4 classes that take part: their losses are ln 2, ln 4 and ln 4.
fn losses_by_hand(folder: &Folder) -> [f64; 3] {
    let x = [0.0, 0.0, -INF, -INF, 1.0, 1.0, 1.0, 1.0, -2.0, -2.0, -2.0, -2.0];
    folder.write("x.npy", &[3, 4], &x);
    folder.write("t.npy", &[3], &[1i64, 0, 3]);
    [2f64.ln(), 4f64.ln(), 4f64.ln()]
}

#[test]
fn rows_are_weighted() {
    let folder = Folder::new();
    let [a, b, c] = losses_by_hand(&folder);
    folder.write("r.npy", &[3], &[0.5f32, 2.0, 1.0]);
    folder.write("r64.npy", &[3], &[0.5f64, 2.0, 1.0]);
    folder.write("w.npy", &[4], &[3f32, 1.0, 1.0, 0.5]);
    let one_hot = |i: usize| f32::from(u8::from([1, 0, 3][i / 4] == i % 4));
    folder.write("q.npy", &[3, 4], &(0..12).map(one_hot).collect::<Vec<f32>>());
    let sum = 0.5 * a + 2.0 * b + c;
    let weighted = 0.5 * a + 2.0 * 3.0 * b + 0.5 * c;
    for (words, loss) in [
        ("t.npy --row-weight r.npy --reduction sum", sum),
        ("t.npy --row-weight r.npy", sum / 3.5),
        ("t.npy --row_weight r64.npy", sum / 3.5),
        ("t.npy --row-weight 2 --reduction sum", 2.0 * (a + b + c)),
        ("t.npy --row-weight 2", (a + b + c) / 3.0),
        ("t.npy --row-weight r.npy --normalizer 10", sum / 10.0),
        ("t.npy --row-weight r.npy --weight w.npy", weighted / (0.5 + 6.0 + 0.5)),
        ("q.npy --row-weight r.npy", sum / 3.5),
        ("q.npy --row-weight r.npy --weight w.npy", weighted / 3.5),
    ] {
        folder.done(&format!("cross-entropy x.npy {words} --loss l.npy"));
        close(words, &folder.read::<f32>("l.npy").1, &[loss]);
    }
    folder.done("cross-entropy x.npy t.npy --row-weight r.npy --reduction none --loss l.npy --grad g.npy");
    close("none", &folder.read::<f32>("l.npy").1, &[0.5 * a, 2.0 * b, c]);
    let gradient = [0.25, -0.25, 0.0, 0.0, -1.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, -0.75];
    close("gradient", &folder.read::<f32>("g.npy").1, &gradient);
    folder.done("cross-entropy x.npy t.npy --row-weight r.npy --grad g.npy");
    close(
        "gradient of the mean",
        &folder.read::<f32>("g.npy").1,
        &gradient.map(|g| g / 3.5),
    );
}

#[test]
fn log_probs_and_logits_of_three_axes_are_weighted() {
    let folder = Folder::new();
    let x = numbers(24);
    let rows = rows(&[2, 4, 3], 1);
    let log_probs = log_softmax(&wide(&x), &rows);
    folder.write("x.npy", &[2, 4, 3], &x);
    let rounded: Vec<f32> = log_probs.iter().map(|&v| v as f32).collect();
    folder.write("logs.npy", &[2, 4, 3], &rounded);
    let targets = [0i64, 3, 1, 2, 2, 0];
    folder.write("t.npy", &[2, 3], &targets);
    let weights = [1f32, 0.0, 0.25, 3.0, 0.5, 0.0];
    folder.write("r.npy", &[2, 3], &weights);
    let losses = (0..6).map(|r| -f64::from(weights[r]) * log_probs[rows[r][targets[r] as usize]]);
    let mean = losses.sum::<f64>() / 4.75;
    for words in ["x.npy t.npy", "logs.npy t.npy --input log-probs"] {
        folder.done(&format!("cross-entropy {words} --row-weight r.npy --loss l.npy"));
        close(words, &folder.read::<f32>("l.npy").1, &[mean]);
    }
}

/// Whatever the row holds: a NaN in it does not reach the loss, and its gradient is 0.
#[test]
fn rows_of_weight_0_are_counted_as_ignored() {
    let folder = Folder::new();
    let mut x = vec![0.0f32; 12];
    x[5] = f32::NAN;
    folder.write("x.npy", &[3, 4], &x);
    folder.write("t.npy", &[3], &[1i64, 2, -100]);
    folder.write("q.npy", &[3, 4], &[0.25f32; 12]);
    folder.write("r.npy", &[3], &[2f32, 0.0, 1.0]);
    for (targets, ignored) in [("t.npy", 2), ("q.npy", 1)] {
        let line = folder.done(&format!(
            "--json cross-entropy x.npy {targets} --row-weight r.npy --loss l.npy --grad g.npy"
        ));
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            (&json["rows"], &json["ignored"]),
            (&3.into(), &ignored.into()),
            "{targets}: {json}"
        );
        close(targets, &folder.read::<f32>("l.npy").1, &[4f64.ln()]);
        assert_eq!(folder.read::<f32>("g.npy").1[4..8], [0.0; 4], "{targets}");
    }
    assert_eq!(folder.done("cross-entropy x.npy t.npy --row-weight 0"), b"loss NaN\n");
    let empty = folder.done("cross-entropy x.npy t.npy --row-weight 0 --empty-mean zero");
    assert_eq!(empty, b"loss 0\n");
}

/// Nor is its target read, which may be no class.
#[test]
fn rows_of_weight_0_have_any_target() {
    let folder = Folder::new();
    folder.write("x.npy", &[4, 6], &[0f32; 24]);
    folder.write("bad.npy", &[4], &[0i64, 77, 1, 2]);
    folder.write("worse.npy", &[4], &[6i64, 77, -1, 2]);
    folder.write("r.npy", &[4], &[1f32, 0.0, 1.0, 1.0]);
    folder.done("cross-entropy x.npy bad.npy --row-weight r.npy --loss l.npy");
    close("without row 1", &folder.read::<f32>("l.npy").1, &[6f64.ln()]);
    let none = folder.done("cross-entropy x.npy worse.npy --row-weight 0 --empty-mean zero");
    assert_eq!(none, b"loss 0\n");
    let (code, message) = folder.fails("cross-entropy x.npy worse.npy --row-weight r.npy");
    assert_eq!(code, 2, "{message}");
    let says = "row 0 has target 6, but there are 6 classes (0 to 5); 1 more row has such a target";
    assert!(message.contains(says), "{message}");
}

/// No adapter is opened for these: there is none of this name, which would be an error of the machine.
const MISTAKES: &str = "
softmax x.npy -o y.npy --sink inf => --sink is inf, but must be finite
softmax x.npy -o y.npy --sink none.npy => '--sink <X>': it is neither a number nor a file that exists
softmax x.npy -o y.npy --sink nan.npy => nan.npy: --sink is NaN in row [1], but must be finite
softmax x.npy -o y.npy --sink four.npy => --sink has shape [4], but logits of shape [3, 4] with class axis -1 have 3 rows
softmax x.npy -o y.npy --sink flags.npy => flags.npy: --sink must be integers or floats, not booleans
softmax x.npy -o r.npy --sink r.npy => r.npy: -o would replace what --sink reads
softmax - -o y.npy --sink - => LOGITS and --sink cannot both be standard input
cross-entropy x.npy t.npy --row-weight -1 => --row-weight is -1, but must be finite and at least 0
cross-entropy x.npy t.npy --row-weight none.npy => '--row-weight <R>': it is neither a number nor a file that exists
cross-entropy x.npy t.npy --row-weight negative.npy => negative.npy: --row-weight is -0.5 in row [2], but must be
cross-entropy x.npy t.npy --row-weight nan.npy => nan.npy: --row-weight is NaN in row [1]
cross-entropy x.npy t.npy --row-weight huge.npy => huge.npy: --row-weight is inf in row [0]
cross-entropy x.npy t.npy --row-weight four.npy => --row-weight has shape [4], but logits of shape [3, 4] with class axis 1 have 3 rows
cross-entropy deep.npy t23.npy --row-weight bad23.npy => bad23.npy: --row-weight is -inf in row [1, 2], but must be finite and at least 0
cross-entropy x.npy t.npy --row-weight r.npy --loss r.npy => r.npy: --loss would replace what --row-weight reads
softmax deep.npy -o y.npy --axis 1 --sink t32.npy => --sink has shape [3, 2], but logits of shape [2, 4, 3] with class \
    axis 1 have 6 rows: give one number for all, or one for each row, of shape [2, 3] or [2, 1, 3] or [6]
softmax x.npy -o y.npy --sink x.npy => have 3 rows: give one number for all, or one for each row, of shape [3] or [3, 1]
softmax row.npy -o y.npy --sink r.npy => have 1 row: give one number for all, or one for each row, of shape [] or [1]
cross-entropy deep.npy t23.npy --row-weight t32.npy => --row-weight has shape [3, 2], but
sample deep.npy -o y.npy --axis 1 --seed t32.npy => --seed has shape [3, 2], but
softmax x.npy -o y.npy --bias r.npy => biases have shape [3], but 4 classes need [4]; --axis 0 would fit
softmax x.npy -o y.npy --axis 0 --bias four.npy => biases have shape [4], but 3 classes need [3]; --axis -1 would fit
cross-entropy deep.npy t23.npy --weight two.npy => weights have shape [2], but 4 classes need [4]; --axis 0 would fit
bce x.npy zeros.npy --pos-weight r.npy => positive weights have shape [3], but 4 classes need [4]; --axis 0 would fit
bce deep.npy deep_zeros.npy --weight two.npy => the weight has shape [2], but
bce deep.npy deep_zeros.npy --weight two.npy => in which an axis may have length 1; --axis 0 would fit
softmax deep.npy -o y.npy --axis 1 --mask two.npy => in which an axis may have length 1; --axis 0 would fit
softmax deep.npy -o y.npy --axis 1 --mask flat.npy => in which an axis may have length 1; --axis -1 would fit
softmax x.npy -o y.npy --sink four.npy => of shape [3] or [3, 1]; --axis 0 would fit
softmax x.npy -o y.npy --axis 0 --scale r.npy => of shape [4] or [1, 4]; --axis -1 would fit
cross-entropy deep.npy t23.npy --row-weight row24.npy => of shape [2, 3] or [2, 1, 3] or [6]; --axis -1 would fit
cross-entropy x.npy - --row-weight - => TARGETS and --row-weight cannot both be standard input
";

#[test]
fn mistakes_are_named_before_an_adapter_is_opened() {
    let folder = Folder::new();
    folder.write("x.npy", &[3, 4], &numbers(12));
    folder.write("t.npy", &[3], &[0i64, 1, 2]);
    folder.write("r.npy", &[3], &[1f32, 2.0, 3.0]);
    folder.write("nan.npy", &[3], &[1f32, f32::NAN, -1.0]);
    folder.write("negative.npy", &[3], &[1f32, 0.0, -0.5]);
    folder.write("huge.npy", &[3], &[1e300f64, 1.0, 1.0]);
    folder.write("four.npy", &[4], &[1f32; 4]);
    folder.write("flags.npy", &[3], &[true; 3]);
    folder.write("deep.npy", &[2, 4, 3], &numbers(24));
    folder.write("t23.npy", &[2, 3], &[0i64; 6]);
    folder.write("t32.npy", &[3, 2], &[1i64; 6]);
    folder.write("zeros.npy", &[3, 4], &[0f32; 12]);
    folder.write("deep_zeros.npy", &[2, 4, 3], &[0f32; 24]);
    folder.write("row.npy", &[4], &numbers(4));
    folder.write("row24.npy", &[2, 4], &[1f32; 8]);
    folder.write("two.npy", &[2], &[1f32; 2]);
    folder.write("flat.npy", &[8, 3], &[1f32; 24]);
    folder.write("bad23.npy", &[2, 3], &[1f32, 1.0, 1.0, 0.0, 1.0, -INF]);
    let before = folder.names();
    for mistake in MISTAKES.replace("\\\n    ", "").trim().lines() {
        let (words, says) = mistake.split_once(" => ").unwrap();
        let (code, message) = folder.fails(&format!("--adapter none {words}"));
        assert_eq!(code, 2, "{words}: {message}");
        assert!(message.contains(says), "{words}: {message}");
        assert_eq!(folder.names(), before, "{words}");
    }
}

/// x = (0, 0) and a teacher of (2 ln 3, 0), which at T = 2 has the probabilities 3/4 and 1/4.
#[test]
fn distillation_is_the_divergence_from_a_teacher() {
    let folder = Folder::new();
    let x = [0.0f32; 4];
    let teacher = [2.0 * 3f32.ln(), 0.0, 0.0, 0.0];
    folder.write("x.npy", &[2, 2], &x);
    folder.write("t.npy", &[2, 2], &teacher);
    folder.write("r.npy", &[2], &[1.0f32, 0.0]);
    let expected = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
    let line = folder.done("--json cross-entropy x.npy t.npy --distill 2 --row-weight r.npy --grad g.npy");
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert!((line["loss"].as_f64().unwrap() - expected).abs() < 1e-7, "{line}");
    assert_eq!((&line["rows"], &line["ignored"]), (&2.into(), &1.into()), "{line}");
    close(
        "the gradient",
        &folder.read::<f32>("g.npy").1,
        &[-0.125, 0.125, 0.0, 0.0],
    );
    folder.done("cross-entropy x.npy t.npy --distill 2 --reduction none --loss rows.npy --log-probs y.npy");
    close("the losses", &folder.read::<f32>("rows.npy").1, &[expected, 0.0]);
    close("log y", &folder.read::<f32>("y.npy").1, &[0.5f64.ln(); 4]);
    let same = folder.done("cross-entropy t.npy t.npy --distill 0.5");
    assert_eq!(String::from_utf8(same).unwrap().trim(), "loss 0");
}

#[test]
fn mistakes_in_distillation_say_what_is_wrong() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 3], &[0.0f32; 6]);
    folder.write("classes.npy", &[2], &[0i64, 1]);
    folder.write("b.npy", &[3], &[0.0f32; 3]);
    for (arguments, expected) in [
        (
            "x.npy classes.npy --distill 1",
            "a teacher's logits: floats of the logits' shape [2, 3]",
        ),
        ("x.npy x.npy --distill 0", "0"),
        ("x.npy x.npy --distill nan", "nan"),
        ("x.npy x.npy --distill 2 --temperature 2", "T divides both sides"),
        (
            "x.npy x.npy --distill 2 --label-smoothing 0.1",
            "--label-smoothing cannot go with --distill",
        ),
        (
            "x.npy x.npy --distill 2 --fully-masked uniform",
            "--fully-masked uniform cannot go with --distill: a row of the student's that is -inf alone is no distribution",
        ),
        (
            "x.npy x.npy --distill 2 --bias b.npy",
            "--bias cannot go with --distill: with a T other than 1",
        ),
        (
            "x.npy x.npy --distill 2 --softcap 30",
            "--softcap cannot go with --distill: with a T other than 1",
        ),
    ] {
        let (code, message) = folder.fails(&format!("cross-entropy {arguments}"));
        assert_eq!(code, 2, "{arguments}: {message}");
        assert!(message.contains(expected), "{arguments}: {message}");
    }
    // With a T of 1 there is one way to take them.
    folder.done("cross-entropy x.npy x.npy --distill 1 --bias b.npy --softcap 30");
}
