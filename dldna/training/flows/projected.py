r"""Gradient descent with each step projected onto a space, or off it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, guard, progress
from dldna.landscape.curvature.lanczos import lanczos, warm_start
from dldna.objective import Objective, accepts_objective
from dldna.records import Provenance, Record
from dldna.training.flows.slopes import Slopes, double

ONTO = ("all", "top", "off", "random", "off random")
TOLERANCE = 1e-2  # relative residual of the eigenpairs
LEAST = 6  # products beyond k in each search


@dataclass(frozen=True, eq=False)
class ProjectedRun(Record):
    """What projected descent measured, at each step before it was made.

    Args:
        loss: (T + 1,) on all the data; the last one after the last step.
        share: (T,) of the squared gradient in the top space.
        eigenvalues: (T, k) largest of the Hessian.
        onto: what the steps were projected onto.
        provenance: where it came from.
    """

    loss: np.ndarray
    share: np.ndarray
    eigenvalues: np.ndarray
    onto: str
    provenance: Provenance = field(default_factory=Provenance)


@accepts_objective
def projected_descent(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    lr: float,
    steps: int,
    k: int,
    *,
    onto: str = "top",
    every: int = 1,
    seed: int = 0,
    **options: Any,
) -> ProjectedRun:
    r"""Descend with steps projected onto the top space of the Hessian.

    With the projector :math:`\Pi` on the space of the ``k`` largest
    eigenvalues at the present weights, or on a random space of the same
    size, drawn anew whenever that space is,

    .. math:: w_{t+1} = w_t - \eta\,\Pi\,\nabla L(w_t)
        \quad\text{or}\quad w_t - \eta\,(1 - \Pi)\,\nabla L(w_t).

    Most of the gradient lies in the top space (Gur-Ari et al.); whether the
    loss falls by that part of it is another question (Song et al.), which
    this experiment answers. Eigenvectors come from products by differences
    of gradients in float64.

    Args:
        model: where the run starts; it is not written to.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: all of it is used at each step.
        lr: rate of the steps.
        steps: how many.
        k: dimensions of the space.
        onto: "all" (plain descent), "top", "off" (off the top space),
            "random" or "off random".
        every: find the space anew every so many steps.
        seed: of the random spaces.
        **options: of :class:`~dldna.objective.Objective`: ``params``,
            ``statistics``, ``limit``.

    Returns:
        The losses, the share of the gradient in the top space and the
        eigenvalues; between two searches the last ones stand.

    Raises:
        ValueError: numbers out of range, ``k`` above the number of
            weights, an unknown word, or a loss that is not finite.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False).double()
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.diag(torch.tensor([2.0, 1.0])).double()
        >>> data = x, torch.zeros(2, 1).double()
        >>> mse = nn.MSELoss()  # Hessian diag(4, 1)
        >>> run = projected_descent(layer, mse, data, 0.25, 3, 1)
        >>> run.loss.round(3)  # the second weight stays
        array([2.5, 0.5, 0.5, 0.5])

    References:
        Gur-Ari, Roberts, Dyer, "Gradient descent happens in a tiny
        subspace", 2018, arXiv 1812.04754. Song, Ahn, Yun, "Does SGD really
        happen in tiny subspaces?", ICLR 2025, arXiv 2405.16002.
    """
    checks.positive("lr", lr)
    checks.count("steps", steps)
    checks.count("every", every)
    checks.choice("onto", onto, ONTO)
    with guard.untouched(model):
        f = double(model, loss_fn, data, options)
        if checks.count("k", k) > f.n:
            raise ValueError(f"k = {k} dimensions of {f.n} weights")
        losses, shares, values = [], [], []
        with Slopes.of(f) as slopes:
            space = _Space(slopes, f, k, onto, seed)
            w = f.flat(f.point)
            for step in progress.track(range(steps), f"descent {onto}"):
                loss, g = slopes.at(w)
                if not np.isfinite(loss):
                    raise ValueError(
                        f"the loss is not finite after {step} steps: take a "
                        "smaller lr"
                    )
                if step % every == 0:
                    space.find(w)
                inside = float((space.top @ g).square().sum())
                losses.append(loss)
                shares.append(inside / max(float(g @ g), 1e-300))
                values.append(space.values.cpu().numpy())
                w = w - lr * space.project(g)
            losses.append(slopes.at(w)[0])
        return ProjectedRun(
            loss=np.array(losses),
            share=np.array(shares),
            eigenvalues=np.stack(values),
            onto=onto,
            provenance=f.provenance(
                "projected descent", seed, lr=lr, k=k, every=every,
                gradients=slopes.spent,
            ),
        )  # fmt: skip


class _Space:
    """The top space, and the one that steps are projected onto."""

    def __init__(self, slopes: Slopes, f: Objective, k: int, onto: str, seed):
        self.slopes, self.k, self.onto = slopes, k, onto
        self.searching = torch.Generator().manual_seed(0)
        self.drawing = torch.Generator().manual_seed(seed)
        start = torch.randn(f.n, generator=self.searching, device="cpu")
        self.start = start.to(**f.cast)

    def find(self, w: Tensor) -> None:
        """Search the top space anew, from the last one, and draw another."""
        _, g = self.slopes.at(w)
        n = len(w)
        found = lanczos(
            lambda v: self.slopes.along(w, g, v)[0],
            self.start, self.k, TOLERANCE, which="largest",
            least=min(n, self.k + LEAST), generator=self.searching,
        )  # fmt: skip
        self.values, self.top = found.values, found.vectors
        fresh = torch.randn(n, generator=self.searching, device="cpu").to(w)
        self.start = warm_start(self.top, fresh)
        self.rows = self.top
        if "random" in self.onto:
            drawn = torch.randn(
                n, self.k, generator=self.drawing, device="cpu"
            ).to(w)
            self.rows = torch.linalg.qr(drawn)[0].T

    def project(self, g: Tensor) -> Tensor:
        """The part of a gradient that the step is made of."""
        if self.onto == "all":
            return g
        inside = self.rows.T @ (self.rows @ g)
        return g - inside if self.onto.startswith("off") else inside
