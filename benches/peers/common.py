"""What the Python benchmarks share: shapes, medians, and the line that is printed."""

import json
import math
import sys

SHAPES = ["8192x64", "4096x1024", "1024x4096", "128x32000", "32x128256"]
WARM_UP = 3
RUNS = 9


def shapes(words):
    return [tuple(map(int, word.split("x"))) for word in words or SHAPES]


def report(peer, op, rows, classes, dtype, adapter, ms):
    line = {"peer": peer, "op": op, "rows": rows, "classes": classes, "dtype": dtype, "adapter": adapter, "ms": round(ms, 4)}
    print(json.dumps(line), flush=True)


def skip(what, why):
    print(f"skipped: {what}: {why}", file=sys.stderr, flush=True)


def median(once):
    """The median of what `once` returns: the milliseconds of one run, with the wait until the device has finished."""
    warm = min(once() for _ in range(WARM_UP))
    times = sorted(once() for _ in range(3 if warm > 300 else RUNS))
    return times[len(times) // 2]


def check_softmax(sums, row, logits):
    """Every row adds up to 1; one whole row is what f64 gives."""
    assert all(abs(total - 1) < 1e-4 for total in sums), "a row of probabilities does not add up to 1"
    close(row, probabilities(logits), 1e-4, 0)


def check_cross_entropy(loss, gradient, logits, target, rows):
    """The mean loss of logits within ±0.5 is about ln(classes); one whole row of the gradient is what f64 gives."""
    assert abs(loss - math.log(len(logits))) < 0.2, f"the loss is {loss}, not about ln {len(logits)}"
    want = probabilities(logits)
    want[target] -= 1
    close(gradient, [value / rows for value in want], 1e-4, 1e-9)


def targets(rows, classes):
    return [row * 7919 % classes for row in range(rows)]


def probabilities(logits):
    exps = [math.exp(x) for x in logits]
    total = sum(exps)
    return [e / total for e in exps]


def close(got, want, relative, absolute):
    for g, w in zip(got, want, strict=True):
        assert abs(g - w) <= relative * abs(w) + absolute, f"got {g}, not {w}"
