"""Specs of permutations: which axes of which tensors move together."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as batching
from dldna import params
from dldna.guard import untouched
from dldna.landscape.curves.naming import named
from dldna.landscape.curves.permuting import (
    Spec,
    home,
    permute,
    pieces,
    shuffle,
)
from dldna.landscape.curves.tracing import Trace, fix_all, watch


def spec_of(model: nn.Module, inputs: Any) -> Spec:
    r"""Which axes of which parameters hold the same hidden units.

    For a chain of layers :math:`h_l = \sigma(W_l h_{l-1} + b_l)`, the rows
    of :math:`W_l`, the entries of :math:`b_l` and the columns of
    :math:`W_{l+1}` are one group. In general the network is run once, and
    each operation of torch that it calls says which orders of units have
    to be equal: what is added has one order (a skip connection), a sum
    over units needs them in one order on both sides, and inputs and
    outputs stay as they are. The result is checked by
    :func:`check_spec`.

    Found are units of dense, convolutional and recurrent layers (grouped
    ones, too), of normalisations, embeddings and attention. The heads of
    a layer change places as a whole, and the units inside each head have
    their own order (group "hidden3/units1": inside each unit of
    "hidden3"), one for queries and keys and another for values.

    Args:
        model: the network; it is left as it was, and read in eval mode.
        inputs: what its forward takes, batched; two samples are enough.

    Returns:
        One axis for each axis of each parameter and buffer: a group's
        name, None where the order is fixed, or pairs (axis, length), in a
        tuple for one inside the other (the pixels of a flattened channel),
        in a list for one after the other (joined weights of queries, keys
        and values). Groups are called "hidden1", "hidden2", ...

    Raises:
        ValueError: an operation with hidden units is of a kind that is
            not known (the message names the layer), there are no hidden
            units, or a random permutation changes the outputs.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(),
        ...                       nn.Linear(16, 2))
        >>> spec = spec_of(model, torch.ones(2, 1, 4, 4))
        >>> spec["0.weight"]
        ('hidden1', None, None, None)
        >>> spec["2.weight"]
        (None, (('hidden1', 4), (None, 4)))

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    state, inputs = _in_float64(model, inputs)
    where: list[str] = []
    trace = Trace(where)
    for tensor in state.values():
        trace.enter(tensor, fixed=not tensor.is_floating_point())
    for tensor in batching.tensors(inputs):
        trace.enter(tensor, fixed=True)
    fast = torch.backends.mha.get_fastpath_enabled()
    hooks = watch(model, where)
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with untouched(model), torch.no_grad():
            model.eval()
            with trace:
                outputs = _call(model, state, inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()
    fix_all(trace, outputs)
    spec = named(
        {k: trace.seen(v) for k, v in state.items()}, trace.seen.passed
    )
    if not any(group for axes in spec.values() for group in axes):
        raise ValueError(
            f"{type(model).__name__} has no hidden units whose order is free"
        )
    check_spec(model, spec, inputs)
    return spec


def mlp_spec(model: nn.Module, inputs: Any = None) -> Spec:
    """:func:`spec_of` a network whose inputs are vectors.

    Args:
        model: the network.
        inputs: what its forward takes; by default random vectors as wide
            as the first linear layer.

    Returns:
        The spec; groups are called "hidden1", "hidden2", ...

    Raises:
        ValueError: there is no linear layer, or as for :func:`spec_of`.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(),
        ...                       nn.Linear(4, 2))
        >>> mlp_spec(model)["2.weight"]
        (None, 'hidden1')

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    if inputs is None:
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise ValueError(
                f"{type(model).__name__} has no linear layer: give inputs"
            )
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(
            4, linear[0].in_features, generator=generator, device="cpu"
        )
        inputs = inputs.to(linear[0].weight)
    return spec_of(model, inputs)


def _in_float64(model: nn.Module, inputs: Any) -> tuple[dict, Any]:
    """Parameters and buffers by name, and inputs, in float64."""
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    device = params.exact(next(iter(state.values()))).device
    state = {
        k: params.exact(v.detach()).clone()
        if v.is_floating_point()
        else v.detach().to(device)
        for k, v in state.items()
    }
    return state, batching.to(batching.to(inputs, device), torch.float64)


def _call(model: nn.Module, state: Mapping[str, Tensor], inputs: Any) -> Any:
    def call(*args, **kwargs):
        return params.call(model, state, args, kwargs)

    return batching.apply(call, inputs)


def check_spec(model: nn.Module, spec: Spec, inputs: Any) -> None:
    r"""Try a spec: a random permutation must not change the function.

    .. math:: f(x; \pi(w)) = f(x; w)

    for all inputs given, in eval mode and float64, up to rounding (1e-8
    relative, 1e-10 absolute). One permutation is drawn, always the same,
    so a spec that passes is very likely right, not proved.

    Args:
        model: the network; it is not moved.
        spec: group names for the axes of its parameters and buffers.
        inputs: what its forward takes, batched; cast to float64.

    Raises:
        ValueError: the outputs change, or the spec does not fit.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(),
        ...                       nn.Linear(4, 2))
        >>> spec = mlp_spec(model)
        >>> check_spec(model, spec, torch.ones(1, 3))
        >>> del spec["0.bias"]
        >>> check_spec(  # doctest: +ELLIPSIS
        ...     model, spec, torch.ones(1, 3))
        Traceback (most recent call last):
        ...
        ValueError: a permutation after this spec changes ...

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    state, inputs = _in_float64(model, inputs)
    generator = torch.Generator().manual_seed(0)
    orders = shuffle(group_sizes(spec, state), generator)
    with untouched(model), torch.no_grad():
        model.eval()
        outputs = [
            _call(model, moved, inputs)
            for moved in (state, permute(state, spec, orders))
        ]
    for a, b in zip(*map(batching.tensors, outputs), strict=True):
        if not torch.allclose(a, b, rtol=1e-8, atol=1e-10):
            raise ValueError(
                "a permutation after this spec changes the network's "
                f"outputs by up to {float((a - b).abs().max()):.2g}: some "
                "axis is missing or in the wrong group"
            )


def group_sizes(spec: Spec, point: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of units of each group.

    Raises:
        ValueError: unknown names, axes that are missing, or two axes of
            one group that differ in length.
    """
    sizes: dict[str, int] = {}
    for name, axes in spec.items():
        if name not in point:
            continue
        shape = tuple(point[name].shape)
        if len(shape) != len(axes):
            raise ValueError(
                f"the spec gives {len(axes)} axes for {name!r}, which has "
                f"shape {shape}"
            )
        for piece, each in pieces(point[name], axes):
            _add_sizes(sizes, name, tuple(piece.shape), each)
    if not sizes:
        raise ValueError(
            "the spec names no parameter of this network with a group"
        )
    return sizes


def _add_sizes(sizes: dict, name: str, shape: tuple, axes: tuple) -> None:
    for n, group in zip(shape, axes, strict=True):
        if group is not None and sizes.setdefault(group, n) != n:
            raise ValueError(
                f"group {group!r} has {sizes[group]} units, but an "
                f"axis of {name!r} has {n}"
            )
        if group and "/" in group and axes.count(home(group)) != 1:
            raise ValueError(
                f"{name!r} has group {group!r}, but not {home(group)!r} on "
                "one axis beside it"
            )
