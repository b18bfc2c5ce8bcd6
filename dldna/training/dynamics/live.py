"""A picture that grows in a notebook while a network trains."""

import time
from collections.abc import Callable
from typing import Any

from dldna import checks
from dldna.records import Motion
from dldna.training.callbacks import Callback, State
from dldna.training.dynamics.callback import Dynamics


class Live(Callback):
    """Redraw a picture of what a :class:`Dynamics` has seen so far.

    Place it after that callback. In a notebook one output is replaced
    again and again, at most every ``seconds`` and after every epoch, so
    that in the end the last picture stands there. Outside a notebook
    nothing is drawn.

    Args:
        dynamics: the callback that measures.
        draw: takes the record and returns what to display, as a bundle
            of MIME types and its metadata; such as
            ``dldna.plotting.dynamics_bundle``.
        seconds: least time between two pictures.

    Example:
        >>> watch = Dynamics()
        >>> Live(watch, lambda motion: ({"text/plain": "picture"}, {})).seconds
        2.0
    """

    def __init__(
        self,
        dynamics: Dynamics,
        draw: Callable[[Motion], tuple[dict[str, Any], dict[str, Any]]],
        seconds: float = 2.0,
    ):
        self.dynamics, self.draw = dynamics, draw
        self.seconds = checks.nonnegative("seconds", seconds)
        self._handle, self._drawn = None, 0.0

    def on_start(self, state: State) -> None:
        """Look for a notebook, and reserve a place in it."""
        self._handle = _place()
        self._drawn = time.monotonic()

    def on_step(self, state: State) -> None:
        """Redraw, if some time has passed."""
        if time.monotonic() - self._drawn >= self.seconds:
            self._show()

    def on_epoch(self, state: State) -> None:
        """Redraw."""
        self._show()

    def _show(self) -> None:
        motion = self.dynamics.record()
        if self._handle is None or len(motion.steps) == 0:
            return
        data, metadata = self.draw(motion)
        self._handle.update(data, metadata=metadata, raw=True)
        self._drawn = time.monotonic()


def _place() -> Any:
    """A display that can be written again, or None outside a notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    waiting = {"text/plain": "waiting for the first steps"}
    return display(waiting, raw=True, display_id=True)
