//! The files of `shaders/`.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl")))),*]
    };
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
    "row/lane",
    "row/registers",
    "row/shard_target",
    "row/spans",
    "row/stats",
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
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}
