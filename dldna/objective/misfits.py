"""What is said where a model, a loss and data do not fit each other."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from dldna import batches as batching
from dldna.objective.reductions import loss_name


def other_names(batch: Any, error: Exception) -> None:
    """Say which keys of a dict were passed on, and which were kept back."""
    if not isinstance(batch, Mapping) or "argument" not in str(error):
        return
    inputs, _ = batching.split(batch)
    back = [k for k in batch if k not in inputs]
    raise TypeError(
        f"{error}. forward was called with {', '.join(map(repr, inputs))}"
        + (f"; {', '.join(map(repr, back))} went to the loss" if back else "")
        + ". Leave out of the dict what the model does not take, or give "
        "the model a forward that takes it (**unused) and a loss of your "
        "own, loss(output, batch), which sees the whole dict"
    ) from error


def explain_types(inputs: Any, own: torch.dtype, error: Exception) -> None:
    """Say so if inputs and weights are of different floating types."""
    for tensor in batching.tensors(inputs):
        if tensor.is_floating_point() and tensor.dtype != own:
            raise TypeError(
                f"the inputs are {_word(tensor.dtype)} and the model's "
                f"weights {_word(own)}: convert one of them, as by "
                f"data.{_METHODS.get(own, 'to(...)')} (a NumPy array: "
                f"data.astype({_word(own)!r})) or model."
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
