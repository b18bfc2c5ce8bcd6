"""The mean loss over data as a function of the parameters."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna import checks, params
from dldna.guard import differentiable, untouched
from dldna.landscape.evaluate.weights import batch_weight, reduction
from dldna.landscape.inputs import check_model
from dldna.records import Provenance

MODES = ("eval", "train")
RANDOM = {  # what to do about a loss that is none of the parameters alone
    "train": 'switch off dropout and other noise with mode="eval"',
    "eval": (
        "something draws random numbers in eval mode, too: dropout called "
        "with training=True (write training=self.training), noise, sampling"
    ),
}
MERGE = 256  # samples; smaller batches are joined up to this size


class MeanLoss:
    r"""The mean loss :math:`L(w)=\sum_b \frac{m_b}{m} L_b(w)` of a model.

    :math:`m_b` is the number of samples of batch :math:`b`, or, for torch's
    cross-entropy with class weights or ignored targets, what torch divides
    by (see :mod:`dldna.landscape.evaluate.weights`), and :math:`m` is the
    sum of all. A sum (``reduction="sum"``) is divided by the number of
    samples, and a vector (``reduction="none"``) stands for its mean, so
    that no result depends on how the data are cut.

    The parameters are detached copies, and the model is evaluated with
    them in place of its own: it is not written to. In eval mode small
    batches are joined up to 256 samples, where that leaves the loss as it
    is.

    Args:
        model: any ``nn.Module``.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        names: names of the parameters that may move; by default those
            with ``requires_grad``, or all, where none has it.
        dtype: float32 or float64; by default float32, unless the
            parameters are float64.
        mode: "eval" or "train".
        limit: use only this many samples.

    Raises:
        TypeError: the model is no module.
        ValueError: no data, unknown names, parameters without values, or a
            loss that is not finite or not a function of the parameters
            alone.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> f = MeanLoss(layer, nn.MSELoss(), (x, 2 * x))
        >>> f.loss(), float(f.gradient())
        (5.0, -10.0)
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable,
        data: Any,
        *,
        names: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        mode: str = "eval",
        limit: int | None = None,
    ):
        self.mode = checks.choice("mode", mode, MODES)
        if limit is not None:
            checks.count("limit", limit)
        check_model(model)
        self.model, self.loss_fn = model, loss_fn
        self.names = _chosen(model, names)
        named = dict(model.named_parameters())
        first = named[self.names[0]]
        self.device = first.device
        wide = first.dtype == torch.float64
        self.dtype = dtype or (torch.float64 if wide else torch.float32)
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"dtype must be torch.float32 or torch.float64, not {dtype}"
            )
        self.cast = {"device": self.device, "dtype": self.dtype}
        self.call = bt.loss_caller(loss_fn)
        self.point = {
            k: named[k].detach().to(dtype=self.dtype, copy=True)
            for k in self.names
        }
        self._rest = {
            k: _to(p.detach(), self.dtype)
            for k, p in named.items()
            if k not in self.point
        }
        self.given = [bt.to(b, **self.cast) for b in bt.held(data, limit)]
        self.n_samples = sum(bt.size(b) for b in self.given)
        self.given = self._counted(self.given)
        self.n = sum(p.numel() for p in self.point.values())
        self._began = time.perf_counter()
        self._check_function()
        self.batches = self._joined()
        self.weights = self.shares(self.batches)

    def flat(self, point: Mapping[str, Tensor]) -> Tensor:
        """One vector of shape (n,) out of named tensors, in their order.

        Args:
            point: a tensor for each name of ``names``.

        Returns:
            The vector (n,).
        """
        return torch.cat([point[k].reshape(-1) for k in self.names])

    def cut(self, vector: Tensor) -> dict[str, Tensor]:
        """Named tensors out of one vector: the inverse of ``flat``.

        Args:
            vector: (n,) all entries.

        Returns:
            Views into the vector, by the names of the parameters.
        """
        parts = vector.split([p.numel() for p in self.point.values()])
        return {
            k: part.view(p.shape)
            for (k, p), part in zip(self.point.items(), parts, strict=True)
        }

    @untouched()
    def loss(self, point: Mapping[str, Tensor] | None = None) -> float:
        """The mean loss at the model's parameters, or at another point.

        Args:
            point: parameters by name; by default the model's.

        Returns:
            The mean loss over all data.
        """
        point = self.point if point is None else point
        return self._mean_loss(point, self.batches)

    @untouched()
    @differentiable()
    def gradient(self, point: Mapping[str, Tensor] | None = None) -> Tensor:
        """The gradient of the mean loss.

        Args:
            point: parameters by name; by default the model's.

        Returns:
            The gradient (n,), in the order of ``flat``.
        """
        point = self.point if point is None else point
        out = torch.zeros(self.n, **self.cast)
        for weight, batch in zip(self.weights, self.batches, strict=True):
            p = {k: v.detach().requires_grad_() for k, v in point.items()}
            loss = self.batch_loss(p, batch)
            if loss.requires_grad:
                g = torch.autograd.grad(
                    loss, list(p.values()), materialize_grads=True
                )
                # detached: torch 2.4 fills in zeros that ask for a gradient
                out += weight * torch.cat([x.detach().reshape(-1) for x in g])
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
                "mode": self.mode,
                "batches": len(self.given),
                **notes,
            },
        )

    def output(self, point: Mapping[str, Tensor], batch: Any) -> Any:
        """What the model makes of a batch at a point."""
        state = {k: _to(b, self.dtype) for k, b in self._buffers()}
        state.update(self._rest)
        state.update(point)
        inputs, _ = bt.split(batch)

        def call(*args, **kwargs):
            return params.call(self.model, state, args, kwargs)

        with _mode(self.model, self.mode == "train"), _plain_attention():
            return bt.apply(call, inputs)

    def batch_loss(self, point: Mapping[str, Tensor], batch: Any) -> Tensor:
        """The loss of one batch at a point, a scalar that can be derived."""
        return self.value(self.output(point, batch), batch)

    def value(self, output: Any, batch: Any) -> Tensor:
        """The mean loss of one batch, from the model's output.

        Args:
            output: what the model made of the batch.
            batch: the batch, for its targets and its size.

        Returns:
            A scalar that can be derived.

        Raises:
            ValueError: the loss is no tensor.
        """
        loss = self.call(output, batch)
        if not isinstance(loss, Tensor):
            raise ValueError(
                "the loss must be a tensor, one number per batch, not "
                f"{type(loss).__name__}"
            )
        if reduction(self.loss_fn) == "sum":
            loss = loss / bt.size(batch)
        return loss.mean()

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, buffer in self.model.named_buffers():
            yield name, buffer.detach().clone()

    def _check_function(self) -> None:
        with torch.no_grad():
            for i, batch in enumerate(self.given):
                loss = float(self.batch_loss(self.point, batch))
                if not torch.isfinite(torch.tensor(loss)):
                    raise ValueError(
                        f"the loss is {loss} on batch {i}: curvature is not "
                        "defined there; look for NaN in the data and the "
                        "parameters, or lower the learning rate"
                    )
                if i:
                    continue
                self._check_gradient(batch)
                again = float(self.batch_loss(self.point, batch))
                noise = 32 * torch.finfo(self.dtype).eps * abs(loss)
                if abs(again - loss) > noise:
                    raise ValueError(
                        "two evaluations at the same point give different "
                        "losses, so there is no matrix of curvature; "
                        + RANDOM[self.mode]
                    )

    @torch.enable_grad()
    def _check_gradient(self, batch: Any) -> None:
        leaves = {
            k: v.detach().requires_grad_() for k, v in self.point.items()
        }
        output = self.output(leaves, batch)
        moves = any(t.requires_grad for t in bt.tensors(output))
        if moves and not self.value(output, batch).requires_grad:
            raise ValueError(
                "the loss has no gradient, so there is no curvature: it "
                "returns a plain number, or a tensor without its history "
                "(.item(), .detach(), argmax)"
            )

    def slices(self, parts: int) -> list[Any]:
        """A single batch in parts of nearly equal size."""
        (batch,) = self.batches
        n = bt.size(batch)
        edges = torch.linspace(0, n, min(parts, n) + 1).round().int()
        edges = sorted(set(edges.tolist()))
        return self._counted([bt.cut(batch, a, b) for a, b in pairwise(edges)])

    def shares(self, pieces: list[Any]) -> list[float]:
        """What each piece of the data counts in the mean; the sum is 1."""
        weights = [batch_weight(self.loss_fn, piece) for piece in pieces]
        whole = sum(weights)
        return [weight / whole for weight in weights]

    def _counted(self, pieces: list[Any]) -> list[Any]:
        """The pieces whose targets are not all ignored."""
        counted = [b for b in pieces if batch_weight(self.loss_fn, b) > 0]
        if not counted:
            raise ValueError("every target is ignored, so there is no loss")
        return counted

    def _mean_loss(self, point: Mapping, pieces: list[Any]) -> float:
        with torch.no_grad():
            each = [float(self.batch_loss(point, piece)) for piece in pieces]
        return sum(
            w * x for w, x in zip(self.shares(pieces), each, strict=True)
        )

    def adds_up(self, pieces: list[Any]) -> bool:
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
        return joined if self.adds_up(joined) else self.given


def _chosen(model: nn.Module, names: Sequence[str] | None) -> list[str]:
    named = dict(model.named_parameters())
    if names is None:
        free = [k for k, p in named.items() if p.requires_grad]
        return free or list(named)
    wanted = {names} if isinstance(names, str) else {*names}
    for name in wanted:
        if not isinstance(name, str):
            raise TypeError(
                "params must be names of parameters, as in "
                f"model.named_parameters(), not a {type(name).__name__}"
            )
        checks.choice("parameter", name, list(named))
    if not wanted:
        raise ValueError("params names no parameter; leave it out for all")
    return [k for k in named if k in wanted]


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
