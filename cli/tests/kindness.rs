//! What people try that is nearly right: it is taken where there is one way to take it, and otherwise the message says what
//! would fit.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, array, close, error, log_softmax, logits, numbers, rows, wide};
use std::io::Write;
use std::process::Stdio;

const INF: f32 = f32::INFINITY;

/// Writes a `.npy` file whose header says these words.
fn with_header(folder: &Folder, name: &str, fields: &str, bytes: &[u8]) {
    let header = format!("{{{fields}}}\n");
    let length = (header.len() as u16).to_le_bytes();
    let whole = [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), bytes].concat();
    std::fs::write(folder.at(name), whole).unwrap();
}

/// Runs a command line, and gives what it printed on standard error.
fn stderr(folder: &Folder, words: &str) -> String {
    let output = folder.run(&words.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn files(folder: &Folder) {
    folder.write("x.npy", &[3, 10], &numbers(30));
    folder.write("t.npy", &[3], &[0i64, 9, 3]);
    folder.write("out_of_range.npy", &[3], &[0i64, 10, 11]);
    folder.write("column.npy", &[3, 1], &[0i64, 9, 3]);
    folder.write("floats.npy", &[3], &[0f64, 9.0, 3.0]);
    let one_hot = |v: usize| [0, 9, 3][v / 10] == v % 10;
    folder.write(
        "one_hot.npy",
        &[3, 10],
        &(0..30).map(|v| i64::from(one_hot(v))).collect::<Vec<_>>(),
    );
    folder.write("counts.npy", &[3, 10], &[2i64; 30]);
    folder.write("one_hot_bool.npy", &[3, 10], &(0..30).map(one_hot).collect::<Vec<_>>());
    folder.write("bool.npy", &[3], &[true, false, true]);
    folder.write("deep.npy", &[2, 5, 7], &numbers(70));
    folder.write("t25.npy", &[2, 5], &[0i64; 10]);
    folder.write("bad25.npy", &[2, 5], &[0i64, 0, 0, 0, 0, 0, 0, 0, 12, 0]);
    folder.write("t57.npy", &[5, 7], &[0i64; 35]);
    folder.write("one.npy", &[4], &numbers(4));
    folder.write("five.npy", &[1], &[5i64]);
    folder.write("t0.npy", &[], &[4i64]);
    folder.write("zero_d.npy", &[], &[1f32]);
    folder.write("nan.npy", &[10], &[f32::NAN; 10]);
    folder.write("scales.npy", &[3], &[1f32, 2.0, INF]);
    folder.write("m.npy", &[2, 7], &[0f32; 14]);
    std::fs::write(folder.at("text.npy"), "1 2 3\n4 5 6\n").unwrap();
    std::fs::write(folder.at("empty.npy"), "").unwrap();
    std::fs::write(folder.at("pickle.npy"), b"\x80\x04\x95rest").unwrap();
    std::fs::write(folder.at("gzip.npy"), b"\x1f\x8b\x08rest").unwrap();
    std::fs::write(folder.at("tensors.npy"), b"\x40\0\0\0\0\0\0\0{\"x\":{\"dtype\":\"F32\"").unwrap();
    for (file, member) in [
        ("a.npz", "x.npy"),
        ("torch.pt", "archive/data.pkl"),
        ("other.zip", "a.txt"),
    ] {
        let length = (member.len() as u16).to_le_bytes();
        let head = [&b"PK\x03\x04"[..], &[0; 22], &length, &[0; 2], member.as_bytes()].concat();
        std::fs::write(folder.at(file), head).unwrap();
    }
    std::fs::copy(folder.at("x.npy"), folder.at("x.safetensors")).unwrap();
}

/// No adapter is opened for these: there is none of this name, which would be an error of the machine.
const MISTAKES: &str = "
LOSS --axis 0 => targets have shape [3], but logits of shape [3, 10] with class axis 0 need [10] of classes
cross-entropy deep.npy t25.npy => need [2, 7] of classes (integers); --axis -1 would fit
cross-entropy deep.npy t57.npy => need [2, 7] of classes (integers); --axis 0 would fit
cross-entropy x.npy column.npy => need [3] of classes (integers); .reshape([3]) would fit
cross-entropy x.npy one_hot.npy => these are one-hot integers: as probabilities they must be floats, .astype('float32')
cross-entropy x.npy counts.npy => these are integers: as probabilities they must be floats, .astype('float32')
cross-entropy x.npy one_hot_bool.npy => not booleans: .astype('float32') makes them one-hot probabilities
cross-entropy x.npy bool.npy => not booleans: .astype('int64') makes them classes 0 and 1
cross-entropy x.npy floats.npy => are floats, but class numbers must be integers: .astype('int64'); floats are probabilities
cross-entropy one.npy five.npy => targets have shape [1], but logits of shape [4] with class axis 0 need [] of classes
cross-entropy one.npy t0.npy => the row has target 4, but there are 4 classes (0 to 3)
cross-entropy one.npy t0.npy --axis 1 => there is no axis 1 in logits of shape [4]: --axis is from -1 to 0
cross-entropy x.npy out_of_range.npy => row 1 has target 10, but there are 10 classes (0 to 9); 1 more row has such a target
cross-entropy deep.npy bad25.npy --axis -1 => bad25.npy: row [1, 3] has target 12, but there are 7 classes (0 to 6)
softmax zero_d.npy -o y.npy => zero_d.npy: logits are one number without an axis (0-d), but need a class axis
cross-entropy zero_d.npy t.npy => (0-d), but need a class axis
sample zero_d.npy -o y.npy => (0-d), but need a class axis
LOSS --reduction none => --reduction none gives more than one loss, and none to print: give --loss OUT
--json LOSS --reduction none => give --loss OUT
LOSS --ignore-indx 3 => unexpected argument '--ignore-indx' found; tip: a similar argument exists: '--ignore-index'
verify --only nosuch => --only nosuch: no check has that in its name
sofmax x.npy => unrecognized subcommand 'sofmax'; tip: a similar subcommand exists: 'softmax'
SOFTMAX --dtype f31 => [possible values: f32, f16, bf16]; tip: a similar value exists: 'f32'
SOFTMAX --scale 2 --temperature 2 => '--scale <S>' cannot be used with '--temperature <T>'
SOFTMAX --temperature 0 => --temperature is 0, but must be from 2^-126 to 2^126
SOFTMAX --scale inf => --scale is inf, but must be finite
SOFTMAX --scale scales.npy => scales.npy: --scale is inf in row [2], but must be finite
SOFTMAX --softcap -1 => '--softcap <CAP>': it must be a number from 2^-126 to 2^126
SOFTMAX --bias t.npy => biases must be f32, f16 or f64, not '<i8'
SOFTMAX --bias nan.npy => nan.npy: the bias of class 0 is NaN, but must be finite
SOFTMAX --causal-offset 1 => --causal-offset needs --mask causal
softmax deep.npy -o y.npy --axis 1 --mask causal => --mask causal needs the class axis last, but it is axis 1 of shape [2, 5, 7]
softmax deep.npy -o y.npy --mask m.npy => the mask has shape [2, 7], but logits of shape [2, 5, 7] need [7] (the classes)
SOFTMAX --mask t.npy => a mask must be booleans (true keeps a class) or floats (0 keeps a class, -inf takes it out)
LOSS --weight nan.npy => nan.npy: the weight of class 0 is NaN, but must be finite
LOSS --label-smoothing 2 => '--label-smoothing <E>': it must be a number from 0 to 1
LOSS --normalizer inf => '--normalizer <X>': it must be a number that is finite
LOSS --upstream 2 => --upstream needs --grad OUT: it multiplies the gradient
LOSS --upstream floats.npy --grad y.npy => --upstream has a number for each row, which needs --reduction none
LOSS --input log-probs --entropy y.npy => --entropy cannot go with --input log-probs
LOSS --grad t.npy => t.npy: --grad would replace what TARGETS reads: give the output another name
LOSS --lse ./x.npy => --lse would replace what LOGITS reads
LOSS --mask nan.npy --loss nan.npy => --loss would replace what --mask reads
softmax x.npy -o x.npy => -o would replace what LOGITS reads
cross-entropy - - => LOGITS and TARGETS cannot both be standard input
softmax a.npz -o y.npy => a.npz: no .npy array: it is a .npz archive: save one of its arrays alone, numpy.save(
softmax torch.pt -o y.npy => it is a file of PyTorch
softmax other.zip -o y.npy => it is a zip archive
softmax text.npy -o y.npy => text.npy: no .npy array: it is text
softmax empty.npy -o y.npy => it is empty
softmax pickle.npy -o y.npy => it is a pickle of Python
softmax gzip.npy -o y.npy => it is compressed with gzip
softmax tensors.npy -o y.npy => it is a .safetensors file: give it a name that ends in .safetensors
softmax x.safetensors -o y.npy => it is a .npy array: give the file a name that ends in .npy
softmax - -o y.npy => standard input: no .npy array: it is empty
";

#[test]
fn mistakes_are_named_before_an_adapter_is_opened() {
    let folder = Folder::new();
    files(&folder);
    let before = folder.names();
    let mistakes = MISTAKES
        .replace("SOFTMAX", "softmax x.npy -o y.npy")
        .replace("LOSS", "cross-entropy x.npy t.npy");
    for mistake in mistakes.trim().lines() {
        let (words, says) = mistake.split_once(" => ").unwrap();
        let all: Vec<&str> = ["--adapter", "no such adapter"]
            .into_iter()
            .chain(words.split_whitespace())
            .collect();
        let (code, message) = error(&folder.command(&all).stdin(Stdio::null()).output().unwrap());
        assert_eq!(code, 2, "{words}: {message}");
        assert!(message.contains(says), "{words}: {message}");
        assert_eq!(folder.names(), before, "{words}");
    }
}

/// Two command lines that give the same array.
const SAME: &str = "
softmax x.npy --output y.npy => softmax x.npy -o y.npy
softmax x.npy -o y.npy --temperature 2 => softmax x.npy -o y.npy --scale 0.5
softmax x.npy -o y.npy --temperature twos.npy => softmax x.npy -o y.npy --scale 0.5
softmax x.npy -o y.npy --fully_masked=zeros => softmax x.npy -o y.npy --fully-masked zeros
softmax x.npy -o y.npy --mask bool_row.npy => softmax x.npy -o y.npy --mask float_row.npy
softmax x.npy -o y.npy --mask bool_all.npy => softmax x.npy -o y.npy --mask float_row.npy
softmax x.npy -o y.npy --mask causal --causal_offset -1 => softmax x.npy -o y.npy --mask below.npy
softmax x.npy -o y.npy --bias bias.npy => softmax biased.npy -o y.npy
softmax fortran.npy -o y.npy => softmax x.npy -o y.npy
cross-entropy x.npy t.npy --ignore_index 3 --label_smoothing=0.25 --grad y.npy \
    => cross-entropy x.npy t.npy --ignore-index 3 --label-smoothing 0.25 --grad y.npy
cross-entropy x.npy fortran_q.npy --grad y.npy => cross-entropy x.npy q.npy --grad y.npy
cross-entropy one.npy t0.npy --grad y.npy => cross-entropy one.npy t0.npy --axis 0 --grad y.npy
cross-entropy one.npy q4.npy --grad y.npy => cross-entropy one.npy t0.npy --axis 0 --grad y.npy
";

#[test]
fn other_words_for_the_same() {
    let folder = Folder::new();
    let x = numbers(12);
    let keeps = |i: usize| i % 4 != 2;
    let add = |keeps: bool| if keeps { 0.0 } else { -INF };
    folder.write("x.npy", &[3, 4], &x);
    folder.write("t.npy", &[3], &[0i64, 3, 1]);
    folder.write("one.npy", &[4], &x[..4]);
    folder.write("t0.npy", &[], &[2i64]);
    folder.write("q4.npy", &[4], &[0f32, 0.0, 1.0, 0.0]);
    folder.write("twos.npy", &[3], &[2i32; 3]);
    folder.write("bool_row.npy", &[4], &(0..4).map(keeps).collect::<Vec<_>>());
    folder.write("bool_all.npy", &[3, 4], &(0..12).map(keeps).collect::<Vec<_>>());
    folder.write(
        "float_row.npy",
        &[4],
        &(0..4).map(|i| add(keeps(i))).collect::<Vec<_>>(),
    );
    let below: Vec<f32> = (0..12).map(|i| add(i % 4 < i / 4)).collect();
    folder.write("below.npy", &[3, 4], &below);
    let bias = [0.5f32, -1.0, 0.0, 2.0];
    folder.write("bias.npy", &[4], &bias);
    let biased: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + bias[i % 4]).collect();
    folder.write("biased.npy", &[3, 4], &biased);
    let q: Vec<f32> = (0..12).map(|i| (i % 5) as f32 / 8.0).collect();
    folder.write("q.npy", &[3, 4], &q);
    let fields = "'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), ";
    for (name, values) in [("fortran.npy", &x), ("fortran_q.npy", &q)] {
        let bytes: Vec<u8> = (0..12).flat_map(|i| values[i % 3 * 4 + i / 3].to_le_bytes()).collect();
        with_header(&folder, name, fields, &bytes);
    }
    for line in SAME.replace("\\\n", "").trim().lines() {
        let (words, plain) = line.split_once(" => ").unwrap();
        folder.done(plain);
        let want = std::fs::read(folder.at("y.npy")).unwrap();
        std::fs::remove_file(folder.at("y.npy")).unwrap();
        folder.done(words);
        assert_eq!(std::fs::read(folder.at("y.npy")).unwrap(), want, "{words}");
    }
}

#[test]
fn an_array_in_fortran_order_of_three_axes() {
    let folder = Folder::new();
    let x = logits(24);
    folder.write("x.npy", &[2, 3, 4], &x);
    let element = |i: usize| x[i % 2 * 12 + i / 2 % 3 * 4 + i / 6];
    let bytes: Vec<u8> = (0..24).flat_map(|i| f64::from(element(i)).to_be_bytes()).collect();
    with_header(
        &folder,
        "f.npy",
        "'descr': '>f8', 'fortran_order': True, 'shape': (2, 3, 4), ",
        &bytes,
    );
    folder.done("softmax x.npy -o y.npy --axis 1");
    folder.done("softmax f.npy -o z.npy --axis 1");
    assert_eq!(folder.read::<f32>("y.npy"), folder.read::<f32>("z.npy"));
}

#[test]
fn masks_are_repeated_as_numpy_does() {
    let folder = Folder::new();
    let (shape, x) = ([2usize, 3, 4, 5], numbers(120));
    folder.write("x.npy", &shape, &x);
    let cases: [(&[usize], isize); 7] = [
        (&[2, 1, 1, 5], -1),
        (&[4, 5], -1),
        (&[1, 1, 1, 5], -1),
        (&[3, 1, 5], -1),
        (&[3, 1, 1], 1),
        (&[2, 3, 1, 5], 1),
        (&[4, 1], 2),
    ];
    for (small, axis) in cases {
        let padded = [&vec![1; 4 - small.len()][..], small].concat();
        let keeps = |at: usize| at % 3 != 1;
        let count: usize = small.iter().product();
        folder.write("m.npy", small, &(0..count).map(keeps).collect::<Vec<_>>());
        let masked: Vec<f64> = (0..120)
            .map(|i| {
                let index = [i / 60, i / 20 % 3, i / 5 % 4, i % 5];
                let at = (0..4).fold(0, |at, k| at * padded[k] + index[k] % padded[k]);
                if keeps(at) { f64::from(x[i]) } else { f64::NEG_INFINITY }
            })
            .collect();
        folder.done(&format!(
            "softmax x.npy -o y.npy --axis {axis} --mask m.npy --fully-masked zeros"
        ));
        let rows = rows(&shape, axis.rem_euclid(4) as usize);
        let exact = log_softmax(&masked, &rows);
        let probs: Vec<f64> = exact.iter().map(|l| if l.is_nan() { 0.0 } else { l.exp() }).collect();
        close(&format!("{small:?}"), &folder.read::<f32>("y.npy").1, &probs);
    }
}

#[test]
fn standard_input_is_read() {
    let folder = Folder::new();
    folder.write("x.npy", &[3, 4], &numbers(12));
    folder.write("t.npy", &[3], &[0i64, 3, 1]);
    folder.write("mask.npy", &[4], &[true, true, false, true]);
    for (words, file) in [
        ("softmax - -o -", "x.npy"),
        ("softmax x.npy -o - --mask -", "mask.npy"),
        ("cross-entropy x.npy - --grad -", "t.npy"),
        ("sample - -o -", "x.npy"),
    ] {
        let named: Vec<&str> = words.split(' ').collect();
        // The last hyphen is the output's.
        let at = named.iter().position(|&word| word == "-").unwrap();
        let at = if words.contains("--mask") { named.len() - 1 } else { at };
        let mut child = folder
            .command(&named)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let bytes = std::fs::read(folder.at(file)).unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        let plain: Vec<&str> = named
            .iter()
            .enumerate()
            .map(|(i, &w)| if i == at { file } else { w })
            .collect();
        assert_eq!(output.stdout, folder.run(&plain).stdout, "{words}");
        assert!(!output.stdout.is_empty(), "{words}");
    }
}

#[test]
fn notes_say_what_was_taken_and_what_was_lost() {
    let folder = Folder::new();
    folder.write("deep.npy", &[2, 5, 5], &numbers(50));
    folder.write("t.npy", &[2, 5], &[0i64; 10]);
    folder.write("f64.npy", &[2, 2], &[1e300f64, 0.0, -1e300, f64::INFINITY]);
    folder.write("f32.npy", &[1, 3], &[1e5f32, 0.0, 65_519.0]);
    folder.write("mask.npy", &[5], &[0f32; 5]);
    let taken = "note: targets of shape [2, 5] fit logits of shape [2, 5, 5] with class axis 1 or 2; axis 1 was taken";
    for (words, says, count) in [
        ("cross-entropy deep.npy t.npy", taken, 1),
        ("cross-entropy deep.npy t.npy --axis 1", "was taken", 0),
        (
            "softmax f64.npy -o y.npy",
            "2 finite values of f64.npy lie beyond what f32 holds",
            1,
        ),
        ("softmax f64.npy -o y.npy", "f64.npy is f64 and was rounded to f32", 1),
        (
            "softmax f32.npy -o y.npy --dtype f16",
            "1 finite value of f32.npy lies beyond what f16 holds",
            1,
        ),
        ("softmax f32.npy -o y.npy --dtype bf16", "finite", 0),
        (
            "softmax deep.npy -o y.npy --axis 1 --mask mask.npy",
            "the class axis was taken",
            1,
        ),
        ("softmax deep.npy -o y.npy --mask mask.npy", "was taken", 0),
    ] {
        let notes = stderr(&folder, words);
        assert_eq!(notes.matches(says).count(), count, "{words}: {notes}");
    }
}

#[test]
fn the_printed_loss_has_significant_digits() {
    let folder = Folder::new();
    folder.write("t.npy", &[1], &[0i64]);
    for (gap, printed) in [
        (15f32, "loss 3.059023e-7\n"),
        (3.0, "loss 0.04858735\n"),
        (0.0, "loss 0.693147\n"),
        (-20.0, "loss 20.000000\n"),
        (-1e20, "loss 1e20\n"),
        (1e3, "loss 0\n"),
        (f32::NAN, "loss NaN\n"),
        (-INF, "loss inf\n"),
    ] {
        folder.write("x.npy", &[1, 2], &[gap, 0.0]);
        let line = folder.done("cross-entropy x.npy t.npy");
        assert_eq!(String::from_utf8(line).unwrap(), printed, "gap {gap}");
    }
}

#[test]
fn entropy_and_upstream_gradients() {
    let folder = Folder::new();
    let x = numbers(12);
    folder.write("x.npy", &[3, 4], &x);
    folder.write("t.npy", &[3], &[0i64, 3, 1]);
    folder.write("g.npy", &[3], &[1f64, -2.0, 0.5]);
    let rows = rows(&[3, 4], 1);
    let log_probs = log_softmax(&wide(&x), &rows);
    let entropy: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(|&i| -log_probs[i].exp() * log_probs[i]).sum())
        .collect();
    let gradient = |upstream: [f64; 3]| -> Vec<f64> {
        let one = |i: usize| f64::from(u8::from([0, 3, 1][i / 4] == i % 4));
        (0..12)
            .map(|i| upstream[i / 4] * (log_probs[i].exp() - one(i)))
            .collect()
    };
    folder.done("cross-entropy x.npy t.npy --reduction none --entropy e.npy --grad y.npy --upstream g.npy");
    let (shape, got) = folder.read::<f32>("e.npy");
    assert_eq!(shape, [3]);
    close("entropy", &got, &entropy);
    close("of rows", &folder.read::<f32>("y.npy").1, &gradient([1.0, -2.0, 0.5]));
    let json = folder.done("cross-entropy x.npy t.npy --reduction sum --grad - --upstream -3");
    close("of the sum", &array::<f32>(&json).1, &gradient([-3.0; 3]));
}
