//! `cargo xtask features`: the library is checked with no feature, with each alone, and with all, as `cargo hack
//! --each-feature` does. A use of something that only another feature brings fails here and nowhere else.

use crate::report::{Counts, Outcome};
use crate::run::cargo;
use serde_json::Value;
use std::time::Instant;

const PACKAGE: &str = "wgpu-softmax";

/// The library alone, without its tests: other targets would need other crates, and so be built anew with each feature. What
/// is built stays in the usual target folder, beside what other steps have built with their features, and is rebuilt by
/// neither.
pub(crate) fn run() -> Result<Outcome, String> {
    println!("== features");
    let start = Instant::now();
    let mut counts = Counts::default();
    for flags in combinations(&features()?) {
        let start = Instant::now();
        let mut check = cargo(&["clippy", "--quiet", "--package", PACKAGE, "--lib"]);
        check.args(&flags).args(["--", "--deny", "warnings"]);
        let status = check.status().map_err(|e| format!("cargo clippy: {e}"))?;
        let outcome = if status.success() { "ok" } else { "failed" };
        println!(
            "{}: {outcome} ({:.1} s)",
            flags.join(" "),
            start.elapsed().as_secs_f64()
        );
        counts.failed += usize::from(!status.success());
    }
    println!("== features: {:.0} s", start.elapsed().as_secs_f64());
    Ok(Outcome::new(None, counts.failed == 0))
}

/// The library's features without `default`, which only names others of them.
fn features() -> Result<Vec<String>, String> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo metadata: {}", message.trim()));
    }
    features_in(&output.stdout)
}

fn features_in(metadata: &[u8]) -> Result<Vec<String>, String> {
    let metadata: Value = serde_json::from_slice(metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|p| p["name"] == PACKAGE);
    let features = package.and_then(|p| p["features"].as_object());
    let features = features.ok_or_else(|| format!("cargo metadata has no features of {PACKAGE}"))?;
    Ok(features.keys().filter(|f| *f != "default").cloned().collect())
}

fn combinations(features: &[String]) -> Vec<Vec<String>> {
    let none = vec!["--no-default-features".to_string()];
    let alone = features
        .iter()
        .map(|feature| [&none[..], &["--features".into(), feature.clone()]].concat());
    let mut all: Vec<Vec<String>> = [none.clone()].into_iter().chain(alone).collect();
    all.push(vec!["--all-features".into()]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_alone_and_default_is_none_of_them() {
        let metadata = r#"{"packages": [
            {"name": "xtask", "features": {"other": []}},
            {"name": "wgpu-softmax", "features": {"default": ["vulkan"], "ndarray": ["dep:ndarray"], "vulkan": []}}
        ]}"#;
        let features = features_in(metadata.as_bytes());
        assert_eq!(features, Ok(vec!["ndarray".to_string(), "vulkan".to_string()]));
        let lines: Vec<String> = combinations(&features.unwrap_or_default())
            .iter()
            .map(|flags| flags.join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "--no-default-features",
                "--no-default-features --features ndarray",
                "--no-default-features --features vulkan",
                "--all-features"
            ]
        );
    }

    #[test]
    fn metadata_without_the_library_is_an_error() {
        assert!(features_in(b"{\"packages\": []}").is_err());
        assert!(features_in(b"no JSON").is_err());
    }
}
