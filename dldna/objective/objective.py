"""The mean loss over data as a function of the parameters."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna import checks, params
from dldna.guard import alone, differentiable, keeping, untouched
from dldna.objective.cuttable import check_limit
from dldna.objective.derivative import over_data, slope_at
from dldna.objective.function import (
    check_function,
    name_other_tensors,
    on_few,
)
from dldna.objective.gradients import values_only
from dldna.objective.inputs import (
    check_call,
    check_loss,
    check_model,
    name_of,
)
from dldna.objective.kernels import plain_kernels
from dldna.objective.opening import Held, opened
from dldna.objective.pieces import counted, joined
from dldna.objective.place import chosen_names, in_place, norms
from dldna.objective.reductions import (
    batch_weight,
    cast,
    dense,
    loss_name,
    reduction,
)
from dldna.records import Provenance

STATISTICS = ("eval", "train")


class Objective(Held):
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
        loss_fn: a torch loss, a callable ``(output, batch)``, or "model"
            for the loss that the model itself returns.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`. One
            pass is kept in memory.
        names: the parameters that may move (see :func:`chosen_names`); by
            default the trainable ones, or all, where none is.
        dtype: "float32" or "float64", or torch's own name for it; by
            default float32, unless the parameters are float64. Models that
            mix types keep each tensor's own, and get the data as they are.
        statistics: what batch normalisation uses: "eval", also called
            "frozen" (the running statistics), or "train" (each batch's
            own). Dropout is off in both.
        limit: use only this many samples.
        size: ``f(batch)``, its number of samples, where nothing tells it.

    Attributes:
        own_loss: the mean loss at the model's own weights, as it was made.

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
        names: Any = None,
        dtype: str | torch.dtype | None = None,
        statistics: str = "eval",
        limit: int | None = None,
        size: Callable[[Any], int] | None = None,
    ):
        known = "eval" if statistics == "frozen" else statistics
        self.statistics = checks.choice("statistics", known, STATISTICS)
        model, loss_fn, data = opened(model, loss_fn, data, size)
        check_model(model)
        check_loss(loss_fn, data)
        self.model, self.loss_fn, self.data = model, loss_fn, data
        asked = {"params": names, "dtype": dtype}
        self.asked = {k: v for k, v in asked.items() if v is not None}
        if self.statistics != "eval":
            self.asked["statistics"] = self.statistics
        self.names = chosen_names(model, names)
        self._keeping = keeping(model, self.loss_fn)
        named = dict(model.named_parameters())
        first = named[self.names[0]]
        self.device = first.device
        own = "float64" if first.dtype == torch.float64 else "float32"
        asked = params.dtype_name(dtype, ("float32", "float64"), self.device)
        self.dtype = getattr(torch, asked or own)
        self.cast = {"device": self.device, "dtype": self.dtype}
        kinds = {p.dtype for p in named.values() if p.is_floating_point()}
        self.mixed = len(kinds) > 1
        self.buffers = model.named_buffers
        self.held = bt.held(data, limit)
        to = {"device": self.device} if self.mixed else self.cast
        own = {} if self.mixed else {"dtype": first.dtype}
        with untouched(model):
            check_limit(model, loss_fn, self.held, **own)
            some = [bt.to(batch, **own) for batch in self.held[:2]]
            self.writes = self._called(some)
        self.run_loss = cast(loss_fn, model, **to)
        self.call = bt.loss_caller(self.run_loss)
        self.point = {
            k: self._typed(named[k].detach()).clone() for k in self.names
        }
        self._rest = {
            k: self._typed(p.detach())
            for k, p in named.items()
            if k not in self.point
        }
        self.n_samples = sum(bt.size(b) for b in self.held)
        self.given = counted(loss_fn, [bt.to(b, **to) for b in self.held])
        self.n = sum(p.numel() for p in self.point.values())
        self._began = time.perf_counter()
        try:
            self.own_loss = check_function(self)
        except RuntimeError as error:
            name_other_tensors(error, self.dtype)
            raise
        self.batches = joined(self)
        self.weights = self.shares(self.batches)

    def _called(self, some: list[Any]) -> bool:
        """Call it once; a few samples of a single batch tell as much."""
        given = self.model, self.loss_fn
        if len(some) > 1:
            return check_call(*given, some, self.data)
        return on_few(lambda b: check_call(*given, [b], self.data), *some)

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
        """
        parts = [dense(point[k]).reshape(-1) for k in self.names]
        return torch.cat([part.to(self.dtype) for part in parts])

    def cut(self, vector: Tensor) -> dict[str, Tensor]:
        """Named tensors out of one vector: the inverse of ``flat``.

        Args:
            vector: (n,) all entries.

        Returns:
            Views into the vector, by name.
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
            A context that gives the model's parameters of ``names``.
        """
        with self._settled(point) as leaves, plain_kernels():
            yield leaves

    @contextmanager
    def _settled(
        self, point: Mapping[str, Tensor] | None = None
    ) -> Iterator[list[Tensor]]:
        point = self.point if point is None else point
        train = self.statistics == "train"
        with (
            self._keeping(),
            alone(),
            in_place(
                self.model,
                training=norms(self.model) if train else (),
                needs=self.names,
            ) as put,
        ):
            moved = {k: self._typed(point[k].detach()) for k in self.names}
            if self.writes:
                moved = {k: v.clone() for k, v in moved.items()}
            buffers = {k: self._typed(b.detach()) for k, b in self.buffers()}
            put(self._rest | moved, buffers)
            named = dict(self.model.named_parameters())
            yield [named[k] for k in self.names]

    @untouched()
    def loss(self, point: Mapping[str, Tensor] | None = None) -> float:
        """The mean loss over all data, at the model's or another point.

        Args:
            point: parameters by name; by default the model's.
        """
        return self.mean_loss(point, self.batches)

    @untouched()
    @differentiable()
    def gradient(self, point: Mapping[str, Tensor] | None = None) -> Tensor:
        """The gradient of the mean loss.

        Args:
            point: parameters by name; by default the model's.

        Returns:
            (n,) in the order of ``flat``.
        """
        return over_data(self, lambda batch: self.slope(batch, point))[1]

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
            return slope_at(self, batch, leaves)

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

    def shares(self, pieces: list[Any]) -> list[float]:
        """What each piece of the data counts in the mean; the sum is 1."""
        weights = [batch_weight(self.loss_fn, piece) for piece in pieces]
        whole = sum(weights)
        return [weight / whole for weight in weights]

    def mean_loss(self, point: Mapping | None, pieces: list[Any]) -> float:
        """The mean loss over some pieces of the data."""
        quiet = values_only(self.model, self.loss_fn)
        with self.placed(point), quiet:
            each = [float(self.batch_loss(piece).detach()) for piece in pieces]
        return sum(
            w * x for w, x in zip(self.shares(pieces), each, strict=True)
        )
