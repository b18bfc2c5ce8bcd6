"""The init lab: depth x activation x scheme, moved by sliders in the page."""

import math
from collections.abc import Mapping
from typing import Any

from dldna import checks
from dldna.pages.widget import Widget, widget

# What each scheme does to an n x n matrix.
_ABOUT = {
    "lecun_normal": "variance 1/n",
    "xavier_uniform": "variance 1/n",
    "kaiming_normal": "variance 2/n",
    "torch_default": "variance 1/(3n)",
    "orthogonal": "orthogonal, all singular values 1",
    "scaled_orthogonal": "orthogonal, all singular values √2",
    "double_counted_orthogonal": "a mistake: all singular values √(2/n)",
    "constant_variance": "a mistake: variance 0.81 for any n",
}


def init_lab(
    grid: Mapping[str, Any],
    *,
    depth: int | None = None,
    activation: str = "relu",
    scheme: str = "lecun_normal",
) -> Widget:
    """Sliders over a precomputed grid of signal propagation.

    Args:
        grid: what ``dldna.init.lab_grid`` gives.
        depth: where the first slider starts; the middle if None.
        activation: where the second one starts.
        scheme: where the third one starts.

    Returns:
        An object that shows itself in notebooks and pages.

    Raises:
        ValueError: the grid does not hold what the sliders start from.

    Example:
        >>> side = {"measured": [0.0], "predicted": [0.1]}
        >>> grid = {"depths": [1], "activations": ["relu"], "width": 8,
        ...     "schemes": ["lecun_normal"], "seeds": 1,
        ...     "cells": {"lecun_normal/relu": {
        ...         "forward": {**side, "spread": [0.0]},
        ...         "backward": {"1": side}}}}
        >>> "http" in init_lab(grid).html
        False
    """
    depths, acts, names = (
        list(grid[k]) for k in ("depths", "activations", "schemes")
    )
    if depth is None:
        depth = depths[len(depths) // 2]
    checks.choice("depth", str(depth), [str(d) for d in depths])
    checks.choice("activation", activation, acts)
    checks.choice("scheme", scheme, names)
    content = {
        **{k: grid[k] for k in ("depths", "activations", "schemes")},
        "about": {k: v for k, v in _ABOUT.items() if k in names},
        "cells": _finite(grid["cells"]),
    }
    return widget(
        *("init_lab.html", "LAB", ("widget.css", "init_lab.css")),
        ("page.js", "init_lab.js"),
        content,
        DEPTHS=len(depths) - 1,
        DEPTH=depths.index(depth),
        ACTIVATIONS=len(acts) - 1,
        ACTIVATION=acts.index(activation),
        SCHEMES=len(names) - 1,
        SCHEME=names.index(scheme),
        SEEDS=int(grid["seeds"]),
        WIDTH=int(grid["width"]),
    )


def _finite(value: Any) -> Any:
    """What is not finite becomes null, which JSON can say."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value if math.isfinite(value) else None
