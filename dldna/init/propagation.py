r"""Signals through a model, layer by layer: measured, theory beside it.

Forward moments are those of each layer's output over samples and units,
backward moments those of the gradient by that output. The theory is the
recursion of :mod:`dldna.init.theory`, fed with the weights' own second
moments; it runs as far as the model is a chain of linear layers,
convolutions, activations and reshapes, and is NaN from there on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches
from dldna.guard import differentiable, untouched
from dldna.init._draw import make_generator
from dldna.init.fans import fans_of
from dldna.init.gaussian import moments
from dldna.init.weight_matrices import check_model
from dldna.params import exact
from dldna.records import LayerStats, Provenance
from dldna.torch_internals import Convolution, Dropout

ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.SiLU,
    nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Hardtanh, nn.ReLU6, nn.Mish,
    nn.Softsign, nn.LogSigmoid, nn.Hardswish,
)  # fmt: skip
PASSING = (nn.Flatten, nn.Unflatten, nn.Identity)


@dataclass
class _Step:
    """One call of one layer."""

    name: str
    layer: nn.Module
    output: Tensor
    chained: bool
    stats: tuple[float, float, float]
    theory: tuple[float, float, float] = field(default=(math.nan,) * 3)
    slope: float = math.nan


def propagate(
    model: nn.Module,
    batch: batches.Batch,
    loss_fn: Callable | None = None,
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> LayerStats:
    r"""Forward and backward moments of every layer, and their prediction.

    All innermost layers are recorded in the order of their calls. The
    model runs in the mode it is in, and is left as it was.

    Args:
        model: any module with one tensor as output.
        batch: see :mod:`dldna.batches`.
        loss_fn: its gradient goes back. None sends back independent
            N(0, 1) numbers from the output, which is what the theory
            assumes.
        seed: of those numbers.
        generator: instead of the seed.

    Returns:
        A :class:`dldna.records.LayerStats`; ``predicted`` holds mean,
        variance, second_moment and grad_second_moment.

    Raises:
        ValueError: no layer was called, or the output is not a tensor.

    Example:
        >>> net = nn.Sequential(nn.Linear(500, 500, bias=False), nn.ReLU())
        >>> _ = nn.init.kaiming_normal_(net[0].weight,
        ...     generator=torch.Generator().manual_seed(0))
        >>> x = torch.randn(90, 500,
        ...     generator=torch.Generator().manual_seed(1))
        >>> stats = propagate(net, x)
        >>> gap = stats.second_moment / stats.predicted["second_moment"] - 1
        >>> bool((abs(gap) < 0.05).all())
        True

    References:
        He et al., ICCV 2015, arXiv 1502.01852.
        Schoenholz et al., ICLR 2017, arXiv 1611.01232.
    """
    begin = time.perf_counter()
    check_model(model)
    with differentiable():
        inputs = _tracked(batches.split(batch)[0])
    floats = [t for t in batches.tensors(inputs) if t.is_floating_point()]
    first = floats[0] if len(floats) == 1 else None
    steps: list[_Step] = []
    in_place = [m for m in model.modules() if getattr(m, "inplace", False)]
    with untouched(model), differentiable():
        try:
            for m in in_place:
                m.inplace = False
            hooks = _watch(model, steps, first)
            output = batches.spread(model, inputs)  # copies already
        finally:
            for m in in_place:
                m.inplace = True
            for hook in hooks:
                hook.remove()
        if not steps:
            raise ValueError(
                f"{type(model).__name__} called no layer on this batch"
            )
        if not isinstance(output, Tensor):
            raise ValueError(
                "propagate needs a model whose output is one tensor, not "
                f"{type(output).__name__}"
            )
        back = cotangent(output, batch, loss_fn, seed, generator)
        grads = torch.autograd.grad(
            output, [s.output for s in steps], back, allow_unused=True
        )
    _forward_theory(steps, first)
    ends = steps[-1].output is output
    last = float(exact(back).square().mean()) if ends else math.nan
    theory = np.array([s.theory for s in steps])
    return moments_of(
        [s.name for s in steps],
        [type(s.layer).__name__ for s in steps],
        [s.stats for s in steps],
        grads,
        {
            "mean": theory[:, 0],
            "variance": theory[:, 1],
            "second_moment": theory[:, 2],
            "grad_second_moment": _backward_theory(steps, last),
        },
        Provenance(
            made="signal propagation",
            seed=None if generator else seed,
            n_samples=batches.size(inputs),
            seconds=time.perf_counter() - begin,
            **about(model, output, loss_fn),
        ),
    )


def moments_of(
    names: list[str],
    kinds: list[str],
    forward: list[tuple[float, float, float]],
    grads: Sequence[Tensor | None],
    predicted: dict[str, np.ndarray],
    provenance: Provenance,
) -> LayerStats:
    """The record of what was measured, from each layer's moments."""
    signal = np.array(forward)
    gradient = np.array([entry_moments(g) for g in grads])
    return LayerStats(
        names=names,
        kinds=kinds,
        mean=signal[:, 0],
        variance=signal[:, 1],
        second_moment=signal[:, 2],
        grad_mean=gradient[:, 0],
        grad_variance=gradient[:, 1],
        grad_second_moment=gradient[:, 2],
        predicted=predicted,
        provenance=provenance,
    )


def about(
    model: nn.Module, output: Tensor, loss_fn: Callable | None
) -> dict[str, Any]:
    """What a provenance says of the model, its output and the loss."""
    named = getattr(loss_fn, "__name__", type(loss_fn).__name__)
    return {
        "model": type(model).__name__,
        "n_params": sum(p.numel() for p in model.parameters()),
        "loss": named if loss_fn else "",
        "device": str(output.device),
        "dtype": str(output.dtype).removeprefix("torch."),
    }


def _tracked(inputs: Any) -> Any:
    """Copies of the inputs, so that gradients reach every layer."""

    def track(tensor: Tensor) -> Tensor:
        copy = tensor.detach().clone()
        return copy.requires_grad_() if copy.is_floating_point() else copy

    return batches.each(track, inputs)


def _watch(model: nn.Module, steps: list[_Step], first: Tensor | None):
    calls: dict[str, int] = {}
    before: list[Tensor | None] = [first]

    def hook(name):
        def record(layer, args, output):
            out = output[0] if isinstance(output, tuple) else output
            if not isinstance(out, Tensor) or not out.is_floating_point():
                return
            calls[name] = calls.get(name, 0) + 1
            label = name or type(layer).__name__
            if calls[name] > 1:
                label = f"{label} ({calls[name]})"
            chained = len(args) == 1 and args[0] is before[0]
            stats = entry_moments(out)
            steps.append(_Step(label, layer, out, chained, stats))
            before[0] = out

        return record

    return [
        m.register_forward_hook(hook(name))
        for name, m in model.named_modules()
        if not any(True for _ in m.children())
        or isinstance(m, nn.MultiheadAttention)
    ]


def entry_moments(t: Tensor | None) -> tuple[float, float, float]:
    """Mean, variance and second moment over all entries, in float64."""
    if t is None:
        return (math.nan,) * 3
    t = exact(t.detach())
    mean = float(t.mean())
    return mean, float(t.var(correction=0)), float(t.square().mean())


def cotangent(output, batch, loss_fn, seed, generator) -> Tensor:
    """What is sent back from the output: the loss's gradient, or noise."""
    source = make_generator(seed, generator)
    if loss_fn is None:
        noise = torch.randn(
            output.shape, generator=source, device=source.device
        )
        return noise.to(output)
    loss = batches.loss_caller(loss_fn)(output, batch)
    (grad,) = torch.autograd.grad(loss, output, retain_graph=True)
    return grad


def _passes(layer: nn.Module) -> bool:
    silent = isinstance(layer, Dropout) and (
        not layer.training or layer.p == 0
    )
    return silent or isinstance(layer, PASSING)


def _forward_theory(steps: list[_Step], first: Tensor | None) -> None:
    if first is None:
        return
    mean, variance, second = entry_moments(first)
    for step in steps:
        layer = step.layer
        if not step.chained:
            return
        if isinstance(layer, (nn.Linear, Convolution)):
            power = float(exact(layer.weight.detach()).square().mean())
            second = fans_of(layer, strides=True).fan_in * power * second
            if layer.bias is not None:
                bias = exact(layer.bias.detach())
                second += float(bias.square().mean())
            mean, variance = 0.0, second
            step.slope = fans_of(layer, strides=True).fan_out * power
        elif isinstance(layer, ELEMENTWISE):
            after = moments(layer, second)
            mean, second, step.slope = after
            variance = after.variance
        elif _passes(layer):
            step.slope = 1.0
        else:
            return
        step.theory = (mean, variance, second)


def _backward_theory(steps: list[_Step], last: float) -> np.ndarray:
    """From the last layer back, as far as the chain reaches."""
    out, grad = np.full(len(steps), math.nan), last
    for i in reversed(range(len(steps))):
        out[i] = grad
        if not steps[i].chained:
            break
        grad = grad * steps[i].slope
    return out
