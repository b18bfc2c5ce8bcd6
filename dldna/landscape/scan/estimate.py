"""What a scan would cost."""

from dataclasses import dataclass

from dldna.checks import former
from dldna.progress import duration


@dataclass(frozen=True)
class Cost:
    r"""What a surface would cost, from a few points that were timed.

    .. math:: \text{seconds} = \frac{(\text{points} - \text{done})
        \cdot \text{seconds per point}}{\text{workers}}

    Args:
        points: number of points of the grid.
        done: how many of them a folder holds already.
        samples: number of samples for each point.
        seconds_per_point: measured.
        workers: how many tiles would be worked on at once.
        way: how points are evaluated.
        samples_in_all: number of samples in the data.

    Example:
        >>> c = Cost(points=100, done=40, samples=8, seconds_per_point=0.5,
        ...          workers=2, way="slow", samples_in_all=16)
        >>> c.seconds
        15.0
        >>> str(c)[:30], str(c)[-17:]
        ('100 points x 8 of 16 samples b', '(40 points found)')
    """

    points: int
    done: int
    samples: int
    seconds_per_point: float
    workers: int
    way: str
    samples_in_all: int

    path = former("way")

    @property
    def seconds(self) -> float:
        """Estimated time for what is missing."""
        left = self.points - self.done
        return left * self.seconds_per_point / self.workers

    def __str__(self) -> str:
        text = (
            f"{self.points} points x {self.samples} of "
            f"{self.samples_in_all} samples by the way {self.way!r}: "
            f"{duration(self.seconds_per_point)} a point, "
            f"{duration(self.seconds)} in all"
        )
        return text + (f" ({self.done} points found)" if self.done else "")
