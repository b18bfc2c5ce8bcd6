r"""Depth x activation x scheme: measured and predicted, for the whole grid.

A stack of L layers of one width without biases, N(0, 1) inputs, N(0, 1)
numbers sent back from the last output. The forward quantity is
:math:`E[h_l^2]` of the preactivations (their variance: they have no mean),
the backward one :math:`E[\delta_l^2]`, the squared gradient by
:math:`h_l`. Both are averaged as logarithms over seeds, since in a network
of finite width they spread as a log-normal of variance about
:math:`5L/n`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import checks
from dldna.init.gaussian import Activation, function
from dldna.init.schemes import SCHEMES, variance_of
from dldna.init.theory import predict_layers

LAB_ACTIVATIONS = ("linear", "relu", "leaky_relu", "tanh", "gelu")
LAB_SCHEMES = (
    "lecun_normal",
    "xavier_uniform",
    "kaiming_normal",
    "torch_default",
    "orthogonal",
    "scaled_orthogonal",
)
LAB_NEGATIVE = ("double_counted_orthogonal", "constant_variance")


def stack_weights(
    scheme: str,
    depth: int,
    width: int,
    generator: torch.Generator,
) -> list[Tensor]:
    """Square weights of a stack, float64.

    Args:
        scheme: a name of ``SCHEMES``.
        depth: number of layers.
        width: units per layer.
        generator: source of the numbers.

    Returns:
        ``depth`` tensors of shape (width, width).
    """
    fill = SCHEMES[checks.choice("scheme", scheme, SCHEMES)]
    return [
        fill(
            torch.empty(width, width, dtype=torch.float64, device="cpu"),
            generator=generator,
        )
        for _ in range(depth)
    ]


def signals(
    weights: Sequence[Tensor],
    activation: Activation,
    x: Tensor,
    back: Tensor,
    depths: Sequence[int],
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    r"""Second moments through a stack, forward and from several ends.

    Args:
        weights: (n, n) each.
        activation: a name or an elementwise function.
        x: (B, n) inputs.
        back: (B, n) what is sent back from the last activations.
        depths: lengths of the stack to send it back from.

    Returns:
        E[h_l^2] for each layer, shape (L,), and for each depth D the
        E[delta_l^2] of its D layers, shape (D,).

    Example:
        >>> w, x = [torch.eye(3) * 2] * 2, torch.ones(1, 3)
        >>> forward, backward = signals(w, "linear", x, x, [2])
        >>> forward.tolist(), backward[2].tolist()
        ([4.0, 16.0], [4.0, 1.0])
    """
    phi, slopes, forward = function(activation), [], []
    for w in weights:
        h = (x @ w.T).requires_grad_()
        with torch.enable_grad():
            out = phi(h)
        (slope,) = torch.autograd.grad(out.sum(), h)
        slopes.append(slope)
        forward.append(float(h.detach().square().mean()))
        x = out.detach()
    backward = {}
    for depth in depths:
        delta, found = back * slopes[depth - 1], []
        for l in range(depth - 1, -1, -1):
            found.append(float(delta.square().mean()))
            if l:
                delta = (delta @ weights[l]) * slopes[l - 1]
        backward[depth] = np.array(found[::-1])
    return np.array(forward), backward


def _measure(schemes, activations, depths, width, samples, seeds):
    """(scheme, activation) -> log10 forward (S, L), backward {D: (S, D)}."""
    found: dict[tuple[str, str], list] = {}
    for scheme in schemes:
        for seed in range(seeds):
            g = torch.Generator().manual_seed(seed)
            weights = stack_weights(scheme, max(depths), width, g)
            shape = 2, samples, width
            x, back = torch.randn(
                shape, dtype=torch.float64, generator=g, device="cpu"
            )
            for act in activations:
                run = signals(weights, act, x, back, depths)
                found.setdefault((scheme, act), []).append(run)
    return {
        key: (
            np.log10([f for f, _ in runs]),
            {d: np.log10([b[d] for _, b in runs]) for d in depths},
        )
        for key, runs in found.items()
    }


def _predict(scheme, activation, depth, width):
    factor = width * variance_of(scheme, width, width)
    r = predict_layers(activation, [factor] * depth)
    return np.log10(r.pre), np.log10(r.grad)


def _sensitivity(scheme, activation, depth, width):
    """d ln E[h_L^2] / d ln E[x_0^2]: how a small error grows."""
    factor, h = width * variance_of(scheme, width, width), 1e-3
    up, down = (
        predict_layers(activation, [factor] * depth, second_moment=1 + e)
        for e in (h, -h)
    )
    return float(np.log(up.pre[-1] / down.pre[-1]) / (2 * h))


def theory_table(
    depth: int = 20,
    *,
    activations: Sequence[str] = LAB_ACTIVATIONS,
    schemes: Sequence[str] = LAB_SCHEMES,
    width: int = 256,
    samples: int = 64,
    seeds: int = 5,
) -> list[dict[str, Any]]:
    """Theory beside measurement after ``depth`` layers.

    Args:
        depth: number of layers.
        activations: names of activations.
        schemes: names of schemes.
        width: units per layer.
        samples: inputs per run.
        seeds: runs, each with its own weights and inputs.

    Returns:
        One row for each scheme and activation: "scheme", "activation",
        and for "forward" (log10 E[h^2] at the last layer) and "backward"
        (log10 E[delta^2] at the first) the "_predicted", "_measured"
        (mean over seeds), "_spread" (standard deviation over seeds), and
        "_deviation" (measured minus predicted). "sensitivity" is
        d ln E[h_L^2] / d ln E[x_0^2] in theory: far above 1 (GELU with
        Kaiming's gain), a finite width's random errors grow on the way,
        and the deviation shrinks only as the width grows.

    Example:
        >>> rows = theory_table(3, activations=["relu"], width=64,
        ...     schemes=["kaiming_normal"], seeds=2)
        >>> abs(rows[0]["forward_deviation"]) < 0.3
        True
    """
    for name, n in (("depth", depth), ("width", width), ("seeds", seeds)):
        checks.count(name, n)
    found = _measure(schemes, activations, [depth], width, samples, seeds)
    rows = []
    for (scheme, act), (forward, backward) in found.items():
        pre, grad = _predict(scheme, act, depth, width)
        row: dict[str, Any] = {
            "scheme": scheme,
            "activation": act,
            "sensitivity": _sensitivity(scheme, act, depth, width),
        }
        for name, runs, theory in (
            ("forward", forward[:, -1], pre[-1]),
            ("backward", backward[depth][:, 0], grad[0]),
        ):
            row[f"{name}_predicted"] = float(theory)
            row[f"{name}_measured"] = float(runs.mean())
            row[f"{name}_spread"] = float(runs.std(ddof=seeds > 1))
            row[f"{name}_deviation"] = float(runs.mean() - theory)
        rows.append(row)
    return rows


def lab_grid(
    depths: Sequence[int] = (5, 10, 20, 30),
    *,
    activations: Sequence[str] = LAB_ACTIVATIONS,
    schemes: Sequence[str] = LAB_SCHEMES + LAB_NEGATIVE,
    width: int = 256,
    samples: int = 64,
    seeds: int = 5,
) -> dict[str, Any]:
    """The whole grid, ready for ``json.dump``: about 50 kB.

    Args:
        depths: numbers of layers to offer.
        activations: names of activations.
        schemes: names of schemes.
        width: units per layer.
        samples: inputs per run.
        seeds: runs.

    Returns:
        A dict of lists and numbers. ``cells[f"{scheme}/{activation}"]``
        holds "forward" with "measured", "spread" and "predicted" (one
        entry per layer of the deepest stack), and "backward" with, for
        each depth as text, "measured" and "predicted" (one entry per
        layer). All values are log10 of variances.

    Example:
        >>> grid = lab_grid([2], activations=["relu"], width=32, seeds=1,
        ...     schemes=["kaiming_normal"])
        >>> cell = grid["cells"]["kaiming_normal/relu"]
        >>> cell["forward"]["predicted"]
        [0.301, 0.301]
    """
    depths = sorted({checks.count("depths", d) for d in depths})
    found = _measure(schemes, activations, depths, width, samples, seeds)
    cells = {}
    for (scheme, act), (forward, backward) in found.items():
        pre, _ = _predict(scheme, act, depths[-1], width)
        cells[f"{scheme}/{act}"] = {
            "forward": {
                "measured": _short(forward.mean(0)),
                "spread": _short(forward.std(0)),
                "predicted": _short(pre),
            },
            "backward": {
                str(d): {
                    "measured": _short(backward[d].mean(0)),
                    "predicted": _short(_predict(scheme, act, d, width)[1]),
                }
                for d in depths
            },
        }
    return {
        "depths": depths,
        "activations": list(activations),
        "schemes": list(schemes),
        "width": width,
        "samples": samples,
        "seeds": seeds,
        "unit": "log10 variance",
        "cells": cells,
    }


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{v:.3f}") for v in values]
