"""Other numbers in a model's own tensors, for the length of a block.

Whatever reads the model then reads these numbers: its forward and its
hooks, a loss that closes over it, lists that it keeps of its parameters,
and a forward that is run again in backward (activation checkpointing).
"""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from dldna import checks
from dldna.guard import attributes_kept
from dldna.module_state import same_bits, same_place
from dldna.torch_internals import Normalisation, foreach_add_, foreach_copy_

Put = Callable[..., None]


def norms(model: nn.Module) -> list[nn.Module]:
    """The layers of a model that keep running statistics."""
    found = [m for m in model.modules() if isinstance(m, Normalisation)]
    return [m for m in found if m.running_mean is not None]


@contextmanager
def in_place(
    model: nn.Module,
    *,
    training: Collection[nn.Module] = (),
    needs: Collection[str] = (),
    write: bool = False,
    known: Mapping[str, Tensor] | None = None,
) -> Iterator[Put]:
    """Let a model's own parameters and buffers hold other numbers.

    All is put back, also after an exception: the same tensors with the
    same bits, gradients asked for as before, the same modes. ``eval()``
    and ``train()`` are never called, since models may do more in them.

    Args:
        model: the model.
        training: the modules that are in training mode; all others are in
            eval mode.
        needs: names of the parameters that ask for gradients; all others
            do not. Hooks on parameters do not run.
        write: whether numbers are written into the memory of the model's
            own parameters, where all views of it see them, or their
            tensors take over the memory that is given (which costs
            nothing and may change the type).
        known: tensors by name to which nobody writes. Where one equals the
            model's own, bit by bit, it serves as the copy that comes back.

    Returns:
        A context; what it gives, ``put(parameters, buffers, moves)``,
        puts tensors by name in place, and adds to the parameters each
        move's coefficient times its step. Buffers are copied, so that a
        forward that writes to them harms nobody.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> before, held = net.weight.item(), list(net.parameters())
        >>> with in_place(net) as put:
        ...     put({"weight": torch.full((1, 1), 7.0)})
        ...     held[0].item()
        7.0
        >>> net.weight.item() == before
        True
    """
    named = dict(model.named_parameters())
    homes = {k: p.data for k, p in named.items()}
    kept: dict[str, Tensor] = {}
    before = [(p, p.requires_grad, p._backward_hooks) for p in named.values()]
    slots = [
        (m._buffers, name, b)
        for m in model.modules()
        for name, b in m._buffers.items()
    ]
    buffers = dict(model.named_buffers())
    modules = list(model.modules())
    inside = {id(m) for m in training}

    def put(
        parameters: Mapping[str, Tensor] | None = None,
        at: Mapping[str, Tensor] | None = None,
        moves: Sequence[tuple[float, Mapping[str, Tensor]]] = (),
    ) -> None:
        parameters, written = parameters or {}, []
        for name, value in parameters.items():
            home = homes[name]
            if write and value.dtype == home.dtype:
                if name not in kept:
                    kept[name] = _copy(home, (known or {}).get(name))
                if not same_place(named[name], home):
                    named[name].data = home  # a forward has set it
                written.append(name)
            else:
                for c, step in moves:
                    if name in step:
                        value = torch.add(value, step[name], alpha=c)
                if write and value is parameters[name]:
                    value = value.clone()  # a forward may write into it
                named[name].data = value
        if written:  # in a few calls, whatever the number of tensors
            foreach_copy_(
                [homes[k] for k in written], [parameters[k] for k in written]
            )
        for c, step in moves:
            here = [k for k in written if k in step]
            if here:
                foreach_add_(
                    [homes[k] for k in here], [step[k] for k in here], alpha=c
                )
        if at is None:
            return
        fresh = {
            id(buffers[name]): value.detach().clone()
            for name, value in at.items()
            if name in buffers
        }
        for owner, name, buffer in slots:
            if id(buffer) in fresh:
                owner[name] = fresh[id(buffer)]

    def restore() -> None:
        with torch.no_grad():
            for name, p in named.items():
                if not same_place(p, homes[name]):
                    p.data = homes[name]
                if name in kept:
                    homes[name].copy_(kept[name])
        for owner, name, buffer in slots:
            owner[name] = buffer
        for p, asked, hooks in before:
            if p.is_leaf:
                p.requires_grad_(asked)
            _hooks(p, hooks)

    with attributes_kept(model):
        try:
            for module in modules:
                module.training = id(module) in inside
            for name, p in named.items():
                _hooks(p, None)
                if p.is_floating_point() and p.is_leaf:
                    p.requires_grad_(name in needs)
            yield put
        finally:
            try:
                restore()
            except BaseException:  # Ctrl-C just now
                restore()
                raise


def _copy(home: Tensor, known: Tensor | None) -> Tensor:
    """A copy, or what is one already: a large network has no room for two."""
    if known is not None and known.dtype == home.dtype:
        apart = known.data_ptr() != home.data_ptr()
        if apart and known.device == home.device and same_bits(known, home):
            return known
    return home.clone()


def _hooks(p: Tensor, hooks: Any) -> None:
    if p._backward_hooks is not hooks and p.is_leaf:
        p._backward_hooks = hooks


def chosen_names(model: nn.Module, chosen: Any = None) -> list[str]:
    """The parameters that may move, in the model's order.

    Args:
        model: the network.
        chosen: "trainable" (those with ``requires_grad``), "all", a name, a
            part of the network ("head" for all in ``model.head``), a
            pattern ("*.lora_*"), or a list of these or of the parameters
            themselves; None for the trainable ones, or all where none is.

    Returns:
        Their names; whole numbers never move.

    Raises:
        TypeError: neither words nor parameters.
        ValueError: a word that fits no parameter (the nearest is named),
            or nothing that moves.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        >>> chosen_names(net, ["1", "*.bias"])
        ['0.bias', '1.weight', '1.bias']
    """
    named = {
        k: p for k, p in model.named_parameters() if p.is_floating_point()
    }
    free = [k for k, p in named.items() if p.requires_grad]
    if chosen is None:
        return free or list(named)
    if isinstance(chosen, (str, Tensor)):
        chosen = [chosen]
    if not isinstance(chosen, Iterable):
        raise TypeError(_neither(chosen))
    chosen = list(chosen)
    if not chosen:
        raise ValueError("params names no parameter; leave it out for all")
    wanted = {name for item in chosen for name in _fits(item, named, free)}
    return [k for k in named if k in wanted]


def _fits(item: Any, named: dict[str, Tensor], free: list[str]) -> list[str]:
    """The names that one word means, or that of a parameter."""
    if isinstance(item, Tensor):
        found = [k for k, p in named.items() if p is item]
        if not found:
            raise ValueError(
                "params holds a tensor that is no parameter of the model "
                "(give those of model.parameters(), not copies of them)"
            )
        return found
    if not isinstance(item, str):
        raise TypeError(_neither(item))
    if item in named:
        return [item]
    if item == "all":
        return list(named)
    if item == "trainable":
        if not free:
            raise ValueError(
                "no parameter is trainable (requires_grad); name those that "
                "may move, or take params='all'"
            )
        return free
    inside = [k for k in named if k.startswith(f"{item}.")]
    found = inside or [k for k in named if fnmatchcase(k, item)]
    if found:
        return found
    if set(item) & set("*?["):
        raise ValueError(f"params: no parameter fits the pattern {item!r}")
    return [checks.choice("parameter", item, list(named))]


def _neither(item: Any) -> str:
    return (
        "params must be names of parameters, as in "
        f"model.named_parameters(), not a {type(item).__name__}"
    )
