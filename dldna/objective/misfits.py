"""What is said where a model, a loss and data do not fit each other."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from dldna import batches as batching
from dldna.objective.own_loss import NoLoss, is_own
from dldna.objective.reductions import loss_name

FAILS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)


def explain_call(
    model: Any, loss_fn: Callable, batch: Any, error: Exception
) -> None:
    """Say what a model was called with, and what was kept back from it.

    For a call of the model that failed, or one whose output a loss of the
    caller's own could not read. Nothing is raised where nothing was kept
    back, so that the error itself stands.

    Args:
        model: the network.
        loss_fn: the loss.
        batch: the batch of the call.
        error: what it raised.

    Raises:
        TypeError: the error in words, or, where that is one, ValueError or
            RuntimeError.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return
    batch = batching.inner(batch)
    if is_own(loss_fn):
        if isinstance(error, NoLoss):
            return
        raise _kind(error)(
            "loss_fn='model' gives the whole batch to the model, here "
            f"{_form(batch[0])}, and the call failed: {error}. Let the data "
            f"be dicts with the names that its forward has{_names(model)}; "
            "where the model computes no loss, give one, as "
            "nn.CrossEntropyLoss()"
        ) from error
    try:
        inputs, target = batching.split(batch)
    except TypeError:
        return
    if target is None and not isinstance(batch, Mapping):
        if "missing" in str(error):
            raise _kind(error)(
                f"{error}. forward was called with {_form(batch)}: of three "
                "or more tensors each is a batch. For several inputs give "
                "((x1, x2), y) or dicts, {'name of the input': ..., "
                "'labels': ...}"
            ) from error
        return
    given, back = "one argument", "the target"
    if isinstance(batch, Mapping):
        given = ", ".join(map(repr, inputs)) or "nothing"
        back = ", ".join(repr(k) for k in batch if k not in inputs)
    elif "argument" not in str(error):  # of a pair, all know what is what
        return
    end = "" if str(error).endswith((".", "?", "!")) else "."
    said = f"{error}{end} forward was called with {given}"
    if back:
        said += f", and {back} went to the loss alone"
    taken = _parameters(model)
    if any(name in taken for name in batching.TARGETS):
        said += (
            ". This model's forward takes it: loss_fn='model' hands over the "
            "whole batch and takes the loss that the model returns; for "
            "another loss give pairs, ({every argument by its name}, target)"
        )
    elif isinstance(batch, Mapping):
        said += (
            ". Leave out of the dict what the model does not take, or give "
            "the model a forward that takes it (**unused) and a loss of your "
            "own, loss(output, batch), which sees the whole dict"
        )
    raise _kind(error)(said) from error


@contextmanager
def in_words(
    model: Any, loss_fn: Callable, batch: Any, loss: bool = False
) -> Iterator[None]:
    """Let what fails inside be explained by :func:`explain_call`.

    Args:
        model: the network.
        loss_fn: the loss.
        batch: the batch of the call.
        loss: whether it is the loss that is called.
    """
    try:
        yield
    except FAILS as error:
        if not (loss and batching.wants_target(loss_fn)):
            explain_call(model, loss_fn, batch, error)
        raise


def _kind(error: Exception) -> type[Exception]:
    """A plain kind of error that whoever expects this one catches, too."""
    plain = (ValueError, RuntimeError)
    return next((k for k in plain if isinstance(error, k)), TypeError)


def _parameters(model: Any) -> list[str]:
    call = getattr(model, "forward", model)
    try:
        return list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # builtins tell nothing
        return []


def _names(model: Any) -> str:
    names = _parameters(model)
    return f" ({', '.join(names)})" if names else ""


def _form(batch: Any) -> str:
    """What a batch is, in words."""
    if isinstance(batch, Mapping):
        return f"a dict of {', '.join(map(repr, batch))}"
    if isinstance(batch, (tuple, list)):
        kinds = ", ".join(type(part).__name__ for part in batch)
        return f"a {type(batch).__name__} ({kinds})"
    return f"one {type(batch).__name__}"


def explain_types(inputs: Any, own: torch.dtype, error: Exception) -> None:
    """Say so if inputs and weights are of different floating types."""
    for tensor in batching.tensors(inputs):
        if tensor.is_floating_point() and tensor.dtype != own:
            array = f" (a NumPy array: data.astype({_word(own)!r}))"
            if own == torch.bfloat16:  # which NumPy has not
                array = ""
            raise TypeError(
                f"the inputs are {_word(tensor.dtype)} and the model's "
                f"weights {_word(own)}: convert one of them, as by "
                f"data.{_METHODS.get(own, 'to(...)')}{array} or model."
                f"{_METHODS.get(tensor.dtype, 'to(...)')}"
            ) from error


def explain_target(output: Any, target: Any, error: Exception) -> None:
    """Say so if the target's type is what the loss cannot take."""
    if not isinstance(target, torch.Tensor) or "dtype" not in dir(output):
        return
    floats = target.is_floating_point()
    if (floats and target.dtype != output.dtype) or (
        not floats and target.dtype != torch.int64
    ):
        raise TypeError(
            f"{error}. The target is {_word(target.dtype)} and the output "
            f"{_word(output.dtype)}: a target of class numbers must be "
            "int64, as by y.long(); one of values must have the output's "
            "type"
        ) from error


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_METHODS = {
    torch.float64: "double()",
    torch.float32: "float()",
    torch.float16: "half()",
    torch.bfloat16: "bfloat16()",
}


def no_target(loss_fn: Callable, data: Any) -> str:
    said = f"the loss {loss_name(loss_fn)} wants a target, and the data have "
    said += "none. Give pairs (inputs, target)"
    if isinstance(data, (tuple, list)) and len(data) > 2:
        said += (
            f"; {len(data)} tensors are read as {len(data)} batches of "
            "inputs. For several targets or inputs give (x, (y1, y2)), "
            "((x1, x2), y) or dicts, {'name of the input': ..., 'labels': "
            "...}, with a loss of your own, loss(output, batch)"
        )
    elif isinstance(data, Mapping):
        said += f"; in a dict its name is one of {', '.join(batching.TARGETS)}"
    else:
        said += "; for an autoencoder (x, x)"
    return said
