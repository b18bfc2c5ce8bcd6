"""What a model does with its parameters, written down while it runs once.

Below the modules there are only torch's own operations. A tape holds those
that touch a moving parameter, in order, with everything else (the data, the
masks, what stands still) as constants; it knows no class of any library.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, fx

from dldna.landscape.evaluate.evaluator import Unsupported
from dldna.landscape.evaluate.watch import Watch
from dldna.landscape.evaluate.writing import writes
from dldna.torch_internals import (
    TorchDispatchMode,
    fast_paths_off,
    tree_flatten,
    tree_map,
)

aten = torch.ops.aten
VALUES = torch.Tag.data_dependent_output
SHAPES = torch.Tag.dynamic_output_shape


class Tape(NamedTuple):
    """The operations of one run.

    Args:
        graph: leaves are its placeholders, constants its attributes; it
            gives a tuple. ``node.meta`` has ``bytes``, the size of a
            tensor, and ``written``, whether an operation writes to it.
        constants: tensors by the names of those attributes.
        leaves: the placeholder of each moving tensor that is used.
        size: bytes of all tensors that were made, views apart.
    """

    graph: fx.Graph
    constants: dict[str, Tensor]
    leaves: dict[str, fx.Node]
    size: int


class Earlier:
    """What earlier runs of a model have left behind.

    Attributes:
        left: memory of what moved and is kept, which is not to be read.
        alive: the tensors there.
        still: memory of constants, which is not to be written to.
    """

    def __init__(self) -> None:
        self.left: set[int] = set()
        self.alive: list[Tensor] = []
        self.still: set[int] = set()


def record(
    run: Callable[[], tuple],
    moving: Mapping[str, Tensor],
    room: float,
    earlier: "Earlier | None" = None,
) -> Tape:
    """Run once, and write down what is done with some tensors.

    Args:
        run: gives a tuple of tensors and numbers.
        moving: the tensors, by name.
        room: bytes that what is made may take.
        earlier: what earlier runs of the same model have left behind; what
            this one leaves is added.

    Returns:
        The tape.

    Raises:
        Unsupported: what is done depends on the tensors' numbers, or writes
            into what stands still, or takes too much room.

    Example:
        >>> w = torch.tensor([2.0])
        >>> tape = record(lambda: (w.square().sum(),), {"w": w}, 1e6)
        >>> [str(n.target) for n in tape.graph.nodes][1:3]
        ['aten.pow.Tensor_Scalar', 'aten.sum.default']
    """
    earlier = earlier or Earlier()
    recorder = _Recorder(moving, room, earlier)
    with fast_paths_off(), Watch(recorder), recorder:
        made = run()
    tape = recorder.tape(made)
    moved = [ref(t) for t in recorder.kept if id(t) in recorder.nodes]
    recorder.kept.clear()
    del made
    own = {home(t) for t in moving.values()}
    alive = [t for t in (known() for known in moved) if t is not None]
    earlier.alive += [t for t in alive if home(t) not in own]
    earlier.left |= {home(t) for t in earlier.alive}
    return tape


class _Recorder(TorchDispatchMode):
    def __init__(
        self, moving: Mapping[str, Tensor], room: float, earlier: "Earlier"
    ):
        super().__init__()
        self.earlier, self.busy = earlier, False
        self.graph, self.room, self.size = fx.Graph(), room, 0
        self.constants: dict[str, Tensor] = {}
        self.fixed: dict[tuple, fx.Node] = {}  # by what they show
        self.still: set[int] = set()  # their memory
        self.nodes: dict[int, fx.Node] = {}
        self.shown: dict[int, tuple] = {}  # what those tensors show
        self.kept: list[Tensor] = []  # so that no id is given twice
        self.written: set[int] = set()
        self.moving: dict[int, dict[tuple, fx.Node]] = {}  # by their memory
        self.bases: dict[int, fx.Node] = {}  # what it fills itself
        self.own: set[int] = set()  # memory that was made in the run
        self.leaves = {}
        for i, (name, tensor) in enumerate(moving.items()):
            node = self.graph.placeholder(f"leaf_{i}")
            self.leaves[name] = node
            self.own.add(home(tensor))
            self._keep(tensor, node)

    def moves(self, tensor: Tensor) -> bool:
        """Whether a tensor's numbers depend on the moving ones."""
        self._recognise(tensor)
        return id(tensor) in self.nodes

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.busy = True  # its own looks at tensors are not the model's
        try:
            return self._called(func, args, kwargs or {})
        finally:
            self.busy = False

    def _called(self, func, args: tuple, kwargs: dict) -> Any:
        flat, _ = tree_flatten((args, kwargs))
        tensors = [t for t in flat if isinstance(t, Tensor)]
        for t in tensors:
            self._recognise(t)
        if not any(id(t) in self.nodes for t in tensors):
            for t in _targets(func, args, kwargs):
                at = home(t)
                if at in self.still or at in self.earlier.still:
                    raise Unsupported(f"{func} writes into what stands still")
            before = {home(t) for t in tensors}
            made = func(*args, **kwargs)
            for t in tree_flatten(made)[0]:
                if isinstance(t, Tensor):
                    self.kept.append(t)
                    if home(t) not in before:
                        self._fresh(t)
            return made
        self._refuse(func, args)
        if any(isinstance(v, torch.Generator) for v in flat):
            raise Unsupported(f"{func} draws random numbers")
        if func is aten.as_strided_.default and _as_it_was(*args):
            return func(*args)
        for t in _targets(func, args, kwargs):
            self._write(func, t)
        args_of, kwargs_of = tree_map(self._node, (args, kwargs))
        made = func(*args, **kwargs)
        node = self.graph.call_function(func, args_of, kwargs_of)
        if isinstance(made, Tensor):
            self._keep(made, node)
            return made
        for i, t in enumerate(made or ()):
            if isinstance(t, Tensor):
                at = self.graph.call_function(operator.getitem, (node, i))
                self._keep(t, at)
        return made

    def _recognise(self, tensor: Tensor) -> None:
        """Know moving memory again: ``tensor.data``, or an older view."""
        at = home(tensor)
        if id(tensor) in self.nodes:
            if self.shown[id(tensor)] == shown(tensor):
                return
            del self.nodes[id(tensor)]  # tensor.data was set
        if at in self.bases:
            self._know(
                tensor,
                self.graph.call_function(
                    aten.as_strided.default, (self.bases[at], *_place(tensor))
                ),
            )
        node = self.moving.get(at, {}).get(shown(tensor))
        if node is not None:
            self._know(tensor, node)
        if at in self.moving and id(tensor) not in self.nodes:
            raise Unsupported("a moving tensor is read past torch")
        if at in self.earlier.left and at not in self.own:
            raise Unsupported("it takes something over from batch to batch")

    def _refuse(self, func, args) -> None:
        if VALUES in func.tags:
            raise Unsupported(f"{func} depends on the parameters' numbers")
        if "_to_sparse" in func._schema.name:
            raise Unsupported(f"{func} gives shapes that move")
        if SHAPES not in func.tags:
            return
        masks = args[1] if func is aten.index.Tensor else args
        for t in tree_flatten(masks)[0]:
            counted = func is not aten.index.Tensor or (
                isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8)
            )
            if counted and id(t) in self.nodes:
                raise Unsupported(f"{func} gives shapes that move")

    def _write(self, func, t: Tensor) -> None:
        """Note that a tensor's memory is written to.

        What a forward makes for itself and fills is made anew each time.
        """
        at = home(t)
        self.written.add(at)
        if id(t) in self.nodes:
            return
        read = at in self.still or at in self.earlier.still
        made = at in self.own and not read
        if not made or t.layout != torch.strided:
            raise Unsupported(f"{func} writes into what stands still")
        numbers = t.untyped_storage().nbytes() // t.element_size()
        whole = self._node(t.as_strided((numbers,), (1,), 0).clone())
        self.bases[at] = self.graph.call_function(aten.clone.default, (whole,))
        self.bases[at].meta.update(bytes=t.nbytes, home=at)
        self._recognise(t)

    def _node(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in self.nodes:
            return self.nodes[id(value)]
        key = id(value), *shown(value)
        if key not in self.fixed:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = value.detach()  # whose .data nobody sets
            self.fixed[key] = self.graph.create_node(
                "get_attr", name, name=name
            )
            self.still.add(home(value))
            self.kept.append(value)
        return self.fixed[key]

    def _keep(self, tensor: Tensor, node: fx.Node) -> None:
        self._know(tensor, node)
        self.moving.setdefault(home(tensor), {})[shown(tensor)] = node
        if node.op != "placeholder" and self._fresh(tensor):
            self.size += tensor.nbytes

    def _know(self, tensor: Tensor, node: fx.Node) -> None:
        self.nodes[id(tensor)] = node
        self.shown[id(tensor)] = shown(tensor)
        self.kept.append(tensor)
        node.meta.update(bytes=tensor.nbytes, home=home(tensor))

    def _fresh(self, tensor: Tensor) -> bool:
        """Whether its memory was made just now, which is noted."""
        at = home(tensor)
        if at in self.own:
            return False
        self.own.add(at)
        self.room -= tensor.nbytes
        if self.room < 0:
            raise Unsupported("what it makes takes too much memory")
        return True

    def tape(self, made: tuple) -> Tape:
        """What was written down, without what nobody reads."""
        for node in self.graph.nodes:
            node.meta["written"] = node.meta.get("home") in self.written
        for v in made:
            if isinstance(v, Tensor):
                self._recognise(v)
        values = tuple(self._node(torch.as_tensor(v)) for v in made)
        if not any(id(v) in self.nodes for v in made):
            raise Unsupported("the loss does not depend on what moves")
        self.graph.output(values)
        for node in reversed(list(self.graph.nodes)):
            if not node.users and node.op != "output" and not writes(node):
                self.graph.erase_node(node)
        left = set(self.graph.nodes)
        return Tape(
            self.graph,
            {
                n.target: self.constants[n.target]
                for n in left
                if n.op == "get_attr"
            },
            {k: n for k, n in self.leaves.items() if n in left},
            self.size,
        )


def _targets(func, args, kwargs) -> list[Tensor]:
    """The tensors that an operation writes to."""
    if not func._schema.is_mutable:
        return []
    found = []
    for i, wanted in enumerate(func._schema.arguments):
        if wanted.alias_info is not None and wanted.alias_info.is_write:
            given = args[i] if i < len(args) else kwargs.get(wanted.name)
            found += [
                t for t in tree_flatten(given)[0] if isinstance(t, Tensor)
            ]
    return found


def _as_it_was(tensor: Tensor, size: Any, stride: Any, *offset: Any) -> bool:
    """Whether new strides differ only along axes of one number."""
    pairs = zip(tensor.shape, tensor.stride(), stride, strict=False)
    same = all(n == 1 or old == new for n, old, new in pairs)
    return same and list(tensor.shape) == list(size) and not offset


def home(tensor: Tensor) -> int:
    """Where its memory begins; sparse ones have none of their own."""
    if tensor.layout != torch.strided:
        return id(tensor)
    return tensor.untyped_storage().data_ptr() or id(tensor)


def shown(tensor: Tensor) -> tuple:
    """Its memory, and which numbers of it a tensor shows as what."""
    turned = tensor.is_conj(), tensor.is_neg()
    return home(tensor), _place(tensor), tensor.dtype, turned


def _place(tensor: Tensor) -> tuple:
    """Which numbers of its memory it shows, and how."""
    if tensor.layout != torch.strided:
        return ()
    where = tensor.storage_offset()
    return tuple(tensor.shape), tuple(tensor.stride()), where
