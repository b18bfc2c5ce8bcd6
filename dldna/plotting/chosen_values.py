"""What a picture of a surface shows: its losses, or one of its metrics."""

from dataclasses import dataclass

import numpy as np

from dldna import checks
from dldna.plotting.style import expect
from dldna.records import Surface


@dataclass(frozen=True, eq=False)
class ChosenValues:
    """The values of a picture, and the word for them.

    Args:
        name: "loss", or the metric's own name.
        values: (A, B) of any numbers; what is not finite is kept.
        path: (T,) the same of the trajectory's checkpoints, or (0,) where
            nobody measured it.
        evaluated: (A, B) which points have been computed.
    """

    name: str
    values: np.ndarray
    path: np.ndarray
    evaluated: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """(A, B) points that were evaluated and are not finite."""
        return self.evaluated & ~np.isfinite(self.values)


def chosen_values(surface: Surface, metric: str | None = None) -> ChosenValues:
    """Take the losses of a surface, or one of its metrics.

    Args:
        surface: the record.
        metric: a name in ``surface.metrics``; None for the losses.

    Returns:
        The values with their name. A metric has none along the path, where
        a record holds losses alone.

    Raises:
        TypeError: not a surface.
        ValueError: the surface has no metric of this name.

    Example:
        >>> flat, z = np.zeros(2), np.array([[0.0, 1], [3, np.nan]])
        >>> plane = Surface(flat, flat, z, z < 9, 0, {"accuracy": 1 - z})
        >>> found = chosen_values(plane, "accuracy")
        >>> found.name, found.values.tolist(), int(found.bad.sum())
        ('accuracy', [[1.0, 0.0], [-2.0, nan]], 0)
    """
    expect(surface, Surface)
    if metric is None:
        name, values, path = "loss", surface.losses, surface.path_losses
    else:
        name = checks.choice("metric", metric, surface.metrics)
        values = np.asarray(surface.metrics[name], dtype=float)
        path = np.zeros(0)
    return ChosenValues(name, values, path, surface.evaluated)
