r"""MetaInit: choose the weights' norms so that curvature is small.

The gradient quotient compares the gradient with what is left of it after
a unit step along it, to first order, :math:`g - Hg`:

.. math::
    GQ = \frac1N \left\| \frac{g - Hg}{g + \epsilon s} - 1 \right\|_1,
    \qquad s_i = \pm 1 \text{ as } g_i \gtrless 0,

with :math:`Hg = \nabla \|g\|^2 / 2`. It is 0 where a step does not change
the gradient. Only the norms of the weight matrices move, on random inputs
with random labels: no data are needed, and no tasks.
"""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dldna import batches, checks, params
from dldna.guard import differentiable, untouched
from dldna.init._draw import make_generator
from dldna.init.init_report import InitReport, describe
from dldna.init.weight_matrices import check_model


def quotient(
    loss: Tensor,
    point: Sequence[Tensor],
    eps: float = 1e-5,
    create_graph: bool = False,
) -> Tensor:
    r"""The gradient quotient of a loss at a point.

    For :math:`L = \frac12\sum a_i w_i^2` it is the mean of ``a`` (up to
    ``eps``).

    Args:
        loss: a scalar that depends on ``point``.
        point: the tensors to differentiate by.
        eps: keeps the denominator from 0.
        create_graph: keep the graph, to differentiate the quotient.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: the loss is not one finite number.

    Example:
        >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> loss = 0.5 * (torch.tensor([1.0, 10.0]) * w**2).sum()
        >>> round(float(quotient(loss, [w])), 3)
        5.5

    References:
        Dauphin, Schoenholz, MetaInit, NeurIPS 2019.
    """
    if loss.ndim or not torch.isfinite(loss):
        raise ValueError(f"the loss must be one finite number, not {loss}")
    grads = torch.autograd.grad(
        loss, point, create_graph=True, materialize_grads=True
    )
    half = sum((g * g).sum() for g in grads) / 2
    if half.requires_grad:
        moved = torch.autograd.grad(
            half,
            point,
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
    else:  # the loss is linear in the parameters
        moved = [torch.zeros_like(g) for g in grads]
    total = 0.0
    for g, hg in zip(grads, moved, strict=True):
        sign = torch.where(g >= 0, 1.0, -1.0).to(g).detach()
        total = total + ((g - hg) / (g + eps * sign) - 1).abs().sum()
    value = total / sum(p.numel() for p in point)
    return value if create_graph else value.detach()


def gradient_quotient(
    model: nn.Module,
    loss_fn: Callable,
    batch: batches.Batch,
    eps: float = 1e-5,
) -> float:
    """The gradient quotient of a model on a batch, over all parameters.

    Args:
        model: evaluated in eval mode, and left as it was.
        loss_fn: see :mod:`dldna.batches`.
        batch: inputs and targets.
        eps: keeps the denominator from 0.

    Returns:
        The quotient.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Linear(3, 2)
        >>> batch = torch.ones(4, 3), torch.zeros(4, dtype=torch.long)
        >>> gradient_quotient(net, nn.CrossEntropyLoss(), batch) > 0
        True

    References:
        Dauphin, Schoenholz, MetaInit, NeurIPS 2019.
    """
    checks.positive("eps", eps)
    check_model(model)
    loss_of = batches.loss_caller(loss_fn)
    inputs = batches.split(batch)[0]
    with untouched(model), sdpa_kernel(SDPBackend.MATH), differentiable():
        model.eval()
        point = {
            k: p.detach().clone().requires_grad_()
            for k, p in model.named_parameters()
        }
        output = batches.apply(_caller(model, point), inputs)
        return float(quotient(loss_of(output, batch), [*point.values()], eps))


def _caller(model: nn.Module, point: dict[str, Tensor]) -> Callable:
    return lambda *a, **k: params.call(model, point, a, k)


def metainit(
    model: nn.Module,
    input_shape: Sequence[int],
    classes: int,
    *,
    loss_fn: Callable = nn.functional.cross_entropy,
    steps: int = 500,
    lr: float = 0.1,
    momentum: float = 0.9,
    eps: float = 1e-5,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    r"""Tune the norms of the weight matrices, in place.

    For each weight W of two or more axes, with
    :math:`s = \mathrm{sign}(\langle W, \nabla_W GQ\rangle)`:
    :math:`v \leftarrow \mu v - \eta s`, :math:`\|W\| \leftarrow \|W\| + v`.
    Initialize the model first; its biases and one-axis parameters stay. A
    step longer than the norm turns the weight's sign, as in the authors'
    code.

    Args:
        model: a classifier that is twice differentiable.
        input_shape: shape of one whole batch, (B, ...).
        classes: number of labels.
        loss_fn: of output and labels.
        steps: number of updates.
        lr: :math:`\eta`, in units of the norm.
        momentum: :math:`\mu`.
        eps: keeps the quotient's denominator from 0.
        seed: of the random inputs and labels.
        generator: instead of the seed.

    Returns:
        A report; ``numbers["quotient"]`` is the (steps,) list.

    Raises:
        ValueError: no weight matrix, or the quotient is not finite.

    References:
        Dauphin, Schoenholz, MetaInit, NeurIPS 2019.
    """
    checks.count("steps", steps)
    checks.count("classes", classes, least=2)
    checks.positive("lr", lr)
    checks.fraction("momentum", momentum)
    checks.positive("eps", eps)
    shape = [checks.count("input_shape", n) for n in input_shape]
    source = make_generator(seed, generator)
    check_model(model)
    start = time.perf_counter()
    with untouched(model), sdpa_kernel(SDPBackend.MATH), differentiable():
        model.eval()
        point = {
            k: p.detach().clone().requires_grad_()
            for k, p in model.named_parameters()
        }
        moving = {k: p for k, p in point.items() if p.ndim >= 2}
        if not moving:
            raise ValueError(
                f"{type(model).__name__} has no weight matrix to tune"
            )
        like = next(iter(moving.values()))
        velocity = dict.fromkeys(moving, 0.0)
        history, call = [], _caller(model, point)
        for step in range(steps):
            draw = {"generator": source, "device": source.device}
            x = torch.randn(shape, **draw).to(like)
            y = torch.randint(classes, shape[:1], **draw)
            loss = loss_fn(call(x), y.to(like.device))
            gq = quotient(loss, [*point.values()], eps, create_graph=True)
            history.append(float(gq.detach()))
            grads = torch.autograd.grad(
                gq, [*moving.values()], allow_unused=True,
                materialize_grads=True,
            )  # fmt: skip
            with torch.no_grad():
                for (name, w), grad in zip(moving.items(), grads, strict=True):
                    slope = float((w * grad).sum())
                    if math.isnan(slope):
                        raise ValueError(
                            f"the gradient quotient of {name!r} is not "
                            f"finite at step {step}: start from a scheme "
                            "whose loss is finite"
                        )
                    sign = (slope > 0) - (slope < 0)
                    norm = float(w.norm())
                    if norm == 0:
                        continue
                    velocity[name] = momentum * velocity[name] - lr * sign
                    w.mul_(1 + velocity[name] / norm)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in moving:
                p.copy_(moving[name])
    how = dict.fromkeys(moving, "metainit norm")
    how |= {f"{k}[{part}]": "metainit norm" for k in moving for part in "qkv"}
    rest = {k: "as it was" for k in point if k not in moving}
    return describe(
        model,
        "metainit",
        how,
        rest,
        seconds=time.perf_counter() - start,
        numbers={"quotient": history},
    )
