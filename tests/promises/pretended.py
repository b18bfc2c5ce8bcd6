"""A device without the device: tensors that are said to lie on a GPU.

Inside :class:`Pretended` the tensors handed to :meth:`Pretended.put` say
that they lie on "cuda" (or "mps"), and so does whatever is computed from
them. What is made without ``device=`` is on the CPU, as always. A mixture
is refused with torch's own words, and so are numpy arrays of what lies
elsewhere, generators of another device, and float64 on "mps", which Apple's
GPUs have not.

It watches what Python calls. A dispatch mode below it, which sees each
operation, those of backward passes too, was tried over all calls of the
package: it found no mixture more, and one that is none, for what torch's
own C++ makes on a tensor's device is made, here, on the CPU.
"""

from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MAY_MIX = {
    *("copy_", "type_as", "is_set_to", "set_", "__set__", "view_as"),
    *("expand_as", "reshape_as", "_has_compatible_shallow_copy_type"),
}
# Of a list they make a tensor on the CPU, wherever its numbers were.
FROM_LISTS = {"tensor", "as_tensor", "asarray"}
MOVES = {"to", "cpu", "cuda", "mps"}
TO_NUMPY = {"numpy", "__array__"}
STRICT = {"cat", "stack", "hstack", "vstack", "concat", "concatenate"}
# Each access makes another wrapper: these are compared by ==.
DEVICE, GRAD = Tensor.device.__get__, Tensor.grad.__get__
ASKS = (Tensor.is_cuda.__get__, Tensor.is_mps.__get__)

# What a card says about itself; there is none to ask.
CARD = {
    "mem_get_info": lambda *_: (8 << 30, 16 << 30),
    "get_rng_state": lambda *_: torch.random.get_rng_state(),
    "set_rng_state": lambda *_: None,
    "synchronize": lambda *_: None,
    "memory_allocated": lambda *_: 0,
    "memory_reserved": lambda *_: 0,
    "max_memory_allocated": lambda *_: 0,
    "reset_peak_memory_stats": lambda *_: None,
}


class Mixture(RuntimeError):
    """Tensors of two devices met."""


def _inner(tensor):
    """The tensor itself, below what torch.func has wrapped around it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def _key(tensor):
    try:
        return _inner(tensor).untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse, for example
        return id(tensor)


def _class_like(plain, mode):
    """What stands for torch.Generator: a class, and it makes the mode's."""

    class Meta(type):
        def __instancecheck__(cls, one):
            return isinstance(one, plain)

        def __call__(cls, device="cpu"):
            return mode._generator(device)

    return Meta("Generator", (), {})


class Pretended(TorchFunctionMode):
    """Within it, what was ``put`` lies on another device."""

    def __init__(self, kind="cuda"):
        super().__init__()
        self.device = torch.device(kind, 0)
        self.kind = kind
        self.there = {}  # storages, with a tensor that keeps each alive
        self.generators = {}

    # --- what the test does ------------------------------------------

    def put(self, thing):
        """Say that all tensors in a module or a nest lie there."""
        if isinstance(thing, torch.nn.Module):
            found = [*thing.parameters(), *thing.buffers()]
            found += [p.grad for p in thing.parameters()]
        else:
            found = tree_leaves(thing)
        for tensor in found:
            if isinstance(tensor, Tensor):
                self._mark(tensor)

    def __enter__(self):
        self._plain = torch.Generator
        fork = torch.random.fork_rng
        self._replaced = ExitStack()
        for place, name, other in (
            (torch, "Generator", _class_like(torch.Generator, self)),
            (torch.random, "fork_rng", lambda devices=(), **_: fork([])),
            *((torch.cuda, name, other) for name, other in CARD.items()),
        ):
            self._replaced.enter_context(patch.object(place, name, other))
        return super().__enter__()

    def __exit__(self, *error):
        self._replaced.close()
        return super().__exit__(*error)

    def _generator(self, device="cpu"):
        made = self._plain()
        if torch.device(device).type == self.kind:
            self.generators[id(made)] = made
        return made

    # --- what torch does ---------------------------------------------

    def _mark(self, tensor):
        if self.kind == "mps" and tensor.dtype in (
            torch.float64, torch.complex128
        ):  # fmt: skip
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS "
                "framework doesn't support float64"
            )
        self.there[_key(tensor)] = tensor

    def _is_there(self, tensor):
        return _key(tensor) in self.there

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if any(issubclass(t, torch.fx.Proxy) for t in types):
            return func(*args, **kwargs)
        if func == DEVICE:
            return self.device if self._is_there(args[0]) else func(*args)
        if func in ASKS:
            asked = "cuda" if func == ASKS[0] else "mps"
            return self._is_there(args[0]) and self.kind == asked
        if func is Tensor.get_device:
            return 0 if self._is_there(args[0]) else -1
        given = [
            t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)
        ]
        there = [self._is_there(t) for t in given]
        if name in MOVES and given:
            return self._move(func, name, args, kwargs)
        if name in TO_NUMPY and there and there[0]:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        if func == GRAD:
            found = func(*args)
            if found is not None and there[0]:
                self._mark(found)
            return found
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = "cpu"
            target = torch.device(wanted).type == self.kind
        elif name in FROM_LISTS and not isinstance(args[0], Tensor):
            target = False
        else:
            target = any(there)
            self._check(name, args, given, there)
        self._check_generator(name, kwargs, args, target)
        before = {_key(t) for t in given}
        found = func(*args, **kwargs)
        if wanted is not None and given:  # the same numbers, elsewhere
            found = tree_map(
                lambda t: t.clone()
                if isinstance(t, Tensor) and _key(t) in before
                and self._is_there(t) != target else t,
                found,
            )  # fmt: skip
        for out in tree_leaves(found):
            if isinstance(out, Tensor) and _key(out) not in before:
                self._settle(out, target)
        return found

    def _settle(self, out, target):
        if target:
            self._mark(out)
        else:
            self.there.pop(_key(out), None)

    def _move(self, func, name, args, kwargs):
        source, wanted = args[0], None
        if name in ("cuda", "mps", "cpu"):
            wanted, args, kwargs = name, (source,), {}
            func = Tensor.clone
        else:
            for one in (*args[1:], *kwargs.values()):
                if isinstance(one, (torch.device, str)):
                    wanted = torch.device(one).type
                elif isinstance(one, Tensor):
                    wanted = self.kind if self._is_there(one) else "cpu"
            plain = torch.device("cpu")
            args = tuple(
                plain if isinstance(a, (torch.device, str)) else a
                for a in args
            )
            if "device" in kwargs:
                kwargs["device"] = plain
        was = self._is_there(source)
        target = was if wanted is None else wanted == self.kind
        if wanted is not None and wanted not in (self.kind, "cpu", "meta"):
            raise Mixture(f"there is no device {wanted!r} here")
        if wanted == name == "cpu" and not was:
            return source
        found = func(*args, **kwargs)
        if _key(found) == _key(source) and target != was:
            found = found.clone()
        if _key(found) != _key(source):
            self._settle(found, target)
        return found

    def _check(self, name, args, given, there):
        if not any(there) or all(there) or name in MAY_MIX:
            return
        if name in ("__getitem__", "__setitem__", "index_put_", "index_put"):
            if there[0]:  # indices, and a number, may come from the CPU
                return
        else:
            here = [t for t, far in zip(given, there, strict=True) if not far]
            own = isinstance(args[0], Tensor) and not there[0]
            changes = own and (
                (name.endswith("_") and not name.endswith("__"))
                or name.startswith("__i")
            )
            small = all(t.ndim == 0 for t in here)
            if small and not changes and name not in STRICT:
                return
        raise Mixture(
            f"Expected all tensors to be on the same device, but found at "
            f"least two devices, {self.device} and cpu! ({name})"
        )

    def _check_generator(self, name, kwargs, args, target):
        for one in (*kwargs.values(), *args):
            if isinstance(one, self._plain):
                there = id(one) in self.generators
                if there != target:
                    kind = self.kind if target else "cpu"
                    raise Mixture(
                        f"Expected a {kind!r} device type for generator "
                        f"({name})"
                    )
