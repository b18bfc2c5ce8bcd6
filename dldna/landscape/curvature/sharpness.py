r"""Sharpness: how fast the loss can rise near a point.

All measures of this file that look for a worst neighbour maximise the loss
over :math:`w + s\odot u` with :math:`\|u\|_p\le 1`; they differ in the
scales :math:`s` and in :math:`p`. The maximum is sought by projected
gradient ascent, so what is found is a lower bound.

A caveat that is a theorem: a ReLU network does not change when one layer
is multiplied by :math:`a` and the next divided by :math:`a`, but every
measure here that does not scale with the weights does (Dinh, Pascanu,
Bengio, Bengio, ICML 2017, arXiv 1703.04933). :func:`rescale_relu` makes
such twins. And even the invariant measures say little about
generalisation in modern settings (Andriushchenko et al., ICML 2023,
arXiv 2302.07011).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, guard
from dldna.landscape.curvature.call import (
    check_call,
    difference_products,
    watch,
)
from dldna.landscape.curvature.operator import Operator, of_gradients
from dldna.objective import accepts_objective
from dldna.records import Sharpness

NORMS = (2, "inf")


@checks.renamed(mode="statistics")
@difference_products
@accepts_objective
def keskar_sharpness(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    eps: float = 1e-3,
    steps: int = 10,
    **options: Any,
) -> Sharpness:
    r"""Measure sharpness in a box, after Keskar et al.

    How far the loss can rise within a box about the weights :math:`w`, in
    percent of :math:`1+L(w)`:

    .. math:: 100\,\frac{\max_{y\in C} L(w+y)-L(w)}{1+L(w)},
        \qquad C=\{y: |y_i|\le\epsilon(|w_i|+1)\}.

    Args:
        model: any ``nn.Module``; it is not written to.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        eps: half the width of the box, in units of :math:`|w_i|+1`.
        steps: number of ascent steps; each costs one gradient and one
            loss.
        **options: of :class:`Operator`; ``params``, ``dtype``, ``statistics``
            and ``limit`` make a difference.

    Returns:
        The measure in percent (``value``), a lower bound of the maximum;
        the losses at the centre (``loss``), at the worst point found
        (``worst``) and on the way, ``path`` (steps + 1,).

    Raises:
        ValueError: ``eps`` not positive, ``steps`` below 1, an unknown
            option, no data, or a loss that is not finite.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.ones(1, 1)
        >>> found = keskar_sharpness(layer, nn.MSELoss(), (x, x), eps=0.5)
        >>> round(found.value, 4)  # the corner w = 2 has loss 1
        100.0

    References:
        Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, ICLR 2017,
        arXiv 1609.04836.
    """
    checks.positive("eps", eps)
    check_call(model, options, keskar_sharpness, Operator)
    with guard.untouched(model):
        operator = of_gradients(model, loss_fn, data, **options)
        scale = eps * (operator.flat(operator.point).abs() + 1)
        path = _climb(operator, scale, "inf", steps, "Keskar sharpness")
        loss, worst = path[0], max(path)
        return Sharpness(
            value=100 * (worst - loss) / (1 + loss),
            loss=loss,
            worst=worst,
            measure="keskar",
            radius=eps,
            steps=steps,
            path=np.asarray(path),
            provenance=operator.provenance("Keskar sharpness", None),
        )


@checks.renamed(mode="statistics")
@difference_products
@accepts_objective
def sam_sharpness(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    rho: float = 0.05,
    steps: int = 10,
    adaptive: bool = False,
    norm: int | str = 2,
    **options: Any,
) -> Sharpness:
    r"""Measure by how much the loss rises within a ball.

    .. math:: \max_{\|e\|_p\le\rho} L(w+e)-L(w),

    and with ``adaptive`` the maximum over
    :math:`\|e/|w|\|_p\le\rho`, which does not change when ReLU layers are
    rescaled.

    Args:
        model: any ``nn.Module``; it is not written to.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        rho: radius of the ball, in units of the weights, or a fraction of
            each weight with ``adaptive``.
        steps: number of ascent steps, each one gradient and one loss; 1 is
            the step of SAM itself.
        adaptive: measure each entry in units of its weight.
        norm: :math:`p`, 2 or "inf".
        **options: of :class:`Operator`; ``params``, ``dtype``, ``statistics``
            and ``limit`` make a difference.

    Returns:
        The rise of the loss (``value``), a lower bound of the maximum; the
        losses at the centre (``loss``), at the worst point found
        (``worst``) and on the way, ``path`` (steps + 1,).

    Raises:
        ValueError: ``rho`` not positive, ``steps`` below 1, another norm,
            an unknown option, no data, or a loss that is not finite.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.ones(1, 1)
        >>> sam = sam_sharpness(layer, nn.MSELoss(), (x, 2 * x), rho=0.5)
        >>> round(sam.value, 4)  # from 1 to 1.5 ** 2
        1.25

    References:
        Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021, arXiv 2010.01412.
        Kwon, Kim, Park, Choi, ICML 2021, arXiv 2102.11600.
    """
    checks.positive("rho", rho)
    if norm not in NORMS:
        raise ValueError(f'norm must be 2 or "inf", not {norm!r}')
    check_call(model, options, sam_sharpness, Operator)
    with guard.untouched(model):
        operator = of_gradients(model, loss_fn, data, **options)
        w = operator.flat(operator.point)
        scale = rho * (w.abs() if adaptive else torch.ones_like(w))
        path = _climb(operator, scale, norm, steps, "SAM sharpness")
        return Sharpness(
            value=max(path) - path[0],
            loss=path[0],
            worst=max(path),
            measure="adaptive" if adaptive else "sam",
            radius=rho,
            steps=steps,
            path=np.asarray(path),
            provenance=operator.provenance(
                "SAM sharpness", None, norm=norm, adaptive_ball=adaptive
            ),
        )


def rescale_relu(
    model: nn.Module, first: str, second: str, a: float
) -> nn.Module:
    r"""A twin of a ReLU network: the same function, other curvature.

    The weights and biases of layer ``first`` are multiplied by ``a`` and
    the weights of layer ``second`` are divided by it:

    .. math:: (W_1, b_1, W_2) \to (a W_1, a b_1, W_2 / a), \qquad
        \frac{W_2}{a} \, \sigma(a W_1 x + a b_1)
        = W_2 \, \sigma(W_1 x + b_1)

    With only positively homogeneous activations,
    :math:`\sigma(a z) = a \, \sigma(z)` (ReLU, leaky ReLU), and pooling
    between the two, the function stays the same.

    Args:
        model: the network; it is copied.
        first: name of a layer.
        second: name of the next layer.
        a: factor, positive.

    Returns:
        The twin.

    Raises:
        ValueError: unknown layers, or a factor that is not positive.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> twin = rescale_relu(net, "0", "2", a=4.0)
        >>> x = torch.randn(5, 2)
        >>> torch.allclose(net(x), twin(x), atol=1e-6)
        True

    References:
        Dinh, Pascanu, Bengio, Bengio, "Sharp minima can generalize for
        deep nets", ICML 2017, arXiv 1703.04933.
    """
    checks.positive("a", a)
    twin = guard.copy_of(model)
    layers = {
        name: m
        for name, m in twin.named_modules()
        if isinstance(getattr(m, "weight", None), nn.Parameter)
    }
    for name in (first, second):
        checks.choice("layer", name, list(layers))
    with torch.no_grad():
        for parameter in layers[first].parameters(recurse=False):
            parameter.mul_(a)
        layers[second].weight.div_(a)
    return twin


def _climb(
    operator: Operator,
    scale: Tensor,
    norm: int | str,
    steps: int,
    what: str,
) -> list[float]:
    """Losses on the way up, the centre's first."""
    checks.count("steps", steps)
    centre = operator.flat(operator.point)
    u = torch.zeros_like(centre)
    path = [operator.loss()]
    with watch(what, steps) as tick:
        for step in range(steps):
            g = operator.gradient(operator.cut(centre + scale * u)) * scale
            length = g.norm()
            if not float(length) > 0:  # a flat or stationary point: any way up
                generator = torch.Generator().manual_seed(step)
                g = torch.randn(operator.n, generator=generator, device="cpu")
                g = g.to(u)
                length = g.norm()
            size = 1.0 if step == 0 else 0.5
            if norm == "inf":
                u = (u + size * g.sign()).clamp(-1, 1)
            else:
                u = u + size * g / length
                u = u / u.norm().clamp_min(1.0)
            path.append(operator.loss(operator.cut(centre + scale * u)))
            tick()
    return path
