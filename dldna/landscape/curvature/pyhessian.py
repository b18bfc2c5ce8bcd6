"""PyHessian's power iteration, for a cross-check."""

import warnings
from unittest import mock

import torch
from torch import Tensor

from dldna import batches as bt
from dldna import checks
from dldna.landscape.curvature.lanczos import Ritz
from dldna.landscape.curvature.operator import Operator


def power_iteration(
    operator: Operator,
    k: int,
    tol: float,
    *,
    which: str = "magnitude",
    seed: int = 0,
    limit: int = 1000,
) -> Ritz:
    """Find k eigenpairs with the package PyHessian.

    PyHessian stops when an eigenvalue changes by less than a given
    fraction, which says little about the eigenvector. Here that fraction
    is ``tol ** 2 / 4``, since an eigenvalue's error is about the square of the
    residual; the true residuals come from the caller's check.

    Args:
        operator: whose model, loss and data are used; its matrix must be
            the plain Hessian over all trainable parameters, in eval mode.
        k: number of pairs.
        tol: bound of the relative residual.
        which: only "magnitude".
        seed: seed of the starting vectors.
        limit: largest number of products for all pairs together.

    Returns:
        The pairs, in PyHessian's order.

    Raises:
        ImportError: PyHessian is not installed.
        ValueError: it cannot do what was asked.

    References:
        Yao, Gholami, Keutzer, Mahoney, "PyHessian", 2020,
        arXiv 1912.07145.
    """
    peer = checks.need("pyhessian", "hessian", "the PyHessian backend")
    model = operator.model
    free = [n for n, p in model.named_parameters() if p.requires_grad]
    plain = operator.matrix == "hessian" and operator.mode == "eval"
    parameter = next(model.parameters())
    if (
        not plain
        or which != "magnitude"
        or operator.adaptive
        or operator.names != free
        or operator.dtype != parameter.dtype
    ):
        raise ValueError(
            "PyHessian finds the eigenvalues of largest magnitude of the "
            "plain Hessian over all trainable parameters, in eval mode; "
            'take backend="lanczos" for anything else'
        )
    pairs = [bt.split(b) for b in operator.given]
    if not all(isinstance(x, Tensor) for pair in pairs for x in pair):
        raise ValueError(
            "PyHessian takes batches that are pairs of tensors; take "
            'backend="lanczos" for anything else'
        )
    sizes = [bt.size(b) for b in operator.given]
    for size, share in zip(
        sizes, operator.shares(operator.given), strict=True
    ):
        if abs(size / sum(sizes) - share) > 1e-12:
            raise ValueError(
                "PyHessian weights batches by their size, and this loss has "
                "class weights or ignored targets; give the data in one "
                'batch, or take backend="lanczos"'
            )
    single = len(pairs) == 1
    data = {"data": pairs[0]} if single else {"dataloader": pairs}
    spent = 0

    def counted(of):
        def product(*args, **kwargs):
            nonlocal spent
            spent += 1
            out = of(*args, **kwargs)
            operator.tick()
            return out

        return product

    torch.manual_seed(seed)
    model.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of create_graph
        found = peer.hessian(
            model,
            lambda output, target: operator.value(output, (None, target)),
            cuda=operator.device.type == "cuda",
            **data,
        )
        home, name = (
            (peer.hessian.__init__.__globals__, "hessian_vector_product")
            if single
            else (vars(found), "dataloader_hv_product")
        )
        inner = home.get(name) or getattr(found, name)
        with mock.patch.dict(home, {name: counted(inner)}):
            values, vectors = found.eigenvalues(
                maxIter=max(1, limit // k), tol=tol**2 / 4, top_n=k
            )
    operator.products += spent
    rows = [torch.cat([x.detach().reshape(-1) for x in v]) for v in vectors]
    values = torch.tensor(values, dtype=torch.float64)
    unknown = torch.full_like(values, float("nan"))
    return Ritz(values, torch.stack(rows), unknown, spent, True)
