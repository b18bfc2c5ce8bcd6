"""What watching may take of a run's time, and what it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dldna.progress import duration

FADING = 0.8  # of a dear measurement, in what the next is thought to cost


class Share:
    r"""The time of a watcher, held to a share of the time of the watched.

    With the training's time :math:`T`, the watcher's own time :math:`t`
    and the cost :math:`c` that is expected of the next measurement, there
    is room for it when

    .. math:: t + c \le s \, T .

    What happens inside :meth:`own_time` is the watcher's; what happens
    between two such blocks is the training's.

    Args:
        most: the share :math:`s`; None for no bound.

    Example:
        >>> share = Share(0.05)
        >>> with share.own_time():
        ...     share.expect(1.0)  # seconds, after none of training
        ...     share.fits()
        False
    """

    def __init__(self, most: float | None):
        self.most = most
        self.training = self.own = self.cost = 0.0
        self.steps = 0
        self._left: float | None = None
        self._entered = self._mark = self._known = 0.0

    @contextmanager
    def own_time(self) -> Iterator[None]:
        """A block whose time is the watcher's own."""
        self._entered = time.perf_counter()
        if self._left is not None:
            self.training += self._entered - self._left
        try:
            yield
        finally:
            self._left = time.perf_counter()
            self.own += self._left - self._entered

    def spent(self) -> float:
        """Seconds of the watcher so far, inside one of its blocks."""
        return self.own + time.perf_counter() - self._entered

    def expect(self, cost: float) -> None:
        """What the first measurement may cost; from here on it is timed.

        Args:
            cost: seconds.
        """
        self.cost, self._known, self._mark = cost, 0.0, self.spent()

    def measured(self) -> None:
        """A measurement is done: the next one is expected to cost as much.

        The dearest of the last few counts, so that one that was cheap by
        chance does not promise too much.
        """
        now = self.spent()
        self.cost = self._known = max(now - self._mark, FADING * self._known)
        self._mark = now

    def fits(self, ahead: int = 0) -> bool:
        """Whether there is room for a measurement; inside a block.

        Args:
            ahead: in so many steps.
        """
        if self.most is None:
            return True
        more = ahead * self.training / max(self.steps, 1)
        room = self.most * (self.training + more)
        return self.spent() + self.cost <= room

    def shortfall(self, done: int, due: int) -> str:
        """What had to be left out, in a sentence; empty if nothing was.

        Args:
            done: number of measurements that were made.
            due: number of those that were asked for.

        Example:
            >>> Share(0.05).shortfall(2, 2)
            ''
        """
        if done >= due or self.most is None:
            return ""
        return (
            f"measured at {done} of {due} steps: a measurement takes about "
            f"{duration(self.cost)}, and {self.most:.2g} of the training's "
            f"{duration(self.training)} is for all of them (taken: "
            f"{self.taken:.2g}); raise overhead or every to choose which"
        )

    @property
    def taken(self) -> float:
        """The watcher's time over the training's; NaN before there is any."""
        return self.own / self.training if self.training else float("nan")
