"""A callback that watches how a network moves, and changes nothing."""

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import batches, checks, guard
from dldna.landscape import Operator
from dldna.landscape.curvature.call import (
    check_options,
    difference_products,
)
from dldna.objective.own_loss import resolved
from dldna.objective.reductions import loss_name
from dldna.records import Motion, Provenance
from dldna.training.callbacks import Callback, State
from dldna.training.dynamics import edge
from dldna.training.dynamics.point import Instruments
from dldna.training.dynamics.steps import LAYER, Steps

STEP = (
    "steps",
    "epochs",
    "samples",
    "loss",
    "grad_norm",
    "param_change",
    "weight_norm",
    "loss_improvement",
    "cosine",
)


class Dynamics(Callback):
    r"""Measure how a network moves while :func:`dldna.training.train` runs.

    For every step :math:`w_{t-1} \to w_t` on a batch with loss
    :math:`L_t` and gradient :math:`g_t`, all true L2 norms over all
    parameters:

    .. math::
        |g_t|, \quad |w_t - w_{t-1}|, \quad |w_t|, \quad
        L_t(w_{t-1}) - L_t(w_t), \quad
        \cos\angle(w_t - w_{t-1},\, w_{t-1} - w_{t-2}).

    The improvement compares the *same* batch before and after the step;
    it costs one forward pass (two for a model with dropout, whose mask is
    then the same in both).

    With ``data``, every ``measure_every`` steps the loss, its gradient
    and the curvature are measured on these fixed samples: the top
    eigenvalues of the Hessian, the share of the gradient in their space,
    the preconditioned sharpness where the optimizer is RMSprop or Adam,
    the threshold of stability, the trace of the Hessian, and the gradient
    noise. The search for eigenvectors starts from the last ones found.

    The run is bit for bit the one without the callback: weights, buffers,
    gradients and random states stay as they are. A checkpoint of the run
    keeps what was measured.

    Args:
        data: fixed samples for all that belongs to points; a loader, a
            batch or tensors. None for the steps alone.
        every: measure every so many steps.
        measure_every: measure on ``data`` every so many steps, and at
            the start.
        k: number of top eigenpairs; 0 for loss and gradient only.
        noise: number of parts of the data for the gradient noise, see
            :func:`gradient_noise`; 0 for none.
        trace: number of products with the Hessian for its trace, at
            least 6; 0 for none. The probes are the same each time.
        per_layer: whether to keep the norms of each layer, too.
        tol: bound of the relative residual of the eigenpairs; an
            eigenvalue's relative error is about its square.
        max_products: most Hessian-vector products for one search.
        **options: of :class:`dldna.landscape.Operator`: ``statistics``,
            ``dtype``, ``limit``, ``matrix``.

    Example:
        >>> from dldna.data import load
        >>> from dldna.training import train
        >>> toy = load("blobs")
        >>> from dldna.models import make
        >>> net = make("mlp", in_shape=(2,), num_classes=3, hidden=[8])
        >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> watch = Dynamics((toy.train_x, toy.train_y), measure_every=5)
        >>> _ = train(net, sgd, toy.loaders(50)[0], epochs=1,
        ...           callbacks=[watch], progress=False)
        >>> motion = watch.record()
        >>> bool(np.allclose(motion.param_change, 0.1 * motion.grad_norm,
        ...                  rtol=1e-4))
        True
        >>> motion.sharpness.shape == motion.points.shape
        True

    References:
        Cohen et al., ICLR 2021, arXiv 2103.00065. Gur-Ari, Roberts, Dyer,
        2018, arXiv 1812.04754. McCandlish et al., 2018, arXiv 1812.06162.
    """

    @checks.renamed(mode="statistics")
    @difference_products
    def __init__(
        self,
        data: Any = None,
        *,
        every: int = 1,
        measure_every: int = 10,
        k: int = 1,
        noise: int = 0,
        trace: int = 0,
        per_layer: bool = True,
        tol: float = 1e-2,
        max_products: int = 200,
        **options: Any,
    ):
        self.every = checks.count("every", every)
        self.measure_every = checks.count("measure_every", measure_every)
        checks.count("k", k, 0)
        checks.count("noise", noise, 0)
        checks.count("trace", trace, 6 if trace else 0)
        checks.positive("tol", tol)
        checks.count("max_products", max_products)
        self.per_layer = per_layer
        self.instruments = None
        check_options(options, Operator, Dynamics)
        if data is not None:
            self.instruments = Instruments(
                _held(data), k, noise, trace, tol, max_products, options
            )
        self._clear()

    # The callback

    def on_start(self, state: State) -> None:
        """Measure where training starts."""
        self.begin(state)
        if state.step == 0:
            self.measure(state)

    def begin(self, state: State) -> None:
        """Learn whom to watch, and measure nothing yet.

        Args:
            state: where the run stands; at step 0 all that was measured
                before is forgotten.
        """
        if state.step == 0:
            self._clear()
        self._about(state)

    def on_step(self, state: State) -> None:
        """Measure a step, and from time to time the point it led to."""
        if -state.step % self.every <= 2:
            self.see(state, state.step % self.every == 0)
        else:  # too early even for the step before
            self.forget()
        if state.step % self.measure_every == 0:
            self.measure(state)

    def see(self, state: State, due: bool = True) -> None:
        """Take note of a step; keep a row of it if it is due.

        For loops that decide themselves which step is due: the size of a
        step needs this call after the step before, too, and its angle
        after the two before.

        Args:
            state: where the run stands after the step.
            due: whether to keep a row.
        """
        began = time.perf_counter()
        row = self._steps.see(state, due)
        if row is not None:
            self.rows.append(row)
        self.seconds += time.perf_counter() - began

    def forget(self) -> None:
        """Let go of the weights that are kept for the next step's size."""
        self._steps.last = self._steps.move = None

    def measure(self, state: State) -> None:
        """Measure on the data at the model's present weights.

        Args:
            state: where the run stands; its model is only read.
        """
        if self.instruments is None:
            return
        began = time.perf_counter()
        with guard.untouched():
            row = self.instruments.measure(state, self._warm)
        self.points.append({"step": state.step, **row})
        self.seconds += time.perf_counter() - began

    # Results

    def record(self) -> Motion:
        """What was measured so far.

        Raises:
            ValueError: training has not begun.
        """
        if not isinstance(self._steps, Steps):
            raise ValueError(
                "nothing was measured yet: give this callback to "
                "train(..., callbacks=[...]) first"
            )
        blank = {}
        if self.instruments is not None:
            blank = self.instruments.blank()
        columns = {
            name: np.array([row.get(name, 1) for row in self.rows])
            for name in STEP
        }
        for name in ("steps", "epochs", "samples"):
            columns[name] = columns[name].astype(int)
        layers = self._steps.names if self.per_layer else []
        for name in LAYER:
            rows = [row[name] for row in self.rows] if layers else []
            columns[name] = np.array(rows).reshape(len(rows), len(layers))
        measured = {
            name: np.array(
                [row.get(name, value) for row in self.points]
            ).reshape(len(self.points), *np.shape(value))
            for name, value in blank.items()
        }
        steps = np.array([row["step"] for row in self.points], dtype=int)
        return Motion(
            **columns,
            layers=layers,
            points=steps,
            **measured,
            threshold_of=self._kind,
            provenance=Provenance(
                **self._facts, seconds=self.seconds,
                notes=dict(self._notes),
            ),
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """All that was measured, for a checkpoint."""
        return {
            "rows": [_plain(row) for row in self.rows],
            "points": [_plain(row) for row in self.points],
            "steps": [self._steps.last, self._steps.move],
            "warm": self._warm,
            "seconds": self.seconds,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows = [_numpy(row) for row in saved["rows"]]
        self.points = [_numpy(row) for row in saved["points"]]
        self._steps = tuple(saved["steps"])
        self._warm, self.seconds = saved["warm"], saved["seconds"]

    # How it is done

    def _clear(self) -> None:
        self.rows: list[dict] = []
        self.points: list[dict] = []
        self.seconds = 0.0
        self._steps: Any = None
        self._warm: dict[str, Tensor] = {}

    def _about(self, state: State) -> None:
        """Whom we watch."""
        steps = Steps(state.model, self.per_layer)
        if isinstance(self._steps, tuple):  # as a checkpoint left it
            steps.last, steps.move = self._steps
        elif state.step > 0:
            steps.last = None
        self._steps = steps
        self._kind, _ = edge.stability_threshold(state.optimizer)
        first = steps.params[0]
        self._facts = {
            "made": "learning dynamics",
            "model": type(state.model).__name__,
            "n_params": sum(steps.sizes),
            "loss": loss_name(resolved(state.loss_fn, None)[0]),
            "device": str(first.device),
            "dtype": str(first.dtype).removeprefix("torch."),
        }
        rate = state.optimizer.param_groups[0].get("lr")
        self._notes: dict[str, Any] = {
            "optimizer": type(state.optimizer).__name__,
            "lr": math.nan if rate is None else float(rate),
            "every": self.every,
        }
        tools = self.instruments
        if tools is not None:
            held = tools.data if isinstance(tools.data, list) else [tools.data]
            self._facts["n_samples"] = sum(batches.size(b) for b in held)
            self._notes |= {
                "measure_every": self.measure_every,
                "tol": tools.tol,
                "noise_parts": tools.noise,
                "trace_products": tools.trace,
            }


def _held(data: Any) -> Any:
    """The samples in memory; a loader's own random state stays."""
    generator = getattr(data, "generator", None)
    kept = None if generator is None else generator.get_state()
    with guard.untouched():
        found = batches.held(
            data.batches(0) if hasattr(data, "batches") else data
        )
    if generator is not None:
        generator.set_state(kept)
    return found[0] if len(found) == 1 else found


def _plain(row: dict) -> dict:
    """Arrays as tensors, which a checkpoint can hold."""
    return {
        k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v
        for k, v in row.items()
    }


def _numpy(row: dict) -> dict:
    return {
        k: v.numpy() if isinstance(v, Tensor) else v for k, v in row.items()
    }
