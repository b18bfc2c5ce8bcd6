"""What a scan would cost."""

from dataclasses import dataclass

from dldna.checks import former
from dldna.params import Params
from dldna.progress import duration

SAID = 2**30  # bytes: of less nobody runs out


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
        memory: bytes that weights will take: the model, a copy to put
            back, its directions, and the largest tensor twice, at a point.
            Activations come on top; so do several points at once, by which
            small networks are evaluated.

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
    memory: int = 0

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
        if self.memory >= SAID:
            text += f"; {self.memory / 2**30:.1f} GiB of weights"
        return text + (f" ({self.done} points found)" if self.done else "")


def memory(origin: Params, directions: int) -> int:
    """Bytes for all copies of the weights that a surface has at once.

    Args:
        origin: the weights.
        directions: how many.

    Example:
        >>> import torch
        >>> w = {"a": torch.zeros(100), "b": torch.zeros(20)}
        >>> memory(w, 2)  # four times 120 numbers, and twice 100
        2720
    """
    sizes = [v.nbytes for v in origin.values()]
    return (2 + directions) * sum(sizes) + 2 * max(sizes)
