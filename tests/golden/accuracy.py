"""Writes accuracy.json beside this file: how far PyTorch's f32 results on a CPU are from the exact ones, in ULP.

usage: python accuracy.py      (pip install torch==2.15.0 numpy)
Twin: tests/accuracy.rs, which makes the same inputs and must do no worse.
"""
import json
import pathlib

import numpy as np
import torch

# rows, classes, spread, what is added to all, what is added to class 0
CASES = [
    (400, 10, 1.0, 0.0, 0.0),
    (64, 1000, 0.001, 0.0, 0.0),  # near-uniform
    (64, 1000, 1.0, 0.0, 0.0),
    (64, 1000, 10.0, 0.0, 0.0),
    (64, 1000, 30.0, 0.0, 0.0),
    (64, 1000, 1.0, 1000.0, 0.0),
    (64, 1000, 1.0, 0.0, 20.0),  # peaked
    (64, 1000, 1.0, 0.0, 40.0),  # all but certain
    (8, 50_257, 3.0, 0.0, 0.0),
    (8, 50_257, 10.0, -100.0, 0.0),
    (4, 128_256, 3.0, 0.0, 0.0),
]


def inputs(rows, classes, spread, offset, peak):
    """About normal, from integers: the same bits wherever f32 is IEEE's."""
    z = np.arange(rows * classes, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    mask = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(shift)) & mask).astype(np.int64) for shift in (0, 16, 32, 48))
    x = (total - 131_070).astype(np.float32) * np.float32(spread / 37_837.0) + np.float32(offset)
    x = x.reshape(rows, classes)
    x[:, 0] += np.float32(peak)
    return x, np.arange(rows, dtype=np.int64) * 7919 % classes


def errors(got, exact):
    """Largest and mean error in ULP of the exact result, however small that is."""
    ordinary = np.abs(exact) >= 2.0**-126
    exact, got = exact[ordinary], got[ordinary].astype(np.float64)
    ulp = 2.0 ** (np.floor(np.log2(np.abs(exact))) - 23)
    error = np.abs(got - exact) / ulp
    return [float(error.max()), float(error.mean())]


results = []
for case in CASES:
    x, targets = inputs(*case)
    wide = x.astype(np.float64)
    largest = wide.max(axis=1, keepdims=True)
    terms = np.exp(wide - largest)
    sums = terms.sum(axis=1, keepdims=True)
    # ln d = ln k + ln(1 + s / k), with k the largest terms and s the others: 1 + s would swallow the digits of s.
    count = (terms == 1).sum(axis=1, keepdims=True)
    rest = np.where(terms == 1, 0, terms).sum(axis=1, keepdims=True)
    log_probs = wide - largest - (np.log(count) + np.log1p(rest / count))
    t = torch.from_numpy(x)
    loss = torch.nn.functional.cross_entropy(t, torch.from_numpy(targets), reduction="none")
    results.append(
        {
            "case": case,
            "softmax": errors(torch.softmax(t, 1).numpy(), terms / sums),
            "log_softmax": errors(torch.log_softmax(t, 1).numpy(), log_probs),
            "loss": errors(loss.numpy(), -log_probs[np.arange(len(x)), targets]),
        }
    )
path = pathlib.Path(__file__).parent / "accuracy.json"
about = f"PyTorch {torch.__version__}, CPU capability {torch.backends.cpu.get_cpu_capability()}"
lines = ",\n".join("    " + json.dumps(result) for result in results)
path.write_text('{\n  "made_by": "accuracy.py",\n  "by": ' + json.dumps(about) + ',\n  "cases": [\n' + lines + "\n  ]\n}\n")
