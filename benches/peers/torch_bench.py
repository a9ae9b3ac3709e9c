"""PyTorch's softmax and cross-entropy (forward + backward), and a copy of the same size: one JSON object a line.

python3 torch_bench.py [--dtype f32|f16|bf16] [--cold] [ROWSxCLASSES ...]
On the CPU: eager. Where there is CUDA: there too, with torch.compile, a Triton softmax and Liger's cross-entropy.
"""

import argparse
import sys
import time

from common import SHAPES, check_cross_entropy, check_softmax, median, report, shapes, skip, targets

try:
    import torch
    from torch.nn.functional import cross_entropy
except ImportError as error:
    skip("PyTorch", error)
    sys.exit(0)

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
options = argparse.ArgumentParser(description=__doc__)
options.add_argument("shapes", nargs="*", default=SHAPES, metavar="ROWSxCLASSES")
options.add_argument("--dtype", choices=DTYPES, default="f32")
options.add_argument("--cold", action="store_true", help="on CUDA: clear 256 MiB before each run, so that no input is in the L2 cache")
options = options.parse_args()
dtype = DTYPES[options.dtype]


def cpu_clock(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def cuda_clock(run):
    """The GPU's time between two events. It is kept busy first, for about 1 ms, while the CPU queues what `run` launches: so
    the launches themselves are left out, unless `run` waits for the GPU, as Liger does."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000)
    if options.cold:
        torch.empty(256 << 20, dtype=torch.int8, device="cuda").zero_()
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def forward_backward(loss_of):
    """The mean loss and its gradient with respect to `x`, from any function of logits and targets."""
    def run(x, y):
        x = x.detach().requires_grad_()
        loss = loss_of(x, y)
        (gradient,) = torch.autograd.grad(loss, x)
        return loss.detach(), gradient
    return run


def bench(peers, adapter, clock, device):
    """`peers`: for each name, functions that make a softmax of `x` and a cross-entropy of `x` and `y`, anew for each shape."""
    suffix = ", cold" if options.cold and device == "cuda" else ""
    for rows, classes in shapes(options.shapes):
        labels = targets(rows, classes)
        x = (torch.rand(rows, classes, device=device) - 0.5).to(dtype)
        y = torch.tensor(labels, device=device)
        copy = torch.empty_like(x)

        def line(peer, op, run):
            ms = median(lambda: clock(run))
            report(f"{peer}{suffix}", op, rows, classes, options.dtype, adapter, ms)

        line(f"torch {torch.__version__}", "copy", lambda: copy.copy_(x))
        for peer, (make_softmax, make_cross_entropy) in peers.items():
            try:
                if make_softmax:
                    softmax = make_softmax()
                    p = softmax(x)
                    if options.dtype == "f32":
                        check_softmax(p.sum(1).tolist(), p[-1].tolist(), x[-1].tolist())
                    line(peer, "softmax", lambda: softmax(x))
            except Exception as error:
                skip(f"{peer} softmax {rows}x{classes}", error)
            try:
                if make_cross_entropy:
                    step = forward_backward(make_cross_entropy())
                    mine = x.clone()  # Liger writes the gradient over the logits
                    loss, gradient = step(mine, y)
                    if options.dtype == "f32":
                        check_cross_entropy(loss.item(), gradient[-1].tolist(), x[-1].tolist(), labels[-1], rows)
                    line(peer, "cross-entropy", lambda: step(mine, y))
            except Exception as error:
                skip(f"{peer} cross-entropy {rows}x{classes}", error)


def eager():
    return {f"torch {torch.__version__}, eager": (lambda: lambda x: torch.softmax(x, 1), lambda: cross_entropy)}


def on_cuda():
    peers = eager()

    def compiled(f):
        def make():
            torch.compiler.reset()  # else the second shape is compiled for any shape
            return torch.compile(f, dynamic=False)
        return make
    softmax_alone = compiled(lambda x: torch.softmax(x, 1))
    peers[f"torch {torch.__version__}, torch.compile"] = (softmax_alone, compiled(lambda x, y: cross_entropy(x, y)))
    try:
        import triton
        from triton_softmax import softmax
        peers[f"triton {triton.__version__}, a row in registers"] = (lambda: softmax, None)
    except Exception as error:
        skip("Triton", error)
    try:
        from importlib.metadata import version
        from liger_kernel.transformers.functional import liger_cross_entropy
        peers[f"liger-kernel {version('liger-kernel')}"] = (None, lambda: liger_cross_entropy)
    except Exception as error:
        skip("liger-kernel", error)
    return peers


torch.manual_seed(1)
bench(eager(), f"CPU, {torch.get_num_threads()} threads", cpu_clock, "cpu")
if torch.cuda.is_available():
    bench(on_cuda(), torch.cuda.get_device_name(), cuda_clock, "cuda")
else:
    skip("PyTorch on CUDA, torch.compile, Triton, liger-kernel", "torch.cuda is not available")
