//! The files of `shaders/`.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, text!(concat!("../../shaders/", $path, ".wgsl")))),*]
    };
}

#[cfg(not(target_arch = "wasm32"))]
macro_rules! text {
    ($path:expr) => {
        include_str!($path)
    };
}

/// A page has to fetch the text, so comments and indentation are left out. The lines stay, for the numbers in messages.
#[cfg(target_arch = "wasm32")]
macro_rules! text {
    ($path:expr) => {{
        const TEXT: &[u8] = include_bytes!($path);
        #[allow(long_running_const_eval)]
        const BARE: ([u8; TEXT.len()], usize) = bare(TEXT);
        #[allow(long_running_const_eval)]
        const BYTES: [u8; BARE.1] = first(&BARE.0);
        match str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("a shader is no text"),
        }
    }};
}

/// A text without comments, but for the template's, and without indentation; and its length.
#[cfg(target_arch = "wasm32")]
const fn bare<const N: usize>(text: &[u8]) -> ([u8; N], usize) {
    let (mut kept, mut length) = ([0; N], 0);
    let (mut at, mut is_start, mut is_comment) = (0, true, false);
    while at < N {
        let byte = text[at];
        if byte == b'\n' {
            (is_start, is_comment) = (true, false);
        } else if byte == b'/' && at + 1 < N && text[at + 1] == b'/' && !(at + 2 < N && text[at + 2] == b'#') {
            is_comment = true;
        } else if byte != b' ' {
            is_start = false;
        }
        if byte == b'\n' || !is_comment && !is_start {
            kept[length] = byte;
            length += 1;
        }
        at += 1;
    }
    (kept, length)
}

#[cfg(target_arch = "wasm32")]
const fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    let mut at = 0;
    while at < N {
        all[at] = bytes[at];
        at += 1;
    }
    all
}

/// The text of each file, by its path without the extension.
pub(super) const FILES: &[(&str, &str)] = files![
    "adjust",
    "bindings",
    "fast_math",
    "io/load",
    "io/write",
    "kernels/binary_cross_entropy",
    "kernels/cross_entropy",
    "kernels/entropy",
    "kernels/sample_draft",
    "kernels/sample_draw",
    "kernels/sample_edits",
    "kernels/sample_filter",
    "kernels/sample_report",
    "kernels/sample_summary",
    "kernels/softmax",
    "kernels/softmax_grad",
    "kernels/softmax_jacobian",
    "kernels/split_stats",
    "loss/finish",
    "loss/reduce",
    "loss/scale",
    "math",
    "params",
    "row/divergence",
    "row/entropy",
    "row/lane",
    "row/registers",
    "row/shard_target",
    "row/sink",
    "row/spans",
    "row/stats",
    "row/table",
    "row/target_terms",
    "row/upstream_terms",
    "sample/divide",
    "sample/list",
    "sample/params",
    "sample/philox",
    "sample/rounds",
    "sample/scan",
    "sample/search",
    "sample/sparse",
    "sample/tree",
    "sample/values",
    "schedule/chunked",
    "schedule/elementwise",
    "schedule/group_spans",
    "schedule/held",
    "schedule/pieces",
    "schedule/reload",
    "schedule/saved_lse",
    "schedule/scratch",
    "schedule/split",
    "summary",
];

/// The text of a file.
pub(super) fn find(path: &str) -> Option<&'static str> {
    #[cfg(feature = "shaders-from-folder")]
    if let Some(files) = &*FROM_FOLDER {
        return text_in(files, path);
    }
    text_in(FILES, path)
}

fn text_in(files: &[(&str, &'static str)], path: &str) -> Option<&'static str> {
    files.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// The same files out of a folder, if this variable names one: `cargo xtask mutate` puts faults into a copy of `shaders/`, and
/// runs one program with each. They are read once. A file that cannot be read is missing, so that no kernel falls back to the
/// built-in text.
#[cfg(feature = "shaders-from-folder")]
static FROM_FOLDER: std::sync::LazyLock<Option<Vec<(&str, &str)>>> = std::sync::LazyLock::new(|| {
    let folder = std::path::PathBuf::from(std::env::var_os("WGPU_SOFTMAX_SHADERS")?);
    let read = |&(name, _): &(&'static str, &str)| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.wgsl"))).ok()?;
        Some((name, &*text.leak()))
    };
    Some(FILES.iter().filter_map(read).collect())
});
