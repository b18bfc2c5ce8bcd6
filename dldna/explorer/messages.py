"""What a page may ask, checked strictly, and the answers.

A message is a dict: ``"ask"``, one of :data:`ASKS`, and exactly the fields
that stand there. Numbers must lie in a range and words in a list; nothing
that a page says is a path or is run. Both transports, the notebook's and the
browser's, hand messages to :func:`answer`.
"""

import base64
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dldna import checks
from dldna.explorer.addresses import LEVELS, SIDE, Address
from dldna.explorer.kept_views import keep
from dldna.explorer.session import SEEDS, Explorer
from dldna.explorer.tiles import STRIDES
from dldna.explorer.walkers import STEPS, WALKERS, Walker

FAR = 1e9  # coordinates
CUT = 513  # points of a cut
PIECE = 0.5  # seconds that others wait for a part of a tile or a walk, about
COARSE = 64  # points that need no coarser ones if they take no longer


def number(low: float, high: float) -> Callable:
    """A field that is a number of a range."""

    def check(name: str, value: Any, here: Explorer) -> float:
        if not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number")
        if not low <= checks.number(name, value) <= high:
            raise ValueError(f"{name} must lie from {low:g} to {high:g}")
        return float(value)

    return check


def count(low: int, high: int) -> Callable:
    """A field that is a whole number of a range."""

    def check(name: str, value: Any, here: Explorer) -> int:
        if type(value) is not int:
            raise TypeError(f"{name} must be a whole number")
        if not low <= value <= high:
            raise ValueError(f"{name} must lie from {low} to {high}")
        return value

    return check


def one_of(words: Callable[[Explorer], Any]) -> Callable:
    """A field that is a word of a list."""

    def check(name: str, value: Any, here: Explorer) -> str:
        known = words(here)
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} must be one of: {', '.join(known)}")
        return value

    return check


def side(name: str, value: Any, here: Explorer) -> int:
    """The field that names one of the networks side by side."""
    return count(0, here.maps - 1)(name, value, here)


def stride(name: str, value: Any, here: Explorer) -> int:
    """The field that names a stage of a tile."""
    if count(1, SIDE)(name, value, here) not in STRIDES:
        raise ValueError(f"{name} must be one of: {STRIDES}")
    return value


PLANE = {
    "side": side,
    "directions": one_of(lambda e: e.directions),
    "seed": count(0, SEEDS - 1),
    "statistics": one_of(lambda e: e.ways),
}
POINT = {"a": number(-FAR, FAR), "b": number(-FAR, FAR)}
ASKS: dict[str, dict[str, Callable]] = {
    "about": {},
    "plane": PLANE,
    "tile": {
        **PLANE,
        "level": count(-99, 99),
        "i": count(-(2**31), 2**31),
        "j": count(-(2**31), 2**31),
        "stride": stride,
        "first": count(0, SIDE * SIDE - 1),
    },
    "probe": PLANE | POINT,
    "curvature": PLANE | POINT,
    "cut": {
        **PLANE,
        **POINT,
        "c": number(-FAR, FAR),
        "d": number(-FAR, FAR),
        "points": count(2, CUT),
    },
    "walk": {
        **PLANE,
        **POINT,
        "optimizer": one_of(lambda e: WALKERS),
        "steps": count(1, STEPS),
        "lr": number(1e-12, 1e6),
    },
    "further": {"walker": count(0, 2**31)},
    "stop": {"walker": count(0, 2**31)},
    "save": PLANE | POINT | {"span": number(1e-12, FAR)},
}


def checked(here: Explorer, message: Any) -> tuple[str, dict[str, Any]]:
    """A message's kind and its fields.

    Raises:
        ValueError: an unknown kind, or a value out of its range.
        TypeError: a field missing, too many, or of the wrong kind.
    """
    if not isinstance(message, dict):
        raise TypeError("a message is an object")
    ask = message.get("ask")
    if not isinstance(ask, str) or ask not in ASKS:
        raise ValueError(f"ask must be one of: {', '.join(ASKS)}")
    fields = ASKS[ask]
    if set(message) != {"ask", *fields}:
        raise TypeError(f"{ask} takes: {', '.join(fields) or 'nothing'}")
    return ask, {k: f(k, message[k], here) for k, f in fields.items()}


def answer(here: Explorer, message: Any) -> dict[str, Any]:
    """What a page is told.

    Args:
        here: the maps.
        message: from the page, not to be trusted.

    Returns:
        Of JSON's values only; where something was wrong, "error" says what.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> x = torch.eye(3)
        >>> maps = Explorer(nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1]))
        >>> answer(maps, {"ask": "quit"})["error"][:17]
        'ask must be one o'
    """
    try:
        ask, fields = checked(here, message)
        with here.lock, warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = ANSWERS[ask](here, **fields)
    except Exception as error:  # whatever the model does, the page lives on
        text = str(error).strip() or type(error).__name__
        return {"error": text}
    if said:
        found["said"] = [str(w.message) for w in said][:3]
    return found


def packed(values: np.ndarray) -> str:
    """Numbers as the page reads them: float32, little-endian, in base64."""
    flat = np.ascontiguousarray(values, dtype="<f4")
    return base64.b64encode(flat.tobytes()).decode("ascii")


def plain(value: Any) -> Any:
    """Numbers that JSON has: NaN and the infinities are words."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def about(here: Explorer) -> dict[str, Any]:
    """What the page can ask for here, and how it opens."""
    f = here.f
    own = f.provenance("map", None)
    return {
        "model": own.model,
        "parameters": f.n,
        "data": here.data_name or own.data,
        "samples": f.n_samples,
        "loss": own.loss,
        "extent": here.extent,
        "lowest": LEVELS[0],
        "deepest": LEVELS[1],
        "networks": here.maps,
        "directions": list(here.directions),
        "statistics": list(here.ways),
        "optimizers": list(WALKERS),
        "saves": here.out is not None,
        "live": True,
        "first": {
            "directions": here.first,
            "seed": here.seed,
            "statistics": here.statistics,
        },
    }


def _plane(here: Explorer, **plane: Any) -> dict[str, Any]:
    found = here.map(**plane)
    shadow, slow = found.shadow, found.seconds * COARSE > PIECE
    return plain(
        {
            "axes": [d.name for d in found.chosen],
            "done": [d.done for d in found.chosen],
            "centre": found.centre,
            "way": found.way,
            "seconds": found.seconds,
            "strides": STRIDES if slow else STRIDES[2:],
            "lengths": np.sqrt(np.diag(found.gram)),
            "product": float(found.gram[0, 1]),
            "path": [] if shadow is None else shadow.coords,
            "off": [] if shadow is None else shadow.distances,
        }
    )


def _tile(here: Explorer, level, i, j, stride, first, **plane) -> dict:
    """A stage of a tile, from its first point on as far as is soon told."""
    at, found = Address.checked(level, i, j), here.map(**plane)
    most = max(1, PIECE / max(found.seconds, 1e-9))
    losses, last = found.piece(at, stride, first, most)
    losses = packed(losses.ravel()[first:last])
    return {"stride": stride, "first": first, "losses": losses}


def _probe(here: Explorer, a, b, **plane) -> dict[str, Any]:
    return plain(here.map(**plane).probe(a, b))


def _curvature(here: Explorer, a, b, **plane) -> dict[str, Any]:
    return plain(here.map(**plane).curvature(a, b))


def _cut(here: Explorer, a, b, c, d, points, **plane) -> dict[str, Any]:
    return plain(here.map(**plane).cut((a, b), (c, d), points))


def _walk(
    here: Explorer, a, b, optimizer, steps, lr, **plane
) -> dict[str, Any]:
    """The first piece of a walk; "further" asks for each of the others."""
    walker = Walker(here.map(**plane), optimizer, (a, b), steps, lr)
    return plain(here.walkers.begin(walker, PIECE))


def _further(here: Explorer, walker: int) -> dict[str, Any]:
    return plain(here.walkers.further(walker, PIECE))


def _stop(here: Explorer, walker: int) -> dict[str, Any]:
    here.walkers.stop(walker)
    return {"stopped": walker}


def _save(here: Explorer, a, b, span, **plane) -> dict[str, Any]:
    return {"written": keep(here, (a, b), span, **plane).name}


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "about": about,
    "plane": _plane,
    "tile": _tile,
    "probe": _probe,
    "curvature": _curvature,
    "cut": _cut,
    "walk": _walk,
    "further": _further,
    "stop": _stop,
    "save": _save,
}
