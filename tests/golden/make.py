"""Writes torch.json beside this file: PyTorch 2.15's answers (CPU, f64, autograd) for every option alone and in pairs, and
second derivatives.

usage: python make.py      (pip install torch==2.15.0 numpy)
"""
import itertools
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1)
INF = float("inf")


def exact(x):
    """What f32 can hold, so that both sides see the same input."""
    return x.float().double()


def numbers(x):
    """JSON has no infinity and no NaN."""
    return [str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in x.flatten().tolist()]


def adjusted(x, options):
    """softcap(scale x + bias) + mask, with the classes on axis 1."""
    by_class = lambda values: values.reshape([1, -1] + [1] * (x.dim() - 2))
    a = x * options.get("scale", 1.0)
    if "row_scale" in options:
        a = a * options["row_scale"].unsqueeze(1)
    if "bias" in options:
        a = a + by_class(options["bias"])
    if "softcap" in options:
        a = options["softcap"] * torch.tanh(a / options["softcap"])
    if "mask" in options:
        a = a + by_class(options["mask"])
    if "mask_full" in options:
        a = a + options["mask_full"]
    if "causal" in options:
        group, offset = options["causal"]
        row, c = torch.arange(x.shape[0])[:, None], torch.arange(x.shape[1])[None, :]
        a = a.masked_fill(c > row % group + offset, -INF)
    return a


def told(options):
    return {k: numbers(v) if torch.is_tensor(v) else v for k, v in options.items()}


def pairs(options, clash=lambda a, b: False):
    """Nothing, each alone, each two that go together."""
    yield {}
    for name in options:
        yield {name: options[name]}
    for a, b in itertools.combinations(options, 2):
        if not clash(a, b):
            yield {a: options[a], b: options[b]}


def gradient(value, z):
    return numbers(torch.autograd.grad(value, z, retain_graph=True)[0])


def softmax_case(x, options):
    z = x.clone().requires_grad_()
    a = adjusted(z, options)
    y, log_y, lse = a.softmax(1), a.log_softmax(1), a.logsumexp(1)
    g, by_row = exact(torch.randn(x.shape)), exact(torch.randn(lse.shape))
    present = log_y.detach() > -INF
    case = {
        "name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "options": told(options),
        "upstream": numbers(g), "row_upstream": numbers(by_row),
        "softmax": numbers(y), "log_softmax": numbers(log_y), "lse": numbers(lse),
        "softmax_grad": gradient((y * g).sum(), z),
        "log_softmax_grad": gradient((log_y[present] * g[present]).sum(), z),
        "logsumexp_grad": gradient((lse * by_row).sum(), z),
    }
    if x.dim() == 2 and x.shape[1] <= 10 and set(options) <= {"scale"}:
        lines = [torch.autograd.grad(y[r, i], z, retain_graph=True)[0][r] for r in range(x.shape[0]) for i in range(x.shape[1])]
        case["jacobian"] = numbers(torch.stack(lines))
    return case


def loss_case(x, targets, options):
    z = x.clone().requires_grad_()
    weights, epsilon = options.get("weights"), options.get("label_smoothing", 0.0)
    nll = "nll" in options
    goal = options.get("probabilities", targets)
    ignored = targets == -100 if "probabilities" not in options else torch.zeros_like(targets, dtype=torch.bool)
    a = z if nll else adjusted(z, options)
    lse = a.logsumexp(1)
    squares = torch.where(ignored, 0.0, options.get("z_loss", 0.0) * lse ** 2)

    def plain(reduction):
        if nll:
            return F.nll_loss(a, goal, weight=weights, reduction=reduction)
        return F.cross_entropy(a, goal, weight=weights, label_smoothing=epsilon, reduction=reduction)

    rows = plain("none") + squares
    mean = plain("mean") + squares.sum() / (~ignored).sum()
    if "normalizer" in options:
        mean = rows.sum() / options["normalizer"]
    y, log_y = a.softmax(1), a.log_softmax(1)
    case = {
        "name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "targets": numbers(targets),
        "options": told(options), "losses": numbers(rows), "lse": numbers(lse), "argmax": numbers(a.argmax(1)),
        "entropy": numbers(-(y * log_y).sum(1)),
        "sum": {"loss": rows.sum().item(), "gradient": gradient(rows.sum(), z)},
        "mean": {"loss": mean.item(), "gradient": gradient(mean, z)},
    }
    return case


def binary_case(x, t, options):
    z = x.clone().requires_grad_()
    loss = lambda reduction: F.binary_cross_entropy_with_logits(
        z, t, weight=options.get("weight", options.get("weight_full")), pos_weight=options.get("pos_weight"), reduction=reduction)
    case = {"name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "targets": numbers(t), "options": told(options),
            "losses": numbers(loss("none"))}
    for reduction in ["sum", "mean"]:
        case[reduction] = {"loss": loss(reduction).item(), "gradient": gradient(loss(reduction), z)}
    return case


def weighted_case(x, targets, r, options):
    """Rows weighted by r. Of whole numbers a weight does what as many equal rows do."""
    z = x.clone().requires_grad_()
    weights, epsilon, nll = options.get("weights"), options.get("label_smoothing", 0.0), "nll" in options
    soft = "probabilities" in options
    goal = options.get("probabilities", targets)
    ignored = torch.zeros_like(targets, dtype=torch.bool) if soft else targets == -100
    lse = z.logsumexp(1)
    squares = torch.where(ignored, 0.0, options.get("z_loss", 0.0) * lse ** 2)

    def plain(reduction, times=None):
        a, q, w = z, goal, weights
        if times is not None:
            a, q = a.repeat_interleave(times, 0), q.repeat_interleave(times, 0)
        if nll:
            return F.nll_loss(a, q, weight=w, reduction=reduction)
        return F.cross_entropy(a, q, weight=w, label_smoothing=epsilon, reduction=reduction)

    rows = r * (plain("none") + squares)
    of_target = torch.ones_like(r) if soft or weights is None else weights[targets.clamp(min=0)]
    counted = torch.where(ignored, 0.0, r)
    mean = (r * plain("none")).sum() / (counted * of_target).sum() + (r * squares).sum() / counted.sum()
    if x.dim() == 2 and (r == r.round()).all():
        repeated = plain("mean", r.long()) + (r * squares).sum() / counted.sum()
        assert torch.allclose(repeated, mean, rtol=1e-12), (repeated, mean)
    if "normalizer" in options:
        mean = rows.sum() / options["normalizer"]
    g = exact(torch.randn(r.shape))
    return {
        "name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "targets": numbers(targets), "row_weights": numbers(r),
        "options": told(options), "losses": numbers(rows), "counted": int((counted > 0).sum()), "row_upstream": numbers(g),
        "none": {"gradient": gradient((rows * g).sum(), z)},
        "sum": {"loss": rows.sum().item(), "gradient": gradient(rows.sum(), z)},
        "mean": {"loss": mean.item(), "gradient": gradient(mean, z)},
    }


def sink_case(x, sinks, options):
    """A sink is a class more, of which nothing is kept."""
    z, s = x.clone().requires_grad_(), sinks.clone().requires_grad_()
    longer = torch.cat([adjusted(z, options), s.unsqueeze(1)], 1)
    kept = lambda y: y.narrow(1, 0, x.shape[1])
    y, log_y, lse = kept(longer.softmax(1)), kept(longer.log_softmax(1)), longer.logsumexp(1)
    g, by_row = exact(torch.randn(x.shape)), exact(torch.randn(lse.shape))
    present = log_y.detach() > -INF
    scalars = {
        "softmax": (y * g).sum(), "log_softmax": (log_y[present] * g[present]).sum(), "logsumexp": (lse * by_row).sum(),
    }
    case = {
        "name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "sinks": numbers(sinks), "options": told(options),
        "upstream": numbers(g), "row_upstream": numbers(by_row),
        "softmax": numbers(y), "log_softmax": numbers(log_y), "lse": numbers(lse),
    }
    for name, scalar in scalars.items():
        case[name + "_grad"], case[name + "_sink_grad"] = gradient(scalar, z), gradient(scalar, s)
    return case


def distillation_case(x, teacher, temperature):
    """KL(softmax(teacher / T) || softmax(x / T)) of each row; `cross_entropies` are without the teacher's entropy."""
    z = x.clone().requires_grad_()
    p, log_y = (teacher / temperature).softmax(1), (z / temperature).log_softmax(1)
    rows = F.kl_div(log_y, p, reduction="none").sum(1)
    return {
        "shape": list(x.shape), "temperature": temperature, "logits": numbers(x), "teacher": numbers(teacher),
        "losses": numbers(rows), "cross_entropies": numbers(-(p * log_y).sum(1)),
        "sum": {"loss": rows.sum().item(), "gradient": gradient(rows.sum(), z)},
        "mean": {"loss": rows.mean().item(), "gradient": gradient(rows.mean(), z)},
    }


def second(value, z, v):
    """The gradient's derivative along v: a Hessian times v."""
    dx = torch.autograd.grad(value, z, create_graph=True)[0]
    return torch.autograd.grad((dx * v).sum(), z, retain_graph=True)[0]


def loss_hessian_case(x, goal, options):
    z, v = x.clone().requires_grad_(), exact(torch.randn(x.shape))
    soft = goal.is_floating_point()
    ignored = torch.zeros_like(goal.sum(1), dtype=torch.bool) if soft else goal == -100
    squares = torch.where(ignored, 0.0, options.get("z_loss", 0.0) * z.logsumexp(1) ** 2)
    plain = lambda reduction: F.cross_entropy(
        z, goal, weight=options.get("weights"), label_smoothing=options.get("label_smoothing", 0.0), reduction=reduction)
    values = {"sum": plain("sum") + squares.sum(), "mean": plain("mean") + squares.sum() / (~ignored).sum()}
    case = {"name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "options": told(options), "vector": numbers(v),
            "probabilities" if soft else "targets": numbers(goal)}
    for name, value in values.items():
        case[name] = {"loss": value.item(), "gradient": gradient(value, z), "product": numbers(second(value, z, v))}
    return case


def softmax_hessian_case(x, log):
    """Of sum(g * y): the gradient's derivative along v, and the derivative of (gradient * v) by g."""
    z, g, v = x.clone().requires_grad_(), exact(torch.randn(x.shape)).requires_grad_(), exact(torch.randn(x.shape))
    y = z.log_softmax(1) if log else z.softmax(1)
    dx = torch.autograd.grad((y * g).sum(), z, create_graph=True)[0]
    by_x, by_g = torch.autograd.grad((dx * v).sum(), [z, g])
    return {"log": log, "shape": list(x.shape), "logits": numbers(x), "upstream": numbers(g), "vector": numbers(v),
            "gradient": numbers(dx), "product": numbers(by_x), "by_upstream": numbers(by_g)}


def entropy_case(x, options):
    z = x.clone().requires_grad_()
    a = adjusted(z, options)
    h = a.logsumexp(1) - (a.softmax(1) * a.masked_fill(a == -INF, 0.0)).sum(1)
    by_row = exact(torch.randn(h.shape))
    return {"name": "+".join(options), "shape": list(x.shape), "logits": numbers(x), "options": told(options),
            "row_upstream": numbers(by_row), "entropy": numbers(h), "gradient": gradient((h * by_row).sum(), z)}


softmax = [
    softmax_case(exact(torch.randn(shape) * spread + offset), {})
    for shape in [(4, 1), (3, 2), (5, 10), (2, 65), (2, 7, 3), (2, 5, 2, 3), (2, 1030)]
    for spread, offset in [(1.0, 0.0), (10.0, 100.0)]
]
mask = exact(torch.randn(6))
mask[2] = -INF
full = exact(torch.randn(8, 6))
full[torch.rand(8, 6) < 0.2] = -INF
full[:, 0] = 0.5
softmax_options = {
    "scale": -0.75, "row_scale": exact(torch.rand(8) + 0.5), "bias": exact(torch.randn(6)), "softcap": 5.0,
    "mask": mask, "mask_full": full, "causal": [4, 1],
}
masks = {"mask", "mask_full", "causal"}
one_kind = lambda a, b: {a, b} <= masks or {a, b} == {"scale", "row_scale"}
softmax += [softmax_case(exact(torch.randn(8, 6) * 3), options) for options in pairs(softmax_options, one_kind)]

loss_options = {
    "weights": exact(torch.rand(6) + 0.25), "label_smoothing": 0.1, "z_loss": 0.01, "ignored": True,
    "probabilities": exact(torch.randn(5, 6).softmax(1)), "scale": 0.5, "softcap": 5.0, "bias": exact(torch.randn(6)),
    "mask": exact(torch.randn(6)), "normalizer": 7.5, "nll": True,
}
with_nll = {"nll", "weights", "ignored", "normalizer"}
apart = lambda a, b: {a, b} == {"probabilities", "ignored"} or "nll" in (a, b) and not {a, b} <= with_nll
cross_entropy = []
for options in pairs(loss_options, apart):
    x, targets = exact(torch.randn(5, 6) * 3), torch.randint(0, 6, (5,))
    if "ignored" in options:
        targets[1] = targets[4] = -100
    if "nll" in options:
        x = exact(x.log_softmax(1))
    cross_entropy.append(loss_case(x, targets, options))
for shape, offset in [((4, 1), 0.0), ((2, 7, 3), 100.0), ((2, 5, 2, 3), 0.0), ((3, 1030), 100.0)]:
    targets = torch.randint(0, shape[1], shape[:1] + shape[2:])
    targets.view(-1)[1] = -100
    for options in [{}, {"weights": exact(torch.rand(shape[1]) + 0.25), "label_smoothing": 0.1}]:
        cross_entropy.append(loss_case(exact(torch.randn(shape) * 4 + offset), targets, options))

x, t = exact(torch.randn(5, 3) * 3), exact(torch.rand(5, 3))
t[:2] = t[:2].round()
binary_options = {"weight": exact(torch.rand(3)), "weight_full": exact(torch.rand(5, 3)), "pos_weight": exact(torch.rand(3) * 3)}
binary = [binary_case(x, t, options) for options in pairs(binary_options, lambda a, b: {a, b} == {"weight", "weight_full"})]

# What follows was added later: it comes last, so that the random numbers above stay as they were.
row_options = ["weights", "label_smoothing", "z_loss", "ignored", "probabilities", "normalizer", "nll"]
row_options = {name: loss_options[name] for name in row_options}
row_weights = []
for i, options in enumerate(pairs(row_options, apart)):
    x, targets = exact(torch.randn(5, 6) * 3), torch.randint(0, 6, (5,))
    r = torch.tensor([2.0, 1.0, 0.0, 3.0, 1.0]).double() if i % 2 == 0 else exact(torch.rand(5) * 3)
    if "ignored" in options:
        targets[1] = -100
    if "nll" in options:
        x = exact(x.log_softmax(1))
    row_weights.append(weighted_case(x, targets, r, options))
for shape in [(4, 1), (2, 7, 3), (3, 65)]:
    targets, r = torch.randint(0, shape[1], shape[:1] + shape[2:]), exact(torch.rand(shape[:1] + shape[2:]) * 2)
    targets.view(-1)[1], r.view(-1)[0] = -100, 0.0
    options = {"weights": exact(torch.rand(shape[1]) + 0.25), "label_smoothing": 0.1, "z_loss": 0.01}
    row_weights.append(weighted_case(exact(torch.randn(shape) * 4), targets, r, options))

sinks = []
for shape in [(4, 1), (5, 10), (2, 7, 3), (3, 65)]:
    for spread, offset in [(1.0, 0.0), (10.0, 100.0)]:
        x = exact(torch.randn(shape) * spread + offset)
        sinks.append(sink_case(x, exact(torch.randn(x[:, 0].shape) * spread + offset), {}))
        sinks.append(sink_case(x, torch.full(x[:, 0].shape, offset).double(), {}))
for options in pairs({name: softmax_options[name] for name in ["scale", "bias", "softcap", "mask", "causal"]}, one_kind):
    if options:
        sinks.append(sink_case(exact(torch.randn(8, 6) * 3), exact(torch.randn(8) * 2), options))

distillation = [
    distillation_case(exact(torch.randn(shape) * 3 + offset), exact(torch.randn(shape) * 3 - offset), temperature)
    for shape, offset in [((5, 6), 0.0), ((4, 1), 0.0), ((2, 7, 3), 100.0), ((2, 65), 0.0)] for temperature in [1.0, 2.0, 0.5]
]
x, teacher = exact(torch.randn(3, 6) * 3), exact(torch.randn(3, 6) * 3)
teacher[0, 2] = teacher[2, :5] = -INF
distillation.append(distillation_case(x, teacher, 2.0))

hessian_options = {name: loss_options[name] for name in ["weights", "label_smoothing", "z_loss"]}
cross_entropy_hessian = []
for options in [*pairs(hessian_options), hessian_options]:
    targets = torch.randint(0, 6, (5,))
    targets[3] = -100
    cross_entropy_hessian.append(loss_hessian_case(exact(torch.randn(5, 6) * 2), targets, options))
    cross_entropy_hessian.append(loss_hessian_case(exact(torch.randn(5, 6) * 2), exact(torch.randn(5, 6).softmax(1)), options))
for shape in [(2, 7, 3), (2, 65)]:
    options = {"label_smoothing": 0.1, "z_loss": 0.01}
    targets = torch.randint(0, shape[1], shape[:1] + shape[2:])
    cross_entropy_hessian.append(loss_hessian_case(exact(torch.randn(shape) * 2), targets, options))
softmax_hessian = [
    softmax_hessian_case(exact(torch.randn(shape) * 2), log)
    for shape in [(4, 1), (5, 6), (2, 7, 3), (2, 65)] for log in [False, True]
]

entropy = [
    entropy_case(exact(torch.randn(shape) * spread), {})
    for shape in [(4, 1), (5, 6), (2, 7, 3), (2, 65)] for spread in [1.0, 10.0]
]
for name in ["scale", "row_scale", "bias", "softcap", "mask", "causal"]:
    entropy.append(entropy_case(exact(torch.randn(8, 6) * 3), {name: softmax_options[name]}))

path = pathlib.Path(__file__).with_name("torch.json")
cases = {"softmax": softmax, "cross_entropy": cross_entropy, "binary": binary, "row_weights": row_weights, "sinks": sinks,
         "distillation": distillation, "cross_entropy_hessian": cross_entropy_hessian, "softmax_hessian": softmax_hessian,
         "entropy": entropy}
path.write_text(json.dumps({"torch": torch.__version__, **cases}) + "\n")
print({name: len(group) for name, group in cases.items()}, path.stat().st_size, "bytes")
