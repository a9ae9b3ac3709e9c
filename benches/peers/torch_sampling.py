"""Sampling as HuggingFace's transformers do it with PyTorch, on the CPU, beside logsumexp: one JSON object a line.

python3 torch_sampling.py [--processor-time] [ROWSxCLASSES ...]

Temperature divides, top-k compares with the k-th largest of torch.topk, top-p sorts the row, sums its softmax up and scatters
back what is removed, min-p compares with a share of the largest probability; then softmax and multinomial. The order is
transformers': temperature, top-k, top-p, min-p.
"""

import argparse
import sys
import time

from common import median, report, shapes, skip

try:
    import torch
except ImportError as error:
    skip("PyTorch", error)
    sys.exit(0)

SHAPES = ["1x128256", "8x128256", "64x32000", "256x50257"]
TEMPERATURE, TOP_K, TOP_P, MIN_P = 0.8, 50, 0.95, 0.05
SPREAD = 2.5  # the standard deviation of the logits
NEVER = float("-inf")

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("shapes", nargs="*", default=SHAPES, metavar="ROWSxCLASSES")
options.add_argument("--processor-time", action="store_true", help="of one thread, for a machine that others use too")
options = options.parse_args()
clock = time.process_time if options.processor_time else time.perf_counter
if options.processor_time:
    torch.set_num_threads(1)


def keep_top_k(x):
    return x.masked_fill(x < torch.topk(x, TOP_K)[0][..., -1, None], NEVER)


def keep_top_p(x):
    in_order, classes = torch.sort(x, descending=False)
    remove = in_order.softmax(-1).cumsum(-1) <= 1 - TOP_P
    remove[..., -1:] = False
    return x.masked_fill(remove.scatter(1, classes, remove), NEVER)


def keep_min_p(x):
    p = torch.softmax(x, -1)
    return x.masked_fill(p < MIN_P * p.amax(-1, keepdim=True), NEVER)


def draw(x):
    return torch.multinomial(torch.softmax(x, -1), 1).squeeze(1)


def report_top(x, tokens):
    """The model's log-probabilities of the tokens and of the 20 most probable classes."""
    log_probs = torch.log_softmax(x, -1)
    return tokens, log_probs.gather(1, tokens[:, None]), torch.topk(log_probs, 20)


def penalise(x, history):
    """Repetition penalty 1.1 and frequency penalty 0.1 for the tokens so far."""
    seen = x.gather(1, history)
    x = x.scatter(1, history, torch.where(seen < 0, seen * 1.1, seen / 1.1))
    return x.scatter_add(1, history, torch.full_like(seen, -0.1))


def filtered(x):
    return draw(keep_min_p(keep_top_p(keep_top_k(x / TEMPERATURE))))


def operations(history):
    return {
        "logsumexp": lambda x: torch.logsumexp(x, 1),
        "sample-greedy": lambda x: x.argmax(1),
        "sample-temperature": lambda x: draw(x / TEMPERATURE),
        "sample-filters": filtered,
        "sample-top-p": lambda x: draw(keep_top_p(x / TEMPERATURE)),
        "sample-report": lambda x: report_top(x, filtered(x)),
        "sample-penalties": lambda x: filtered(penalise(x, history)),
    }


def check(x):
    """What is drawn is among the first classes; a row keeps as many as it should, by its sorted probabilities."""
    scaled = x / TEMPERATURE
    kept = keep_top_p(scaled).isfinite().sum(1)
    p = torch.softmax(scaled.double(), 1).sort(1, descending=True)[0].cumsum(1)
    want = (p < TOP_P).sum(1) + 1
    assert ((kept - want).abs() <= 2 + want // 100).all(), f"top-p keeps {kept.tolist()}, not {want.tolist()}"
    tokens = filtered(x)
    ranks = (x > x.gather(1, tokens[:, None])).sum(1)
    assert (ranks < TOP_K).all(), f"tokens of ranks {ranks.tolist()} were drawn"
    print(f"top-p keeps {int(kept.double().mean())} classes of a row", file=sys.stderr)


torch.manual_seed(1)
for rows, classes in shapes(options.shapes):
    x = torch.randn(rows, classes) * SPREAD
    check(x)
    for name, operation in operations(torch.randint(classes, (rows, 2048))).items():
        def once():
            start = clock()
            operation(x)
            return (clock() - start) * 1e3
        with torch.inference_mode():
            ms = median(once)
        adapter = f"CPU, {torch.get_num_threads()} threads{', processor time' if options.processor_time else ''}"
        report(f"torch {torch.__version__}", name, rows, classes, "f32", adapter, ms)
