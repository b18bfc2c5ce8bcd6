r"""Many settings and seeds of one small model at once.

All runs share one matrix of parameters, shape (R, P). A step is one pass:
the gradients of all runs, then one application of the optimizer's pure
rule, in which a learning rate may be a column of R values. The numbers
are those of the runs one by one.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from dldna import checks, params
from dldna.data import Loader
from dldna.graph import Graph
from dldna.optim import Rule, find
from dldna.progress import track
from dldna.records import History, Provenance, Record
from dldna.training.stacked import Stacked, per_run


@dataclass(frozen=True, eq=False)
class Sweep(Record):
    """What a sweep measured: S settings, K seeds, T steps, E evaluations.

    Args:
        settings: the S settings, as they were given.
        seeds: (K,) the seeds.
        step_loss: (S, K, T) loss of each step's batch.
        epochs: (E,) after how many epochs the test set was tried.
        test_loss: (S, K, E) mean test loss.
        test_accuracy: (S, K, E) fraction of right answers, NaN for losses
            without classes.
        weights: (S, K, P) final parameters.
        steps_per_epoch: number of batches in an epoch.
        provenance: where it came from; ``notes["path"]`` names the way
            the forward pass was computed.
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
        each = self.provenance.seconds / self.step_loss[..., 0].size
        return History(
            self.epochs,
            np.asarray(means, dtype=float),
            np.full(e, np.nan),
            self.test_loss[setting, seed],
            self.test_accuracy[setting, seed],
            np.full(e, each / max(e, 1)),
            loss,
            provenance=self.provenance,
        )


def sweep(
    make_model: Callable[[int], nn.Module] | Graph,
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
        make_model: ``seed -> module``; or a :class:`~dldna.graph.Graph`,
            whose weights start uniform in [0, 1).
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
        ValueError: unknown rule or keyword; no settings; settings that
            differ in a keyword that is not a number; neither or both of
            ``epochs`` and ``steps``; factors for an unknown parameter, or
            for a rule that looks at whole tensors.

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
    if not settings:
        raise ValueError("no settings: a sweep needs at least one")
    given = settings
    pure, settings = of_rule(rule, settings)
    rule = pure.name
    if (epochs is None) == (steps is None):
        raise ValueError("give either epochs or steps")
    x, y = data
    seeds = [int(s) for s in seeds]
    loaders = [Loader(x, y, batch_size, shuffle=True, seed=s) for s in seeds]
    per_epoch = len(loaders[0])
    if steps is None:
        steps = checks.count("epochs", epochs) * per_epoch
    checks.count("steps", steps)
    start = time.perf_counter()
    job = _job(make_model, seeds, len(settings), x, loss_fn)
    update = _Update(pure, settings, job, lr_factors or {})
    losses, marks, tests = [], [], []
    # One generator of orders for all seeds: (K, B) indices for each step.
    order = _orders(loaders, batch_size)
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

    none = torch.zeros(len(job.flat), 0)
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
            n_params=job.flat.shape[1],
            n_samples=len(x),
            dtype=str(job.flat.dtype).removeprefix("torch."),
            seconds=time.perf_counter() - start,
            notes={"path": job.path, "batch_size": batch_size},
        ),
    )


def of_rule(
    name: str, settings: Sequence[Mapping[str, Any]]
) -> tuple[Rule, list[dict[str, Any]]]:
    """The pure rule of an optimizer, and the settings of its variant.

    Raises:
        ValueError: unknown, or it needs more than gradients.
    """
    known = find(name)
    if known.rule is None or hasattr(known.cls, "needs_curvature"):
        needs = "an estimate of the curvature"
        if known.rule is None:
            needs = "the loss itself, more than once a step"
        raise ValueError(
            f"{known.name} needs {needs}; many runs at once have gradients "
            "only"
        )
    defaults = getattr(known.cls, "extras", {})
    own = {k: v for k, v in defaults.items() if k in known.rule.defaults}
    return known.rule, [{**own, **known.settings, **s} for s in settings]


def _orders(loaders: Sequence[Loader], batch_size: int):
    for epoch in itertools.count():
        orders = torch.stack([one.order(epoch) for one in loaders])
        yield from orders.split(batch_size, dim=1)


def _job(make_model, seeds, count, x, loss_fn):
    if isinstance(make_model, Graph):
        return _GraphJob(make_model, seeds, count, x.dtype)
    return _ModelJob(make_model, seeds, count, x, loss_fn)


class _ModelJob:
    """Losses and gradients of stacked modules."""

    def __init__(self, make_model, seeds, count, x, loss_fn):
        models = [make_model(s) for s in seeds]
        self.stacked = Stacked(models[0], x)
        self.path, self.like = self.stacked.path, self.stacked.like
        starts = [params.flatten(params.of(m)) for m in models]
        flat = torch.stack(starts).repeat_interleave(count, dim=0)
        self.flat = flat.clone()
        self.losses = per_run(loss_fn)
        self.seeds = len(seeds)

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.flat.requires_grad_()
        output = self.stacked(self.stacked.views(flat), x)
        losses = self.losses(output, y)
        (grad,) = torch.autograd.grad(losses.sum(), flat)
        self.flat = flat.detach()
        return losses.detach(), grad

    @torch.no_grad()
    def score(self, flat: Tensor, x: Tensor, y: Tensor, most: int = 2048):
        loss = torch.zeros(len(flat), dtype=torch.float64)
        right = torch.zeros_like(loss)
        views = self.stacked.views(flat)
        for a, b in zip(x.split(most), y.split(most), strict=True):
            inputs = a.expand(self.seeds, *a.shape)
            targets = b.expand(self.seeds, *b.shape)
            out = self.stacked(views, inputs)
            loss += self.losses(out, targets).double() * len(a)
            if b.is_floating_point():
                right += torch.nan
            else:
                right += (out.argmax(-1) == b).double().sum(1)
        return loss / len(x), right / len(x)


class _GraphJob:
    """Losses and gradients, by hand, of stacked expression graphs."""

    path = "graph"

    def __init__(self, graph: Graph, seeds, count, dtype):
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
            )
            for s in seeds
        ]
        self.like = {k: torch.zeros(()) for k in graph.weights}
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
            (len(self.flat),), torch.nan, dtype=torch.float64
        )


# Numbers that enter as factors: single precision loses nothing.
_FACTORS = {"lr", "weight_decay", "eps", "momentum"}


class _Update:
    """The rule applied to all runs at once, with one value for each run."""

    def __init__(self, rule, settings, job, lr_factors):
        self.rule, self.job = rule, job
        self.flat = self.rule.kind == "elementwise"
        repeat = len(job.flat) // len(settings)
        shape = (-1, 1) if self.flat else (-1,)
        self.fixed, self.varied = {}, {}
        defaults = dict(self.rule.defaults)
        for setting in settings:
            for key in setting:
                checks.choice(f"keyword of {rule.name}", key, defaults)
            self.rule.check(setting)
        for key, default in defaults.items():
            values = [s.get(key, default) for s in settings]
            if all(v == values[0] for v in values):
                self.fixed[key] = values[0]
            else:
                dtype = job.flat.dtype if key in _FACTORS else torch.float64
                self.varied[key] = _column(key, values, repeat, shape, dtype)
        self.exact = not self.varied.keys() <= _FACTORS
        if lr_factors:
            rate = self.varied.pop("lr", None)
            rate = self.fixed.pop("lr") if rate is None else rate
            self.varied["lr"] = rate * self._row(rule, lr_factors)
        # A rule for one tensor sees the tensors; any other, all weights.
        whole = self.rule.kind in ("elementwise", "network")
        like = job.like.values()
        self.sizes = (
            [job.flat.shape[1]] if whole else [v.numel() for v in like]
        )
        self.shapes = [(-1,)] if whole else [v.shape for v in like]
        self.states = [self._start(w) for w in self._parts(job.flat)]

    def _row(self, rule: Rule, lr_factors) -> Tensor:
        """The factors, one for each number of a run: shape (1, P)."""
        if not self.flat:
            raise ValueError(
                f"lr_factors= needs a rule that works number by number; "
                f"{rule.name!r} looks at whole tensors"
            )
        like = self.job.like
        for name in lr_factors:
            checks.choice("parameter", name, like)
        parts = [
            torch.full((v.numel(),), float(lr_factors.get(k, 1.0)))
            for k, v in like.items()
        ]
        return torch.cat(parts).to(self.job.flat)[None]

    def _parts(self, flat: Tensor) -> list[Tensor]:
        cut = flat.split(self.sizes, dim=1)
        return [
            part.reshape(len(flat), *shape)
            for part, shape in zip(cut, self.shapes, strict=True)
        ]

    def _start(self, w: Tensor):
        if self.flat:
            return self.rule.init(w, **self.fixed, **self.varied)
        return vmap(lambda one, h: self.rule.init(one, **self.fixed, **h))(
            w, self.varied
        )

    def __call__(self, grad: Tensor, t: int, factor: float) -> None:
        fixed, varied = dict(self.fixed), dict(self.varied)
        if factor != 1.0:
            where = varied if "lr" in varied else fixed
            where["lr"] = where["lr"] * factor
        flat = self.job.flat
        new = []
        parts = zip(self._parts(flat), self._parts(grad), strict=True)
        for i, (w, g) in enumerate(parts):
            out, self.states[i] = self._apply(
                w, g, self.states[i], t, fixed, varied
            )
            new.append(out.reshape(len(flat), -1))
        self.job.flat = new[0] if len(new) == 1 else torch.cat(new, dim=1)

    def point(self) -> Tensor:
        """The weights to evaluate at: (R, P), for most rules their own."""
        flat = self.job.flat
        pairs = zip(self._parts(flat), self.states, strict=True)
        parts = [self._point(w, state).reshape(len(flat), -1)
                 for w, state in pairs]  # fmt: skip
        return torch.cat(parts, dim=1).to(flat.dtype)

    def _point(self, w, state):
        point, fixed, varied = self.rule.point, self.fixed, self.varied
        if self.flat:
            return point(w, state, **fixed, **varied)
        return vmap(lambda w, s, h: point(w, s, **fixed, **h))(
            w, state, varied
        )

    def _apply(self, w, g, state, t, fixed, varied):
        rule, dtype = self.rule.update, w.dtype
        if self.exact:
            w, g = w.double(), g.double()
            state = {k: v.double() for k, v in state.items()}
        if self.flat:
            w, state = rule(w, g, state, t, **fixed, **varied)
        else:
            w, state = vmap(lambda w, g, s, h: rule(w, g, s, t, **fixed, **h))(
                w, g, state, varied
            )
        return w.to(dtype), {
            k: v.to(dtype) if v.shape == w.shape else v
            for k, v in state.items()
        }


def _column(key, values, repeat, shape, dtype):
    """Values of one keyword, one for each run, ready to broadcast."""
    if all(isinstance(v, tuple) for v in values):
        return tuple(
            _column(key, list(part), repeat, shape, dtype)
            for part in zip(*values, strict=True)
        )
    if any(isinstance(v, (bool, str, type(None))) for v in values):
        raise ValueError(
            f"the settings differ in {key!r}, which is not a number: run "
            "one sweep for each of its values"
        )
    column = torch.tensor(values, dtype=dtype).repeat(repeat)
    return column.view(shape)
