"""The map of momentum: rate times curvature against the heavy ball's mu."""

import math

from dldna.pages.widget import Widget, widget

MOST_RATE, MOST_MOMENTUM, MOST_SPAN = 4.2, 0.99, 1000.0
SCRIPTS = ("page.js", "momentum_map_rules.js", "momentum_map.js")


def momentum_map(
    rate: float = 0.5, momentum: float = 0.8, *, kappa: float = 1.0
) -> Widget:
    """A map of the heavy ball's speed, with a point to drag.

    On :math:`\\tfrac12\\lambda w^2` the error of the heavy ball is
    multiplied, in the long run, by the larger :math:`|z|` of the two roots of

    .. math:: z^2 - (1 + \\mu - \\eta\\lambda)\\, z + \\mu = 0.

    The map is coloured by it. Beside it stand a ravine with the ball's way
    through it, which is one such walk across and one along, the path of the
    chosen point and its roots in the unit circle. Sliders move the point,
    too.

    Args:
        rate: where the point starts, :math:`\\eta\\lambda`, in (0, 4.2].
        momentum: where the point starts, :math:`\\mu`, in [0, 0.99].
        kappa: the steepest curvature over the shallowest, in [1, 1000]; the
            point stands for the steepest direction, a second one for the
            shallowest.

    Returns:
        An object that shows itself in notebooks and pages.

    Raises:
        ValueError: the point lies outside the map.

    Example:
        >>> "http" in momentum_map(0.25, 0.25).html
        False

    References:
        Polyak (1964), "Some methods of speeding up the convergence of
        iteration methods".
    """
    start = {
        "a": _within("rate", rate, 0.01, MOST_RATE),
        "mu": _within("momentum", momentum, 0.0, MOST_MOMENTUM),
        "kappa": _within("kappa", kappa, 1.0, MOST_SPAN),
    }
    return widget(
        *("momentum_map.html", "MAP", ("widget.css", "momentum_map.css")),
        SCRIPTS,
        start,
    )


def _within(name: str, value: float, low: float, high: float) -> float:
    """A number of the map, or an error that says where the map ends."""
    value = float(value)
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(
            f"{name} must lie from {low:g} to {high:g}, got {value:g}"
        )
    return value
