"""The mean loss over data as a function of the parameters."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import wraps
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dldna import batches as bt
from dldna import checks, params
from dldna.guard import (
    attributes_kept,
    differentiable,
    keeps_inside,
    untouched,
)
from dldna.objective.gradients import values_only
from dldna.objective.inputs import (
    NotFinite,
    check_call,
    check_loss,
    check_model,
    name_of,
)
from dldna.objective.place import in_place, norms
from dldna.objective.reductions import batch_weight, cast, loss_name, reduction
from dldna.records import Provenance

STATISTICS = ("eval", "train")
RANDOM = (  # what to do about a loss that is none of the parameters alone
    "something draws random numbers in eval mode, too: dropout called "
    "with training=True (write training=self.training), noise, sampling"
)
MERGE = 256  # samples; smaller batches are joined up to this size


class Objective:
    r"""The mean loss :math:`L(w)=\sum_b \frac{m_b}{m} L_b(w)` of a model.

    :math:`m_b` is the number of samples of batch :math:`b`, or, for torch's
    cross-entropy with class weights or ignored targets, what torch divides
    by, or what a :class:`Weighed` loss says, and :math:`m` is the sum of
    all. A sum (``reduction="sum"``) is divided by the number of samples,
    and a vector (``reduction="none"``) stands for its mean, so that no
    result depends on how the data are cut.

    At a point the model's own tensors hold the point's numbers while the
    forward, the loss and the backward pass run (:func:`in_place`), so that
    whatever reads the model reads the point: a penalty in the loss, hooks,
    checkpointed layers. The model is as it was afterwards. In eval mode
    small batches are joined up to 256 samples, where that leaves the loss
    as it is.

    Args:
        model: any ``nn.Module``.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`. One
            pass is kept in memory.
        names: names of the parameters that may move, taken in the model's
            order; by default those with ``requires_grad``, or all, where
            none has it.
        dtype: "float32" or "float64", or torch's own name for it; by
            default float32, unless the parameters are float64. Models that
            mix types keep each tensor's own.
        statistics: what batch normalisation uses: "eval", also called
            "frozen" (the running statistics), or "train" (each batch's
            own). Dropout is off in both.
        limit: use only this many samples.

    Raises:
        TypeError: the model is no module, or model, loss and data do not
            fit each other; the message says how.
        ValueError: no data, unknown names, parameters without values, or a
            loss that is not finite or not a function of the parameters
            alone.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(layer.weight)
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> f = Objective(layer, nn.MSELoss(), (x, 2 * x))
        >>> f.loss(), float(f.gradient())
        (5.0, -10.0)
    """

    mode = checks.former("statistics")

    @checks.renamed(mode="statistics")
    @untouched()  # by a model that draws from the global generators
    @differentiable()
    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable | None = None,
        data: Any = None,
        *,
        names: Sequence[str] | None = None,
        dtype: str | torch.dtype | None = None,
        statistics: str = "eval",
        limit: int | None = None,
    ):
        known = "eval" if statistics == "frozen" else statistics
        self.statistics = checks.choice("statistics", known, STATISTICS)
        if limit is not None:
            checks.count("limit", limit)
        model, loss_fn, data = opened(model, loss_fn, data)
        check_model(model)
        check_loss(loss_fn, data)
        self.model, self.loss_fn, self.data = model, loss_fn, data
        self.names = _chosen(model, names)
        self._keeps = keeps_inside(model)
        named = dict(model.named_parameters())
        first = named[self.names[0]]
        self.device = first.device
        wide = first.dtype == torch.float64
        named_type = params.dtype_name(dtype, ("float32", "float64"))
        own = "float64" if wide else "float32"
        self.dtype = getattr(torch, named_type or own)
        self.cast = {"device": self.device, "dtype": self.dtype}
        kinds = {p.dtype for p in named.values() if p.is_floating_point()}
        self.mixed = len(kinds) > 1
        self.held = bt.held(data, limit)
        with untouched(model):
            first_batch = bt.to(self.held[0], dtype=first.dtype)
            self.writes = check_call(model, loss_fn, [first_batch], data)
        self.run_loss = cast(loss_fn, model, **self.cast)
        self.call = bt.loss_caller(self.run_loss)
        self.point = {
            k: self._typed(named[k].detach()).clone() for k in self.names
        }
        self._rest = {
            k: self._typed(p.detach())
            for k, p in named.items()
            if k not in self.point
        }
        self.given = [bt.to(b, **self.cast) for b in self.held]
        self.n_samples = sum(bt.size(b) for b in self.given)
        self.given = self._counted(self.given)
        self.n = sum(p.numel() for p in self.point.values())
        self._began = time.perf_counter()
        try:
            self._check_function()
        except RuntimeError as error:
            _other_tensors(error, self.dtype)
            raise
        self.batches = self._joined()
        self.weights = self.shares(self.batches)

    def _typed(self, tensor: Tensor) -> Tensor:
        if tensor.is_inference():
            tensor = tensor.clone()
        if self.mixed or not tensor.is_floating_point():
            return tensor
        return tensor.to(self.dtype)

    def flat(self, point: Mapping[str, Tensor]) -> Tensor:
        """One vector of shape (n,) out of named tensors, in their order.

        Args:
            point: a tensor for each name of ``names``.

        Returns:
            The vector (n,).
        """
        parts = [
            _dense(point[k]).reshape(-1).to(self.dtype) for k in self.names
        ]
        return torch.cat(parts)

    def cut(self, vector: Tensor) -> dict[str, Tensor]:
        """Named tensors out of one vector: the inverse of ``flat``.

        Args:
            vector: (n,) all entries.

        Returns:
            Views into the vector, by the names of the parameters.
        """
        parts = vector.split([p.numel() for p in self.point.values()])
        return {
            k: part.view(p.shape).to(p.dtype)
            for (k, p), part in zip(self.point.items(), parts, strict=True)
        }

    @contextmanager
    def placed(
        self, point: Mapping[str, Tensor] | None = None
    ) -> Iterator[list[Tensor]]:
        """The model at a point, ready to be differentiated.

        Args:
            point: parameters by name; by default the model's own.

        Returns:
            A context; what it gives are the model's own parameters that
            may move, in the order of ``names``.
        """
        point = self.point if point is None else point
        with (
            attributes_kept(self.model, deep=True)
            if self._keeps
            else nullcontext(),
            in_place(
                self.model,
                training=norms(self.model)
                if self.statistics == "train"
                else (),
                needs=self.names,
            ) as put,
            _plain_kernels(),
        ):
            moved = {k: self._typed(point[k].detach()) for k in self.names}
            if self.writes:
                moved = {k: v.clone() for k, v in moved.items()}
            put(self._rest | moved, dict(self._buffers()))
            named = dict(self.model.named_parameters())
            yield [named[k] for k in self.names]

    @untouched()
    def loss(self, point: Mapping[str, Tensor] | None = None) -> float:
        """The mean loss at the model's parameters, or at another point.

        Args:
            point: parameters by name; by default the model's.

        Returns:
            The mean loss over all data.
        """
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
        out = torch.zeros(self.n, **self.cast)
        for weight, batch in zip(self.weights, self.batches, strict=True):
            out += weight * self.slope(batch, point)[1]
        return out

    def slope(
        self, batch: Any, point: Mapping[str, Tensor] | None = None
    ) -> tuple[float, Tensor]:
        """Loss and gradient of one batch.

        Args:
            batch: one of ``batches``.
            point: parameters by name; by default the model's.

        Returns:
            The loss and the gradient (n,).
        """
        with self.placed(point) as leaves, differentiable():
            loss = self.batch_loss(batch)
            if not loss.requires_grad:
                return float(loss), torch.zeros(self.n, **self.cast)
            try:
                found = torch.autograd.grad(loss, leaves, allow_unused=True)
            except RuntimeError as error:
                _reentrant(error)
                raise
        parts = [
            torch.zeros_like(p) if g is None else g
            for g, p in zip(found, self.point.values(), strict=True)
        ]
        return float(loss.detach()), self.flat(
            dict(zip(self.names, parts, strict=True))
        )

    def provenance(self, made: str, seed: int | None, **notes) -> Provenance:
        """Where a result of this objective came from.

        Args:
            made: what was made, a noun phrase.
            seed: seed of the random numbers; None where there are none.
            **notes: what else the record should say (JSON values).

        Returns:
            The provenance: names of model, data and loss, numbers of
            parameters and samples, device, dtype, and the seconds since
            the objective was made.
        """
        return Provenance(
            made=made,
            seed=seed,
            model=type(self.model).__name__,
            n_params=self.n,
            data=name_of(self.data),
            n_samples=self.n_samples,
            loss=loss_name(self.loss_fn),
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            seconds=time.perf_counter() - self._began,
            notes={
                "params": list(self.names),
                "statistics": self.statistics,
                "batches": len(self.given),
                **notes,
            },
        )

    def output(self, batch: Any) -> Any:
        """What the model makes of a batch; inside :meth:`placed`."""
        return bt.apply(self.model, bt.split(batch)[0])

    def batch_loss(self, batch: Any) -> Tensor:
        """The loss of one batch, a scalar; inside :meth:`placed`."""
        return self.value(self.output(batch), batch)

    def functional(self, point: Mapping[str, Tensor], batch: Any) -> Tensor:
        """The loss of a batch for torch's transforms of functions.

        The tensors of ``point`` are handed to the forward alone, so a loss
        that reads the model does not see them. The transform, too, runs
        inside :meth:`placed`.
        """

        def call(*args, **kwargs):
            return params.call(self.model, point, args, kwargs)

        return self.value(bt.apply(call, bt.split(batch)[0]), batch)

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
        if reduction(self.loss_fn) == "sum":
            loss = loss / bt.size(batch)
        return loss.mean()

    def reads_model(self, batch: Any) -> bool:
        """Whether the loss reads parameters itself, past the output.

        Args:
            batch: one of ``batches``.

        Returns:
            True for a penalty on weights, a second forward in the loss,
            and the like.
        """
        with self.placed() as leaves, differentiable():
            with torch.no_grad():
                output = self.output(batch)
            try:
                loss = self.value(output, batch)
            except RuntimeError:  # it differentiates the output
                return True
            if not loss.requires_grad:
                return False
            found = torch.autograd.grad(loss, leaves, allow_unused=True)
        return any(g is not None for g in found)

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, buffer in self.model.named_buffers():
            yield name, self._typed(buffer.detach())

    def _check_function(self) -> None:
        with values_only(self.model, self.loss_fn):
            for i, batch in enumerate(self.given):
                loss = self._mean_loss(None, [batch])
                if not torch.isfinite(torch.tensor(loss)):
                    raise NotFinite(
                        f"the loss is {loss} on batch {i}: curvature is not "
                        "defined there; look for NaN in the data and the "
                        "parameters, or lower the learning rate"
                    )
                if i:
                    continue
                self._check_gradient(batch)
                again = self._mean_loss(None, [batch])
                noise = 32 * torch.finfo(self.dtype).eps * abs(loss)
                if abs(again - loss) > noise:
                    raise ValueError(
                        "two evaluations at the same point give different "
                        "losses, so there is no matrix of curvature; " + RANDOM
                    )

    @torch.enable_grad()
    def _check_gradient(self, batch: Any) -> None:
        with self.placed():
            output = self.output(batch)
            moves = any(t.requires_grad for t in bt.tensors(output))
            flat = not self.value(output, batch).requires_grad
        if moves and flat:
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

    def _mean_loss(self, point: Mapping | None, pieces: list[Any]) -> float:
        quiet = values_only(self.model, self.loss_fn)
        with self.placed(point), quiet:
            each = [float(self.batch_loss(piece).detach()) for piece in pieces]
        return sum(
            w * x for w, x in zip(self.shares(pieces), each, strict=True)
        )

    def adds_up(self, pieces: list[Any]) -> bool:
        """Whether other batches of the same samples have the same mean."""
        try:
            other = self._mean_loss(None, pieces)
        except (RuntimeError, ValueError):  # a loss bound to its batch size
            return False
        whole = self._mean_loss(None, self.given)
        return abs(other - whole) <= 1e-4 * abs(whole)

    def _joined(self) -> list[Any]:
        """Neighbouring small batches in one, where nothing else changes."""
        if self.statistics == "train" or len(self.given) == 1:
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
            joined = [bt.join(group) for group in groups]
        except (RuntimeError, TypeError, KeyError):
            return self.given  # ragged, or not made of tensors alone
        return joined if self.adds_up(joined) else self.given


def opened(
    model: Any, loss_fn: Any = None, data: Any = None
) -> tuple[nn.Module, Callable, Any]:
    """Model, loss and data of a call, or of the objective in their place.

    Raises:
        TypeError: a loss or data are missing, or given beside an
            objective.

    Example:
        >>> x = torch.ones(3, 1)
        >>> f = Objective(nn.Linear(1, 1), nn.MSELoss(), (x, x))
        >>> opened(f)[0] is f.model
        True
    """
    if isinstance(model, Objective):
        if loss_fn is not None or data is not None:
            raise TypeError(
                "an Objective holds its loss and data: give it alone, "
                "and what follows by keyword"
            )
        return model.model, model.loss_fn, model.held
    if loss_fn is None or data is None:
        missing = "the loss is" if loss_fn is None else "the data are"
        raise TypeError(
            f"{missing} missing: give a model, a loss and data, or an "
            "Objective"
        )
    return model, loss_fn, data


def accepts_objective(function: Callable) -> Callable:
    """Let a public call take an objective in place of model, loss and data.

    The loss and the data come from the objective; what else the call takes
    goes by keyword.

    Example:
        >>> @accepts_objective
        ... def loss_of(model, loss_fn, data, scale=1.0):
        ...     return scale * Objective(model, loss_fn, data).loss()
        >>> x = torch.ones(3, 1)
        >>> f = Objective(nn.Linear(1, 1), nn.MSELoss(), (x, x))
        >>> loss_of(f, scale=2.0) == 2 * f.loss()
        True
    """

    @wraps(function)
    def call(*args, **kwargs):
        if args and isinstance(args[0], Objective):
            given = args[0]
            for name in ("loss_fn", "data"):
                if name in kwargs:
                    raise TypeError(
                        f"the Objective holds its {name}: give it alone"
                    )
            kwargs |= {"loss_fn": given.loss_fn, "data": given.held}
            args = (given.model, *args[1:])
        return function(*args, **kwargs)

    return call


def _chosen(model: nn.Module, names: Sequence[str] | None) -> list[str]:
    named = {
        k: p for k, p in model.named_parameters() if p.is_floating_point()
    }
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


def _dense(tensor: Tensor) -> Tensor:
    return tensor.to_dense() if tensor.is_sparse else tensor


def _other_tensors(error: RuntimeError, dtype: torch.dtype) -> None:
    """Say so if the loss holds tensors of another type."""
    if "dtype" in str(error) or "scalar type" in str(error):
        word = str(dtype).removeprefix("torch.")
        raise TypeError(
            f"the loss cannot be calculated in {word} ({error}): a tensor "
            "that it closes over has another type. Keep it as a buffer of a "
            "loss module, or take it from the batch, where it is converted"
        ) from error


def _reentrant(error: RuntimeError) -> None:
    if "heckpoint" in str(error):
        raise TypeError(
            "the model checkpoints activations in the re-entrant way, which "
            "cannot be differentiated by autograd.grad: call checkpoint "
            "with use_reentrant=False"
        ) from error


class _PlainWeightNorm(TorchFunctionMode):
    """Weight norm in plain operations: the second derivative of torch's own
    kernel is wrong (2.13, about a tenth of the product)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    axes = [i for i in range(v.ndim) if dim == -1 or i != dim % v.ndim]
    return v * (g / torch.linalg.vector_norm(v, dim=axes, keepdim=True))


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Plain operations where fused kernels lack second derivatives."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH), _PlainWeightNorm():
        yield
