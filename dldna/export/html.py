"""One file that opens in any browser, without a network.

What runs in it stands in the files of :mod:`dldna.pages`.
"""

import html
import json
from importlib import resources
from typing import Any

import numpy as np

SCRIPTS = (
    *("page.js", "drawing.js", "solid.js"),
    *("viewer_rules.js", "viewer.js"),
)


def page(
    alphas: np.ndarray,
    betas: np.ndarray,
    losses: np.ndarray,
    *,
    evaluated: np.ndarray | None = None,
    metrics: dict[str, np.ndarray] | None = None,
    axes: tuple[str, str] = ("", ""),
    path_coords: np.ndarray | None = None,
    path_losses: np.ndarray | None = None,
    path_projected: np.ndarray | None = None,
    title: str = "Loss surface",
    words: str = "",
) -> str:
    """A surface that turns, its contours, and its path, as one page.

    Nothing is loaded from anywhere. Names are escaped; NaN and inf keep
    their places and are drawn in grey.

    Args:
        alphas: (A,) coordinates.
        betas: (B,) coordinates.
        losses: (A, B).
        evaluated: (A, B) which points have values; all by default.
        metrics: more values by name, each (A, B).
        axes: names of the two directions.
        path_coords: (T, 2) a trajectory.
        path_losses: (T,) its true losses.
        path_projected: (T,) the losses at its projections.
        title: of the page.
        words: a report, shown below.

    Returns:
        The page's text.

    Example:
        >>> text = page(np.arange(2.0), np.arange(2.0), np.eye(2),
        ...             title="<script>")
        >>> "&lt;script&gt;" in text, "src=" in text
        (True, False)
    """
    losses = np.asarray(losses, dtype=np.float64)
    if evaluated is None:
        evaluated = np.ones(losses.shape, dtype=bool)
    data = {
        "alphas": _list(alphas),
        "betas": _list(betas),
        "losses": _list(losses),
        "evaluated": np.asarray(evaluated).astype(int).tolist(),
        "metrics": {str(k): _list(v) for k, v in (metrics or {}).items()},
        "axes": [str(a) for a in axes],
        "path": _list([] if path_coords is None else path_coords),
        "pathLosses": _list([] if path_losses is None else path_losses),
        "pathProjected": _list(
            [] if path_projected is None else path_projected
        ),
    }
    parts = {
        "TITLE": html.escape(title),
        "STYLE": read("widget.css") + read("viewer.css"),
        "DATA": in_script(data),
        "SCRIPT": "\n".join(map(read, SCRIPTS)),
        "WORDS": html.escape(words),
    }
    pieces = read("viewer.html").split("@@")
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def read(name: str) -> str:
    """A file of :mod:`dldna.pages`."""
    home = resources.files("dldna") / "pages"
    return (home / name).read_text(encoding="utf-8").strip()


def in_script(content: Any) -> str:
    """JSON that can stand in a script element.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> in_script({"a": "</script>"})
        '{"a":"\\\\u003c/script>"}'
    """
    text = json.dumps(
        content, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.replace("<", "\\u003c")


def _list(values: Any) -> list:
    """Nested lists in which NaN and inf are words, as JSON has neither."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1:
        return [_list(row) for row in array]
    return [
        float(f"{v:.9g}") if np.isfinite(v) else str(float(v)) for v in array
    ]
