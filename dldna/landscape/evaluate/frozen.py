"""The way for networks of which a part stands still: that part runs once.

As the slow way, in the model itself, and for any module. A submodule whose
parameters no direction moves gives the same output for the same input; it is
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
from dldna.torch_internals import tree_flatten

PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device)


class Call(NamedTuple):
    """What a submodule was given, and what it made of it.

    Args:
        given: its arguments, flat, with the versions of tensors.
        form: how they are nested.
        output: what came out.
        made: its tensors, with their versions.
    """

    given: list[tuple[Any, int]]
    form: Any
    output: Any
    made: list[tuple[Any, int]]


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
        if subspace.statistics != "eval":
            raise Unsupported(f"statistics={subspace.statistics!r}")
        super().__init__(subspace, exact=True)
        self.room, self.hits = memory / 4, 0
        origin, still = subspace.origin, subspace.still
        self.moving = {k: v for k, v in origin.items() if k not in still}
        self.calls: dict[tuple[int, int, int], Call] = {}
        self.counts: dict[int, int] = {}
        self.batch = 0
        named = dict(subspace.model.named_parameters())
        known = {id(named[k]) for k in still if k in named}
        self.watched = {
            id(m): m for m in subspace.model.modules() if _stands(m, known)
        }

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
        patched = [
            m
            for m in self.watched.values()
            if "forward" not in vars(m)
            and not isinstance(m, torch.jit.ScriptModule)
        ]
        for module in patched:
            module.forward = partial(self._run, module, module.forward)
        try:
            yield
        finally:
            for module in patched:
                vars(module).pop("forward", None)

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
                    self._give_up(inner)
            return before.output
        self._give_up(module)
        return plain(*args, **kwargs)

    def _first(self, key, given: list, form: Any, output: Any) -> Any:
        made = tree_flatten(output)[0]
        tensors = [t for t in (*given, *made) if torch.is_tensor(t)]
        size = sum(t.nbytes for t in made if torch.is_tensor(t))
        plain = all(isinstance(t, (Tensor, *PLAIN)) for t in (*given, *made))
        if not plain or any(t.is_inference() for t in tensors):
            self.watched.pop(key[0])
        elif size < self.room:
            self.room -= size
            marked = ([(t, _version(t)) for t in ts] for ts in (given, made))
            before, after = marked
            self.calls[key] = Call(before, form, output, after)
        return output

    def _give_up(self, module: nn.Module) -> None:
        if self.watched.pop(id(module), None) is None:
            return
        for key in [k for k in self.calls if k[0] == id(module)]:
            call = self.calls.pop(key)
            self.room += sum(t.nbytes for t, _ in call.made if _is(t))


def _stands(module: nn.Module, still: set[int]) -> bool:
    """Whether a module has parameters, and none of them moves."""
    ours = [*module.parameters()]
    return bool(ours) and all(id(p) in still for p in ours)


def _is(value: Any) -> bool:
    return isinstance(value, Tensor)


def _version(value: Any) -> int:
    return value._version if _is(value) else 0


def _same(given: list, before: Call) -> bool:
    """Whether a call is given what it was given, and its output is whole."""
    if any(_version(t) != v for t, v in before.made):
        return False
    for new, (old, version) in zip(given, before.given, strict=True):
        if _version(old) != version or _is(new) != _is(old):
            return False
        if new is not old and not _equal(new, old):
            return False
    return True


def _equal(new: Any, old: Any) -> bool:
    if not _is(new):
        return type(new) is type(old) and new == old
    alike = new.shape == old.shape and new.dtype == old.dtype
    return alike and new.device == old.device and same_bits(new, old)
