"""A network that learns in the page, and the ground beneath it.

Its arithmetic stands in ``live_network_rules.js`` and is held to torch, to
:mod:`dldna.optim` and to :mod:`dldna.init` by a test.
"""

import base64
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dldna import checks
from dldna.data import Dataset, load
from dldna.init.propagation_grid import LAB_NEGATIVE, LAB_SCHEMES
from dldna.pages.widget import FIGURE_SCRIPTS, FIGURE_STYLES, Widget, widget

LEARNERS = (
    *("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"),
    *("lion", "muon"),
)
"""The live network's optimizers. Muon moves the matrices between the first
layer and the last, AdamW the rest, as ``optim.muon_and_adamw`` does."""

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "linear")
PLANES = ("random", "path", "hessian")
DEPTHS, WIDTHS = (0, 1, 2, 3, 4, 6, 8), (2, 4, 8, 16, 24, 32)
BATCHES = (8, 32)
ALL = 100_000  # samples: more than any set here has
MOST_SAMPLES = {"train": 240, "test": 120}
SIDE = 8  # images are shrunk to so many pixels a side
SCRIPTS = (
    *FIGURE_SCRIPTS,
    *("matrix_math.js", "matrix_rules.js", "live_network_rules.js"),
    *("live_network_planes.js", "live_network_run.js"),
    *("live_network_views.js", "live_network.js"),
)


def live_network(
    data: str | Dataset | Sequence[str | Dataset] = ("moons", "clothes"),
    *,
    depth: int = 2,
    width: int = 16,
    activation: str = "tanh",
    start: str = "xavier_uniform",
    optimizer: str = "sgd",
    lr: float = 0.5,
    batch_size: int | None = None,
    plane: str = "random",
    seed: int = 0,
    height: int = 260,
) -> Widget:
    r"""A small classifier that learns in the page, beside its landscape.

    All of it runs in the page, from disk, without a kernel: forward and
    backward, exact products with the Hessian, the optimizer's step. While it
    learns, a plane through its weights, its largest curvature

    .. math:: \lambda_{\max}(\nabla^2 L) \quad\text{beside}\quad 2/\eta,

    and the weights and gradients of its layers are measured anew, on all
    the training samples. The reader chooses layers, activation, start,
    optimizer, rate, batch and plane, and can put the network elsewhere on
    the plane by hand.

    Args:
        data: one set or several to choose from: names of
            :func:`dldna.data.load` or data sets, points in the plane or
            images. Of each, 240 training and 120 test samples are embedded,
            as bytes; images are shrunk to 8 by 8 grey values.
        depth: number of hidden layers, one of 0, 1, 2, 3, 4, 6, 8.
        width: units in each, one of 2, 4, 8, 16, 24, 32.
        activation: relu, leaky_relu, tanh, sigmoid or linear.
        start: a scheme of the init lab; biases are 0.
        optimizer: one of :data:`LEARNERS`.
        lr: learning rate, from 1e-5 to 31.
        batch_size: 8 or 32 samples; all of them if None.
        plane: "random", "path" or "hessian".
        seed: of the start, the batches and the random directions.
        height: of each picture, in pixels.

    Returns:
        An object that shows itself in notebooks and pages.

    Raises:
        ValueError: a setting that the page does not offer, or a set that is
            neither points in the plane nor images.

    Example:
        >>> page = live_network("moons", optimizer="adam", lr=0.01)
        >>> "http" in page.html
        False

    References:
        Pearlmutter, 1994, "Fast exact multiplication by the Hessian".
        Cohen, J., et al., 2021, ICLR, arXiv 2103.00065.
    """
    one = isinstance(data, (str, Dataset))
    sets = [_load(d, seed) for d in ([data] if one else data)]
    if not sets:
        raise ValueError("no data: give at least one set")
    if not 1e-5 <= checks.positive("lr", lr) <= 10**1.5:
        raise ValueError(f"lr must lie from 1e-5 to 31, got {lr:g}")
    if batch_size is not None:
        _offered("batch_size", batch_size, BATCHES)
    settings = {
        "data": 0,
        "depth": _offered("depth", depth, DEPTHS),
        "width": _offered("width", width, WIDTHS),
        "activation": checks.choice("activation", activation, ACTIVATIONS),
        "start": checks.choice("start", start, LAB_SCHEMES + LAB_NEGATIVE),
        "optimizer": checks.choice("optimizer", optimizer, LEARNERS),
        "lr": math.log10(lr),
        "batch": ALL if batch_size is None else batch_size,
        "speed": 1,
        "plane": checks.choice("plane", plane, PLANES),
        "seed": int(seed),
    }
    return widget(
        *("live_network.html", "LIVE"),
        (*FIGURE_STYLES, "live_network.css"),
        SCRIPTS,
        {"data": [_described(d) for d in sets], "settings": settings},
        HEIGHT=checks.count("height", height),
    )


def _offered(name: str, value: int, offered: Sequence[int]) -> int:
    """A number that the page's menu has."""
    if value not in offered:
        raise ValueError(
            f"{name} must be one of {', '.join(map(str, offered))}, "
            f"got {value}"
        )
    return int(value)


def _load(what: str | Dataset, seed: int) -> Dataset:
    return load(what, seed=seed) if isinstance(what, str) else what


def _described(dataset: Dataset) -> dict[str, Any]:
    """A data set as the page's script reads it: bytes and labels."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            "the live network takes points in the plane or images, not "
            f"{dataset!r}"
        )
    if len(dataset.classes) > 10:
        raise ValueError(
            f"the live network tells at most 10 classes apart, and "
            f"{dataset.name} has {len(dataset.classes)}"
        )
    parts = {}
    for name, most in MOST_SAMPLES.items():
        x = _flat(getattr(dataset, f"{name}_x")[:most], dataset.name)
        y = getattr(dataset, f"{name}_y")[:most]
        parts[name] = (x, "".join(map(str, y.tolist())))
    train = parts["train"][0]
    low, high = train.min().item(), train.max().item()
    if not math.isfinite(high - low) or high == low:
        raise ValueError(
            f"the inputs of {dataset.name} are all alike, or not all finite"
        )
    return {
        "title": dataset.name,
        "width": train.shape[1],
        "classes": len(dataset.classes),
        "low": low,
        "high": high,
        **{name: _bytes(x, low, high) for name, (x, _) in parts.items()},
        **{f"{name}_y": y for name, (_, y) in parts.items()},
    }


def _flat(x: Tensor, name: str) -> Tensor:
    """Points as they are; images as rows of a few grey values."""
    if x.dim() == 4:
        grey = x.double().mean(1, keepdim=True)
        return F.adaptive_avg_pool2d(grey, SIDE).flatten(1)
    if x.dim() == 2 and x.shape[1] == 2:
        return x.double()
    raise ValueError(
        f"the live network takes images or points in the plane; the samples "
        f"of {name} have the shape {tuple(x.shape[1:])}"
    )


def _bytes(x: Tensor, low: float, high: float) -> str:
    """Numbers from low to high in 256 levels, as base64."""
    levels = ((x - low) / (high - low) * 255).round().clamp(0, 255)
    return base64.b64encode(levels.to(torch.uint8).numpy().tobytes()).decode()
