r"""Matrices of curvature that are never written down.

All that stands here needs products with vectors alone; one with the Hessian
costs about two gradients.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.guard import differentiable, untouched
from dldna.landscape.curvature import differences, products
from dldna.landscape.curvature import forms as forms_of
from dldna.landscape.curvature.call import difference_products
from dldna.landscape.curvature.culprits import explaining
from dldna.landscape.curvature.staying import StayingMatrix
from dldna.landscape.curvature.verification import (
    agreeing,
    as_columns,
    check_derivatives,
    check_finite,
    graphs_fit,
)
from dldna.records import Provenance
from dldna.torch_internals import Convolution

MATRICES = ("hessian", "gauss-newton")
WAYS = ("auto", "reverse", "linearize", "forward", "difference")
TRACE_AFTER = 8192  # samples times products, before "auto" traces


class Operator(StayingMatrix):
    r"""The Hessian or Gauss-Newton matrix of a mean loss, as products.

    With :math:`L(w)=\sum_b \frac{m_b}{m} L_b(w)` over batches that count
    :math:`m_b` (see :class:`~dldna.objective.Objective`), the Hessian is
    :math:`H=\nabla^2 L` and the Gauss-Newton matrix is
    :math:`G=\sum_b \frac{m_b}{m} J_b^\top (\nabla^2_z \ell_b) J_b`, where
    :math:`J_b` is the Jacobian of the outputs :math:`z`. The loss is a
    mean over the samples; torch's sums (``reduction="sum"``) are divided
    by their number.

    A product :math:`Hv` is computed in one of four ways:

    - ``reverse``: backward through the gradient, :math:`\nabla(g^\top v)`.
      The graph of the gradient is built once and kept for all products.
    - ``linearize``: the forward derivative of the gradient, traced once
      with all that does not depend on :math:`v` folded away. That takes
      part of a second; convolutions are up to twice as fast then.
    - ``forward``: forward over reverse, nothing kept between products.
    - ``difference``: central differences of gradients, for operations
      without a second derivative in torch. The step follows from the type
      and the norms; ``notes["difference_error"]`` is the largest relative
      change at half the step, of the first product and of those that
      verify eigenpairs. float64 makes them far better. It serves the
      Gauss-Newton matrix, too, and ``products="difference"`` says the same.

    ``auto`` begins with ``reverse``; for networks with convolutions it
    goes over to ``linearize`` when enough products have been asked for to
    pay for the tracing. Another way than ``reverse`` is taken only where
    three of its products, two of them with one vector, equal those of
    ``reverse`` on each batch, and ``linearize`` only for operations that
    are known to be traced rightly. No timing decides, so runs repeat
    exactly. Graphs are kept while all batches together save at most 2 GiB.

    The point is that of the model when the operator was made. A tied
    parameter counts once.

    Args:
        model: any ``nn.Module``.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        matrix: "hessian" or "gauss-newton".
        params: the parameters that may move, as in
            :func:`~dldna.landscape.surface`; by default the trainable.
        dtype: of the arithmetic, "float32" or "float64", or torch's own
            name for it; float32 unless the parameters are float64, which
            tolerances below 1e-5 need.
        statistics: what batch norm uses: "eval", also called "frozen" (its
            running statistics), or "train" (each batch's own). Dropout is
            off in both.
        way: "auto", "reverse", "linearize", "forward" or "difference".
        limit: use only this many samples.
        adaptive: multiply from both sides by :math:`\mathrm{diag}|w|`.
            The eigenvalues of this matrix do not change under the
            rescaling of ReLU layers of Dinh et al.

    Raises:
        TypeError: the model is no module.
        ValueError: no data, unknown names, a loss that is not finite or
            not a function of the parameters alone.
        NotImplementedError: torch has no second derivative of a layer, or
            a wrong one; the message names it.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> H = Operator(layer, nn.MSELoss(), (x, x))
        >>> float(H @ torch.ones(1))  # mean of 2 x^2
        10.0

    References:
        Pearlmutter, "Fast exact multiplication by the Hessian", Neural
        Computation 6, 1994. Schraudolph, "Fast curvature matrix-vector
        products for second-order gradient descent", Neural Computation
        14, 2002. Dinh et al., ICML 2017, arXiv 1703.04933.
    """

    @checks.renamed(mode="statistics")
    @difference_products
    @untouched()  # by a model that draws from the global generators
    @differentiable()
    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable | None = None,
        data: Any = None,
        *,
        matrix: str = "hessian",
        params: Any = None,
        dtype: str | torch.dtype | None = None,
        statistics: str = "eval",
        way: str = "auto",
        limit: int | None = None,
        adaptive: bool = False,
    ):
        self.matrix = checks.choice("matrix", matrix, MATRICES)
        checks.choice("way", way, WAYS)
        if matrix == "gauss-newton" and way in ("linearize", "forward"):
            raise ValueError(
                f'way={way!r} serves the Hessian only; use way="reverse"'
            )
        super().__init__(
            model,
            loss_fn,
            data,
            names=params,
            dtype=dtype,
            statistics=statistics,
            limit=limit,
        )
        options = {"matrix": (matrix, "hessian"), "way": (way, "auto"),
                   "adaptive": (adaptive, False)}  # fmt: skip
        self.asked |= {k: v for k, (v, plain) in options.items() if v != plain}
        self.way = "reverse" if way == "auto" else way
        check_derivatives(self)
        self.doubt = differences.Doubt()
        self.products = 0
        self.adaptive = adaptive
        self._scale = self.flat(self.point).abs() if adaptive else None
        self._kept: dict[int, products.Product] = {}
        self._versions: list[int] = []
        self._held_to: set[int] = set()  # batches where a way was tried
        self._insisted = way != "auto"
        self.passed_over = ""
        kept = self.way not in ("forward", "difference")
        self.keeps = kept and graphs_fit(self)
        self._may_trace = way == "auto" and self.keeps and self.convolves()
        self.stays = self.keeps and not self._may_trace

    @untouched()
    @differentiable()
    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Product with a vector, or with each column of a matrix.

        Args:
            vectors: (n,), or (n, k) for k products; a tensor or a NumPy
                array.

        Returns:
            A tensor of the same shape.

        Raises:
            TypeError: neither a tensor nor an array.
            ValueError: another shape.

        Example:
            >>> layer = nn.Linear(1, 1, bias=False)
            >>> x = torch.tensor([[1.0], [3.0]])
            >>> Operator(layer, nn.MSELoss(), (x, x)) @ torch.ones(1, 2)
            tensor([[10., 10.]])
        """
        vectors = as_columns(vectors, self.n)
        if vectors.ndim == 2:
            columns = [self @ column for column in vectors.unbind(1)]
            return torch.stack(columns, 1)
        work = (self.products + 1) * self.n_samples
        if self._may_trace and work >= TRACE_AFTER:
            self.way, self._may_trace = "linearize", False
            self._kept.clear()
        v = vectors.to(**self.cast)
        if self._scale is not None:
            v = v * self._scale
        out = self._mean(v)
        check_finite(self, out)
        if self.way == "difference" and not self.products:
            self.doubt.look(out, self._mean(v, 0.5))
        self.products += 1
        self.tick()
        return out if self._scale is None else out * self._scale

    def _mean(self, v: Tensor, *part: float) -> Tensor:
        """The mean product over the batches."""
        out = torch.zeros_like(v)
        for i, weight in enumerate(self.weights):
            with explaining(self, self.batches[i]):
                out.add_(self._product(i)(v, *part), alpha=weight)
        return out

    @differentiable()
    def over_batches(self, rows: Tensor, parts: int) -> tuple:
        r"""Products of each batch by itself, for error bars.

        With the shares :math:`s_b=m_b/m` and a row :math:`v`, the forms
        are :math:`v^\top H_b v`, and :math:`\sum_b s_b v^\top H_b v =
        v^\top Hv`. Several batches are taken as they are; a single one is
        cut into ``parts`` slices. It is not cut where batch norm takes each
        batch's own statistics, which would change, nor where the loss is
        no mean over the samples.

        Args:
            rows: (k, n) vectors.
            parts: number of slices of a single batch.

        Returns:
            The products (k, n) with the whole matrix, the quadratic
            forms (B, k) of each batch, and the shares (B,), float64, of
            sum 1.

        Example:
            >>> layer = nn.Linear(1, 1, bias=False)
            >>> x = torch.tensor([[1.0], [3.0]])
            >>> H = Operator(layer, nn.MSELoss(), (x, x))
            >>> whole, forms, shares = H.over_batches(torch.ones(1, 1), 2)
            >>> whole.tolist(), forms.tolist(), shares.tolist()
            ([[10.0]], [[2.0], [18.0]], [0.5, 0.5])
        """
        pieces = forms_of.pieces(self, parts)
        rows = rows.to(**self.cast)
        scaled = rows if self._scale is None else rows * self._scale
        whole = torch.zeros_like(rows)
        forms, weights = [], self.shares(pieces)
        for piece, weight in zip(pieces, weights, strict=True):
            each = torch.stack([*map(self.plain(piece), scaled)])
            whole.add_(each, alpha=weight)
            forms.append((params.exact(each) * params.exact(scaled)).sum(1))
        self.products += len(rows)
        for row, v in zip(whole, scaled, strict=True):
            check_finite(self, row)
            if self.way == "difference":
                self.doubt.look(row, self._mean(v, 0.5))
        if self._scale is not None:
            whole *= self._scale
        shares = torch.tensor(weights, device="cpu").double()
        return whole, torch.stack(forms), shares

    def provenance(self, made: str, seed: int | None, **notes) -> Provenance:
        """Where a result of this operator came from.

        Args:
            made: what was measured, a noun phrase.
            seed: seed of the random numbers; None where there are none.
            **notes: what else the record should say (JSON values).

        Returns:
            The provenance: names of model and loss, numbers of parameters
            and samples, device, dtype, the seconds since the operator was
            made, and the notes, among them the names of the parameters
            (``params``), ``statistics``, ``batches``, ``way`` and
            ``adaptive``.

        Example:
            >>> x = torch.ones(3, 1)
            >>> H = Operator(nn.Linear(1, 1), nn.MSELoss(), (x, x))
            >>> found = H.provenance("trace", 0, rank=3)
            >>> found.n_params, found.n_samples, found.notes["rank"]
            (2, 3, 3)
        """
        notes = {"way": self.way, "adaptive": self.adaptive, **notes}
        if self.passed_over:
            notes["passed over"] = self.passed_over
        if self.way == "difference" and self.products:
            notes["difference_error"] = self.doubt.error
        return super().provenance(made, seed, **notes)

    def convolves(self) -> bool:
        """Whether this is the Hessian of a network with convolutions."""
        convolves = (isinstance(m, Convolution) for m in self.model.modules())
        return self.matrix == "hessian" and any(convolves)

    def plain(self, batch: Any, keep: bool = True) -> products.Product:
        """The product of one batch by the way that holds for everything.

        Args:
            batch: one of ``batches``.
            keep: whether its graph stays for further products.
        """
        if self.way == "difference":
            return differences.product(self, batch)
        if self.matrix == "gauss-newton":
            return products.gauss_newton(self, batch, keep)
        return products.reverse(self, batch, keep)

    def _product(self, i: int) -> products.Product:
        versions = [p._version for p in self.model.parameters()]
        if versions != self._versions:  # graphs refuse tensors written to
            self._kept.clear()
            self._versions = versions
        if i in self._kept:
            return self._kept[i]
        batch = self.batches[i]
        if self.way == "forward" and i in self._held_to:
            return products.forward(self, batch)
        product = self.plain(batch, self.keeps or self.way != "reverse")
        if self.way in ("linearize", "forward"):
            product = self._faster(i, product)
        if self.keeps or self.way == "difference":  # which holds nothing
            self._kept[i] = product
        return product

    def _faster(self, i: int, plain: products.Product) -> products.Product:
        """The product by the way asked for, if it equals the plain one."""
        fast, reason = agreeing(self, i, plain)
        if fast is not None:
            self._held_to.add(i)
            return fast
        if self._insisted:
            raise ValueError(
                f"way={self.way!r} does not fit this model and loss: "
                f'{reason}; use way="reverse"'
            )
        self.way, self.passed_over = "reverse", reason
        return plain


def of_gradients(model, loss_fn, data, **options: Any) -> Operator:
    """An operator for gradients alone: no product is looked at."""
    checks.choice("way", options.get("way", "auto"), WAYS)
    made = Operator(model, loss_fn, data, **options | {"way": "difference"})
    made.way = "gradient"
    return made
