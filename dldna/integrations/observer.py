"""One observer for training loops of others, within a share of their time."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from dldna import checks, guard
from dldna.integrations import loops
from dldna.integrations.share import Share
from dldna.integrations.sinks import checked
from dldna.landscape import Operator, Recorder
from dldna.objective import NotFinite
from dldna.records import Motion
from dldna.training import Dynamics, State

STEP = ("loss", "grad_norm", "param_change", "weight_norm", "cosine")
POINT = (
    "data_loss",
    "data_grad_norm",
    "sharpness",
    "preconditioned",
    "threshold",
    "trace",
    "trace_error",
    "noise_scale",
)
FIRST_SEARCH = 30  # products that a first search for the top pair may take


class Observe:
    r"""Record what a network does while somebody else's loop trains it.

    Every so many steps: the loss, the lengths of gradient, step and
    weights, the cosine of the angle between this step and the one before,
    and, on fixed samples, their loss and its gradient, the sharpness (the
    largest eigenvalue of the Hessian), its trace, and the gradient noise;
    see :class:`dldna.training.Dynamics`. With ``folder``, the weights.

    With the training's time :math:`T` (between the observer's calls), the
    observer's own time :math:`t` and the expected cost :math:`c` of a
    measurement, it measures only where

    .. math:: t + c \le \text{overhead} \cdot T,

    and else leaves this turn out; what it left out it says at the end, and
    in the record's notes. Before training begins it checks loss and data
    by a gradient and two products with the Hessian, whose time tells what
    the first measurement may cost.

    The run is bit for bit the one without it. A measurement that fails
    after the start does not stop the training: the notes have the error.

    Args:
        data: fixed samples, a batch or tensors; None for steps and
            weights alone.
        loss_fn: the loss on them, a mean over the samples, or "model" for
            the loss that the model itself returns.
        every: measure every so many steps.
        overhead: most share of the training's time; None for no bound.
        folder: where the weights go, as :class:`dldna.landscape.Recorder`
            writes and :class:`dldna.landscape.Trajectory` reads them; or
            such a recorder, to go on in a folder, say.
        sinks: objects with ``log(values, step)``, as
            :class:`dldna.integrations.CSV`.
        k: number of top eigenpairs; 0 for none.
        trace: number of products for the trace, at least 6; 0 for none.
        noise: number of parts of the data for the gradient noise; 0 for
            none.
        **options: of :class:`dldna.training.Dynamics` (``tol``,
            ``max_products``) and of :class:`dldna.landscape.Operator`.

    Raises:
        ValueError: settings out of range, or an unknown option.
        TypeError: sinks that have no ``log``.
        FileExistsError: the folder holds a run.

    Example:
        >>> x, y = torch.randn(32, 4), torch.randn(32, 1)
        >>> net = nn.Linear(4, 1)
        >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> observe = Observe((x, y), nn.MSELoss(), every=5, overhead=None)
        >>> with observe.watch(net, sgd):
        ...     for step in range(1, 11):
        ...         loss = nn.functional.mse_loss(net(x), y)
        ...         sgd.zero_grad()
        ...         loss.backward()
        ...         sgd.step()
        ...         observe(step=step, loss=loss)
        >>> [row["step"] for row in observe.rows]
        [5, 10]
        >>> observe.record().sharpness.shape
        (2,)

    References:
        Cohen et al., ICLR 2021, arXiv 2103.00065. McCandlish et al., 2018,
        arXiv 1812.06162.
    """

    def __init__(
        self,
        data: Any = None,
        loss_fn: Callable | str = "model",
        *,
        every: int = 50,
        overhead: float | None = 0.05,
        folder: str | Path | Recorder | None = None,
        sinks: Sequence[Any] = (),
        k: int = 1,
        trace: int = 12,
        noise: int = 8,
        **options: Any,
    ):
        self.every = checks.count("every", every)
        if overhead is not None:
            checks.positive("overhead", overhead)
        self.overhead, self.loss_fn = overhead, loss_fn
        self.sinks = checked(sinks)
        self.dynamics = Dynamics(
            data, k=k, trace=trace, noise=noise, per_layer=False, **options
        )
        made = folder is None or isinstance(folder, Recorder)
        self.recorder = folder if made else Recorder(folder, every=1)
        self.rows: list[dict[str, float]] = []
        self.due, self.errors = 0, []
        self.share = Share(overhead)
        self._state: State | None = None
        self._closed = False

    # What a loop calls

    def watch(
        self, model: nn.Module, optimizer: Optimizer, step: int = 0
    ) -> Self:
        """Begin, before the loop; the observer is then a context, too.

        Args:
            model: the network itself, without what wraps it.
            optimizer: of the loop.
            step: number of updates so far.

        Raises:
            TypeError: model, loss and data do not fit each other.
            ValueError: no data, or a model without parameters that move.
        """
        step = checks.count("step", step, 0)
        if self._state is not None:
            raise RuntimeError(
                "this observer has watched a run: make another for the next"
            )
        state = State(model, optimizer, step=step, loss_fn=self.loss_fn)
        self._last = step
        with self.share.own_time(), guard.untouched(trains=True):
            self.dynamics.begin(state)
            self.dynamics.see(state, False)
            cost = self._guess(state)
            if self.recorder is not None:
                self.recorder.record(model, step=step)
            self.share.expect(cost)
            self._goal = self._next(step, 1)
        self._state = state
        return self

    def __call__(
        self, step: int | None = None, loss: Any = math.nan, epoch: int = 0
    ) -> None:
        """After each update, before the gradients are cleared.

        Args:
            step: number of updates so far, this one included; by default
                one more than at the last call.
            loss: of the step's batch, a number or a tensor of one.
            epoch: 1-based number of the epoch, if known.

        Raises:
            RuntimeError: ``watch`` was not called.
            ValueError: the step does not grow, or the loss is not one
                number.
        """
        state = self._state
        if state is None:
            raise RuntimeError("call observe.watch(model, optimizer) first")
        step = self._last + 1 if step is None else checks.count("step", step)
        if step <= self._last:
            raise ValueError(
                f"step {step} comes after step {self._last}: give the number "
                "of updates so far, this one included, or leave it out"
            )
        if getattr(loss, "numel", lambda: 1)() != 1:
            raise ValueError(
                f"loss must be one number, not of shape {tuple(loss.shape)}"
            )
        if self._goal is not None:
            _settled(state.model)  # what is still computed is the training's
        with self.share.own_time():
            self.share.steps += step - self._last
            loss = getattr(loss, "detach", lambda: loss)()
            state.step, state.loss, state.epoch = step, loss, epoch
            self._look(state)
            self._last = step

    def close(self) -> None:
        """End, after the loop; leaving the ``with`` block does the same."""
        if self._closed:
            return
        self._closed = True
        if self.recorder is not None:
            self.recorder.close()
        for sink in self.sinks:
            getattr(sink, "close", lambda: None)()
        left_out = self.share.shortfall(len(self.rows), self.due)
        for said in filter(None, (left_out, *self.errors[:1])):
            print(f"observe: {said}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_):
        self.close()

    for_trainer = loops.trainer_callback
    for_lightning = loops.lightning_callback
    for_accelerate = loops.accelerated

    # What it found

    def record(self) -> Motion:
        """What was measured so far, and in the notes what it took.

        Raises:
            ValueError: nothing was watched yet.
        """
        found, share = self.dynamics.record(), self.share
        notes = found.provenance.notes | {
            "every": self.every,
            "measure_every": self.every,
            "overhead": self.overhead,
            "overhead_taken": share.taken,
            "training_seconds": share.training,
            "due": self.due,
            "measured": len(self.rows),
            "less_often": share.shortfall(len(self.rows), self.due),
            "errors": list(self.errors),
        }
        whence = dataclasses.replace(
            found.provenance, seconds=share.own, notes=notes
        )
        return dataclasses.replace(found, provenance=whence)

    # How it is done

    def _look(self, state: State) -> None:
        """Measure, or take note of the weights for the next measurement."""
        t, jumped = state.step, state.step > self._last + 1
        passed = t // self.every - self._last // self.every
        self.due += passed
        if self._goal is not None and t < self._goal and not jumped:
            self.dynamics.see(state, False)
            return
        done = t == self._goal or (jumped and passed and self.share.fits())
        if done:
            with guard.untouched(trains=True):
                self._measure(state)
            self.share.measured()
        self._goal = self._next(t, 1 if done else 2)
        if self._goal is None:
            self.dynamics.forget()
        elif not done:
            self.dynamics.see(state, False)

    def _next(self, t: int, lead: int) -> int | None:
        """The next step to measure, if it is near and there is room."""
        ahead = lead + -(t + lead) % self.every
        near = ahead <= 2 and self.share.fits(ahead)
        return t + ahead if near else None

    def _measure(self, state: State) -> None:
        """All that belongs to one step, as one row."""
        state = dataclasses.replace(state, loss=float(state.loss))
        dynamics, t = self.dynamics, state.step
        row = dict.fromkeys(STEP, math.nan) | {"loss": state.loss}
        before = len(dynamics.rows)
        self._try("the step", t, dynamics.see, state)
        if len(dynamics.rows) > before:
            row |= {k: dynamics.rows[-1][k] for k in STEP}
        if dynamics.instruments is not None:
            row |= dict.fromkeys(POINT, math.nan)
            if self._try("the data", t, dynamics.measure, state):
                point = dynamics.points[-1]
                top = point["eigenvalues"]
                point = point | {"sharpness": top[0] if len(top) else math.nan}
                row |= {k: float(point[k]) for k in POINT}
        if self.recorder is not None:
            loss = None if math.isnan(state.loss) else state.loss
            self._try("the weights", t, self.recorder.record,
                      state.model, t, loss, state.epoch or None)  # fmt: skip
        self.rows.append({"step": t, **row})
        for sink in self.sinks:
            self._try(type(sink).__name__, t, sink.log, row, t)

    def _try(self, what: str, step: int, call: Callable, *args: Any) -> bool:
        """Whether a call went well; the training goes on if not."""
        try:
            call(*args)
        except Exception as error:
            self.errors.append(
                f"{what} could not be recorded at step {step}: "
                f"{type(error).__name__}: {error}"
            )
            return False
        return True

    def _guess(self, state: State) -> float:
        """Check loss and data, and guess the cost of a measurement."""
        tools = self.dynamics.instruments
        if tools is None:
            return 0.0
        products = tools.trace + (FIRST_SEARCH if tools.k else 0)
        times = [self.share.spent()]
        try:
            operator = Operator(
                state.model, state.loss_fn, tools.data, **tools.options
            )
            times.append(self.share.spent())
            g = operator.gradient()
            times.append(self.share.spent())
            for _ in range(2 if products else 0):  # the first builds graphs
                _ = operator @ g
                times.append(self.share.spent())
        except NotFinite:
            return 0.0
        whole, last = times[-1] - times[0], times[-1] - times[-2]
        noise = (times[2] - times[1]) * bool(tools.noise)
        return whole + noise + products * last


def _settled(model: nn.Module) -> None:
    """Wait for what the device still has to do."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
