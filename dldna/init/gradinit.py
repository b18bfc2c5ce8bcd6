r"""GradInit: learn one scale per parameter so that the first step pays.

With :math:`\theta = m \odot \theta_0`, one scale in m for each parameter
tensor, GradInit minimises the loss after one step of the optimizer,

.. math::
    \min_m L\big(\theta - \eta A(g)\big)
    \quad\text{subject to}\quad \|g\|_p \le \gamma,

where A(g) = g and p = 2 for SGD, A(g) = sign(g) and p = 1 for Adam. While
the gradient is too long, the scales shrink it; else they lower the loss.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dldna import batches, checks, params
from dldna.guard import differentiable, untouched
from dldna.init._draw import make_generator
from dldna.init.init_report import InitReport, describe
from dldna.init.weight_matrices import check_model


def gradinit(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    optimizer: str = "sgd",
    lr: float = 0.1,
    gamma: float = 1.0,
    steps: int = 100,
    scale_lr: float = 0.01,
    min_scale: float = 0.01,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """Learn the scales of all parameters on data, in place.

    Initialize the model first: what starts at 0 stays 0. The step's loss
    is measured on a batch that shares half of its samples with the one
    the gradient comes from. The scales move by Adam.

    Args:
        model: twice differentiable; in eval mode meanwhile.
        loss_fn: see :mod:`dldna.batches`.
        data: a loader, or one batch; held in memory.
        optimizer: "sgd" or "adam": whose first step to prepare.
        lr: that optimizer's learning rate.
        gamma: bound on the gradient's norm.
        steps: number of updates of the scales.
        scale_lr: their learning rate.
        min_scale: lowest scale.
        seed: of the order of the batches.
        generator: instead of the seed.

    Returns:
        A report; ``numbers`` holds "scales" by name, and by step "loss",
        "grad_norm" and "loss_after" (NaN where the norm was too long).

    Raises:
        ValueError: the loss is not finite.

    References:
        Zhu, Ni, Xu, Kong, Huang, Goldstein, NeurIPS 2021,
        arXiv 2102.08098.
    """
    checks.choice("optimizer", optimizer, ["sgd", "adam"])
    for name, value in (
        ("lr", lr), ("gamma", gamma), ("scale_lr", scale_lr),
        ("min_scale", min_scale),
    ):  # fmt: skip
        checks.positive(name, value)
    checks.count("steps", steps)
    source = make_generator(seed, generator)
    check_model(model)
    held = batches.held(data)
    loss_of = batches.loss_caller(loss_fn)
    begin = time.perf_counter()
    log = {"loss": [], "grad_norm": [], "loss_after": []}
    with untouched(model), sdpa_kernel(SDPBackend.MATH), differentiable():
        model.eval()
        origin = {k: p.detach().clone() for k, p in model.named_parameters()}
        scales = {
            k: torch.ones((), dtype=p.dtype, device=p.device).requires_grad_()
            for k, p in origin.items()
        }
        learner = torch.optim.Adam([*scales.values()], lr=scale_lr)

        def loss_at(point, batch):
            output = batches.apply(
                lambda *a, **k: params.call(model, point, a, k),
                batches.split(batch)[0],
            )
            return loss_of(output, batch)

        for step in range(steps):
            batch = _pick(held, source)
            point = {k: scales[k] * w for k, w in origin.items()}
            loss = loss_at(point, batch)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the loss is {float(loss.detach())} at step {step}: "
                    "start from a scheme whose loss is finite"
                )
            grads = dict(
                zip(
                    point,
                    torch.autograd.grad(
                        loss, [*point.values()], create_graph=True,
                        allow_unused=True, materialize_grads=True,
                    ),
                    strict=True,
                )
            )  # fmt: skip
            norm = _norm(grads, optimizer)
            if float(norm.detach()) > gamma:
                target, after = norm, float("nan")
            else:
                target = loss_at(
                    _stepped(point, grads, lr, optimizer),
                    _mixed(batch, _pick(held, source)),
                )
                after = float(target.detach())
            log["loss"].append(float(loss.detach()))
            log["grad_norm"].append(float(norm.detach()))
            log["loss_after"].append(after)
            found = torch.autograd.grad(
                target, [*scales.values()], allow_unused=True,
                materialize_grads=True,
            )  # fmt: skip
            for scale, grad in zip(scales.values(), found, strict=True):
                scale.grad = grad
            learner.step()
            with torch.no_grad():
                for scale in scales.values():
                    scale.clamp_(min=min_scale)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(origin[name] * scales[name])
    learned = {k: float(s.detach()) for k, s in scales.items()}
    how = {k: f"gradinit * {s:.4g}" for k, s in learned.items()}
    how |= {f"{k}[{p}]": v for k, v in how.items() for p in "qkv"}
    return describe(
        model,
        "gradinit",
        how,
        {},
        seconds=time.perf_counter() - begin,
        numbers={"scales": learned, **log},
    )


def _norm(grads: dict[str, Tensor], optimizer: str) -> Tensor:
    if optimizer == "adam":
        return sum(g.abs().sum() for g in grads.values())
    return sum((g * g).sum() for g in grads.values()).sqrt()


def _stepped(point, grads, lr: float, optimizer: str) -> dict[str, Tensor]:
    if optimizer == "adam":
        return {k: w - lr * grads[k].sign() for k, w in point.items()}
    return {k: w - lr * grads[k] for k, w in point.items()}


def _pick(held: list, source: torch.Generator):
    at = torch.randint(len(held), (), generator=source, device=source.device)
    return held[int(at)]


def _mixed(a: batches.Batch, b: batches.Batch) -> batches.Batch:
    """The first half of one batch and the second half of another."""
    half = batches.size(a) // 2
    halves = batches.cut(a, 0, half), batches.cut(b, half, batches.size(b))
    return batches.join(halves, first=True)
