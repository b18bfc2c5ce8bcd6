"""The shell of a rule that looks at all weights as one vector."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna.optim.base_optimizer import evaluated
from dldna.optim.ops import wide
from dldna.optim.shell import RuleOptimizer

Part = tuple[dict[str, Any], Tensor]


class NetworkOptimizer(RuleOptimizer):
    """The shell of a rule that looks at all weights as one vector.

    The weights, gradients and state of all parameters are joined for the
    step, which takes as much memory again as they do. Half precision is
    joined, and its state kept, in float32. The rule's single numbers live
    once: every parameter's state holds the same tensors, and a parameter
    that is thawed or added later meets them as they then are.

    A group whose rate is 0 stands still, as if it had no gradients.
    """

    once: ClassVar = ("d0",)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later; their rate is the network's."""
        if self.param_groups and isinstance(param_group, dict):
            rate = max(group["lr"] for group in self.param_groups)
            if rate > 0:  # else all stand still so far
                param_group.setdefault("lr", rate)
        super().add_param_group(param_group)

    def check_together(self, groups: list[dict[str, Any]]) -> None:
        """Refuse groups that differ in what the network has only once."""
        super().check_together(groups)
        rates = {float(g["lr"]) for g in groups} - {0.0}
        memories = {float(g["betas"][1]) for g in groups}
        for name, values in (("lr", rates), ("betas[1]", memories)):
            if len(values) > 1:
                raise ValueError(
                    f"{type(self).__name__} estimates one rate for the whole "
                    f"network: {name} must be the same in all groups, not "
                    f"{' and '.join(map(str, sorted(values)))} (a rate may "
                    "also be 0: that group then stands still)"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; see :meth:`RuleOptimizer.step`.

        Raises:
            ValueError: groups differ in what the network has only once.
        """
        loss = evaluated(closure)
        self.check_together(self.param_groups)
        parts = [
            (group, p)
            for group in self.param_groups
            if float(group["lr"]) > 0
            for p in group["params"]
            if p.grad is not None
        ]
        if parts:
            self._step(parts)
        return loss

    def _step(self, parts: list[Part]) -> None:
        params = [p for _, p in parts]
        states = [self._state(p, self._hyper(group)) for group, p in parts]
        single = self._shared(params[0], states)
        full = states[0].keys() - single.keys() - {"step"}
        joint = {k: _joined([s[k] for s in states]) for k in full} | single
        g = _joined(
            [-self.gradient(p) if group["maximize"] else self.gradient(p)
             for group, p in parts]
        )  # fmt: skip
        t = max(s["step"] for s in states) + 1
        w, new = self.rule.update(
            _joined(params), g, joint, t, **self._joint_hyper(parts)
        )
        sizes = [p.numel() for p in params]
        for k in full:
            for s, piece in zip(states, new[k].split(sizes), strict=True):
                s[k].copy_(piece.view_as(s[k]))
        for k, value in single.items():
            value.copy_(new[k])
        for s in states:
            s["step"] = t
        for p, piece in zip(params, w.split(sizes), strict=True):
            p.copy_(piece.view_as(p))

    def _shared(self, p: Tensor, states: list[dict]) -> dict[str, Tensor]:
        """The rule's single numbers, the same tensors in every state.

        Where they are not the same (new parameters, a loaded state) those
        with the largest ``d`` hold, which never shrinks.
        """
        probe = self.rule.init(p.new_zeros(2))
        names = [k for k, v in probe.items() if v.dim() == 0]
        known = [s for s in self.state.values() if "d" in s]
        best = known[0]
        if any(s[k] is not best[k] for s in known for k in names):
            best = max(known, key=lambda s: float(s["d"]))
        shared = {k: best[k] for k in names}
        for s in known:
            s.update(shared)
        return shared

    def _joint_hyper(self, parts: list[Part]) -> dict[str, Any]:
        """Numbers where all tensors share them, else one for each weight."""
        groups = [self._hyper(group) for group, _ in parts]

        def spread(values: list) -> Any:
            if isinstance(values[0], (tuple, list)):
                return tuple(map(spread, zip(*values, strict=True)))
            if all(v == values[0] for v in values):
                return values[0]
            pairs = zip(parts, values, strict=True)
            return _joined(
                [torch.full_like(wide(p), float(v)) for (_, p), v in pairs]
            )

        return {k: spread([h[k] for h in groups]) for k in groups[0]}


def _joined(tensors: Iterable[Tensor]) -> Tensor:
    """One vector, on the device of the first, in float32 at least."""
    flat = [wide(x.reshape(-1)) for x in tensors]
    return torch.cat([x.to(flat[0].device) for x in flat])
