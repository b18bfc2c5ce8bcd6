"""What several pieces of work warn of alike is said once."""

import re
import warnings

from dldna.checks import warn


def alike(message: str) -> str:
    """A warning without its numbers: what several of one kind share.

    Example:
        >>> alike("losses differ: 0.25 and 1e-3") == alike(
        ...     "losses differ: 1.5 and 2")
        True
    """
    return re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "#", message)


class SaidOnce:
    """Work of one kind, done several times: each warning is given once.

    Warnings that differ in numbers alone count as one.

    Example:
        >>> once = SaidOnce()
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     for value in (0.5, 0.7):
        ...         with once:
        ...             warn(f"the loss is {value}")
        >>> [str(w.message) for w in caught]
        ['the loss is 0.5']
    """

    def __init__(self):
        self.said: set[str] = set()

    def __enter__(self) -> None:
        self.context = warnings.catch_warnings(record=True)
        self.caught = self.context.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(*error)
        for one in self.caught:
            key = alike(str(one.message))
            if key not in self.said:
                self.said.add(key)
                warn(str(one.message), one.category)
