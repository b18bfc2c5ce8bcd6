"""What dldna is held against: loops that anyone would write.

They know nothing of dldna, and call a model as its own library says.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map


def directions(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    """Two directions, with steps of a third of the weights' size."""
    drawn = torch.Generator().manual_seed(7)
    return [
        {
            k: 0.3
            * p.detach().abs().mean()
            * torch.randn(p.shape, generator=drawn)
            for k, p in model.named_parameters()
        }
        for _ in "ab"
    ]


def in_use(model: nn.Module) -> nn.Module:
    """Eval mode, without calling ``eval``: adapters merge in it."""
    for module in model.modules():
        module.training = False
    return model


def surface(case, d, e, alphas: Sequence, betas: Sequence) -> np.ndarray:
    """Losses on a plane: weights written one point after the other."""
    model = in_use(case.model)
    own = {k: p.detach().clone() for k, p in model.named_parameters()}
    losses = np.empty((len(alphas), len(betas)))
    with torch.no_grad():
        for i, a in enumerate(alphas):
            for j, b in enumerate(betas):
                for k, p in model.named_parameters():
                    p.copy_(own[k] + float(a) * d[k] + float(b) * e[k])
                losses[i, j] = float(case.plain(model, case.batch))
        for k, p in model.named_parameters():
            p.copy_(own[k])
    return losses


def doubled(batch):
    """A batch with its floating tensors in float64."""

    def wide(x):
        floats = isinstance(x, torch.Tensor) and x.is_floating_point()
        return x.double() if floats else x

    if hasattr(batch, "edge_index"):  # a graph
        return copy.copy(batch).apply(wide)
    return tree_map(wide, batch)


def top_eigenvalue(case) -> float:
    """The Hessian's eigenvalue of largest size: ARPACK, double backward."""
    model, batch = in_use(case.model).double(), doubled(case.batch)
    free = [p for p in model.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        loss = case.plain(model, batch)
        slopes = torch.autograd.grad(
            loss, free, create_graph=True, materialize_grads=True
        )
        slopes = torch.cat([g.reshape(-1) for g in slopes])

        def product(v):
            found = torch.autograd.grad(
                slopes @ torch.from_numpy(v.reshape(-1)), free,
                retain_graph=True, materialize_grads=True,
            )  # fmt: skip
            return torch.cat([h.reshape(-1) for h in found]).numpy()

        n = len(slopes)
        matrix = LinearOperator((n, n), product, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        return float(
            eigsh(matrix, 1, tol=1e-6, v0=start, return_eigenvectors=False)[0]
        )
