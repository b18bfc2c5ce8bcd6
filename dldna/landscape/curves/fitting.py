"""Train the bend of a curve, so that the loss stays low along it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna import checks, params
from dldna.guard import untouched
from dldna.landscape.curves.bezier import (
    KINDS,
    Curve,
    coefficients,
    mix,
)
from dldna.landscape.evaluate.losses import mean
from dldna.landscape.evaluate.slow import forward, placed
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.scan.truth import arithmetic
from dldna.landscape.space.points import point_of
from dldna.objective import (
    accepts_objective,
    batch_weight,
    check_call,
    check_limit,
    check_loss,
    check_model,
    loss_name,
    name_of,
    norms,
)
from dldna.params import Params
from dldna.records import Provenance

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]


@accepts_objective
def fit_curve(
    model: nn.Module,
    a: Any,
    b: Any,
    loss_fn: Any,
    data: Any,
    *,
    kind: str = "bezier",
    bends: int = 1,
    steps: int = 300,
    optimizer: Maker | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Curve:
    r"""Find a curve of low loss between two networks.

    .. math:: \min_\theta \; \mathbb{E}_{t \sim U[0, 1]}
              \big[L(\phi_\theta(t))\big], \qquad
              \phi_\theta(t) = (1-t)^2 w_1 + 2t(1-t)\,\theta + t^2 w_2

    for a Bezier curve with one bend; the polygonal chain goes straight
    from :math:`w_1` to :math:`\theta` and on to :math:`w_2`. The ends stay
    fixed; the bends start on the segment. Each step draws one t and one
    batch. Batch normalisation uses each batch's own statistics while the
    curve is fitted; dropout is off.

    Args:
        model: the architecture; its own weights play no part and stay.
        a: one end: a model, a state dict or parameters by name.
        b: the other end.
        loss_fn: see :mod:`dldna.batches`.
        data: a loader, tensors or batches; one pass is kept in memory.
        kind: "bezier" or "chain".
        bends: number of control points between the ends.
        steps: number of optimizer steps.
        optimizer: makes an optimizer from a list of tensors; by default
            ``torch.optim.Adam`` with ``lr=1e-2``.
        seed: of t and of the order of the batches.
        limit: use only the first so many samples.

    Returns:
        The curve, with the loss of every step.

    Raises:
        ValueError: the ends do not fit the model, or a bad setting.
        FloatingPointError: the loss became NaN or infinite.

    Example:
        >>> class Ring(nn.Module):  # the loss is 0 on a circle
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = nn.Parameter(torch.zeros(2))
        ...     def forward(self, x):
        ...         return x * (self.w.square().sum() - 1)
        >>> ends = [{"w": torch.tensor(v)} for v in ([-1.0, 0.], [0., 1.])]
        >>> one = torch.ones(1, 1), torch.zeros(1, 1)
        >>> c = fit_curve(Ring(), *ends, nn.MSELoss(), one, steps=100)
        >>> bool(c.at(0.5)["w"].norm() > 0.9)  # the chord passes at 0.71
        True

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces,
        mode connectivity, and fast ensembling of DNNs, NeurIPS 2018,
        arXiv 1802.10026.
    """
    started = time.perf_counter()
    checks.choice("kind of curve", kind, KINDS)
    checks.count("bends", bends)
    checks.count("steps", steps)
    check_model(model)
    check_loss(loss_fn, data)
    like = params.of(model)
    ends = Curve([params.copy(point_of(end, like)) for end in (a, b)])
    inner = [ends.at((i + 1) / (bends + 1)) for i in range(bends)]
    points = [ends.points[0], *inner, ends.points[1]]
    for point in inner:  # an optimizer of half precision divides 0 by 0
        point.update({k: v.float() for k, v in point.items() if _half(v)})
    free = [v.requires_grad_() for p in inner for v in p.values()]
    make = optimizer or (lambda given: torch.optim.Adam(given, lr=1e-2))
    generator = torch.Generator().manual_seed(seed)
    with untouched(model):
        held = bt.held(data, limit)
        check_limit(model, loss_fn, held)
        check_call(model, loss_fn, held, data)
        job = Subspace.of(
            model,
            loss_fn,
            held,
            ends.points[0],
            [ends.points[1]],
            statistics="train" if norms(model) else "eval",
        )
        losses = _descend(job, points, kind, make(free), steps, generator)
    for v in free:
        v.requires_grad_(False)
    return Curve(
        points=[
            {k: v.detach().to(like[k], copy=True) for k, v in p.items()}
            for p in points
        ],
        kind=kind,
        losses=losses,
        provenance=Provenance(
            made=f"{kind} with {bends} bend(s), {steps} steps",
            seed=seed,
            model=type(model).__name__,
            n_params=params.count(points[0]),
            data=name_of(data),
            n_samples=job.samples,
            loss=loss_name(loss_fn),
            device=str(job.device),
            dtype=arithmetic(model, None),
            seconds=time.perf_counter() - started,
        ),
    )


def _descend(
    job: Subspace,
    points: Sequence[dict[str, Tensor]],
    kind: str,
    optimizer: torch.optim.Optimizer,
    steps: int,
    generator: torch.Generator,
) -> np.ndarray:
    """Loss of every step; the bends among ``points`` are moved."""
    losses = np.empty(steps)
    counted = [
        i
        for i, batch in enumerate(job.batches)
        if batch_weight(job.loss_fn, batch)
    ]
    if not counted:
        raise ValueError("every target is ignored, so there is no loss")
    order: list[int] = []
    for step in range(steps):
        t = torch.rand(
            1, generator=generator, dtype=torch.float64, device="cpu"
        )
        shares = coefficients(kind, t, len(points))[0].tolist()
        if not order:
            n = len(counted)
            turns = torch.randperm(n, generator=generator, device="cpu")
            order = [counted[k] for k in turns.tolist()]
        i = order.pop()

        def closure(i=i, shares=shares):
            here = mix(points, shares)
            here = {k: v.to(job.origin[k].dtype) for k, v in here.items()}
            loss, slope = _slope(job, job.batches[i], here)
            for point, share in zip(points[1:-1], shares[1:-1], strict=True):
                for name, v in point.items():
                    v.grad = share * slope[name].to(v)
            return torch.tensor(loss, device="cpu")

        loss = optimizer.step(closure)
        losses[step] = float(loss.detach())
        if not np.isfinite(losses[step]):
            raise FloatingPointError(
                f"the loss became {losses[step]} at step {step + 1} (t = "
                f"{float(t):.3f}): lower the optimizer's learning rate"
            )
    return losses


def _half(tensor: torch.Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)


def _slope(job: Subspace, batch: Any, point: Params) -> tuple[float, Params]:
    """Loss and gradient of a batch, with the point in the model itself."""
    named = dict(job.model.named_parameters())
    with placed(job, needs=tuple(point)) as put:
        put(point, job.buffers_at([0.0]))
        value = mean(job.loss(forward(job, batch), batch))
        value = value / bt.size(batch) if job.summed else value
        found = torch.autograd.grad(
            value, [named[k] for k in point], materialize_grads=True
        )
    dense = [g.to_dense() if g.is_sparse else g for g in found]
    return float(value.detach()), dict(zip(point, dense, strict=True))
