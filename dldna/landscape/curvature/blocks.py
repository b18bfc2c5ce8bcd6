"""Curvature layer by layer, and the gradient's share in the top space."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import checks, guard, progress
from dldna.landscape.curvature.call import (
    check_call,
    difference_products,
)
from dldna.landscape.curvature.eigenpairs import moves, top_eigenpairs
from dldna.landscape.curvature.operator import Operator, of_gradients
from dldna.objective import accepts_objective, check_model, chosen_names
from dldna.params import exact
from dldna.records import Spectrum


@checks.renamed(mode="statistics")
@difference_products
@accepts_objective
def layer_spectra(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    k: int = 1,
    tol: float = 1e-3,
    **options: Any,
) -> dict[str, Spectrum]:
    r"""Find the top eigenpairs of each layer's own block of the Hessian.

    A layer is a module with parameters of its own, :math:`w_l`; its block
    is the Hessian with all other parameters held still,

    .. math:: H_{ll}=\frac{\partial^2 L}{\partial w_l\,\partial w_l}.

    The eigenvalues of a block lie between the smallest and the largest of
    the whole matrix (Cauchy's interlacing theorem).

    Args:
        model: any ``nn.Module``; it is not written to.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        k: number of pairs of each layer; fewer where it has fewer
            parameters.
        tol: bound of the relative residual.
        **options: of :func:`top_eigenpairs`, but for ``params`` and
            ``pad``.

    Returns:
        One record for each layer, by the module's name. The eigenvectors
        (k, n) run over that layer's n parameters only.

    Raises:
        ValueError: an unknown option, ``k`` below 1, ``tol`` not positive,
            no data, or a loss that is not finite.

    Warns:
        NotConvergedWarning: a residual is larger than ``tol``.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        >>> data = torch.randn(8, 2), torch.randn(8, 1)
        >>> found = layer_spectra(net, nn.MSELoss(), data)
        >>> {name: s.eigenvectors.shape for name, s in found.items()}
        {'0': (1, 9), '2': (1, 4)}

    References:
        Dong, Yao, Gholami, Mahoney, Keutzer, "HAWQ: Hessian aware
        quantization of neural networks with mixed-precision", ICCV 2019,
        arXiv 1905.03696.
    """
    check_model(model)  # a matrix alone has no layers
    check_call(model, options, top_eigenpairs, Operator)
    for name in ("params", "pad"):
        if name in options:
            raise ValueError(
                f"unknown option {name!r}: each layer's own parameters are "
                f"taken; for others call top_eigenpairs with {name}="
            )
    named = dict(model.named_parameters())
    layers: dict[str, list[str]] = {}
    for name in chosen_names(model):
        if not named[name].numel():
            continue
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    found = {}
    for layer, names in progress.track(layers.items(), "layer spectra"):
        n = sum(named[name].numel() for name in names)
        found[layer] = top_eigenpairs(
            model,
            loss_fn,
            data,
            min(k, n),
            tol,
            params=names,
            pad=False,
            **options,
        )
    return found


@checks.renamed(mode="statistics")
@difference_products
@accepts_objective
def gradient_share(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    spectrum: Spectrum,
    **options: Any,
) -> np.ndarray:
    r"""How much of the gradient lies in the space of the top eigenvectors.

    With the first :math:`j` eigenvectors as rows of :math:`V_j`,

    .. math:: s_j = \|V_j\, g\|^2 / \|g\|^2 .

    For comparison, a random vector's share is :math:`j/n`.

    Args:
        model: the model of the spectrum; it is not written to.
        loss_fn: its loss.
        data: its data.
        spectrum: from :func:`top_eigenpairs`.
        **options: of :class:`Operator`.

    Returns:
        (k,) shares for 1 to k eigenvectors, between 0 and 1.

    Raises:
        ValueError: the spectrum belongs to another network, the gradient
            is zero, or an option is unknown.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> data = torch.ones(3, 1), torch.zeros(3, 1)
        >>> top = top_eigenpairs(layer, nn.MSELoss(), data, k=1)
        >>> gradient_share(layer, nn.MSELoss(), data, top).round(6)
        array([1.])

    References:
        Gur-Ari, Roberts, Dyer, "Gradient descent happens in a tiny
        subspace", 2018, arXiv 1812.04754.
    """
    names = spectrum.provenance.notes.get("params")
    check_call(model, options, Operator)
    options.setdefault("params", names)
    with guard.untouched(model):
        operator = of_gradients(model, loss_fn, data, **options)
        g = exact(operator.gradient()).cpu()
        mask = moves(operator)
    rows = torch.from_numpy(spectrum.eigenvectors).double()
    if rows.shape[1] == len(mask):
        rows = rows[:, torch.from_numpy(mask)]
    if rows.shape[1] != len(g):
        raise ValueError(
            f"the eigenvectors have {rows.shape[1]} entries and the "
            f"gradient {len(g)}: they belong to different networks"
        )
    if not float(g.norm()) > 0:
        raise ValueError("the gradient is zero, so it has no shares")
    q, _ = torch.linalg.qr(rows.T)  # the same spaces, exactly orthonormal
    shares = (q.T @ (g / g.norm())).square().cumsum(0)
    return shares.clamp_max(1.0).numpy()
