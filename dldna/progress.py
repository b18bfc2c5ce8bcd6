"""Progress: silence for what is quick, a bar for what is not."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


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
    return tqdm(
        items,
        desc=what,
        total=total,
        initial=start,
        delay=2,
        leave=False,
        dynamic_ncols=True,
        disable=os.environ.get("DLDNA_PROGRESS", "1") == "0",
    )


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

    Example:
        >>> announce("surface", 12)
        >>> announce("surface", 95)
        surface: about 1 min 35 s
    """
    if seconds > 30:
        print(f"{what}: about {duration(seconds)}", flush=True)
