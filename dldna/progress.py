"""Progress: silence for what is quick, a bar for what is not."""

import os
import threading
from collections.abc import Iterable

from tqdm.auto import tqdm


class Bar(tqdm):
    """A bar that appears after two seconds, and leaves nothing behind.

    tqdm guards its bars by a lock that all processes of a tree share: one
    that is killed while it holds the lock stops every other for good. This
    bar's lock belongs to its own process, and no thread watches over it
    (tqdm's looks for bars that count their steps too coarsely; this one
    counts each).

    Args:
        items: what to iterate over; None where :meth:`update` is called.
        what: a noun phrase, shown before the bar.
        total: number of items, where ``len(items)`` does not tell.
        start: how many were done before (a resumed job).
        options: tqdm's own, as ``unit="B"``.

    Example:
        >>> with Bar(None, "file", 300, unit="B") as bar:
        ...     bar.update(300)
    """

    monitor_interval = 0
    _lock = threading.RLock()

    def __init__(self, items, what: str, total=None, start=0, **options):
        super().__init__(
            items,
            desc=what,
            total=total,
            initial=start,
            delay=2,
            leave=False,
            miniters=1,
            dynamic_ncols=True,
            disable=not _wanted(),
            **options,
        )


def _wanted() -> bool:
    """Whether bars and estimates are to be shown."""
    return os.environ.get("DLDNA_PROGRESS") != "0"


def _fresh_lock() -> None:
    """In a forked child: the lock's holder may not have come along."""
    Bar.set_lock(threading.RLock())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def track(items: Iterable, what: str, total: int | None = None, start=0):
    """Iterate with a bar that appears after two seconds.

    Bars go to stderr and leave nothing behind, so rendered pages do not
    show them. ``DLDNA_PROGRESS=0`` turns them off.

    Args:
        items: what to iterate over.
        what: a noun phrase, shown before the bar.
        total: number of items, where ``len(items)`` does not tell.
        start: how many were done before (a resumed job).

    Returns:
        An iterator over ``items``.

    Example:
        >>> [i * i for i in track(range(3), "squares")]
        [0, 1, 4]
    """
    return Bar(items, what, total, start)


def duration(seconds: float) -> str:
    """Say a duration as a person would.

    Example:
        >>> duration(0.25), duration(75), duration(7300)
        ('0.25 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def announce(what: str, seconds: float) -> None:
    """Print an estimate if the job will take more than thirty seconds.

    ``DLDNA_PROGRESS=0`` turns it off, as it does the bars.

    Args:
        what: a noun phrase.
        seconds: how long it will take.

    Example:
        >>> announce("surface", 12)
    """
    if seconds > 30 and _wanted():
        print(f"{what}: about {duration(seconds)}", flush=True)
