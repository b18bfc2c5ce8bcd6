"""A slice as plain values, for pages that go on without Python."""

import base64
from collections.abc import Sequence
from typing import Any

import torch

from dldna import checks

Window = float | tuple[float, float, float, float]


def as_dict(
    slice_: Any,
    extent: Window,
    resolution: int,
    start: Sequence[float] | None,
    packed: bool,
) -> dict[str, Any]:
    """JSON values: see :meth:`Slice.to_dict`."""
    surface = slice_.surface(extent, resolution)
    losses = surface.losses.T.astype("<f4")
    grid: Any = _short(losses)
    if packed:
        grid = base64.b64encode(losses.tobytes()).decode()
    begin = slice_.start
    if start is not None:
        begin = torch.as_tensor(start, device="cpu")
    return {
        "widths": [
            slice_.weights[0].shape[1],
            *(w.shape[0] for w in slice_.weights),
        ],
        "activation": slice_.activation,
        "weights": [w.tolist() for w in slice_.weights],
        "biases": [b.tolist() for b in slice_.biases],
        "free": [list(p) for p in slice_.free],
        "names": slice_.names,
        "x": _short(slice_.x),
        "y": _short(slice_.y),
        "extent": list(window_of(extent)),
        "grid": grid,
        "shape": list(losses.shape),
        "start": begin.tolist(),
    }


def _short(values: Any) -> Any:
    """Nested lists with seven digits."""
    if values.ndim:
        return [_short(v) for v in values]
    return float(f"{values.item():.7g}")


def window_of(extent: Window) -> tuple[float, float, float, float]:
    """Lows and highs of both axes, from a half width or themselves."""
    if isinstance(extent, (int, float)):
        half = float(checks.positive("extent", extent))
        return (-half, half, -half, half)
    if len(extent) != 4 or extent[0] >= extent[1] or extent[2] >= extent[3]:
        raise ValueError(
            "extent must be a half width or (low, high, low, high), "
            f"not {extent}"
        )
    return tuple(float(v) for v in extent)
