set -euo pipefail
cd /tmp/web
export CARGO_BUILD_JOBS=2 CARGO_TERM_COLOR=never
version=$(rustc -V | cut -d' ' -f2)
cp /work/hW/rust-toolchain* app/ 2>/dev/null || true
(cd app; RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=/tmp/web/src/usr/src/rustc-$version/library CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=rust-lld CARGO_TARGET_DIR=/tmp/web/target cargo build -q -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown)
mkdir -p www; target/debug/bindgen target/wasm32-unknown-unknown/debug/webapp.wasm www/pkg
ls -l www/pkg
