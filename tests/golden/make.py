"""Writes torch.json beside this file: softmax, log-softmax, cross-entropy and its gradient by PyTorch 2.15 (CPU, f64, autograd).

usage: python make.py      (pip install torch==2.15.0 numpy)
"""
import json
import pathlib

import torch

torch.manual_seed(1)
cases = []
for shape, axis in [((4, 1), 1), ((3, 2), 1), ((5, 10), 1), ((2, 65), 1), ((2, 7, 3), 1), ((2, 5, 2, 3), 1), ((2, 1030), 1)]:
    for spread, offset in [(1.0, 0.0), (10.0, 100.0)]:
        # What f32 can hold, so that both sides see the same input.
        x = (torch.randn(shape) * spread + offset).float().double()
        rest = shape[:axis] + shape[axis + 1:]
        targets = torch.randint(0, shape[axis], rest)
        if targets.numel() > 2:
            targets.view(-1)[1] = -100
        case = {
            "shape": shape,
            "axis": axis,
            "logits": x.flatten().tolist(),
            "targets": targets.flatten().tolist(),
            "softmax": x.softmax(axis).flatten().tolist(),
            "log_softmax": x.log_softmax(axis).flatten().tolist(),
            "lse": x.logsumexp(axis).flatten().tolist(),
            "argmax": x.argmax(axis).flatten().tolist(),
        }
        for reduction in ["none", "sum", "mean"]:
            z = x.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(z, targets, reduction=reduction)
            loss.sum().backward()
            case[reduction] = {"loss": loss.flatten().tolist(), "gradient": z.grad.flatten().tolist()}
        cases.append(case)

path = pathlib.Path(__file__).with_name("torch.json")
path.write_text(json.dumps({"torch": torch.__version__, "cases": cases}) + "\n")
print(f"{len(cases)} cases, {path.stat().st_size} bytes")
