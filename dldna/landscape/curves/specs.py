"""Specs of permutations: which axes of which tensors move together."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as batching
from dldna import params
from dldna.guard import untouched
from dldna.landscape.curves.permuting import (
    Spec,
    permute,
)


def mlp_spec(model: nn.Module, inputs: Any = None) -> Spec:
    r"""Which axes of which parameters hold the same hidden units.

    For a chain of layers :math:`h_l = \sigma(W_l h_{l-1} + b_l)`, the rows
    of :math:`W_l`, the entries of :math:`b_l` and the columns of
    :math:`W_{l+1}` are one group.

    Works for networks that pass their input through linear layers in the
    order in which they were defined, with elementwise activations,
    one-dimensional batch or layer normalisation, dropout and flattening
    between them. Other networks need a spec written by hand: a dict from
    a parameter's (or buffer's) name to one group name for each axis, None
    where the order of units is fixed from outside. A convolution has
    ``("out", "in", None, None)``; layers joined by a skip connection share
    one group.

    Args:
        model: the network.
        inputs: what its forward takes; by default random vectors as wide
            as the first linear layer. They serve to try the spec out.

    Returns:
        The spec; groups are called "hidden1", "hidden2", ...

    Raises:
        ValueError: a layer is of another kind, or a random permutation
            after the spec changes the network's function.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(),
        ...                       nn.Linear(4, 2))
        >>> mlp_spec(model)["2.weight"]
        (None, 'hidden1')

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    with untouched(model):
        leaves = [
            (name, layer)
            for name, layer in model.eval().named_modules()
            if not any(layer.children())
        ]
        linear = [m for _, m in leaves if isinstance(m, nn.Linear)]
        if len(linear) < 2:
            raise ValueError(
                f"{type(model).__name__} has {len(linear)} linear layer(s) "
                "and so no hidden units between two: write a spec"
            )
        group, width, spec = None, None, {}
        for name, layer in leaves:
            dot = name + "." if name else ""
            own = {k: v for k, v in layer.named_parameters()}
            own |= {k: v for k, v in layer.named_buffers() if v.ndim}
            if isinstance(layer, nn.Linear):
                if width not in (None, layer.in_features):
                    raise ValueError(
                        f"layer {name!r} takes {layer.in_features} units "
                        f"but the one before gives {width}: write a spec"
                    )
                before, width = group, layer.out_features
                group = f"hidden{linear.index(layer) + 1}"
                if layer is linear[-1]:
                    group = None
                spec[dot + "weight"] = (group, before)
                if layer.bias is not None:
                    spec[dot + "bias"] = (group,)
            elif not own:
                _check_order_does_not_matter(name, layer)
            elif group is None and all(v.ndim == 1 for v in own.values()):
                spec |= {dot + k: (None,) for k in own}
            elif all(v.shape in ((1,), (width,)) for v in own.values()):
                for k, v in own.items():
                    each = v.shape == (width,) and width > 1
                    spec[dot + k] = (group if each else None,)
            else:
                raise ValueError(
                    f"layer {name!r} ({type(layer).__name__}) is not one "
                    "of a multilayer perceptron: write a spec"
                )
    if inputs is None:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(4, linear[0].in_features, generator=generator)
        inputs = inputs.to(linear[0].weight)
    check_spec(model, spec, inputs)
    return spec


def _check_order_does_not_matter(name: str, layer: nn.Module) -> None:
    """A layer without parameters must treat all units alike."""
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    try:
        same = torch.allclose(layer(x)[:, order], layer(x[:, order]))
    except (RuntimeError, ValueError, IndexError):
        same = False
    if not same:
        raise ValueError(
            f"layer {name!r} ({type(layer).__name__}) does not treat all "
            "units alike: write a spec"
        )


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
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    device = params.exact(next(iter(state.values()))).device
    state = {
        k: params.exact(v.detach()) if v.is_floating_point() else v.to(device)
        for k, v in state.items()
    }
    sizes = group_sizes(spec, state)
    generator = torch.Generator().manual_seed(0)
    shuffle = {
        g: torch.randperm(n, generator=generator) for g, n in sizes.items()
    }
    inputs = batching.to(batching.to(inputs, device), torch.float64)
    with untouched(model), torch.no_grad():
        model.eval()
        outputs = []
        for moved in (state, permute(state, spec, shuffle)):

            def call(*args, moved=moved, **kwargs):
                return params.call(model, moved, args, kwargs)

            outputs.append(batching.apply(call, inputs))
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
        for n, group in zip(shape, axes, strict=True):
            if group is not None and sizes.setdefault(group, n) != n:
                raise ValueError(
                    f"group {group!r} has {sizes[group]} units, but an "
                    f"axis of {name!r} has {n}"
                )
    if not sizes:
        raise ValueError(
            "the spec names no parameter of this network with a group"
        )
    return sizes
