"""From losses to heights, saying what was done and losing no point."""

from dataclasses import dataclass

import numpy as np

from dldna.checks import choice, fraction

SCALES = ("linear", "log", "clip")


@dataclass(frozen=True, eq=False)
class Heights:
    """Losses as heights in [0, 1].

    Args:
        z: heights, shaped as the losses. What is not a finite number
            stands at 1.
        finite: where the loss is a finite number.
        low: the loss at height 0.
        high: the loss at height 1.
        scale: "linear", "log" or "clip".
        said: what was done, in one line.
    """

    z: np.ndarray
    finite: np.ndarray
    low: float
    high: float
    scale: str
    said: str

    def of(self, losses: np.ndarray) -> np.ndarray:
        """Heights of other losses on the same scale; beyond it, its end."""
        values = np.asarray(losses, dtype=np.float64)
        if self.scale == "log":
            floor = np.maximum(values, self.low)
            span = np.log(self.high) - np.log(self.low)
            z = (np.log(floor) - np.log(self.low)) / span
        else:
            z = (values - self.low) / (self.high - self.low)
        return np.where(np.isfinite(z), np.clip(z, 0, 1), 1.0)


def heights(
    losses: np.ndarray, scale: str = "linear", quantile: float = 0.9
) -> Heights:
    """Put losses on a scale.

    Args:
        losses: of any shape; NaN and inf among them.
        scale: "linear"; "log"; "clip", linear up to a quantile, where
            everything above stands at the top.
        quantile: where "clip" cuts.

    Returns:
        Heights, and in words what was done.

    Raises:
        ValueError: an unknown scale, or no finite loss at all.

    Example:
        >>> h = heights(np.array([1.0, 10.0, 100.0, np.inf]), "log")
        >>> h.z.round(3).tolist(), h.finite.tolist()
        ([0.0, 0.5, 1.0, 1.0], [True, True, True, False])
    """
    choice("scale", scale, SCALES)
    fraction("quantile", quantile)
    losses = np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(losses)
    if not finite.any():
        raise ValueError("not one loss is a finite number: nothing to draw")
    known = losses[finite]
    low, high = float(known.min()), float(known.max())
    said = f"height 0 is loss {low:.6g}, height 1 is loss {{:.6g}}"
    if scale == "log":
        positive = known[known > 0]
        if not len(positive):
            raise ValueError(
                "a log scale needs losses greater than 0; take scale='linear'"
            )
        low = float(positive.min())
        below = int((known <= 0).sum())
        said = f"logarithmic; height 0 is loss {low:.6g}, 1 is {{:.6g}}"
        if below:
            said += f"; {below} losses of 0 or less stand at height 0"
    if scale == "clip":
        cut = float(np.quantile(known, quantile))
        high = cut if cut > low else high
        above = int((known > high).sum())
        said += f", clipped there: {above} losses above it stand at 1"
    if not high > low:
        high = low + max(abs(low), 1.0) * 1e-9
    said = said.format(high)
    if not finite.all():
        said += f"; {int((~finite).sum())} that are not finite stand at 1"
    made = Heights(losses, finite, low, high, scale, said)
    z = made.of(losses)
    return Heights(z, finite, low, high, scale, said)


def clean(text: object, most: int = 200) -> str:
    """Text fit for one line of any file: printable ASCII alone.

    Example:
        >>> clean("a\\nend_header\\x00é")
        'a end_header??'
    """
    one = " ".join(str(text).split())
    plain = one.encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in plain)[:most]


def coordinates(
    alphas: np.ndarray, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both coordinates of every point of a grid, flat, beta fastest."""
    a, b = np.meshgrid(alphas, betas, indexing="ij")
    return a.ravel(), b.ravel()


def lift(alphas: np.ndarray, betas: np.ndarray) -> float:
    """How high a height of 1 is drawn: half the wider side."""
    return 0.5 * max(np.ptp(alphas), np.ptp(betas))
