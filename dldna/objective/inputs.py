"""What callers give: a model, a loss and data, checked and named."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from dldna import batches as batching
from dldna.checks import warn
from dldna.guard import loss_kept, untouched
from dldna.module_state import same_bits
from dldna.objective.gradients import notice, values_only
from dldna.objective.misfits import (
    FAILS,
    explain_call,
    explain_target,
    explain_types,
    no_target,
)
from dldna.objective.own_loss import is_own
from dldna.objective.place import in_place
from dldna.objective.reductions import Weighed, is_torchs, loss_name
from dldna.objective.repeated import check_state
from dldna.params import exact

WRAPPERS = ("DataParallel", "DistributedDataParallel")


class NotFinite(ValueError):
    """Weights or a loss that are NaN or infinite, where numbers are needed."""


def check_model(model: Any, name: str = "the model") -> None:
    """Refuse what has no parameters to move.

    Args:
        model: what was given.
        name: what to call it in the message.

    Raises:
        TypeError: no module, or a wrapper of one.
        ValueError: there is no parameter, or one without numbers, or one
            that holds NaN or infinity.
    """
    if isinstance(model, type):
        raise TypeError(
            f"{name} must be a torch.nn.Module, not the class "
            f"{model.__name__}; give one made of it"
        )
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module, not {type(model).__name__}"
        )
    kind = type(model).__name__
    if kind in WRAPPERS:
        raise TypeError(
            f"{name} is wrapped in {kind}; give the network inside, "
            "model.module"
        )
    check_unsharded(model, name)
    check_ready(model, name)
    if next(model.parameters(), None) is None:
        raise ValueError(f"{name} has no parameters to move")
    check_real(model, name)
    for key, tensor in model.named_parameters():
        if tensor.is_floating_point() and not bool(
            torch.isfinite(tensor).all()
        ):
            raise NotFinite(
                f"{name}'s own weights are not finite in {key!r}: training "
                "diverged, or the checkpoint is damaged"
            )


def check_real(model: nn.Module, name: str = "the model") -> None:
    """Refuse complex parameters.

    Raises:
        ValueError: the message says what to do instead.
    """
    for key, tensor in model.named_parameters():
        if tensor.is_complex():
            raise ValueError(
                f"{name} has complex numbers in {key!r}: directions, lengths "
                "and curvature are those of real numbers. Keep the real and "
                "the imaginary part as one real parameter, and make "
                "torch.view_as_complex of it in forward"
            )


def check_unsharded(model: nn.Module, name: str = "the model") -> None:
    """Refuse a model whose weights lie on several devices, in parts.

    Args:
        model: the network.
        name: what to call it in the message.

    Raises:
        TypeError: FSDP shards it or a part of it, or a parameter or a
            buffer is a DTensor.
    """
    where = [
        f"the part {key!r}" if key else "it"
        for key, module in model.named_modules()
        if type(module).__name__ == "FullyShardedDataParallel"
    ]
    where += [
        repr(key)
        for key, tensor in [*model.named_parameters(), *model.named_buffers()]
        if "DTensor" in (type(tensor).__name__, type(tensor.data).__name__)
    ]
    if where:
        raise TypeError(
            f"{name} is sharded over devices (FSDP or DTensor, in "
            f"{where[0]}), so no process has its weights: load them into an "
            "unsharded copy of the network, as by torch.distributed."
            "checkpoint.state_dict.get_model_state_dict with StateDictOptions"
            "(full_state_dict=True), and give that"
        )


def check_ready(model: nn.Module, name: str = "the model") -> None:
    """Refuse modules that cannot be called and put back as they are.

    Args:
        model: the network.
        name: what to call it in the message.

    Raises:
        TypeError: TorchScript compiled it, or a part of it.
        ValueError: a parameter or a buffer has no numbers yet.
    """
    for key, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f" ({key})" if key else ""
            raise TypeError(
                f"{name} is compiled by TorchScript{where}, whose tensors "
                "cannot be exchanged: give the Python module it was made from"
            )
    for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise ValueError(
                f"{name} has no numbers yet in {key!r}, which belongs to a "
                "lazy layer: call the model once on a batch first"
            )
        if tensor.is_meta:
            raise ValueError(
                f"{name} has no numbers in {key!r}, which is on the meta "
                "device: load its weights first, as by "
                "model.to_empty(device='cpu') and load_state_dict"
            )


def check_call(
    model: nn.Module, loss_fn: Callable, held: list[Any], data: Any
) -> bool:
    """Call the model and the loss once, to say clearly what does not fit.

    The first batch alone is looked at. Use inside
    :func:`dldna.guard.untouched`; random states come back here already.

    Args:
        model: the network; it is looked at in eval mode.
        loss_fn: the loss.
        held: batches in memory.
        data: what the caller gave, for the message.

    Returns:
        Whether the forward writes into the parameters.

    Raises:
        TypeError: there is no target, or the types do not fit.
        ValueError: the output and the target have other shapes, or the
            loss depends on how often the model ran.
    """
    call = batching.loss_caller(loss_fn)
    weight = next(model.parameters())
    batch = batching.to(held[0], device=weight.device)
    inputs, target = batching.split(batch)
    wanted = batching.wants_target(loss_fn)

    def loss_of(batch: Any) -> float:
        batch = batching.to(batch, device=weight.device)
        output = batching.apply(model, batching.split(batch)[0])
        return float(exact(call(output, batch).detach()).mean())

    with (
        untouched(),
        loss_kept(loss_fn),
        values_only(model, loss_fn) as needs,
        in_place(model, needs=needs) as put,
    ):
        # on copies: a forward may write into parameters, too
        before = {k: p.detach() for k, p in model.named_parameters()}
        own = {k: p.clone() for k, p in before.items()}
        put(own, dict(model.named_buffers()))
        try:
            with untouched():  # draws the same when it is called again
                output = batching.apply(model, inputs)
        except FAILS as error:
            if notice(model, loss_fn, error):
                return check_call(model, loss_fn, held, data)
            explain_types(inputs, weight.dtype, error)
            explain_call(model, loss_fn, batch, error)
            raise
        if wanted and target is None and is_torchs(loss_fn):
            raise TypeError(no_target(loss_fn, data))
        check_shapes(loss_fn, output, target)
        try:
            call(output, batch)
        except FAILS as error:
            if notice(model, loss_fn, error):
                return check_call(model, loss_fn, held, data)
            if wanted and target is None:
                raise TypeError(no_target(loss_fn, data)) from error
            if wanted and not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{error}. The model returns a {type(output).__name__}, "
                    "and the loss gets the whole of it: write a loss of "
                    "your own, loss(output, batch)"
                ) from error
            if wanted:
                explain_target(output, target, error)
            if isinstance(data, (tuple, list)) and len(data) > 2:
                raise TypeError(
                    f"{error}. {len(data)} things in a {type(data).__name__} "
                    f"are read as {len(data)} batches: nest them, "
                    "((x1, x2), y) or (x, (y, weight)), or give a dict, "
                    "{'name of the input': ..., 'labels': ...}"
                ) from error
            if not wanted:
                explain_call(model, loss_fn, batch, error)
            raise
        writes = any(not same_bits(p, before[k]) for k, p in own.items())
        check_denominator(loss_of, loss_fn, held)
    check_state(model, loss_fn, batch)
    return writes


def check_denominator(
    call: Callable[[Any], float], loss_fn: Callable, held: list[Any]
) -> None:
    """Warn of a loss whose mean over two batches is not that of both.

    A mean over tokens, or with weights, has another denominator than the
    number of samples. torch's own losses and a :class:`Weighed` one say
    what they divide by.

    Args:
        call: the loss of a batch, of the model as it stands.
        loss_fn: the loss.
        held: batches in memory.
    """
    if len(held) < 2 or is_torchs(loss_fn) or isinstance(loss_fn, Weighed):
        return
    try:
        whole, parts = (
            call(batching.join(held[:2])),
            [call(b) for b in held[:2]],
        )
    except Exception:  # ragged, or bound to the size of its batches
        if is_own(loss_fn) and _padded(held):
            warn(
                "the batches are padded to different lengths, and the model's "
                "own loss is most likely a mean over tokens, while batches "
                "count here by their samples: give dldna.objective.Weighed("
                "'model', lambda batch: number of tokens)"
            )
        return
    sizes = [batching.size(b) for b in held[:2]]
    mean = sum(n * x for n, x in zip(sizes, parts, strict=True)) / sum(sizes)
    if abs(whole - mean) > 1e-4 * abs(whole):
        warn(
            f"the loss {loss_name(loss_fn)} of two batches together "
            f"({whole:.6g}) is not the mean of their losses by samples "
            f"({mean:.6g}), so the result depends on how the data are cut. "
            "If it divides by something else (tokens, weights, a mask), say "
            "so with dldna.objective.Weighed(loss, lambda batch: ...), "
            "which gives that number; if its samples belong together, give "
            "the same batches each time",
        )


PAIRED = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
PAIRED_CALLS = (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)


def check_shapes(loss_fn: Callable, output: Any, target: Any) -> None:
    """Refuse to broadcast in losses that compare number with number."""
    if type(loss_fn) not in PAIRED and loss_fn not in PAIRED_CALLS:
        return
    pair = (output, target)
    if not all(isinstance(t, torch.Tensor) for t in pair):
        return
    if output.shape != target.shape:
        raise ValueError(
            f"the model's output has shape {tuple(output.shape)} and the "
            f"target {tuple(target.shape)}; {loss_name(loss_fn)} would "
            "compare each with each. Give both the same shape, as by "
            "y.unsqueeze(1) or output.squeeze(1)"
        )


def check_loss(loss_fn: Any, data: Any) -> None:
    """Refuse a loss that is none; notice if it changed places with data."""
    if not callable(loss_fn) and callable(data):
        raise TypeError(
            "the loss and the data have changed places: the loss "
            f"({loss_name(data)}) comes first, then the data"
        )
    batching.loss_caller(loss_fn)


def name_of(data: Any) -> str:
    """What the data call themselves, as far as they do."""
    for thing in (data, getattr(data, "dataset", None)):
        name = getattr(thing, "name", None)
        if isinstance(name, str) and name:
            return name
    inner = getattr(data, "dataset", None)
    return type(inner).__name__ if inner is not None else ""


def _padded(held: list[Any]) -> bool:
    """Whether targets of several axes differ in length from batch to batch."""
    targets = [batching.split(batch)[1] for batch in held]
    shapes = {t.shape[1:] for t in targets if isinstance(t, torch.Tensor)}
    return len(shapes) > 1
