"""How a record shows itself: what it holds, without every number."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

FEW = 8  # numbers, entries


def shown(value: Any) -> str:
    """A value in a line: arrays of many numbers by shape and range.

    Example:
        >>> shown(np.arange(3)), shown(np.linspace(0, 1, 50).reshape(5, 10))
        ('array([0, 1, 2])', '<5 x 10, 0 to 1>')
        >>> shown({"accuracy": np.ones(40), "seeds": [*range(100)]})
        "{'accuracy': <40, 1 to 1>, 'seeds': [0, 1, ..., 99]}"
    """
    if isinstance(value, np.ndarray) and value.size > FEW:
        return _array(value)
    if isinstance(value, Mapping):
        pairs = [f"{k!r}: {shown(v)}" for k, v in value.items()]
        return "{" + ", ".join(_ends(pairs)) + "}"
    if isinstance(value, (list, tuple)) and len(value) > FEW:
        left, right = "[]" if isinstance(value, list) else "()"
        return left + ", ".join(_ends([*map(shown, value)])) + right
    return repr(value)


def _ends(words: list[str]) -> Iterable[str]:
    if len(words) <= FEW:
        return words
    return *words[:2], "...", words[-1]


def _array(array: np.ndarray) -> str:
    shape = " x ".join(map(str, array.shape))
    if array.dtype.kind not in "iuf":
        return f"<{shape}, {array.dtype}>"
    finite = array[np.isfinite(array)]
    if not finite.size:
        return f"<{shape}, none finite>"
    rest = array.size - finite.size
    words = f"{finite.min():.4g} to {finite.max():.4g}"
    return f"<{shape}, {words}{f', {rest} not finite' if rest else ''}>"
