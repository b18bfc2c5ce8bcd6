"""A network's parameters as named tensors, and their vector algebra.

A point in parameter space is a ``dict`` from parameter name to tensor.
Every function here returns new tensors; none writes into its arguments.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dldna.checks import choice

Params = dict[str, Tensor]

PIECE = 2**22  # numbers that are copied at once


def of(model: nn.Module) -> Params:
    """The parameters of a model, by name, detached (storage is shared).

    A tied parameter appears once, under its first name. Whole numbers and
    truth values (quantised weights) cannot move, and are left out.

    Example:
        >>> {k: tuple(v.shape) for k, v in of(nn.Linear(3, 2)).items()}
        {'weight': (2, 3), 'bias': (2,)}
    """
    return {
        k: p.detach()
        for k, p in model.named_parameters()
        if p.is_floating_point() or p.is_complex()
    }


def call(
    model: nn.Module,
    state: Mapping[str, Tensor],
    args: tuple = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Run a model with the tensors of ``state`` in place of its own.

    As ``torch.func.functional_call``, but for models that use one module
    in several places (one PReLU after every layer): there, torch leaves
    the tensors of ``state`` in the model; here its own come back.

    Args:
        model: it is left as it was.
        state: parameters and buffers by name; what is missing is the
            model's own.
        args: inputs of the model.
        kwargs: inputs by name.

    Returns:
        The model's output.

    Example:
        >>> net = nn.Sequential(act := nn.PReLU(), act)
        >>> call(net, {"0.weight": torch.ones(1)}, (-torch.ones(2),))
        tensor([-1., -1.])
        >>> net[1].weight.item()
        0.25
    """
    own = [
        (home, dict(home))
        for module in model.modules()
        for home in (module._parameters, module._buffers)
        if home
    ]
    try:
        return functional_call(model, dict(state), args, kwargs)
    finally:
        for home, tensors in own:
            home.update(tensors)


def dtype_name(
    dtype: str | torch.dtype | None,
    known: Sequence[str],
    device: torch.device | None = None,
) -> str | None:
    """A floating type by its name, from the name or from torch's type.

    Args:
        dtype: "float64", ``torch.float64``, ...; None stays None, which
            stands for the tensors' own types.
        known: the names that will do.
        device: where the tensors lie.

    Raises:
        ValueError: another type, or one that the device has not.

    Example:
        >>> dtype_name(torch.float64, ["float32", "float64"])
        'float64'
    """
    if dtype is None:
        return None
    name = choice("dtype", str(dtype).removeprefix("torch."), known)
    if name == "float64" and device is not None and device.type == "mps":
        raise ValueError(
            "Apple's GPUs have no float64: take dtype='float32', or move "
            "the model to the CPU"
        )
    return name


def usable_device(device: Any, name: str = "device") -> torch.device:
    """A device by its name, if tensors can be put there.

    Args:
        device: a name as "cuda:1", or a ``torch.device``.
        name: of the argument, for the message.

    Raises:
        ValueError: no device is called so, or this machine has none.

    Example:
        >>> usable_device("cpu")
        device(type='cpu')
        >>> usable_device("gpu")
        Traceback (most recent call last):
        ...
        ValueError: device='gpu' is no device: take 'cpu', 'cuda', 'cuda:1' \
(the second GPU) or 'mps' (Apple's)
    """
    named = isinstance(device, (str, int, torch.device))
    try:
        found = torch.device(device) if named else None
    except RuntimeError:
        found = None
    if found is None or found.type == "meta":
        why = "has no numbers" if found else "is no device"
        raise ValueError(
            f"{name}={str(device)!r} {why}: take 'cpu', 'cuda', 'cuda:1' "
            "(the second GPU) or 'mps' (Apple's)"
        )
    try:
        torch.empty(0, device=found)
    except Exception as error:  # torch has another kind for each device
        count = torch.cuda.device_count() if found.type == "cuda" else 0
        kind = "CUDA" if found.type == "cuda" else found.type
        there = f"no {kind} device here"
        if count:
            there = f"no such one here, of {count} that torch sees"
        raise ValueError(
            f"{name}={str(device)!r}: there is {there}; take 'cpu', or "
            "install a torch that is built for the device"
        ) from error
    return found


def copy(point: Mapping[str, Tensor]) -> Params:
    """A copy that shares no storage with ``point``."""
    return {k: v.detach().clone() for k, v in point.items()}


def count(point: Mapping[str, Tensor]) -> int:
    """Number of scalar parameters.

    Example:
        >>> count(of(nn.Linear(3, 2)))
        8
    """
    return sum(v.numel() for v in point.values())


def check_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    """Refuse two points that do not belong to the same network.

    Raises:
        ValueError: names or shapes differ; the message names the first.
    """
    for name in a.keys() ^ b.keys():
        where = "second" if name in a else "first"
        raise ValueError(f"parameter {name!r} is missing in the {where}")
    for name in a:
        if a[name].shape != b[name].shape:
            raise ValueError(
                f"parameter {name!r} has shape {tuple(a[name].shape)} in "
                f"the first and {tuple(b[name].shape)} in the second"
            )


def add(a: Mapping[str, Tensor], b: Mapping[str, Tensor], scale=1.0):
    """``a + scale * b``.

    Example:
        >>> x = {"w": torch.tensor([1.0, 2.0])}
        >>> add(x, x, scale=-0.5)["w"]
        tensor([0.5000, 1.0000])
    """
    check_same(a, b)
    return {k: torch.add(a[k], b[k], alpha=scale) for k in a}


def sub(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Params:
    """``a - b``."""
    return add(a, b, scale=-1.0)


def scale(a: Mapping[str, Tensor], factor: float) -> Params:
    """``factor * a``."""
    return {k: v * factor for k, v in a.items()}


def exact(tensor: Tensor) -> Tensor:
    """A tensor in float64, for sums that shall not lose digits.

    It stays on its device, but for Apple's GPUs, which have no float64:
    what lies there comes to the CPU.

    Example:
        >>> exact(torch.ones(1))
        tensor([1.], dtype=torch.float64)
    """
    there = tensor.device.type == "mps"
    return (tensor.cpu() if there else tensor).double()


def finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite, mostly without memory for it.

    Example:
        >>> finite(torch.ones(2)), finite(torch.tensor([1.0, torch.nan]))
        (True, False)
    """
    # a finite sum has finite terms, but finite terms may overflow
    return bool(torch.isfinite(tensor.sum())) or bool(
        torch.isfinite(tensor).all()
    )


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Inner product over all tensors, summed in float64.

    Complex numbers count as two real ones.

    Example:
        >>> x = {"w": torch.tensor([3.0, 4.0])}
        >>> dot(x, x)
        25.0
    """
    check_same(a, b)
    return math.fsum(
        float(torch.dot(exact(x), exact(y)))
        for k in a
        for x, y in zip(
            _reals(a[k]).split(PIECE),
            _reals(b[k]).split(PIECE),
            strict=True,
        )
    )


def _reals(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.flatten()


def norm(a: Mapping[str, Tensor]) -> float:
    """Euclidean length over all tensors.

    Example:
        >>> norm({"w": torch.tensor([3.0]), "b": torch.tensor([4.0])})
        5.0
    """
    return math.sqrt(dot(a, a))


def flatten(point: Mapping[str, Tensor]) -> Tensor:
    """All parameters in one vector, shape (n,), in the order of names.

    Example:
        >>> flatten(of(nn.Linear(3, 2))).shape
        torch.Size([8])
    """
    return torch.cat([v.reshape(-1) for v in point.values()])


def unflatten(vector: Tensor, like: Mapping[str, Tensor]) -> Params:
    """Cut a vector of shape (n,) into named tensors shaped as ``like``.

    Raises:
        ValueError: the vector has another length than ``like``.
    """
    n = count(like)
    if vector.shape != (n,):
        raise ValueError(
            f"expected a vector of shape ({n},), got {tuple(vector.shape)}"
        )
    parts = vector.split([v.numel() for v in like.values()])
    return {
        k: part.view(v.shape)
        for (k, v), part in zip(like.items(), parts, strict=True)
    }


def stack(points: Sequence[Mapping[str, Tensor]]) -> Params:
    """Several points as one: each tensor gains a leading axis.

    Example:
        >>> p = of(nn.Linear(3, 2))
        >>> stack([p, p, p])["weight"].shape
        torch.Size([3, 2, 3])
    """
    for other in points[1:]:
        check_same(points[0], other)
    return {k: torch.stack([p[k] for p in points]) for k in points[0]}


def randn_like(point: Mapping[str, Tensor], generator: torch.Generator):
    """Standard normal tensors shaped as ``point``.

    Numbers are drawn on the generator's device and moved, so that a CPU
    generator gives the same direction on every machine.
    """
    return {
        k: torch.randn(
            v.shape,
            generator=generator,
            device=generator.device,
            dtype=v.dtype if v.is_complex() else None,
        ).to(v)
        for k, v in point.items()
    }
