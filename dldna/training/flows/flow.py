r"""Gradient flow, stable flow and central flow of an optimizer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dldna import checks, guard, progress
from dldna.objective import Objective, accepts_objective
from dldna.training.dynamics import edge
from dldna.training.flows.record import Flow
from dldna.training.flows.rules import FlowRule, rule_of
from dldna.training.flows.slopes import Slopes, double
from dldna.training.flows.walk import Walk

COLUMNS = (
    "loss",
    "mean_loss",
    "sharpness",
    "critical",
    "missed",
    "gradients",
)


@accepts_objective
def central_flow(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    optimizer: Optimizer | FlowRule,
    steps: int,
    *,
    dt: float = 1.0,
    every: int = 1,
    most: int = 8,
    keep: bool = False,
    **options: Any,
) -> Flow:
    r"""Predict a run on all the data: its mean path and its oscillation.

    An optimizer with a rate above what the curvature allows does not
    diverge, but swings about a path along which the curvature stays at the
    edge of stability. With the time in steps, :math:`r`, :math:`c` and
    :math:`P` of :class:`FlowRule` and the covariance :math:`\Sigma` of the
    oscillation, that path is

    .. math::
        \dot w = -r\,P^{-1}\bigl(\nabla L
            + \tfrac12\nabla_w\langle\Sigma,H(w)\rangle\bigr), \qquad
        \Sigma\succeq0,\quad H\preceq cP,\quad
        \langle\Sigma,cP-H\rangle=0,

    and for RMSProp and Adam
    :math:`\dot\nu=a\,((\nabla L)^2+\mathrm{diag}(H\Sigma H)-\nu)`.
    Nothing is fitted to a run: the flow starts from the model's weights
    and, if the optimizer has made steps, from its second moment.

    Outside of the space of the largest eigenvalues a step of the flow is
    one step of the optimizer with the mean gradient; inside, the decay is
    exact. Smaller ``dt`` approaches continuous time. All curvature comes
    from differences of gradients in float64; a step takes about
    :math:`1+2(m+1)+m(m-1)` of them with :math:`m` critical directions.

    It fails where the oscillation is so large that the loss is no cubic
    along it, and it does not know the bursts of single runs, whose means
    it predicts. The first one is the largest: a run passes the edge with
    next to no oscillation, and its sharpness rises on until that has
    grown. The sharpness is that of the run's averaged Hessian; the mean over
    the run's own points is larger, since the largest eigenvalue is convex:
    more so, the more directions are critical.

    Args:
        model: any ``nn.Module`` with smooth activations; it is not written
            to.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: all that the optimizer sees at each step; a loader, a batch,
            or tensors.
        optimizer: SGD, RMSprop or Adam of torch or of dldna over the
            model's parameters, without weight decay, or a
            :class:`FlowRule`; it is only read.
        steps: of the optimizer that the flow is to cover.
        dt: steps of the optimizer in one step of the flow.
        every: keep every so many steps of the flow.
        most: largest number of directions held at the edge.
        keep: whether to keep the weights and the oscillation's vectors.
        **options: of :class:`~dldna.objective.Objective`: ``params``,
            ``statistics``, ``limit``.

    Returns:
        The prediction; ``provenance.notes["full"]`` counts the steps at
        which more than ``most`` directions may have been critical.

    Raises:
        TypeError: no optimizer.
        ValueError: an optimizer or settings without a flow here, numbers
            out of range, a loss that is not finite on the way, or a flow
            that is too stiff for its rate.

    Example:
        >>> x = torch.linspace(-1, 1, 8)[:, None]
        >>> net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> flow = central_flow(net, nn.MSELoss(), (x, x), sgd, 5)
        >>> flow.threshold, flow.steps
        (20.0, array([0., 1., 2., 3., 4.]))

    References:
        Cohen, Damian, Talwalkar, Kolter, Lee, "Understanding optimization
        in deep learning with central flows", ICLR 2025, arXiv 2410.24206.
    """
    checks.count("most", most)
    return _flow(
        "central", model, loss_fn, data, optimizer, steps,
        dt, every, most, keep, options,
    )  # fmt: skip


@accepts_objective
def stable_flow(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    optimizer: Optimizer | FlowRule,
    steps: int,
    *,
    dt: float = 1.0,
    every: int = 1,
    keep: bool = False,
    **options: Any,
) -> Flow:
    r"""Follow an optimizer as if it never swung.

    :math:`\dot w=-rP^{-1}\nabla L` and
    :math:`\dot\nu=a((\nabla L)^2-\nu)`, whatever the curvature. It departs
    from the run where the sharpness reaches the threshold.

    Args:
        model: as in :func:`central_flow`.
        loss_fn: likewise.
        data: likewise.
        optimizer: likewise.
        steps: of the optimizer that the flow is to cover.
        dt: steps of the optimizer in one step of the flow, which makes at
            least four of Euler's.
        every: keep every so many steps of the flow.
        keep: whether to keep the weights.
        **options: as in :func:`central_flow`.

    Returns:
        The path; ``mean_loss`` equals ``loss``.

    Raises:
        TypeError: no optimizer.
        ValueError: as :func:`central_flow`.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.ones(4, 1).double()
        >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> flow = stable_flow(layer, nn.MSELoss(), (x, 0 * x), sgd, 3)
        >>> flow.loss.round(4)  # exp(-4 lr t)
        array([1.    , 0.6703, 0.4493])
    """
    return _flow(
        "stable", model, loss_fn, data, optimizer, steps,
        dt, every, 0, keep, options,
    )  # fmt: skip


@accepts_objective
def gradient_flow(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    lr: float,
    steps: int,
    *,
    dt: float = 1.0,
    every: int = 1,
    keep: bool = False,
    **options: Any,
) -> Flow:
    r"""Follow :math:`\dot w=-\eta\nabla L`, descent in tiny steps.

    The stable flow of gradient descent.

    Args:
        model: as in :func:`central_flow`.
        loss_fn: likewise.
        data: likewise.
        lr: :math:`\eta`, so that time is in steps of that rate.
        steps: time that the flow is to cover.
        dt: as in :func:`stable_flow`.
        every: likewise.
        keep: likewise.
        **options: as in :func:`central_flow`.

    Returns:
        The path.

    Raises:
        ValueError: as :func:`central_flow`.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.ones(4, 1).double()
        >>> flow = gradient_flow(layer, nn.MSELoss(), (x, 0 * x), 0.1, 2)
        >>> flow.kind, flow.threshold
        ('gradient', 20.0)
    """
    return _flow(
        "gradient", model, loss_fn, data, FlowRule.sgd(lr), steps,
        dt, every, 0, keep, options,
    )  # fmt: skip


def _flow(
    kind, model, loss_fn, data, optimizer, steps, dt, every, most, keep, given
) -> Flow:
    """Walk along a flow and put it on record."""
    rule = rule_of(optimizer)
    checks.count("steps", steps)
    checks.count("every", every)
    checks.positive("dt", dt)
    with guard.untouched(model):
        f = double(model, loss_fn, data, given)
        nu, begun = _second_moment(f, optimizer, rule)
        rows, full = [], 0
        with Slopes.of(f) as slopes:
            walk = Walk(slopes, rule, f.flat(f.point), nu, begun, dt, most)
            count = max(1, round(steps / dt))
            for step in progress.track(range(count), f"{kind} flow"):
                row = walk.step()
                full += bool(most) and row["critical"] >= most
                if step % every == 0:
                    point = row["weights"].cpu().numpy() if keep else None
                    rows.append(row | {"step": step * dt, "weights": point})
        return _record(kind, rule, rows, walk, keep, f, full)


def _second_moment(
    f: Objective, optimizer: Any, rule: FlowRule
) -> tuple[Tensor | None, int]:
    """The optimizer's second moment, and how many steps it has made.

    Before the first step it is the squared gradient, as after the first
    one, for all that Adam corrects.
    """
    if rule.beta2 is None:
        return None, 0
    state = getattr(optimizer, "acts_as", None) or optimizer
    state = getattr(state, "state", {})
    named = dict(f.model.named_parameters())
    found, begun = {}, 0
    for name in f.names:
        own = state.get(named[name], {})
        key = next((k for k in edge.SQUARES if k in own), None)
        if key is None:
            break
        found[name], begun = own[key].detach(), int(own["step"])
    if len(found) == len(f.names):
        nu = f.flat(found)
        return nu / (1 - rule.beta2**begun if rule.corrected else 1), begun
    squared = f.gradient().square()
    if rule.scalar:
        squared = squared.sum().expand_as(squared)
    return squared * (1 if rule.corrected else 1 - rule.beta2), 1


def _record(kind, rule, rows, walk, keep, f, full) -> Flow:
    """What the walk measured, as arrays."""
    columns = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
    width = max(row["critical"] for row in rows)
    swings = np.zeros((len(rows) if keep else 0, width, f.n if keep else 0))
    variances = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        swing = row["oscillation"]
        sizes = torch.linalg.eigvalsh(swing @ swing.T).flip(0)
        variances[i, : len(sizes)] = sizes.clamp_min(0).cpu().numpy()
        if keep:
            swings[i, : len(swing)] = swing.cpu().numpy()
    extra = {}
    if keep:
        weights = np.stack([row["weights"] for row in rows])
        extra = {"weights": weights, "oscillation": swings}
    if walk.nu is not None:
        extra["second_moment"] = walk.nu.cpu().numpy()
    return Flow(
        steps=np.array([row["step"] for row in rows]),
        **columns,
        threshold=rule.edge,
        variances=variances,
        **extra,
        kind=kind,
        provenance=f.provenance(
            f"{kind} flow", None, rate=rule.rate, dt=walk.dt, full=full
        ),
    )
