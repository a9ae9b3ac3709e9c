#!/usr/bin/env bash
# Our own bench and then every peer that is installed, one after another, on the same shapes; appends one JSON object a line.
#
# benches/peers/run.sh RESULTS.jsonl [ROWSxCLASSES ...]
# PYTHON=…: the Python that has the peers (python3).  BURN=0: leave burn out, whose first build takes half an hour on two cores.
set -uo pipefail
[ $# -ge 1 ] || { echo "usage: $0 RESULTS.jsonl [ROWSxCLASSES ...]" >&2; exit 2; }
: >>"$1" || exit 1
results=$(realpath "$1")
shift
sampled=("$@")
[ $# -ge 1 ] || set -- 8192x64 4096x1024 1024x4096 128x32000 32x128256
[ ${#sampled[@]} -ge 1 ] || sampled=(1x128256 8x128256 64x32000 256x50257)
cd "$(dirname "$0")"
python=${PYTHON:-python3}
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}} # EGL complains without one

say() { echo "$*" >&2; }
keep() { tee -a "$results"; }

# Everything is built before anything is timed.
ours() { (cd ../.. && cargo "$1" --quiet --release --package wgpu-softmax-cli "${@:2}"); }
burn() { (cd burn && cargo "$1" --quiet --release --locked "${@:2}"); }
ours build || { say "wgpu-softmax does not build"; exit 1; }
if [ "${BURN:-1}" != 0 ]; then
    burn build && plain=1 || say "skipped: burn: it does not build"
    burn build --features fusion && fusion=1 || say "skipped: burn with fusion and autotune: it does not build"
else
    say "skipped: burn: BURN=0"
fi

[ ! -r /proc/loadavg ] || say "load average before: $(cut -d ' ' -f 1-3 /proc/loadavg), $(getconf _NPROCESSORS_ONLN) processors"

# bench SHAPE OP...
bench() {
    local shape=$1
    shift
    ours run -- bench --rows "${shape%x*}" --classes "${shape#*x}" "${@/#/--op=}" --dtype f32 --json |
        sed 's/^{/{"peer":"wgpu-softmax",/' | keep || say "skipped: wgpu-softmax $shape: the command failed"
}

say "== wgpu-softmax"
for shape in "$@"; do bench "$shape" softmax cross-entropy; done
for shape in "${sampled[@]}"; do bench "$shape" logsumexp sample-{greedy,temperature,filters,top-p,report,penalties}; done
if [ "${plain:-}" ]; then
    say "== burn"
    burn run -- "$@" | keep || say "skipped: the rest of burn: the command failed"
fi
if [ "${fusion:-}" ]; then
    say "== burn, fusion and autotune"
    burn run --features fusion -- "$@" | keep || say "skipped: the rest of burn with fusion and autotune: the command failed"
fi
if "$python" -c '' 2>/dev/null; then
    peer() {
        say "== $1"
        "$python" -B "$@" | keep || say "skipped: the rest of $1: the command failed"
    }
    peer tinygrad_bench.py "$@"
    peer torch_bench.py "$@"
    peer torch_sampling.py "${sampled[@]}"
else
    say "skipped: tinygrad and PyTorch: there is no $python"
fi
