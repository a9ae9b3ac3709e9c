//! Rust's standard library for wasm32: rustup's where it is installed, else built from its source.

use crate::run::cargo;
use crate::tools::{fetched, shell, target};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Where the standard library comes from.
pub(crate) enum StandardLibrary {
    /// rustup's.
    Installed,
    /// Built by cargo from this source, of the compiler's version.
    Source(PathBuf),
}

impl StandardLibrary {
    pub(crate) fn find_or_fetch() -> Result<Self, String> {
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
        if sysroot.join("lib/rustlib").join(TARGET).join("lib").exists() {
            return Ok(Self::Installed);
        }
        let component = sysroot.join("lib/rustlib/src/rust/library");
        if component.exists() {
            return Ok(Self::Source(component));
        }
        let version = rustc(&["--version"])?;
        let version = version.split(' ').nth(1).unwrap_or_default();
        from_debian(version).map(Self::Source).map_err(|message| {
            format!("there is no standard library for {TARGET}: `rustup target add {TARGET}` installs it ({message})")
        })
    }

    /// A command of cargo's for wasm32. What is built goes beside what the workspace has built.
    pub(crate) fn cargo(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = cargo(&[subcommand, "--target", TARGET]);
        if let Self::Source(source) = self {
            // Building the standard library is a feature of nightly compilers, which this variable turns on in others.
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("__CARGO_TESTS_ONLY_SRC_ROOT", source)
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "rust-lld");
        }
        command
            .args(arguments)
            .env("CARGO_TARGET_DIR", folder().unwrap_or_default());
        command
    }
}

/// Where everything of `cargo xtask web` is built.
pub(crate) fn folder() -> Result<PathBuf, String> {
    Ok(target()?.join("web"))
}

/// The module that was built with the profile `release`.
pub(crate) fn module() -> Result<PathBuf, String> {
    Ok(folder()?.join(TARGET).join("release/wgpu_softmax_web.wasm"))
}

fn rustc(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("rustc").args(arguments).output();
    let output = output.map_err(|e| format!("rustc could not be run: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// The source out of Debian's package `rust-src`, of exactly this version: unpacked, not installed. It may be in a newer
/// release of Debian than this machine has, so apt gets lists of its own.
fn from_debian(version: &str) -> Result<PathBuf, String> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("without rustup and apt-get there is no other way".into());
    }
    let folder = format!("usr/src/rustc-{version}/library");
    fetched("rust-src", &folder, |at| {
        let script = FETCH.replace("VERSION", version);
        shell(&script, at)
    })
}

const FETCH: &str = r#"
mkdir -p apt/lists/partial apt/cache/archives/partial
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 | tr -d ' ')
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in trixie-backports trixie forky sid; do
    echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $suite main"
done > apt/sources.list
own="-o Dir::Etc::sourcelist=$PWD/apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$PWD/apt/lists"
own="$own -o Dir::Cache=$PWD/apt/cache -o Acquire::Languages=none -o APT::Sandbox::User=$(id -un)"
apt-get $own -qq update
deb=$(apt-cache $own madison rust-src | awk '{ print $3 }' | grep '^VERSION+' | head -n 1)
test -n "$deb" || { echo 'Debian has no rust-src VERSION' >&2; exit 1; }
apt-get $own -qq download "rust-src=$deb"
dpkg-deb --fsys-tarfile rust-src_*.deb | tar -x --wildcards './usr/src/rustc-VERSION/library'
rm -r rust-src_*.deb apt
"#;
