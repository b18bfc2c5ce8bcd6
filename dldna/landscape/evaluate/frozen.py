"""The way for networks of which a part stands still: that part runs once.

As the slow way, in the model itself, and for any module. A submodule whose
tensors no direction moves gives the same output for the same input; it is
remembered with that input, bit by bit, and the submodule runs no more. So of
a network of which only the last layers move the front is computed once for
each batch. A submodule whose input moves is given up at its second call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dldna.landscape.evaluate.evaluator import Unsupported
from dldna.landscape.evaluate.slow import Slow
from dldna.landscape.evaluate.subspace import Subspace
from dldna.module_state import same_bits
from dldna.torch_internals import tree_flatten, tree_unflatten

PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device)


class Call(NamedTuple):
    """What a submodule was given, and what it made of it.

    Args:
        given: its arguments, flat, with the versions of tensors.
        form: how they are nested.
        made: what came out, flat, with the versions of tensors.
        shape: how that is nested; each point gets containers of its own.
    """

    given: list[tuple[Any, int]]
    form: Any
    made: list[tuple[Any, int]]
    shape: Any


class Frozen(Slow):
    """One point at a time, in the model itself, without what stands still.

    Args:
        subspace: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: all parameters move.

    Attributes:
        hits: how many calls were answered from what is remembered.
    """

    name = "frozen"

    def __init__(self, subspace: Subspace, memory: float):
        if not subspace.still:
            raise Unsupported("all parameters move")
        subspace.refuse_statistics_of_data()
        super().__init__(subspace, exact=True)
        self.room, self.hits = memory / 4, 0
        origin, still = subspace.origin, subspace.still
        self.moving = {k: v for k, v in origin.items() if k not in still}
        self.calls: dict[tuple[int, int, int], Call] = {}
        self.counts: dict[int, int] = {}
        self.batch = 0
        model, moves = subspace.model, [self.moving]
        moves += subspace.buffer_directions[:1]
        named = [*model.named_parameters(), *model.named_buffers()]
        moving = {id(t) for k, t in named if any(k in m for m in moves)}
        compiled = _inside_compiled(model)
        self.watched = {
            id(m): m
            for m in model.modules()
            if _stands(m, moving) and id(m) not in compiled
        }
        if not self.watched:
            raise Unsupported("nothing stands still before what moves")

    def forward(self, i: int, batch: Any) -> Any:
        """The model's output on batch i."""
        self.batch = i
        self.counts.clear()
        self.origin = self.moving  # all of it is in place by now
        return super().forward(i, batch)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Submodules that stand still remember what they did."""
        self.origin = self.subspace.origin
        homes = [(vars(m), m) for m in self.watched.values()]
        before = [home.get("forward") for home, _ in homes]
        for home, module in homes:
            home["forward"] = partial(self._run, module, module.forward)
        try:
            yield
        finally:
            for (home, _), own in zip(homes, before, strict=True):
                if own is None:
                    home.pop("forward", None)
                else:
                    home["forward"] = own

    def _run(self, module: nn.Module, plain: Any, *args, **kwargs) -> Any:
        own = id(module)
        if own not in self.watched:  # it was given up
            return plain(*args, **kwargs)
        count = self.counts[own] = self.counts.get(own, 0) + 1
        key = own, self.batch, count
        given, form = tree_flatten((args, kwargs))
        before = self.calls.get(key)
        if before is None:
            return self._first(key, given, form, plain(*args, **kwargs))
        if form == before.form and _same(given, before):
            self.hits += 1
            for inner in module.modules():
                if inner is not module:
                    self._give_up(id(inner))
            return tree_unflatten([t for t, _ in before.made], before.shape)
        self._give_up(own)
        return plain(*args, **kwargs)

    def _first(self, key, given: list, form: Any, output: Any) -> Any:
        made, shape = tree_flatten(output)
        tensors = [t for t in made if torch.is_tensor(t)]
        dense = all(t.layout == torch.strided for t in tensors)
        if not (dense and _plain((*given, *made))):
            self._give_up(key[0])
            return output
        size = sum(t.nbytes for t in tensors)
        if size < self.room:
            self.room -= size
            self.calls[key] = Call(_marked(given), form, _marked(made), shape)
        return output

    def _give_up(self, own: int) -> None:
        if self.watched.pop(own, None) is None:
            return
        for key in [k for k in self.calls if k[0] == own]:
            made = self.calls.pop(key).made
            self.room += sum(t.nbytes for t, _ in made if torch.is_tensor(t))


def _stands(module: nn.Module, moving: set[int]) -> bool:
    """Whether a module has parameters, and none of its tensors moves."""
    if isinstance(module, torch.jit.ScriptModule):
        return False
    tensors = [*module.parameters(), *module.buffers()]
    some = next(module.parameters(), None) is not None
    return some and not any(id(t) in moving for t in tensors)


def _inside_compiled(model: nn.Module) -> set[int]:
    """Modules that torch.compile would trace with what is put into them."""
    inside = set()
    for module in model.modules():
        traced = getattr(module, "_orig_mod", None)
        if module._compiled_call_impl is not None:
            traced = module
        if isinstance(traced, nn.Module):
            inside |= {id(m) for m in traced.modules()}
    return inside


def _plain(values: tuple) -> bool:
    """Whether all can be compared, and writing to them would be noticed."""
    tensors = [t for t in values if torch.is_tensor(t)]
    known = all(isinstance(v, (Tensor, *PLAIN)) for v in values)
    return known and not any(t.is_inference() for t in tensors)


def _marked(values: list) -> list[tuple[Any, int]]:
    return [(value, _version(value)) for value in values]


def _version(value: Any) -> int:
    return value._version if torch.is_tensor(value) else 0


def _same(given: list, before: Call) -> bool:
    """Whether a call is given what it was given, and its output is whole."""
    known = (*before.given, *before.made)
    if any(_version(value) != version for value, version in known):
        return False
    pairs = zip(given, before.given, strict=True)
    return all(new is old or _equal(new, old) for new, (old, _) in pairs)


def _equal(new: Any, old: Any) -> bool:
    if not torch.is_tensor(new):
        return type(new) is type(old) and new == old
    alike = torch.is_tensor(old) and new.dtype == old.dtype
    return alike and same_bits(new, old)
