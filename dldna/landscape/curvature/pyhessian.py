"""The package PyHessian's own eigenpairs, beside ours.

Those who come from PyHessian find its calls here under these names:
``hessian(model, criterion, data=batch).eigenvalues(top_n=k)`` is
:func:`dldna.landscape.top_eigenpairs`, ``.trace()`` is
:func:`dldna.landscape.trace` and ``.density()`` is
:func:`dldna.landscape.spectral_density`. What the package itself makes of
the same model, loss and data is :func:`pyhessian_eigenpairs`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna import checks
from dldna.guard import untouched
from dldna.landscape.curvature.eigenpairs import moves, padded, verified
from dldna.landscape.curvature.lanczos import Ritz
from dldna.landscape.curvature.operator import Operator
from dldna.objective import accepts_objective
from dldna.records import Spectrum


@accepts_objective
def pyhessian_eigenpairs(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    k: int = 2,
    tol: float = 1e-3,
    *,
    seed: int = 0,
    parts: int = 8,
    max_products: int = 1000,
    limit: int | None = None,
) -> Spectrum:
    r"""The eigenpairs that PyHessian's power iteration finds.

    .. math:: v \leftarrow Hv / \|Hv\|

    PyHessian stops when an eigenvalue changes by less than a given
    fraction, which says little about the eigenvector. Here that fraction
    is ``tol ** 2 / 4``, since an eigenvalue's error is about the square of
    the residual; the record's residuals are true ones, from our products.
    The model and the global random state are as they were afterwards.

    Args:
        model: a module whose trainable parameters have one type.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors: pairs of inputs and targets.
        k: number of pairs, of largest magnitude.
        tol: bound of the relative residual.
        seed: of the starting vectors.
        parts: as in :func:`dldna.landscape.top_eigenpairs`.
        max_products: largest number of products for all pairs together.
        limit: use only this many samples.

    Returns:
        The pairs, in PyHessian's order.

    Raises:
        ImportError: PyHessian is not installed (extra ``hessian``).
        ValueError: it cannot do what was asked: batches that are no pairs
            of tensors, or that the loss does not weight by their size.

    Warns:
        NotConvergedWarning: a residual is larger than ``tol``.

    References:
        Yao, Gholami, Keutzer, Mahoney, "PyHessian", 2020,
        arXiv 1912.07145.
    """
    peer = checks.need("pyhessian", "hessian", "PyHessian's power iteration")
    checks.count("k", k)
    checks.positive("tol", tol)
    most = max(1, checks.count("max_products", max_products) // k)
    with untouched(model):
        operator = Operator(model, loss_fn, data, limit=limit)
        pairs = _pairs(operator)

        class Counted(peer.hessian):
            def dataloader_hv_product(self, v):
                operator.products += 1
                return super().dataloader_hv_product(v)

        torch.manual_seed(seed)  # put back with the rest
        model.zero_grad()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its use of create_graph
            found = Counted(
                model,
                lambda output, target: operator.value(output, (None, target)),
                dataloader=pairs,
                cuda=operator.device.type == "cuda",
            )
            values, vectors = found.eigenvalues(most, tol**2 / 4, k)
        model.zero_grad()
        rows = torch.stack(
            [torch.cat([x.detach().reshape(-1) for x in v]) for v in vectors]
        )
        values = torch.tensor(values, dtype=torch.float64, device="cpu")
        unknown = torch.full_like(values, float("nan"))
        ritz = Ritz(values, rows, unknown, operator.products, True)
        record = verified(
            operator,
            [ritz],
            tol=tol,
            seed=seed,
            parts=parts,
            backend="pyhessian",
        )
    return padded(record, moves(operator))


def _pairs(operator: Operator) -> list[tuple[Tensor, Tensor]]:
    """The data as PyHessian takes them, or words on why it cannot."""
    free = [p for p in operator.model.parameters() if p.requires_grad]
    kinds = {p.dtype for p in free}
    pairs = [bt.split(batch) for batch in operator.given]
    if kinds != {operator.dtype} or not all(
        isinstance(x, Tensor) for pair in pairs for x in pair
    ):
        raise ValueError(
            "PyHessian takes trainable parameters of one type, float32 or "
            "float64, and batches that are pairs of tensors; top_eigenpairs "
            "takes any others"
        )
    sizes = [bt.size(batch) for batch in operator.given]
    for size, share in zip(
        sizes, operator.shares(operator.given), strict=True
    ):
        if abs(size / sum(sizes) - share) > 1e-12:
            raise ValueError(
                "PyHessian weights batches by their size, and this loss has "
                "class weights or ignored targets; give the data in one "
                "batch, or take top_eigenpairs"
            )
    return pairs
