"""One step after the other along a flow."""

import math
from typing import Any

import torch
from torch import Tensor

from dldna.training.flows.oscillation import Memory, Thirds, covariance
from dldna.training.flows.rules import FlowRule
from dldna.training.flows.slopes import Slopes
from dldna.training.flows.top_space import TopSpace

LOOK = 20  # steps from one search for the top space to the next
FINE = 4  # least substeps of a flow that does not swing
STIFF = 500  # most substeps of one step
TINY = 1e-300


class Walk:
    """A point of a flow, and how it moves.

    Args:
        slopes: where gradients come from.
        rule: of the optimizer.
        w: (n,) where the flow starts.
        nu: (n,) the second moment there; None if the rule has none.
        begun: number of the optimizer's steps that were made before.
        dt: steps of the optimizer in one step of the flow.
        most: largest number of critical directions; 0 for a flow that does
            not swing.
    """

    def __init__(
        self,
        slopes: Slopes,
        rule: FlowRule,
        w: Tensor,
        nu: Tensor | None,
        begun: int,
        dt: float,
        most: int,
    ):
        self.slopes, self.rule, self.dt, self.most = slopes, rule, dt, most
        self.w, self.nu, self.begun = w, nu, begun
        self.space = TopSpace(len(w), most, rule.edge)
        self.space.basis = self.space.basis.to(w)
        self.thirds = Thirds()
        self.count = 0

    def memory(self) -> Memory:
        """What the second moment makes of the step, here and now."""
        rule = self.rule
        if self.nu is None:
            one = torch.ones_like(self.w)
            return Memory(None, one, 0 * one, 0.0, rule.scalar)
        root = self.nu.sqrt()
        step = self.begun + 1 + int(self.count * self.dt)
        share = min(1.0, rule.renewed(step) * self.dt)
        bend = 0.5 / root.clamp_min(TINY)
        bend = torch.where(root > 0, bend, torch.zeros_like(bend))
        return Memory(self.nu, root + rule.eps, bend, share, rule.scalar)

    def step(self) -> dict[str, Any]:
        """Measure here, and move on.

        Returns:
            What was measured here: weights, loss, mean loss, sharpness,
            the number of critical directions, the vectors of the
            oscillation (m, n), by how much complementarity is missed, and
            the gradients taken.
        """
        here, before = self.w, self.slopes.spent
        loss, g = self.slopes.at(here)
        memory = self.memory()
        root = memory.p.sqrt()
        if self.count % LOOK == 0 or self.space.open:
            self.space.search(
                lambda v: self.slopes.along(here, g, v / root)[0] / root
            )
        u = self.space.basis / root[:, None]
        pairs = [self.slopes.along(here, g, column) for column in u.T]
        hu = torch.stack([product for product, _ in pairs], 1)
        inner = u.T @ hu
        inner = (inner + inner.T) / 2
        if not (math.isfinite(loss) and torch.isfinite(inner).all()):
            raise ValueError(
                f"the flow's loss or curvature is not finite after "
                f"{self.count * self.dt:g} steps: the rate is too large for it"
            )
        values, turn = torch.linalg.eigh(inner)
        m = self.space.critical
        x, missed, force = u.new_zeros(m, m), 0.0, torch.zeros_like(g)
        rate = self.rule.rate * self.dt

        def damped(rows: Tensor, part: float = 1.0) -> Tensor:
            """The step's map K: exact decay in the space that is known."""
            decay = (rate * part * values).clamp_min(1e-9)
            share = 1 + torch.expm1(-decay) / decay
            inside = (rows @ u) @ (turn * share) @ turn.T
            return rows / memory.p - inside @ u.T

        if m and self.most:
            top = u[:, :m]
            thirds = self.thirds.at(
                self.slopes, here, g, top,
                [slope for _, slope in pairs[:m]], self.space.changed,
            )  # fmt: skip
            self.space.changed = False
            edge = self.rule.edge
            room = edge * torch.eye(m, device="cpu").to(inner) - inner[:m, :m]
            x, missed = covariance(
                room, top, thirds, g, rate, edge, damped, memory
            )
            force = torch.einsum("ij,ijn->n", x, thirds) / 2
        sizes, ways = torch.linalg.eigh(x)
        swing = ways * sizes.clamp_min(0).sqrt()
        self._remember(memory, g, hu[:, :m] @ swing)
        self._move(g, force, damped, float(values[0]) * rate)
        self.space.follow(hu / root[:, None])
        self.count += 1
        return {
            "weights": here,
            "loss": loss,
            "mean_loss": loss + float((x * inner[:m, :m]).sum()) / 2,
            "sharpness": float(values[-1]),
            "critical": m,
            "oscillation": (u[:, :m] @ swing).T,
            "missed": missed,
            "gradients": self.slopes.spent - before,
        }

    def _remember(self, memory: Memory, g: Tensor, swing: Tensor) -> None:
        """Let the second moment follow the mean squared gradient."""
        if self.nu is None:
            return
        mean = memory.squared(g)
        for column in swing.T:
            mean = mean + memory.squared(column)
        self.nu = self.nu + memory.share * (mean - self.nu)

    def _move(self, g: Tensor, force: Tensor, damped, stiff: float) -> None:
        """Euler's steps, as many as the rest of the spectrum needs."""
        least = 1 if self.most else FINE
        parts = max(least, math.ceil(stiff / 2 - 1e-6))
        if parts > STIFF:
            raise ValueError(
                f"after {self.count * self.dt:g} steps the flow is too "
                f"stiff: one step would take {parts:,} substeps; take a "
                "smaller rate, or let RMSprop or Adam make some steps first, "
                "which fill their second moment"
            )
        for part in range(parts):
            if part:
                g = self.slopes.at(self.w)[1]
            step = self.rule.rate * self.dt / parts
            self.w = self.w - step * damped(g + force, 1 / parts)
