"""tinygrad's softmax and cross-entropy (forward + backward) on its WEBGPU device, jitted: one JSON object a line.

python3 tinygrad_bench.py [ROWSxCLASSES ...]; BEAM=2 lets tinygrad search for its kernels, as for any tinygrad program.
"""

import glob
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time

from common import check_cross_entropy, check_softmax, median, report, shapes, skip, targets

os.environ["DEV"] = "WEBGPU"
if sys.platform == "linux" and "WEBGPU_PATH" not in os.environ:  # tinygrad looks for Dawn in system folders alone
    pydawn = importlib.util.find_spec("pydawn")
    found = pydawn and glob.glob(os.path.join(os.path.dirname(pydawn.origin), "lib", f"libwebgpu_dawn_{platform.machine()}.so"))
    if found:
        os.environ["WEBGPU_PATH"] = found[0]

try:
    from tinygrad import Device, Tensor, TinyJit, dtypes
    from tinygrad.runtime import ops_webgpu
    device = Device["WEBGPU"]
except Exception as error:  # not installed, no libwebgpu_dawn, or Dawn accepts no adapter
    skip("tinygrad", error)
    sys.exit(0)


def adapter_name():
    """Of the adapter that tinygrad asks Dawn for, with the words it asks with."""
    webgpu = ops_webgpu.webgpu
    backend = ops_webgpu.backend_types.get(os.environ.get("WEBGPU_BACKEND", ""), 0)
    options = webgpu.WGPURequestAdapterOptions(powerPreference=webgpu.WGPUPowerPreference_HighPerformance, backendType=backend)
    adapter = ops_webgpu.InstanceRequestAdapter(ops_webgpu.instance, options)
    webgpu.wgpuAdapterGetInfo(adapter, info := webgpu.WGPUAdapterInfo())
    return ops_webgpu.from_wgpu_str(info.device) or ops_webgpu.from_wgpu_str(info.description)


def timed(run):
    def once():
        start = time.perf_counter()
        result = run()
        device.synchronize()
        elapsed = (time.perf_counter() - start) * 1e3
        del result
        return elapsed
    return median(once)


def softmax(rows, classes):
    x = (Tensor.rand(rows, classes) - 0.5).realize()
    run = TinyJit(lambda x: x.softmax(axis=1).realize())
    for _ in range(3):  # the third call is the first to replay what was recorded
        y = run(x)
    check_softmax(y.sum(axis=1).tolist(), y[-1].tolist(), x[-1].tolist())
    return timed(lambda: run(x))


def cross_entropy(rows, classes):
    labels = targets(rows, classes)
    x = (Tensor.rand(rows, classes) - 0.5).realize()
    y = Tensor(labels, dtype=dtypes.int32).realize()

    @TinyJit
    def run(x, y):
        loss = x.sparse_categorical_crossentropy(y)
        (gradient,) = loss.gradient(x)
        Tensor.realize(loss, gradient)
        return loss, gradient

    for _ in range(3):
        loss, gradient = run(x, y)
    check_cross_entropy(loss.item(), gradient[-1].tolist(), x[-1].tolist(), labels[-1], rows)
    return timed(lambda: run(x, y))


beam = os.environ.get("BEAM", "0")
peer = f"tinygrad {importlib.metadata.version('tinygrad')}" + (f", BEAM={beam}" if beam != "0" else "")
adapter = adapter_name()
Tensor.manual_seed(1)
for rows, classes in shapes(sys.argv[1:]):
    for op, run in [("softmax", softmax), ("cross-entropy", cross_entropy)]:
        try:
            report(peer, op, rows, classes, "f32", adapter, run(rows, classes))
        except Exception as error:  # a kernel that the device refuses says nothing about the next one
            skip(f"{peer} {op} {rows}x{classes}", error)
