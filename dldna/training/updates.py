"""One rule applied to many runs at once, each with its own settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from dldna import checks
from dldna.optim import Rule, find

# Numbers that enter as factors: single precision loses nothing.
_FACTORS = {"lr", "weight_decay", "eps", "momentum"}


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


class Update:
    """The rule applied to all runs at once, with one value for each run."""

    def __init__(self, rule, settings, job, lr_factors):
        self.rule, self.job = rule, job
        self.still, self.start = job.still, job.flat.detach()
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
            torch.full(
                (v.numel(),), float(lr_factors.get(k, 1.0)), device="cpu"
            )
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
        if self.still is not None:
            grad = grad.masked_fill(self.still, 0.0)
        new = []
        parts = zip(self._parts(flat), self._parts(grad), strict=True)
        for i, (w, g) in enumerate(parts):
            out, self.states[i] = self._apply(
                w, g, self.states[i], t, fixed, varied
            )
            new.append(out.reshape(len(flat), -1))
        self.job.flat = self._held(new)

    def point(self) -> Tensor:
        """The weights to evaluate at: (R, P), for most rules their own."""
        flat = self.job.flat
        pairs = zip(self._parts(flat), self.states, strict=True)
        parts = [self._point(w, state).reshape(len(flat), -1)
                 for w, state in pairs]  # fmt: skip
        return self._held(parts).to(flat.dtype)

    def _held(self, parts: list[Tensor]) -> Tensor:
        """The parts as one matrix; what is frozen is where it was."""
        flat = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        if self.still is None:
            return flat
        return torch.where(self.still, self.start, flat)

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
    column = torch.tensor(values, dtype=dtype, device="cpu").repeat(repeat)
    return column.view(shape)
