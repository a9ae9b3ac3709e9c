//! The exit codes and the `error:` lines, as a script sees them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, error};

/// A command line that must fail, and a part of its error. SOFTMAX and LOSS stand for the beginning of a command that would
/// succeed without the rest of the line.
const MISTAKES: &str = "
cross-entropy x.npy bad.npy --grad z.npy --loss y.npy => row 1 has target 10, but there are 10 classes
cross-entropy x.npy huge_target.npy --loss y.npy => row 1 has target 18446744073709551615,
cross-entropy x.npy short.npy --loss y.npy => shape [2], but logits of shape [3, 10]
cross-entropy x.npy square.npy --loss y.npy => shape [3, 3], but logits of shape [3, 10]
cross-entropy x.npy one_hot.npy --loss y.npy => need [3] of classes (integers)
cross-entropy x.npy bool.npy --loss y.npy => targets must be integers or floats, not booleans
cross-entropy x.npy spans.npy --loss y.npy => targets must be integers or floats, not '<m8[s]'
cross-entropy x.npy dates.npy --loss y.npy => targets must be integers or floats, not '<M8[D]'
cross-entropy x.npy x.npy --loss y.npy --ignore-index 1 => --ignore-index cannot go with targets
softmax missing.npy -o y.npy => missing.npy
softmax cut.npy -o y.npy => cut.npy
softmax longer.npy -o y.npy => longer.npy: 1 byte follows the array of shape [3, 10], but a file of one array ends with it
cross-entropy x.npy two.npy --loss y.npy => two.npy: 152 bytes follow the array of shape [3]
softmax text.npy -o y.npy => no .npy array
softmax huge.npy -o y.npy => too large
softmax nothing.npy -o y.npy => no .npy array
softmax magic.npy -o y.npy => no .npy array
softmax version.npy -o y.npy => unsupported version: (9, 0)
softmax long_header.npy -o y.npy => no .npy array
softmax garbage.npy -o y.npy => no .npy array
softmax deep.header.npy -o y.npy => nested too deeply
softmax negative.npy -o y.npy => dimension cannot be negative
softmax objects.npy -o y.npy => no fixed size
softmax structures.npy -o y.npy => logits must be f32, f16 or f64, not [('a', '<f4'), ]
cross-entropy x.npy objects.npy --loss y.npy => no fixed size
cross-entropy x.npy fortran.npy --loss y.npy => shape [2, 3], but logits of shape [3, 10]
cross-entropy x.npy cut.npy --loss y.npy => cut.npy
SOFTMAX --mask garbage.npy => no .npy array
LOSS --weight deep.header.npy => nested too deeply
softmax bad.npy -o y.npy => logits must be f32, f16 or f64, not '<i8'
softmax x.npy -o nowhere/y.npy => no folder nowhere
softmax x.npy -o folder => folder: it is a folder, not a file
softmax x.npy -o new/ => new/: it is no file's name
softmax x.npy -o x.npy/y.npy => x.npy/y.npy:
cross-entropy x.npy t.npy --loss y.npy --grad folder => folder: it is a folder
cross-entropy x.npy t.npy --loss y.npy --grad nowhere/g.npy => no folder nowhere
LOSS --grad y.npy => --loss and --grad cannot go to one place
LOSS --predictions folder/../y.npy => --loss and --predictions cannot go to one place
cross-entropy x.npy t.npy --lse - --log-probs - => --lse and --log-probs cannot go to one place
softmax x.npy => -o <OUT>
 => a command is missing, one of devices, softmax, cross-entropy
--json => a command is missing, one of devices, softmax, cross-entropy
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
SOFTMAX --mask square.npy => shape [3, 3], but logits of shape [3, 10] need [10] (the classes) or their own shape, in
softmax deep.npy -o y.npy --mask square.npy => [2, 3, 10] need [10] (the classes), [6, 10] (rows, classes) or their own
softmax deep.npy -o y.npy --axis 1 --mask flat.npy => logits of shape [2, 3, 10] need [3] (the classes) or their own
SOFTMAX --mask t.npy => a mask must be booleans (true keeps a class) or floats (0 keeps a class, -inf takes it out), not int
SOFTMAX --mask missing.npy => missing.npy
LOSS --weight square.npy => weights have shape [3, 3], but 10 classes need [10]
LOSS --weight t.npy => weights must be f32, f16 or f64, not '<i8'
LOSS --label-smoothing 1.5 => '--label-smoothing <E>': it must be a number from 0 to 1
LOSS --label-smoothing -0.5 => '--label-smoothing <E>'
LOSS --z-loss nan => '--z-loss <L>': it must be a number that is finite
LOSS --normalizer inf => normalizer
LOSS --normalizer 2 --reduction sum => --normalizer cannot go with --reduction sum
LOSS --normalizer 2 --reduction none => --normalizer cannot go with --reduction none
cross-entropy x.npy x.npy --loss y.npy --input log-probs => --input log-probs cannot go with targets that are prob
LOSS --input log-probs --log-probs z.npy => --log-probs cannot go with --input log-probs
LOSS --input log-probs --lse z.npy => --lse cannot go with --input log-probs
LOSS --input log-probs --label-smoothing 0.1 => --label-smoothing cannot go with --input log-probs
LOSS --input log-probs --z-loss 0.1 => --z-loss cannot go with --input log-probs
LOSS --input log-probs --scale 2 => --scale cannot go with --input log-probs
LOSS --input log-probs --softcap 2 => --softcap cannot go with --input log-probs
bench --rows 3 --classes 5 --time nan => '--time <SECONDS>': it must be a number from 0 to 3600
bench --rows 3 --classes 5 --time -1 => '--time <SECONDS>': it must be a number from 0 to 3600
--adapter none bench --rows 3 --classes 0 => rows have 0 classes
SOFTMAX --sink 1e300 => '--sink <X>': 1e300 lies beyond f32, whose largest number is 3.4028235e38
SOFTMAX --sink -1e39 => '--sink <X>': -1e39 lies beyond f32
SOFTMAX --temperature=1e-300 => '--temperature <T>': 1e-300 would be 0 as f32, whose smallest number above 0 is 1e-45
SOFTMAX --softcap 0.5E999 => '--softcap <CAP>': 0.5E999 lies beyond f32
LOSS --normalizer 1e-300 => '--normalizer <X>': 1e-300 would be 0 as f32
LOSS --row-weight 1e400 => '--row-weight <R>': 1e400 lies beyond f32
LOSS --z-loss -1e-50 => '--z-loss <L>': -1e-50 would be 0 as f32
LOSS --label-smoothing 1e-60 => '--label-smoothing <E>': 1e-60 would be 0 as f32
sample x.npy -o y.npy --top-p 1e-50 => '--top-p <P>': 1e-50 would be 0 as f32
SOFTMAX --sink -infinity => --sink is -inf, but must be finite
SOFTMAX --temperature 0e5 => --temperature is 0, but must be
SOFTMAX --axis 1.0 => invalid value '1.0' for '--axis <AXIS>': it must be an integer
LOSS --axis x => '--axis <AXIS>': it must be an integer
bce x.npy x.npy --axis -1.5 => '--axis <AXIS>': it must be an integer
SOFTMAX --axis 99999999999999999999 => it must be from -9223372036854775808 to 9223372036854775807
LOSS --ignore-index abc => '--ignore-index <I>': it must be an integer
LOSS --ignore-index 1e400 => '--ignore-index <I>': it must be an integer
LOSS --ignore-index -9223372036854775809 => '--ignore-index <I>': it must be from -9223372036854775808 to 9223372036854775807
SOFTMAX --mask causal --causal-offset 1.5 => '--causal-offset <K>': it must be an integer
sample x.npy -o y.npy --axis 0.5 => '--axis <AXIS>': it must be an integer
sample x.npy -o y.npy --top-n 1.5 --top-ids i.npy => '--top-n <N>': it must be an integer
sample x.npy -o y.npy --top-n -1 --top-ids i.npy => '--top-n <N>': it must be from 1 to 128
verify --most-elements x => '--most-elements <N>': it must be an integer
bench --rows 1.5 --classes 2 => '--rows <R>': it must be an integer
LOSS --weight 2 => 2: weights must be a file, with one number for each class
SOFTMAX --bias 0.5 => 0.5: biases must be a file, with one number for each class
bce x.npy x.npy --weight 2 => 2: weights must be a file, with one number for each class
softmax bad.npy -o y.npy => logits must be f32, f16 or f64, not '<i8': .astype('float32') makes them floats
LOSS --weight bool.npy => weights must be f32, f16 or f64, not '|b1': .astype('float32') makes them floats
SOFTMAX --mask Causal => Causal: there is no such file: did you mean --mask causal?
LOSS --input log-probs --mask causal => --mask cannot go with --input log-probs
";

/// Writes an array of a type that `Folder::write` has no Rust type for.
fn raw(folder: &Folder, name: &str, descr: &str, shape: &str, bytes: &[u8]) {
    with_header(
        folder,
        name,
        &format!("'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, "),
        bytes,
    );
}

fn with_header(folder: &Folder, name: &str, fields: &str, bytes: &[u8]) {
    let header = format!("{{{fields}}}\n");
    let length = (header.len() as u16).to_le_bytes();
    let whole = [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), bytes];
    std::fs::write(folder.at(name), whole.concat()).unwrap();
}

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
    std::fs::write(folder.at("longer.npy"), [&whole[..], b"\n"].concat()).unwrap();
    let targets = std::fs::read(folder.at("t.npy")).unwrap();
    std::fs::write(folder.at("two.npy"), targets.repeat(2)).unwrap();
    std::fs::write(folder.at("text.npy"), "no array").unwrap();
    raw(&folder, "huge.npy", "<f4", "(4294967296, 4294967296)", &[]);
    raw(&folder, "negative.npy", "<f4", "(-1, 2)", &[0; 16]);
    raw(&folder, "objects.npy", "|O", "(2,)", &[0; 16]);
    let fields = "'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), ";
    with_header(&folder, "fortran.npy", fields, &[0; 24]);
    let fields = "'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), ";
    with_header(&folder, "structures.npy", fields, &[0; 4]);
    let nested = format!("'descr': {}'<f4'{}, ", "[('a', ".repeat(100), ")]".repeat(100));
    with_header(&folder, "deep.header.npy", &nested, &[0; 4]);
    for (name, at, byte) in [
        ("magic.npy", 1, b'X'),
        ("version.npy", 6, 9),
        ("long_header.npy", 9, 255),
        ("garbage.npy", 11, 255),
    ] {
        let mut corrupt = whole.clone();
        corrupt[at] = byte;
        std::fs::write(folder.at(name), corrupt).unwrap();
    }
    std::fs::write(folder.at("nothing.npy"), "").unwrap();
    raw(&folder, "spans.npy", "<m8[s]", "(3,)", &[0; 24]);
    raw(&folder, "dates.npy", "<M8[D]", "(3,)", &[0; 24]);
    folder.write("deep.npy", &[2, 3, 10], &[0f32; 60]);
    folder.write("flat.npy", &[20, 3], &[0f32; 60]);
    std::fs::create_dir(folder.at("folder")).unwrap();
    let before = folder.names();

    let mistakes = MISTAKES
        .replace("SOFTMAX", "softmax x.npy -o y.npy")
        .replace("LOSS", "cross-entropy x.npy t.npy --loss y.npy");
    for mistake in mistakes.trim().lines() {
        let (words, says) = mistake.split_once(" => ").unwrap();
        let (code, message) = folder.fails(words);
        assert_eq!(code, 2, "{words}: {message}");
        assert!(message.contains(says), "{words}: {message}");
        assert_eq!(folder.names(), before, "{words}");
    }
}

#[test]
fn a_missing_adapter_exits_with_1_and_names_the_flags_and_variables_that_choose_one() {
    let folder = Folder::new();
    folder.write("x.npy", &[3, 10], &[0f32; 30]);
    for words in [
        &["--adapter", "no such adapter", "softmax", "x.npy", "-o", "y.npy"][..],
        &["--adapter", "no such adapter", "devices"],
    ] {
        let (code, message) = error(&folder.run(words));
        assert_eq!(code, 1, "{words:?}: {message}");
        for name in ["--backend", "--adapter", "WGPU_BACKEND", "WGPU_ADAPTER_NAME"] {
            assert_eq!(message.matches(name).count(), 1, "{words:?}: {name} in {message}");
        }
    }
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn an_adapter_that_is_not_there_is_told_apart_by_its_backend() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    let other = if cfg!(windows) { "metal" } else { "dx12" };
    let words = ["--backend", other, "softmax", "x.npy", "-o", "y.npy"];
    let mut by_variable = folder.command(&words[2..]);
    by_variable.env("WGPU_BACKEND", other);
    for mut command in [folder.command(&words), by_variable] {
        let (code, message) = error(&command.output().unwrap());
        assert_eq!(code, 1, "{message}");
        let says = format!("no GPU adapter on {other}; found: ");
        assert!(message.contains(&says), "{message}");
        for backend in common::backends(&folder) {
            assert!(message.contains(&format!(" on {backend}")), "{message}");
        }
    }
}

/// Command lines that write to standard output.
const TALK: [&str; 5] = [
    "devices",
    "--json devices",
    "cross-entropy x.npy t.npy",
    "softmax x.npy -o -",
    "--help",
];

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_exits_with_1() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    folder.write("t.npy", &[1], &[0i64]);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for words in TALK {
        let words: Vec<&str> = words.split(' ').collect();
        let (code, message) = error(&folder.command(&words).stdout(full()).output().unwrap());
        assert_eq!(code, 1, "{words:?}: {message}");
        assert!(message.contains("standard output: "), "{words:?}: {message}");
        let deaf = folder.command(&words).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(deaf.code(), Some(1), "{words:?}");
    }
}

#[test]
fn a_reader_that_closes_the_pipe_causes_no_panic() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    folder.write("t.npy", &[1], &[0i64]);
    for words in TALK {
        let words: Vec<&str> = words.split(' ').collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = folder.command(&words).stdout(writer).output().unwrap();
        // Part of an array is of no use, so that is an error; the first of several lines may be all that was wanted.
        let want = i32::from(words[0] == "softmax");
        assert_eq!(output.status.code(), Some(want), "{words:?}: {output:?}");
    }
}

#[test]
fn bench_prints_no_heading_before_an_error() {
    let folder = Folder::new();
    for words in [
        "bench --rows 3 --classes 50000 --schedule held/32 --time 0",
        "bench --rows 3 --classes 5 --schedule held --time 0",
    ] {
        let output = folder.run(&words.split(' ').collect::<Vec<_>>());
        let (code, message) = error(&output);
        assert_eq!(code, 2, "{message}");
        assert!(output.stdout.is_empty(), "{words}: {output:?}");
    }
    let table =
        String::from_utf8(folder.done("bench --rows 3 --classes 5 --op softmax --op logsumexp --time 0")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("op "), "{table}");
}
