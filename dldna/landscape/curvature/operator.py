r"""Matrices of curvature that are never written down.

The Hessian of a network with :math:`n` parameters has :math:`n^2` entries.
All methods of this folder need only its products with vectors, and one
product costs about two gradients.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna import checks, params
from dldna.records import Provenance

MATRICES = ("hessian", "gauss-newton")
WAYS = ("auto", "reverse", "linearize", "forward")
MODES = ("eval", "train")
KEEP_BYTES = 2**31  # of graphs that stay in memory
MERGE = 256  # samples; smaller batches are joined up to this size
TRACE_AFTER = 8192  # samples times products, before "auto" traces
MANY = 64  # batches; with more, error bars come from joined ones


class Operator:
    r"""The Hessian or Gauss-Newton matrix of a mean loss, as products.

    With :math:`L(w)=\sum_b \frac{m_b}{m} L_b(w)` over batches of
    :math:`m_b` samples, the Hessian is :math:`H=\nabla^2 L` and the
    Gauss-Newton matrix is :math:`G=\sum_b \frac{m_b}{m} J_b^\top
    (\nabla^2_z \ell_b) J_b`, where :math:`J_b` is the Jacobian of the
    outputs :math:`z`. The loss must be a mean over the samples.

    A product :math:`Hv` is computed in one of three ways:

    - ``reverse``: backward through the gradient, :math:`\nabla(g^\top v)`.
      The graph of the gradient is built once and kept for all products.
    - ``linearize``: the forward derivative of the gradient, traced once
      with all that does not depend on :math:`v` folded away. Tracing
      takes part of a second; the products are up to twice as fast for
      convolutions.
    - ``forward``: forward over reverse, nothing kept between products.

    ``auto`` begins with ``reverse``; for networks with convolutions it
    goes over to ``linearize`` when enough products have been asked for to
    pay for the tracing, and stays where tracing fails. The choice does
    not depend on timings, so runs repeat exactly. Graphs are kept while
    all batches together save at most 2 GiB. In eval mode small batches
    are joined up to 256 samples, which changes nothing but the speed.

    The operator works on detached copies of the parameters: the model is
    evaluated through ``torch.func.functional_call`` and is not written to.
    A tied parameter counts once.

    Args:
        model: any ``nn.Module``.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        matrix: "hessian" or "gauss-newton".
        params: names of the parameters that may move. By default those
            with ``requires_grad``; all, where none has it.
        dtype: floating point type of the arithmetic; float32 unless the
            parameters are float64, which tolerances below 1e-5 need.
        mode: "eval" (batch norm uses its running statistics) or "train".
        way: "auto", "reverse", "linearize" or "forward".
        limit: use only this many samples.
        adaptive: multiply from both sides by :math:`\mathrm{diag}|w|`.
            The eigenvalues of this matrix do not change under the
            rescaling of ReLU layers of Dinh et al.

    Raises:
        ValueError: no data, unknown names, a loss that is not finite or
            not a function of the parameters alone.

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

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable,
        data: Any,
        *,
        matrix: str = "hessian",
        params: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        mode: str = "eval",
        way: str = "auto",
        limit: int | None = None,
        adaptive: bool = False,
    ):
        self.matrix = checks.choice("matrix", matrix, MATRICES)
        self.mode = checks.choice("mode", mode, MODES)
        checks.choice("way", way, WAYS)
        if limit is not None:
            checks.count("limit", limit)
        self.model, self.loss_fn = model, loss_fn
        self.names = _chosen(model, params)
        named = dict(model.named_parameters())
        first = named[self.names[0]]
        self.device = first.device
        wide = first.dtype == torch.float64
        self.dtype = dtype or (torch.float64 if wide else torch.float32)
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"dtype must be torch.float32 or torch.float64, not {dtype}"
            )
        self._cast = {"device": self.device, "dtype": self.dtype}
        self._caller = bt.loss_caller(loss_fn)
        self.point = {
            k: named[k].detach().to(dtype=self.dtype, copy=True)
            for k in self.names
        }
        self._rest = {
            k: _to(p.detach(), self.dtype)
            for k, p in named.items()
            if k not in self.point
        }
        self.given = [bt.to(b, **self._cast) for b in bt.held(data, limit)]
        self.n_samples = sum(bt.size(b) for b in self.given)
        self.n = sum(p.numel() for p in self.point.values())
        self.products = 0
        self.adaptive = adaptive
        self._scale = self.flat(self.point).abs() if adaptive else None
        self._began = time.perf_counter()
        self._check_function()
        self.batches = self._joined()
        self.weights = self._shares(self.batches)
        self._kept: dict[int, _Product] = {}
        self.way = self._choose(way)
        self.keeps = self.way != "forward" and self._fits()
        self._may_trace = way == "auto" and self.keeps and self._convolves()

    # -- vectors ----------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n), where n is the number of scalars that may move."""
        return self.n, self.n

    def flat(self, point: Mapping[str, Tensor]) -> Tensor:
        """One vector of shape (n,) out of named tensors."""
        return torch.cat([point[k].reshape(-1) for k in self.names])

    def cut(self, vector: Tensor) -> dict[str, Tensor]:
        """Named tensors out of one vector of shape (n,)."""
        parts = vector.split([p.numel() for p in self.point.values()])
        return {
            k: part.view(p.shape)
            for (k, p), part in zip(self.point.items(), parts, strict=True)
        }

    # -- products ---------------------------------------------------------

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Product with a vector (n,) or with each row of (k, n)^T.

        Args:
            vectors: (n,), or (n, k) for k products.

        Returns:
            A tensor of the same shape.
        """
        if vectors.ndim not in (1, 2) or vectors.shape[0] != self.n:
            raise ValueError(
                f"expected a vector of shape ({self.n},) or ({self.n}, k), "
                f"got {tuple(vectors.shape)}"
            )
        if vectors.ndim == 2:
            columns = [self @ column for column in vectors.unbind(1)]
            return torch.stack(columns, 1)
        work = (self.products + 1) * self.n_samples
        if self._may_trace and work >= TRACE_AFTER:
            self.way, self._may_trace = "linearize", False
            self._kept.clear()
        v = vectors.to(**self._cast)
        if self._scale is not None:
            v = v * self._scale
        out = torch.zeros_like(v)
        for i, weight in enumerate(self.weights):
            out.add_(self._product(i)(v), alpha=weight)
        self.products += 1
        return out if self._scale is None else out * self._scale

    def over_batches(self, rows: Tensor, parts: int) -> tuple:
        """Products of each batch by itself, for error bars.

        Several batches are taken as they are; a single one is cut into
        ``parts`` slices. It is not cut in train mode, where batch norm
        would see other statistics, nor where the loss is no mean over
        the samples.

        Args:
            rows: (k, n) vectors.
            parts: number of slices of a single batch.

        Returns:
            The products (k, n) with the whole matrix, the quadratic
            forms (B, k) of each batch, and the weights (B,).
        """
        pieces = self.given if len(self.given) <= MANY else self.batches
        if len(pieces) == 1 and parts > 1 and self.mode == "eval":
            slices = self._slices(parts)
            pieces = slices if self._adds_up(slices) else pieces
        rows = rows.to(**self._cast)
        scaled = rows if self._scale is None else rows * self._scale
        whole = torch.zeros_like(rows)
        forms, weights = [], self._shares(pieces)
        for piece, weight in zip(pieces, weights, strict=True):
            each = torch.stack([*map(self._reverse(piece), scaled)])
            whole.add_(each, alpha=weight)
            forms.append((each.double() * scaled.double()).sum(1))
        self.products += len(rows)
        if self._scale is not None:
            whole *= self._scale
        return whole, torch.stack(forms), torch.tensor(weights).double()

    def loss(self, point: Mapping[str, Tensor] | None = None) -> float:
        """The mean loss at the model's parameters, or at another point."""
        point = self.point if point is None else point
        return self._mean_loss(point, self.batches)

    def gradient(self, point: Mapping[str, Tensor] | None = None) -> Tensor:
        """The gradient of the mean loss, shape (n,)."""
        point = self.point if point is None else point
        out = torch.zeros(self.n, **self._cast)
        for weight, batch in zip(self.weights, self.batches, strict=True):
            p = {k: v.detach().requires_grad_() for k, v in point.items()}
            loss = self._loss(p, batch)
            if loss.requires_grad:
                g = torch.autograd.grad(
                    loss, list(p.values()), materialize_grads=True
                )
                out += weight * torch.cat([x.reshape(-1) for x in g])
        return out

    def provenance(self, made: str, seed: int | None, **notes) -> Provenance:
        """Where a result of this operator came from."""
        return Provenance(
            made=made,
            seed=seed,
            model=type(self.model).__name__,
            n_params=self.n,
            n_samples=self.n_samples,
            loss=getattr(self.loss_fn, "__name__", None)
            or type(self.loss_fn).__name__,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            seconds=time.perf_counter() - self._began,
            notes={
                "params": list(self.names),
                "way": self.way,
                "mode": self.mode,
                "adaptive": self.adaptive,
                "batches": len(self.given),
                **notes,
            },
        )

    # -- evaluation -------------------------------------------------------

    def _output(self, point: Mapping[str, Tensor], batch: Any) -> Any:
        state = {k: _to(b, self.dtype) for k, b in self._buffers()}
        state.update(self._rest)
        state.update(point)
        inputs, _ = bt.split(batch)

        def call(*args, **kwargs):
            return params.call(self.model, state, args, kwargs)

        with _mode(self.model, self.mode == "train"), _plain_attention():
            return bt.apply(call, inputs)

    def _loss(self, point: Mapping[str, Tensor], batch: Any) -> Tensor:
        loss = self._caller(self._output(point, batch), batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = getattr(loss, "shape", type(loss).__name__)
            raise ValueError(
                f"the loss must be one number per batch, got {shape}; "
                'use reduction="mean"'
            )
        return loss.reshape(())

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, buffer in self.model.named_buffers():
            yield name, buffer.detach().clone()

    def _check_function(self) -> None:
        with torch.no_grad():
            for i, batch in enumerate(self.given):
                loss = float(self._loss(self.point, batch))
                if not torch.isfinite(torch.tensor(loss)):
                    raise ValueError(
                        f"the loss is {loss} on batch {i}: curvature is not "
                        "defined there; look for NaN in the data and the "
                        "parameters, or lower the learning rate"
                    )
                if i:
                    continue
                again = float(self._loss(self.point, batch))
                noise = 32 * torch.finfo(self.dtype).eps * abs(loss)
                if abs(again - loss) > noise:
                    raise ValueError(
                        "two evaluations at the same point give different "
                        "losses, so there is no matrix of curvature; switch "
                        'off dropout (mode="eval") and random augmentation'
                    )

    def _slices(self, parts: int) -> list[Any]:
        (batch,) = self.batches
        parts = min(parts, self.n_samples)
        edges = torch.linspace(0, self.n_samples, parts + 1).round().int()
        edges = sorted(set(edges.tolist()))
        return [bt.cut(batch, a, b) for a, b in pairwise(edges)]

    def _shares(self, pieces: list[Any]) -> list[float]:
        return [bt.size(piece) / self.n_samples for piece in pieces]

    def _mean_loss(self, point: Mapping, pieces: list[Any]) -> float:
        with torch.no_grad():
            each = [float(self._loss(point, piece)) for piece in pieces]
        return sum(
            w * x for w, x in zip(self._shares(pieces), each, strict=True)
        )

    def _adds_up(self, pieces: list[Any]) -> bool:
        """Whether other batches of the same samples have the same mean."""
        try:
            other = self._mean_loss(self.point, pieces)
        except (RuntimeError, ValueError):  # a loss bound to its batch size
            return False
        whole = self._mean_loss(self.point, self.given)
        return abs(other - whole) <= 1e-4 * abs(whole)

    def _joined(self) -> list[Any]:
        """Neighbouring small batches in one, where nothing else changes."""
        if self.mode == "train" or len(self.given) == 1:
            return self.given
        groups: list[list[Any]] = []
        filled = MERGE
        for batch in self.given:
            if filled + bt.size(batch) > MERGE:
                groups.append([])
                filled = 0
            groups[-1].append(batch)
            filled += bt.size(batch)
        if len(groups) == len(self.given):
            return self.given
        try:
            joined = [_cat(group) for group in groups]
        except (RuntimeError, TypeError, KeyError):
            return self.given  # ragged, or not made of tensors alone
        return joined if self._adds_up(joined) else self.given

    # -- ways -------------------------------------------------------------

    def _choose(self, way: str) -> str:
        if self.matrix == "gauss-newton" and way not in ("auto", "reverse"):
            raise ValueError(
                f'way={way!r} serves the Hessian only; use way="reverse"'
            )
        return "reverse" if way == "auto" else way

    def _convolves(self) -> bool:
        return self.matrix == "hessian" and any(
            isinstance(m, nn.modules.conv._ConvNd)
            for m in self.model.modules()
        )

    def _product(self, i: int) -> "_Product":
        if i in self._kept:
            return self._kept[i]
        product = None
        if self.way == "forward" or (
            self.way == "linearize" and not self.keeps
        ):
            return self._forward(self.batches[i])
        if self.way == "linearize":
            with suppress(Exception):  # not all operations can be traced
                product = self._linearize(self.batches[i])
            if product is None:
                self.way = "reverse"
        if product is None:
            product = self._reverse(self.batches[i], self.keeps)
        if self.keeps:
            self._kept[i] = product
        return product

    def _fits(self) -> bool:
        """Whether the graphs of all batches may stay in memory."""
        if len(self.batches) == 1:
            return True
        seen: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda t: t)
        with hooks:
            self._reverse(self.batches[0], True)
        return sum(seen.values()) * len(self.batches) <= KEEP_BYTES

    def _reverse(self, batch: Any, keep: bool = True) -> "_Product":
        p = {k: v.detach().requires_grad_() for k, v in self.point.items()}
        if self.matrix == "gauss-newton":
            return self._gauss_newton(p, batch, keep)
        leaves = list(p.values())
        slopes = _gradients(self._loss(p, batch), leaves)

        def product(v: Tensor) -> Tensor:
            if not slopes:
                return torch.zeros_like(v)
            parts = list(self.cut(v).values())
            hv = torch.autograd.grad(
                list(slopes.values()),
                leaves,
                [parts[i] for i in slopes],
                retain_graph=keep,
                materialize_grads=True,
            )
            return torch.cat([x.reshape(-1) for x in hv])

        return product

    def _gauss_newton(self, p: dict, batch: Any, keep: bool) -> "_Product":
        leaves = list(p.values())
        z = self._output(p, batch)
        if not isinstance(z, Tensor):
            raise TypeError(
                "the Gauss-Newton matrix needs a model that returns one "
                f"tensor, not {type(z).__name__}"
            )
        u = torch.zeros_like(z, requires_grad=True)
        jtu = _gradients(z, leaves, u)
        at = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(
            self._caller(at, batch), at, create_graph=True
        )

        def product(v: Tensor) -> Tensor:
            if not jtu or not slope.requires_grad:
                return torch.zeros_like(v)  # a loss linear in the outputs
            parts = list(self.cut(v).values())
            (jv,) = torch.autograd.grad(
                list(jtu.values()),
                u,
                [parts[i] for i in jtu],
                retain_graph=keep,
            )
            (hjv,) = torch.autograd.grad(slope, at, jv, retain_graph=keep)
            out = torch.autograd.grad(
                z,
                leaves,
                hjv,
                retain_graph=keep,
                materialize_grads=True,
            )
            return torch.cat([x.reshape(-1) for x in out])

        return product

    def _linearize(self, batch: Any) -> "_Product":
        slope = torch.func.grad(lambda p: self._loss(p, batch))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.fx about its own graph
            _, derivative = torch.func.linearize(slope, self.point)
        return lambda v: self.flat(derivative(self.cut(v)))

    def _forward(self, batch: Any) -> "_Product":
        slope = torch.func.grad(lambda p: self._loss(p, batch))

        def product(v: Tensor) -> Tensor:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch about its own script
                _, hv = torch.func.jvp(slope, (self.point,), (self.cut(v),))
            return self.flat(hv)

        return product


_Product = Callable[[Tensor], Tensor]


def _chosen(model: nn.Module, params: Sequence[str] | None) -> list[str]:
    named = dict(model.named_parameters())
    if not named:
        raise ValueError("the model has no parameters, so no curvature")
    if params is None:
        free = [k for k, p in named.items() if p.requires_grad]
        return free or list(named)
    wanted = {params} if isinstance(params, str) else set(params)
    for name in wanted:
        checks.choice("parameter", name, list(named))
    if not wanted:
        raise ValueError("params names no parameter; leave it out for all")
    return [k for k in named if k in wanted]


def _gradients(
    y: Tensor, leaves: list[Tensor], start: Tensor | None = None
) -> dict[int, Tensor]:
    """Gradients that can be differentiated again, by position."""
    if not y.requires_grad:
        return {}
    found = torch.autograd.grad(
        y, leaves, start, create_graph=True, allow_unused=True
    )
    return {
        i: g for i, g in enumerate(found) if g is not None and g.requires_grad
    }


def _cat(group: list[Any]) -> Any:
    """Some batches of the same make as one."""
    first = group[0]
    if isinstance(first, Tensor):
        return torch.cat(group)
    if isinstance(first, Mapping):
        return {k: _cat([b[k] for b in group]) for k in first}
    if isinstance(first, (tuple, list)):
        return tuple(map(_cat, zip(*group, strict=True)))
    raise TypeError(f"cannot join {type(first).__name__}")


def _to(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    before = [(m, m.training) for m in model.modules()]
    for module, _ in before:
        module.training = training
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention in plain operations: fused kernels lack second derivatives."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield
