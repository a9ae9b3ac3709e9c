//! The command's words and exit codes, as a script sees them.
#![allow(clippy::unwrap_used)]

use npyz::{AutoSerialize, Deserialize, NpyFile, Serialize, WriteOptions, WriterBuilder};
use std::path::Path;
use std::process::{Command, Output};

fn write<T: Serialize + AutoSerialize>(path: &Path, shape: &[u64], values: &[T]) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(file)
        .begin_nd()
        .unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
}

fn read<T: Deserialize>(path: &Path) -> (Vec<u64>, Vec<T>) {
    let bytes = std::fs::read(path).unwrap();
    let file = NpyFile::new(&bytes[..]).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-softmax"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The exit code and the `error:` line, which must be the only one.
fn error(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("error: ") && !l.contains("XDG_RUNTIME_DIR"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    (output.status.code().unwrap(), lines[0].to_string())
}

#[test]
fn softmax_and_its_logarithm_along_any_axis() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("x.npy"), &[2, 2], &[0f32, 0.0, 1.0, 1.0]);
    let done = run(folder.path(), &["softmax", "x.npy", "-o", "y.npy"]);
    assert!(done.status.success() && done.stdout.is_empty(), "{done:?}");
    assert_eq!(read::<f32>(&at("y.npy")), (vec![2, 2], vec![0.5; 4]));
    write(&at("wide.npy"), &[2, 1], &[0f64, 0.0]);
    assert!(
        run(
            folder.path(),
            &["softmax", "wide.npy", "-o", "y.npy", "--log", "--axis", "0"]
        )
        .status
        .success()
    );
    let (_, y) = read::<f32>(&at("y.npy"));
    assert!(y.iter().all(|v| (v + 2f32.ln()).abs() < 1e-6), "{y:?}");
    let piped = run(folder.path(), &["softmax", "x.npy", "-o", "-"]);
    assert_eq!(
        NpyFile::new(&piped.stdout[..]).unwrap().into_vec::<f32>().unwrap(),
        [0.5; 4]
    );
}

#[test]
fn cross_entropy_writes_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("x.npy"), &[3, 2, 2], &[0f32; 12]);
    write(&at("t.npy"), &[3, 2], &[0i16, 1, 0, -100, 1, 1]);
    let words = [
        "cross-entropy",
        "x.npy",
        "t.npy",
        "--loss",
        "l.npy",
        "--grad",
        "g.npy",
        "--lse",
        "s.npy",
        "--predictions",
        "p.npy",
    ];
    let done = run(folder.path(), &words);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "loss 0.693147\n", "{done:?}");
    assert_eq!(read::<f32>(&at("l.npy")).0, Vec::<u64>::new());
    assert_eq!(read::<f32>(&at("g.npy")).0, [3, 2, 2]);
    assert_eq!(read::<f32>(&at("s.npy")).0, [3, 2]);
    assert_eq!(read::<i64>(&at("p.npy")), (vec![3, 2], vec![0; 6]));
    assert!(
        run(
            folder.path(),
            &[
                "cross-entropy",
                "x.npy",
                "t.npy",
                "--reduction",
                "none",
                "--loss",
                "l.npy"
            ]
        )
        .status
        .success()
    );
    assert_eq!(read::<f32>(&at("l.npy")).0, [3, 2]);
    let json = run(folder.path(), &["--json", "cross-entropy", "x.npy", "t.npy"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["rows"], &json["ignored"], &json["correct"]),
        (&6.into(), &1.into(), &2.into())
    );
    assert!(run(folder.path(), &["devices"]).status.success());
}

#[test]
fn mistakes_exit_with_2_and_leave_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("x.npy"), &[3, 10], &[0f32; 30]);
    write(&at("bad.npy"), &[3], &[0i64, 10, 3]);
    write(&at("short.npy"), &[2], &[0i64, 1]);
    let whole = std::fs::read(at("x.npy")).unwrap();
    std::fs::write(at("cut.npy"), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(at("text.npy"), "no array").unwrap();
    let huge = String::from_utf8_lossy(&whole).replace("(3, 10)", "(4294967296, 4294967296)");
    std::fs::write(at("huge.npy"), huge).unwrap();

    let (code, message) = error(&run(
        folder.path(),
        &[
            "cross-entropy",
            "x.npy",
            "bad.npy",
            "--grad",
            "g.npy",
            "--loss",
            "l.npy",
        ],
    ));
    assert_eq!(code, 2);
    assert!(
        message.contains("row 1 has target 10, but there are 10 classes"),
        "{message}"
    );
    assert!(!at("g.npy").exists() && !at("l.npy").exists());
    for words in [
        &["cross-entropy", "x.npy", "short.npy"][..],
        &["cross-entropy", "x.npy", "x.npy"],
        &["softmax", "missing.npy", "-o", "y.npy"],
        &["softmax", "cut.npy", "-o", "y.npy"],
        &["softmax", "text.npy", "-o", "y.npy"],
        &["softmax", "huge.npy", "-o", "y.npy"],
        &["softmax", "bad.npy", "-o", "y.npy"],
        &["softmax", "x.npy", "-o", "y.npy", "--axis", "2"],
        &["softmax", "x.npy", "-o", "nowhere/y.npy"],
        &["softmax", "x.npy"],
        &["softmax", "x.npy", "-o", "y.npy", "--no-such-flag"],
        &["no-such-command"],
    ] {
        assert_eq!(error(&run(folder.path(), words)).0, 2, "{words:?}");
    }
    let (code, message) = error(&run(
        folder.path(),
        &["--adapter", "no such adapter", "softmax", "x.npy", "-o", "y.npy"],
    ));
    assert_eq!(code, 1, "{message}");
    assert!(!at("y.npy").exists());
}
