"""Matrices of curvature that another package hands over."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import params
from dldna.guard import untouched
from dldna.landscape.curvature.call import is_matrix
from dldna.landscape.curvature.matrix import SymmetricMatrix
from dldna.landscape.curvature.operator import Operator
from dldna.landscape.curvature.verification import as_columns
from dldna.records import Provenance


class ForeignMatrix(SymmetricMatrix):
    """Any symmetric matrix that multiplies, as an operator of curvature.

    Args:
        given: an object with ``shape`` and ``@`` (or ``matvec``) of
            tensors or arrays: an operator of curvlinops or SciPy, a tensor
            or an array.

    Raises:
        ValueError: it is not square, or not symmetric.

    Example:
        >>> A = ForeignMatrix(np.diag([1.0, 2.0]))
        >>> A @ torch.ones(2)
        tensor([1., 2.], dtype=torch.float64)
    """

    def __init__(self, given: Any):
        rows, columns = given.shape
        if rows != columns:
            raise ValueError(
                f"the matrix has shape {tuple(given.shape)}: one of "
                "curvature is square"
            )
        self.given, self.n, self.products = given, int(rows), 0
        self.dtype = _floating(_read(given, "dtype"))
        self.device = torch.device(_read(given, "device") or "cpu")
        self.cast = {"device": self.device, "dtype": self.dtype}
        self.matrix = type(given).__name__
        self._began = time.perf_counter()
        self._arrays = isinstance(given, np.ndarray)
        self._check_symmetric()

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Product with a vector, or with each column of a matrix.

        Args:
            vectors: (n,), or (n, k).

        Raises:
            ValueError: another shape, or a product that is not finite.
        """
        vectors = as_columns(vectors, self.n)
        if vectors.ndim == 2:
            columns = [self @ column for column in vectors.unbind(1)]
            return torch.stack(columns, 1)
        out = self._product(vectors.to(**self.cast))
        if not bool(torch.isfinite(out).all()):
            raise ValueError(
                f"a product with the {self.matrix} is not finite: look for "
                "NaN or very large parameters where it was made"
            )
        self.products += 1
        self.tick()
        return out

    def _product(self, v: Tensor) -> Tensor:
        multiply = getattr(self.given, "__matmul__", None)
        multiply = multiply or self.given.matvec
        if not self._arrays:
            try:
                found = multiply(v)
                if not isinstance(found, Tensor):
                    found = torch.as_tensor(found, device="cpu")
                return found.detach().to(**self.cast)
            except (TypeError, ValueError, AttributeError):
                self._arrays = True  # it takes arrays alone
        found = np.asarray(multiply(v.cpu().numpy()))
        return torch.from_numpy(found).to(**self.cast).reshape(-1)

    def _check_symmetric(self) -> None:
        generator = torch.Generator().manual_seed(0)
        u, v = (
            torch.randn(self.n, generator=generator, device="cpu")
            for _ in "uv"
        )
        u, v = u.to(**self.cast), v.to(**self.cast)
        au, av = self._product(u), self._product(v)
        exact = params.exact
        gap = abs(float(exact(u) @ exact(av) - exact(v) @ exact(au)))
        size = float(exact(u).norm() * exact(av).norm())
        size += float(exact(v).norm() * exact(au).norm())
        if gap > 10 * torch.finfo(self.dtype).eps ** 0.5 * size:
            raise ValueError(
                f"the {self.matrix} is not symmetric: u.Av and v.Au differ "
                f"by {gap:.3g}; matrices of curvature are, and what is "
                "calculated here takes it for granted"
            )

    def over_batches(self, rows: Tensor, parts: int) -> tuple:
        """Products with rows; the batches are not known here.

        Args:
            rows: (k, n) vectors.
            parts: not used.

        Returns:
            The products (k, n), the forms (1, k) and the share (1,).
        """
        whole = (self @ rows.T).T
        forms = (params.exact(whole) * params.exact(rows)).sum(1)[None]
        return whole, forms, torch.ones(1, dtype=torch.float64, device="cpu")

    def provenance(self, made: str, seed: int | None, **notes) -> Provenance:
        """Where a result of this matrix came from.

        Args:
            made: what was measured, a noun phrase.
            seed: seed of the random numbers; None where there are none.
            **notes: what else the record should say (JSON values).
        """
        home = type(self.given).__module__.partition(".")[0]
        return Provenance(
            made=made,
            seed=seed,
            n_params=self.n,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            seconds=time.perf_counter() - self._began,
            notes={"way": f"{home}.{self.matrix}", **notes},
        )


def accepts_matrix(function: Callable) -> Callable:
    """Let a measure take a matrix in place of model, loss and data.

    Example:
        >>> @accepts_matrix
        ... def size(model, loss_fn, data, scale=1):
        ...     return scale * model.shape[0]
        >>> size(torch.eye(3), scale=2)
        6
    """
    known = inspect.signature(function).parameters

    @wraps(function)
    def call(*args, **kwargs):
        given = args[0] if args else kwargs.get("model")
        if is_matrix(given):
            twice = len(args) > 1 or {"loss_fn", "data"} & {*kwargs}
            if twice:
                raise TypeError(
                    f"a {type(given).__name__} stands for model, loss and "
                    "data: give it alone, and what follows by keyword"
                )
            for name in kwargs:
                if name not in known:
                    raise ValueError(
                        f"{name}= is said where the matrix is made: a "
                        f"{type(given).__name__} is taken as it is"
                    )
            kwargs |= {"loss_fn": None, "data": None}
        return function(*args, **kwargs)

    return call


@contextmanager
def matrix_of(
    model: Any, loss_fn: Any, data: Any, **options: Any
) -> Iterator[Operator | ForeignMatrix]:
    """The matrix that a measure is made with, its model left as it was.

    Args:
        model: a model, or a matrix in place of all three.
        loss_fn: its loss.
        data: its data.
        **options: of :class:`Operator`.

    Example:
        >>> with matrix_of(np.eye(3), None, None) as matrix:
        ...     matrix.n
        3
    """
    foreign = is_matrix(model)
    with untouched(*(() if foreign else (model,))):
        yield (
            ForeignMatrix(model)
            if foreign
            else Operator(model, loss_fn, data, **options)
        )


def _read(given: Any, name: str) -> Any:
    try:
        return getattr(given, name, None)
    except (NotImplementedError, RuntimeError):
        return None


def _floating(dtype: Any) -> torch.dtype:
    """torch's type of the products; float64 where it is not said."""
    if isinstance(dtype, torch.dtype):
        wide = dtype in (torch.float32, torch.float64)
        return dtype if wide else torch.float32
    single = dtype is not None and np.dtype(dtype) == np.float32
    return torch.float32 if single else torch.float64
