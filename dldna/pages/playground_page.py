"""The optimizer playground: paths on a surface, moved by the reader.

The update rules stand in ``playground_rules.js`` and are held to
:mod:`dldna.optim` by a test.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dldna import checks
from dldna.optim import find
from dldna.pages.widget import FIGURE_SCRIPTS, FIGURE_STYLES, Widget, widget
from dldna.problems import PROBLEMS, Problem, problem
from dldna.records import Surface

PLAYERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"),
    *("amsgrad", "nadam", "radam", "adabelief", "lion", "signsgd"),
    *("adafactor", "lars", "lamb", "sophia", "shampoo", "prodigy"),
    *("dadapt_adam", "schedule_free_sgd", "schedule_free_adamw"),
    *("ademamix", "adopt", "mars", "cautious_adamw"),
    *("sam", "asam", "pal"),
)
"""The playground's optimizers. Muon, SOAP and Scion move matrices and are
left out; so is Entropy-SGD, whose walker is random. LARS takes the two weights
for one layer; Sophia has the Hessian's exact diagonal."""

SCRIPTS = (
    *FIGURE_SCRIPTS,
    *("playback.js", "playground_surfaces.js", "playground_share.js"),
    *("playground_draw.js", "playground_cards.js", "playground_start.js"),
    *("playground_network.js", "playground.js"),
)
"""The playground's script, in its pieces."""

What = str | Problem | Surface | Mapping[str, Any]


def player(name: str) -> str:
    """The playground's name of an optimizer, from any spelling.

    Args:
        name: as :func:`dldna.optim.find` knows it.

    Returns:
        One of :data:`PLAYERS`.

    Raises:
        ValueError: unknown, or none that moves two weights.

    Example:
        >>> player("SGD+"), player("D-Adaptation")
        ('momentum', 'dadapt_adam')
        >>> player("Muon")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: Muon does not play on two weights: ...
    """
    known = find(name)
    key = "sophia" if known.key.startswith("sophia") else known.key
    if key not in PLAYERS:
        raise ValueError(
            f"{known.name} does not play on two weights: choose from "
            f"{', '.join(PLAYERS)}"
        )
    return key


def playground(
    surface: What | Sequence[What] = "golden",
    optimizers: Sequence[str] = ("sgd", "momentum", "rmsprop", "adam"),
    *,
    start: Sequence[float] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    height: int = 400,
) -> Widget:
    """Paths of optimizers on a surface that the reader moves.

    The start is dragged by mouse or finger or moved by arrow keys; rates
    and decay rates by sliders. Where no rate is given, each optimizer
    begins with the best of 13 on this surface from its start: the lowest
    last loss among the rates that never rise above the start.

    Args:
        surface: one surface, or several to choose from: a name in
            ``dldna.problems.PROBLEMS`` ("all" for all of them), a Problem,
            a Surface (interpolated by cubics), or a slice of a network
            (``dldna.landscape.Slice`` or its ``to_dict()``).
        optimizers: :data:`PLAYERS` in any spelling, at most 8.
        start: where the paths of the first surface begin.
        settings: hyperparameters by optimizer, as
            ``{"adam": {"lr": 0.1, "betas": [0.9, 0.99]}}``.
        steps: number of steps.
        batch_size: samples in a batch, on a slice of a network; all if
            None.
        seed: of batches and of noise.
        height: of the map, in pixels.

    Returns:
        An object that shows itself in notebooks and pages.

    Raises:
        ValueError: unknown surface, optimizer or setting; a grid with
            uneven steps.

    Example:
        >>> "http" in playground("rosenbrock", ["adam"]).html
        False
        >>> playground("golden", ["adamm"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: unknown optimizer 'adamm': did you mean 'Adam'? ...
    """
    given = list(PROBLEMS) if surface == "all" else surface
    one = isinstance(given, (str, Problem, Surface, Mapping))
    one = one or hasattr(given, "to_dict")
    surfaces = [_describe(s, batch_size) for s in ([given] if one else given)]
    if not surfaces:
        raise ValueError("no surface: give at least one")
    if start is not None:
        surfaces[0]["start"] = [float(v) for v in start]
    names = [player(name) for name in optimizers]
    if len(names) > 8 or len(set(names)) < len(names):
        raise ValueError(
            f"at most 8 optimizers, each once, not {', '.join(names)}"
        )
    settings = {player(k): dict(v) for k, v in (settings or {}).items()}
    for hyper in settings.values():
        if "lr" in hyper:
            checks.positive("lr", hyper["lr"])
    content = {
        "surfaces": surfaces,
        "optimizers": names,
        "settings": settings,
        "steps": checks.count("steps", steps),
        "seed": int(seed),
    }
    return widget(
        *("playground.html", "PLAY", FIGURE_STYLES),
        SCRIPTS,
        content,
        HEIGHT=checks.count("height", height),
    )


def _describe(what: What, batch_size: int | None) -> dict[str, Any]:
    """A surface as the page's script reads it."""
    if isinstance(what, str):
        what = problem(what)
    if isinstance(what, Problem):
        return _of_problem(what)
    if isinstance(what, Surface):
        return _of_surface(what)
    if hasattr(what, "to_dict"):
        what = what.to_dict()
    return _of_slice(what, batch_size)


def _of_problem(p: Problem) -> dict[str, Any]:
    lowest = None
    if p.minima:
        x, y = p.minima[0]
        lowest = _at(p, x, y)
    return {
        "kind": "formula",
        "title": p.name.replace("-", " "),
        "description": p.description,
        "formula": p.formula,
        "slopes": list(p.slopes),
        "noise": list(p.noise),
        "extent": [float(v) for pair in p.bounds for v in pair],
        "start": list(p.start),
        "minima": [list(m) for m in p.minima],
        "lowest": lowest,
    }


def _at(p: Problem, x: float, y: float) -> float:
    return p.f(torch.tensor([x, y], dtype=torch.float64, device="cpu")).item()


def _of_surface(r: Surface) -> dict[str, Any]:
    extent = []
    for name, axis in (("alphas", r.alphas), ("betas", r.betas)):
        gaps = np.diff(axis)
        if len(axis) < 3 or not np.allclose(gaps, gaps.mean(), rtol=1e-3):
            raise ValueError(
                f"the playground needs at least 3 evenly spaced {name}"
            )
        extent += [float(axis[0]), float(axis[-1])]
    grid = r.losses.T
    if not np.isfinite(grid).all():
        raise ValueError(
            f"{int((~np.isfinite(grid)).sum())} losses of the surface are "
            "not finite: choose a smaller extent"
        )
    at = [extent[0] + 0.8 * (extent[1] - extent[0])]
    at += [extent[2] + 0.8 * (extent[3] - extent[2])]
    about = ", ".join(x for x in (r.provenance.model, r.provenance.data) if x)
    return {
        "kind": "grid",
        "title": about or "loss surface",
        "description": "Loss on a plane through parameter space, cubics "
        f"between {len(r.alphas)} by {len(r.betas)} measured points. Outside "
        "nothing is known.",
        "names": ["alpha", "beta"],
        "grid": grid.tolist(),
        "extent": extent,
        "start": at,
    }


def _of_slice(what: Mapping[str, Any], batch: int | None) -> dict[str, Any]:
    needed = ("activation", "weights", "biases", "free", "x", "y", "extent")
    missing = [k for k in needed if k not in what]
    if missing:
        raise ValueError(f"this slice of a network lacks {missing}")
    checks.choice("activation", what["activation"], _ACTIVATIONS)
    grid = what.get("grid")
    if isinstance(grid, str):  # base64 of float32, row by row
        raw = np.frombuffer(base64.b64decode(grid), dtype="<f4")
        grid = raw.reshape(what["shape"])
    x = np.asarray(what["x"], dtype=float)
    start = what.get("start")
    if start is None:
        start = [
            what["biases"][k][i] if j < 0 else what["weights"][k][i][j]
            for k, i, j in what["free"]
        ]
    return {
        "kind": "network",
        "title": what.get("title", f"{what['activation']} network"),
        "description": what.get(
            "description",
            f"Mean squared error of a network on {len(x)} points as a "
            "function of two of its parameters; the others stay fixed.",
        ),
        **{k: what[k] for k in ("activation", "weights", "biases")},
        "free": [list(p) for p in what["free"]],
        "x": _short(x, 5),
        "y": _short(np.asarray(what["y"], dtype=float).reshape(len(x), -1), 5),
        "extent": [float(v) for v in what["extent"]],
        "start": [float(v) for v in start],
        **({} if grid is None else {"grid": _short(np.asarray(grid))}),
        **({} if batch is None else {"batch_size": int(batch)}),
    }


_ACTIVATIONS = ("relu", "sigmoid", "tanh")


def _short(rows: np.ndarray, digits: int = 6) -> list[list[float]]:
    """As many digits as a picture needs."""
    return [[float(f"{v:.{digits}g}") for v in row] for row in rows.tolist()]
