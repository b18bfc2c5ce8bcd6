r"""Many settings and seeds of one small model at once.

All runs share one matrix of parameters, shape (R, P). A step is one pass:
the gradients of all runs, then one application of the optimizer's pure
rule, in which a learning rate may be a column of R values. The numbers
are those of the runs one by one.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.data import Loader
from dldna.graph import ComputationalGraph
from dldna.guard import untouched
from dldna.objective.reductions import loss_name
from dldna.progress import track
from dldna.records import History, Provenance, Record
from dldna.training.ensemble import Ensemble, one_kind, per_run, score
from dldna.training.sweep_input import check_sweep, seeds_of
from dldna.training.updates import Update, of_rule


@dataclass(frozen=True, eq=False)
class Sweep(Record):
    """What a sweep measured: S settings, K seeds, T steps, E evaluations.

    Args:
        settings: the S settings, as they were given.
        seeds: (K,) the seeds.
        step_loss: (S, K, T) loss of each step's batch.
        epochs: (E,) after how many epochs the test set was tried.
        test_loss: (S, K, E) mean test loss, in eval mode.
        test_accuracy: (S, K, E) fraction of right answers, NaN for losses
            without classes.
        weights: (S, K, P) final parameters.
        steps_per_epoch: number of batches in an epoch.
        provenance: where it came from; ``notes["way"]`` says how the
            forward pass was computed.
    """

    settings: list[dict[str, Any]]
    seeds: np.ndarray
    step_loss: np.ndarray
    epochs: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    weights: np.ndarray
    steps_per_epoch: int
    provenance: Provenance = field(default_factory=Provenance)

    def judge(
        self,
        model: nn.Module,
        data: tuple[Tensor, Tensor],
        loss_fn: Callable = nn.functional.cross_entropy,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Try the final weights of all runs on other data.

        So that some data choose among the settings and others report,
        without training twice.

        Args:
            model: a module like those that were trained; its own weights
                do not matter.
            data: inputs (N, ...) and targets (N, ...).
            loss_fn: ``loss_fn(output, target)``.

        Returns:
            (S, K) mean loss, and (S, K) fraction of right answers, NaN
            for losses without classes.

        Raises:
            ValueError: a model with another number of parameters.

        Example:
            >>> from dldna.data import load
            >>> d = load("moons")
            >>> got = sweep(
            ...     lambda seed: nn.Linear(2, 2), (d.train_x, d.train_y),
            ...     "sgd", [{"lr": 0.1}, {"lr": 1.0}], steps=7)
            >>> loss, right = got.judge(nn.Linear(2, 2), (d.test_x, d.test_y))
            >>> right.shape
            (2, 5)
        """
        size, own = params.count(params.of(model)), self.weights.shape[-1]
        if size != own:
            raise ValueError(
                f"the runs have {own} parameters each, the model {size}"
            )
        flat = torch.from_numpy(self.weights).transpose(0, 1).flatten(0, 1)
        seeds = len(self.seeds)
        with untouched(model, trains=True):
            place = next(model.parameters()).device
            x, y = (part.to(place) for part in data)
            stacked = Ensemble(model, x)
            found = score(stacked, loss_fn, flat.to(place), seeds, x, y)
        shape = (len(self.seeds), len(self.settings))
        return tuple(v.view(shape).T.cpu().numpy() for v in found)

    def history(self, setting: int, seed: int) -> History:
        """One run's history; ``seed`` counts from 0 in ``seeds``."""
        loss = self.step_loss[setting, seed]
        n = self.steps_per_epoch
        e = len(self.epochs)
        size = self.provenance.notes.get("batch_size", 1)
        counts = np.full(n, float(size))  # the last batch may be smaller
        counts[-1] = (self.provenance.n_samples or n * size) - size * (n - 1)
        means = [
            np.average(loss[int(k - 1) * n : int(k) * n], weights=counts)
            for k in self.epochs
        ]
        seconds = self.provenance.seconds
        each = (seconds or np.nan) / self.step_loss[..., 0].size
        return History(
            self.epochs,
            np.asarray(means, dtype=float),
            np.full(e, np.nan),
            self.test_loss[setting, seed],
            self.test_accuracy[setting, seed],
            np.full(e, each / max(e, 1)),
            loss,
            provenance=replace(
                self.provenance.derived(
                    "one run of a sweep", settings=dict(self.settings[setting])
                ),
                seed=int(self.seeds[seed]),
                seconds=None if seconds is None else each,
            ),
        )


def sweep(
    make_model: Callable[[int], nn.Module] | ComputationalGraph,
    data: tuple[Tensor, Tensor],
    rule: str,
    settings: Sequence[Mapping[str, Any]],
    seeds: Sequence[int] = range(5),
    *,
    batch_size: int = 128,
    epochs: int | None = None,
    steps: int | None = None,
    loss_fn: Callable = nn.functional.cross_entropy,
    test: tuple[Tensor, Tensor] | None = None,
    schedule: Callable[[int], float] | None = None,
    lr_factors: Mapping[str, float] | None = None,
) -> Sweep:
    r"""Train one small model under many settings and seeds, all at once.

    A seed decides the start and the order of the batches, and both are
    shared by all settings. Where settings differ in more than a rate (a
    beta, say), the rule's arithmetic is done in float64, so that
    ``1 - beta**t`` keeps its digits.

    Args:
        make_model: ``seed -> module``, whose frozen parameters stay; or a
            :class:`~dldna.graph.ComputationalGraph`, whose weights start
            uniform in [0, 1).
        data: training inputs (N, ...) and targets (N, ...).
        rule: an optimizer's name, in any spelling that
            :func:`dldna.optim.find` knows; one that needs gradients only.
        settings: keyword arguments of the rule, one mapping for each
            setting; what is left out takes the rule's default.
        seeds: the seeds.
        batch_size: samples in a batch.
        epochs: passes over the data; or
        steps: number of batches.
        loss_fn: ``loss_fn(output, target)``; ignored for a graph, whose
            loss is the mean squared error of its single output.
        test: inputs and targets to try after each epoch.
        schedule: ``step -> factor`` on every learning rate, step from 0.
        lr_factors: a factor on the learning rate for each parameter
            tensor, by name (1 for those left out); for rules that work
            number by number.

    Returns:
        The measurements of all runs.

    Raises:
        ValueError: unknown rule or keyword; no settings or no seeds;
            settings that differ in a keyword that is not a number; neither
            or both of ``epochs`` and ``steps``; factors for an unknown
            parameter, or for a rule that looks at whole tensors; models
            that cannot run side by side (batch norm, recurrent layers).

    Example:
        >>> from dldna.data import load
        >>> d = load("moons")
        >>> got = sweep(
        ...     lambda seed: nn.Sequential(nn.Linear(2, 2)),
        ...     (d.train_x, d.train_y), "sgd", [{"lr": 0.1}, {"lr": 1.0}],
        ...     seeds=[0, 1, 2], steps=7)
        >>> got.step_loss.shape
        (2, 3, 7)
    """
    check_sweep(make_model, data, settings)
    given = settings
    pure, settings = of_rule(rule, settings)
    rule = pure.name
    if (epochs is None) == (steps is None):
        raise ValueError("give either epochs or steps")
    (x, y), seeds = data, seeds_of(seeds)
    loaders = [Loader(x, y, batch_size, shuffle=True, seed=s) for s in seeds]
    per_epoch = len(loaders[0])
    if steps is None:
        steps = checks.count("epochs", epochs) * per_epoch
    checks.count("steps", steps)
    start = time.perf_counter()
    job = _job(make_model, seeds, len(settings), x, loss_fn)
    update = Update(pure, settings, job, lr_factors or {})
    losses, marks, tests = [], [], []
    # One generator of orders for all seeds: (K, B) indices for each step.
    order = _orders(loaders, batch_size)
    with untouched(trains=True):
        torch.manual_seed(seeds[0])  # of dropout
        for step in track(range(steps), f"{rule} sweep"):
            index = next(order)
            loss, grad = job.gradient(x[index], y[index])
            factor = 1.0 if schedule is None else schedule(step)
            update(grad, step + 1, factor)
            losses.append(loss)
            if test is not None and (step + 1) % per_epoch == 0:
                marks.append((step + 1) // per_epoch)
                tests.append(job.score(update.point(), *test))
    shape = (len(seeds), len(settings))

    def arrange(rows: Tensor) -> np.ndarray:
        return rows.view(*shape, -1).transpose(0, 1).contiguous().cpu().numpy()

    none = torch.zeros(len(job.flat), 0, device="cpu")
    scores = torch.stack([t[0] for t in tests], 1) if tests else none
    right = torch.stack([t[1] for t in tests], 1) if tests else none
    return Sweep(
        settings=[dict(s) for s in given],
        seeds=np.asarray(seeds),
        step_loss=arrange(torch.stack(losses, 1)),
        epochs=np.asarray(marks, dtype=int),
        test_loss=arrange(scores),
        test_accuracy=arrange(right),
        weights=arrange(update.point()),
        steps_per_epoch=per_epoch,
        provenance=Provenance(
            made=f"sweep of {rule}",
            model=job.model,
            loss=job.loss or loss_name(loss_fn),
            device=str(job.flat.device),
            n_params=job.flat.shape[1],
            n_samples=len(x),
            dtype=str(job.flat.dtype).removeprefix("torch."),
            seconds=time.perf_counter() - start,
            notes={"way": job.way, "batch_size": batch_size},
        ),
    )


def _orders(loaders: Sequence[Loader], batch_size: int):
    for epoch in itertools.count():
        orders = torch.stack([one.order(epoch) for one in loaders])
        yield from orders.split(batch_size, dim=1)


def _job(make_model, seeds, count, x, loss_fn):
    if isinstance(make_model, ComputationalGraph):
        return _GraphJob(make_model, seeds, count, x.dtype)
    return _ModelJob(make_model, seeds, count, x, loss_fn)


class _ModelJob:
    """Losses and gradients of stacked modules."""

    def __init__(self, make_model, seeds, count, x, loss_fn):
        models = [make_model(s) for s in seeds]
        self.model, self.loss = type(models[0]).__name__, ""
        self.stacked = Ensemble(models[0], x)
        self.way, self.like = self.stacked.way, self.stacked.like
        starts = [params.flatten(params.of(m)) for m in models]
        flat = torch.stack(starts).repeat_interleave(count, dim=0)
        self.flat = flat.clone()
        self.still = one_kind(models)
        self.loss_fn, self.losses = loss_fn, per_run(loss_fn)
        self.seeds = len(seeds)

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.flat.requires_grad_()
        output = self.stacked(self.stacked.views(flat), x)
        losses = self.losses(output, y)
        (grad,) = torch.autograd.grad(losses.sum(), flat)
        self.flat = flat.detach()
        return losses.detach(), grad

    def score(self, flat: Tensor, x: Tensor, y: Tensor):
        return score(self.stacked, self.loss_fn, flat, self.seeds, x, y)


class _GraphJob:
    """Losses and gradients, by hand, of stacked expression graphs."""

    way = "graph"
    model, loss, still = "ComputationalGraph", "mean squared error", None

    def __init__(self, graph: ComputationalGraph, seeds, count, dtype):
        if len(graph.outputs) != 1:
            raise ValueError(
                f"a sweep needs one output, not {len(graph.outputs)}: "
                + ", ".join(graph.outputs)
            )
        self.graph, (self.output,) = graph, graph.outputs
        starts = [
            torch.rand(
                len(graph.weights),
                generator=torch.Generator().manual_seed(s),
                dtype=dtype,
                device="cpu",
            )
            for s in seeds
        ]
        self.like = {k: torch.zeros((), device="cpu") for k in graph.weights}
        self.flat = torch.stack(starts).repeat_interleave(count, dim=0)
        self.count = count

    def _run(self, flat: Tensor, x: Tensor):
        columns = flat.unsqueeze(-1).unbind(1)
        weights = dict(zip(self.graph.weights, columns, strict=True))
        x = x.repeat_interleave(self.count, dim=0)
        inputs = dict(zip(self.graph.inputs, x.unbind(-1), strict=True))
        return weights, self.graph.forward(weights, inputs)

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        weights, signals = self._run(self.flat, x)
        y = y.repeat_interleave(self.count, dim=0)
        error = signals[self.output] - y
        outer = {self.output: error * (2 / y.shape[1])}
        grads = self.graph.backward(weights, signals, outer)
        return error.square().mean(1), torch.cat(list(grads.values()), dim=1)

    def score(self, flat: Tensor, x: Tensor, y: Tensor):
        seeds = len(flat) // self.count
        x = x.expand(seeds, *x.shape)
        error = self._run(flat, x)[1][self.output] - y
        return error.square().mean(1).double(), torch.full(
            (len(self.flat),), torch.nan, dtype=torch.float64, device="cpu"
        )
