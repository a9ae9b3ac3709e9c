//! Runs the command in a folder of its own, and computes in plain f64 what it should give.
#![allow(clippy::unwrap_used, dead_code)]

use npyz::{AutoSerialize, Deserialize, NpyFile, Serialize, WriteOptions, WriterBuilder};
use std::path::Path;
use std::process::{Command, Output};

/// A folder of arrays in which commands run.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write<T: Serialize + AutoSerialize>(&self, name: &str, shape: &[usize], values: &[T]) {
        let file = std::fs::File::create(self.at(name)).unwrap();
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let options = WriteOptions::new().default_dtype().shape(&shape).writer(file);
        let mut writer = options.begin_nd().unwrap();
        writer.extend(values).unwrap();
        writer.finish().unwrap();
    }

    pub(crate) fn read<T: Deserialize>(&self, name: &str) -> (Vec<usize>, Vec<T>) {
        array(&std::fs::read(self.at(name)).unwrap())
    }

    /// The command in this folder, on a machine without a session, as servers and containers are: Wayland's library would
    /// print an `error:` line there.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgpu-softmax"));
        command
            .args(words)
            .current_dir(Path::new(self.0.path()))
            .env_remove("XDG_RUNTIME_DIR");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Names in the folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs a command line whose words have no blanks in them. It must succeed and print no `error:` line. Gives what it
    /// printed on standard output.
    pub(crate) fn done(&self, words: &str) -> Vec<u8> {
        let output = self.run(&words.split_whitespace().collect::<Vec<_>>());
        assert!(output.status.success(), "{words}: {output:?}");
        assert_eq!(errors(&output), Vec::<String>::new(), "{words}");
        output.stdout
    }

    /// Runs a command line that must fail. Gives the exit code and the `error:` line, of which there must be one.
    pub(crate) fn fails(&self, words: &str) -> (i32, String) {
        let output = self.run(&words.split_whitespace().collect::<Vec<_>>());
        assert!(!output.status.success(), "{words}: {output:?}");
        error(&output)
    }
}

pub(crate) fn array<T: Deserialize>(bytes: &[u8]) -> (Vec<usize>, Vec<T>) {
    let file = NpyFile::new(bytes).unwrap();
    let shape = file.shape().iter().map(|&n| n as usize).collect();
    (shape, file.into_vec().unwrap())
}

/// The exit code and the `error:` line of a command that failed.
pub(crate) fn error(output: &Output) -> (i32, String) {
    let lines = errors(output);
    assert_eq!(lines.len(), 1, "{output:?}");
    (output.status.code().unwrap(), lines[0].clone())
}

/// The lines of standard error that begin with `error:`, whether the command or a driver printed them.
pub(crate) fn errors(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter(|line| line.starts_with("error:"));
    lines.map(String::from).collect()
}

/// For each row of an array, the indices of its classes.
pub(crate) fn rows(shape: &[usize], axis: usize) -> Vec<Vec<usize>> {
    let (classes, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let outer: usize = shape[..axis].iter().product();
    let row = |r: usize| move |c| (r / inner * classes + c) * inner + r % inner;
    (0..outer * inner).map(|r| (0..classes).map(row(r)).collect()).collect()
}

pub(crate) fn log_softmax(x: &[f64], rows: &[Vec<usize>]) -> Vec<f64> {
    let mut result = vec![0.0; x.len()];
    for row in rows {
        let max = row.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|&i| (x[i] - max).exp()).sum();
        row.iter().for_each(|&i| result[i] = x[i] - max - sum.ln());
    }
    result
}

/// Numbers from -3 to 3 that f32, f16 and bf16 all have exactly.
pub(crate) fn numbers(count: usize) -> Vec<f32> {
    let number = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) % 97;
    (0..count).map(|i| number(i) as f32 / 16.0 - 3.0).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Compares results with a bound of `1 / parts` relative to each expected value, or to 1 if that is more.
pub(crate) fn close_to(what: &str, got: &[f32], want: &[f64], parts: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got);
        let same = got == want || (got - want).abs() * parts <= want.abs().max(1.0);
        assert!(same, "{what}: element {i} is {got}, not {want}");
    }
}

pub(crate) fn close(what: &str, got: &[f32], want: &[f64]) {
    close_to(what, got, want, 4e5);
}

/// The backends of the adapters found.
pub(crate) fn backends(folder: &Folder) -> Vec<String> {
    let lines = String::from_utf8(folder.done("--json devices")).unwrap();
    let backend = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["backend"]
            .as_str()
            .unwrap()
            .to_string()
    };
    let mut all: Vec<String> = lines.lines().map(backend).collect();
    all.sort();
    all.dedup();
    assert!(!all.is_empty());
    all
}

/// Logits without equal numbers in a row.
pub(crate) fn logits(count: usize) -> Vec<f32> {
    let number = |i: usize| (i.wrapping_mul(2_654_435_761) >> 5) % 100_003;
    (0..count).map(|i| number(i) as f32 / 16_384.0 - 3.0).collect()
}

/// Runs `sample x.npy -o y.npy` on an adapter, and gives the tokens.
pub(crate) fn tokens(folder: &Folder, backend: &str, flags: &str) -> (Vec<usize>, Vec<i64>) {
    folder.done(&format!("--backend {backend} sample x.npy -o y.npy {flags}"));
    folder.read("y.npy")
}

pub(crate) fn integers(folder: &Folder, name: &str) -> Vec<i64> {
    folder.read(name).1
}
