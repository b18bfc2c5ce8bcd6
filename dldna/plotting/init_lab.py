"""The init lab: depth x activation x scheme, moved by sliders in the page.

Everything is in one piece of HTML: numbers, style and script. It asks
nothing of a server or a kernel, so it works in the rendered page, from
disk, in Jupyter and in Colab.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any
from zlib import crc32

from dldna import checks

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


@dataclass(frozen=True)
class InitLab:
    """The lab as HTML; as a cell's last line it shows itself.

    Args:
        html: the whole widget.
    """

    html: str

    def _repr_html_(self) -> str:
        return self.html


def init_lab(
    grid: Mapping[str, Any],
    *,
    depth: int | None = None,
    activation: str = "relu",
    scheme: str = "lecun_normal",
) -> InitLab:
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
    data = json.dumps(
        {
            **{k: grid[k] for k in ("depths", "activations", "schemes")},
            "about": {k: v for k, v in _ABOUT.items() if k in names},
            "cells": _finite(grid["cells"]),
        },
        separators=(",", ":"),
        allow_nan=False,
    ).replace("<", "\\u003c")
    fields = {
        "LAB_STYLE": _read("init_lab.css"),
        "LAB_SCRIPT": _read("init_lab.js"),
        "LAB_DATA": data,
        "LAB_DEPTHS": len(depths) - 1,
        "LAB_DEPTH": depths.index(depth),
        "LAB_ACTIVATIONS": len(acts) - 1,
        "LAB_ACTIVATION": acts.index(activation),
        "LAB_SCHEMES": len(names) - 1,
        "LAB_SCHEME": names.index(scheme),
        "LAB_SEEDS": int(grid["seeds"]),
        "LAB_WIDTH": int(grid["width"]),
        "LAB_ID": f"dldna-lab-{crc32(data.encode()):08x}",
    }
    html = _read("init_lab.html")
    for key in sorted(fields, key=len, reverse=True):
        if key != "LAB_ID":
            html = html.replace(key, str(fields[key]))
    return InitLab(html.replace("LAB_ID", fields["LAB_ID"]))


def _read(name: str) -> str:
    home = resources.files("dldna.plotting")
    return (home / name).read_text(encoding="utf-8").strip()


def _finite(value: Any) -> Any:
    """What is not finite becomes null, which JSON can say."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value if math.isfinite(value) else None
