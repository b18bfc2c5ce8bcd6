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
from dldna.landscape.evaluate.memory import (
    Earlier,
    as_it_was,
    home,
    place,
    shown,
    targets,
)
from dldna.landscape.evaluate.steering import asks, lost, steering
from dldna.landscape.evaluate.watch import Watch
from dldna.landscape.evaluate.writing import without_unread
from dldna.torch_internals import (
    TorchDispatchMode,
    fast_paths_off,
    tree_flatten,
    tree_map,
)

aten = torch.ops.aten


class Tape(NamedTuple):
    """The operations of one run.

    Args:
        graph: leaves are its placeholders, constants its attributes; it
            gives a tuple. ``node.meta`` has ``bytes``, the size of a
            tensor, and ``written``, whether an operation writes to it.
        constants: tensors by the names of those attributes.
        leaves: the placeholder of each moving tensor that is used.
        size: bytes of all tensors that were made, views apart.
        guards: how many of what the graph gives, at its end, say whether
            the numbers that steer the run are still those of the record.
    """

    graph: fx.Graph
    constants: dict[str, Tensor]
    leaves: dict[str, fx.Node]
    size: int
    guards: int


def record(
    run: Callable[[], tuple],
    moving: Mapping[str, Tensor],
    room: float,
    earlier: Earlier | None = None,
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
        Unsupported: what is done depends on the tensors' numbers, other
            than whole ones; or the values need what an earlier run or
            something written into stands for; or it takes too much room.

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
    own = {home(t) for t in moving.values()}
    moved = {*recorder.moving, *recorder.bases} - own
    kept = [ref(t) for t in recorder.kept if home(t) in moved]
    recorder.kept.clear()
    del made
    earlier.alive += [t for t in (known() for known in kept) if t is not None]
    earlier.left |= {home(t) for t in earlier.alive} | recorder.outside
    return tape


class _Recorder(TorchDispatchMode):
    def __init__(
        self, moving: Mapping[str, Tensor], room: float, earlier: Earlier
    ):
        super().__init__()
        self.outside: set[int] = set()  # written to, and not made in the run
        self.guards: list[fx.Node] = []
        self.compared: dict[fx.Node, Tensor] = {}
        self.earlier, self.busy = earlier, False
        self.graph, self.room, self.size = fx.Graph(), room, 0
        self.constants: dict[str, Tensor] = {}
        self.fixed: dict[tuple, fx.Node] = {}  # by what they show
        self.nodes: dict[int, fx.Node] = {}
        self.shown: dict[int, tuple] = {}  # what those tensors show
        self.kept: list[Tensor] = []  # so that no id is given twice
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

    def hold(self, tensor: Tensor) -> None:
        """Take a tensor's numbers as they are, and compare at each point."""
        self.busy = True
        try:
            self._held("Python", tensor)
        finally:
            self.busy = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.busy:
            return func(*args, **(kwargs or {}))
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
            for t in targets(func, args, kwargs):
                self._let_go(home(t))
            before = {home(t) for t in tensors}
            made = func(*args, **kwargs)
            for t in tree_flatten(made)[0]:
                if isinstance(t, Tensor):
                    self.kept.append(t)
                    if home(t) not in before:
                        self._fresh(t)
            return made
        if any(isinstance(v, torch.Generator) for v in flat):
            raise Unsupported(f"{func} draws random numbers")
        if func is aten.as_strided_.default and as_it_was(*args):
            return func(*args)
        steers = {
            id(t): self._held(func, t)
            for t in steering(func, args)
            if id(t) in self.nodes
        }
        if asks(func):
            return func(*args, **kwargs)
        if steers:
            args = tree_map(lambda v: steers.get(id(v), v), args)
            return self._called(func, args, kwargs)
        written = targets(func, args, kwargs)
        for t in written:
            self._write(func, t)
        args_of, kwargs_of = tree_map(self._node, (args, kwargs))
        made = func(*args, **kwargs)
        node = self.graph.call_function(func, args_of, kwargs_of)
        node.meta["writes"] = {home(t) for t in written}
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
        known = at in self.own or at in self.bases
        if at in self.earlier.left and not known:
            self.bases[at] = self._lost(
                "it takes something over from batch to batch"
            )
        if at in self.bases:
            self._know(
                tensor,
                self.graph.call_function(
                    aten.as_strided.default, (self.bases[at], *place(tensor))
                ),
            )
        node = self.moving.get(at, {}).get(shown(tensor))
        if node is not None:
            self._know(tensor, node)
        if at in self.moving and id(tensor) not in self.nodes:
            raise Unsupported("a moving tensor is read past torch")

    def _lost(self, reason: str) -> fx.Node:
        """What nobody knows at another point; the values may not need it."""
        return self.graph.call_function(lost, (reason,))

    def _held(self, func, t: Tensor) -> Tensor:
        """The numbers of what steers the run, compared at each point."""
        if t.is_floating_point() or t.is_complex():
            raise Unsupported(f"{func} depends on the parameters' numbers")
        if t.layout != torch.strided:
            raise Unsupported(f"{func} gives shapes that move")
        node = self.nodes[id(t)]
        if node not in self.compared:
            now = self.compared[node] = t.clone()
            pair = node, self._node(now)
            same = self.graph.call_function(aten.eq.Tensor, pair)
            same = self.graph.call_function(aten.all.default, (same,))
            self.guards.append(same)
        return self.compared[node]

    def _let_go(self, at: int) -> None:
        """Copy constants of memory that is about to be written to."""
        self.earlier.let_go(at)
        for key in [k for k in self.fixed if k[1] == at]:
            name = self.fixed.pop(key).target
            self.constants[name] = self.constants[name].clone()

    def _write(self, func, t: Tensor) -> None:
        """Note that a tensor's memory is written to.

        What a forward makes for itself and fills is made anew each time.
        """
        at = home(t)
        self.compared = {
            n: v for n, v in self.compared.items() if n.meta["home"] != at
        }
        if id(t) in self.nodes:
            return
        if t.layout != torch.strided:
            raise Unsupported(f"{func} writes into what stands still")
        self._let_go(at)
        if at in self.own:
            numbers = t.untyped_storage().nbytes() // t.element_size()
            whole = self._node(t.as_strided((numbers,), (1,), 0).clone())
            base = self.graph.call_function(aten.clone.default, (whole,))
        else:
            self.outside.add(at)
            base = self._lost(f"{func} writes into what stands still")
        self.bases[at] = base
        base.meta.update(bytes=t.nbytes, home=at)
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
        for v in made:
            if isinstance(v, Tensor):
                self._recognise(v)
        values = tuple(
            self._node(
                v if isinstance(v, Tensor) else torch.tensor(v, device="cpu")
            )
            for v in made
        )
        if not any(id(v) in self.nodes for v in made):
            raise Unsupported("the loss does not depend on what moves")
        self.graph.output((*values, *self.guards))
        left = without_unread(self.graph)
        for node in left:
            if node.target is lost:
                raise Unsupported(node.args[0])
        return Tape(
            self.graph,
            {
                n.target: self.constants[n.target]
                for n in left
                if n.op == "get_attr"
            },
            {k: n for k, n in self.leaves.items() if n in left},
            self.size,
            len(self.guards),
        )
