"""What a batch is, and how a model and a loss meet it.

A batch is a pair ``(inputs, targets)``, a dict, or a bare tensor. The one
convention that all rooms share:

- pair: ``model(inputs)``; the target is the second item. ``inputs`` that
  are themselves a tuple are spread: ``model(*inputs)``. A list of two
  tensors is a pair, too: ``[x1, x2]`` is inputs and target, not two
  batches.
- dict: ``model(**batch)`` without the keys of the target (``labels``,
  ``label``, ``targets``, ``target``, ``y``).
- an object (a dataclass, a graph of PyTorch Geometric, a
  ``PackedSequence``): ``model(batch)``; its target is its ``y`` or the like.
  A list of inputs is passed whole where the model takes one argument. Named
  tuples stay what they are.
- bare tensor: ``model(batch)``; no target. A tuple or list of one item is
  that item.

The samples of a batch lie along axis 0 of its tensors. NumPy arrays become
tensors of their own type.

A loss from ``torch.nn`` or ``torch.nn.functional`` is called as
``loss(output, target)``. Your own callable is called as
``loss(output, batch)``, or as ``loss(output, target)`` when its second
parameter bears one of the names of a target (``TARGETS`` or
``PARAMETERS``). It returns one number: a tensor or a plain number.
"""

from dldna.batches.convention import (
    TARGETS,
    apply,
    check_sliced,
    size,
    sliced,
    split,
    spread,
)
from dldna.batches.in_memory import (
    BatchList,
    SizedBatches,
    held,
    held_one_by_one,
    length,
)
from dldna.batches.leaves import (
    Batch,
    Called,
    Sized,
    cut,
    each,
    inner,
    is_whole,
    join,
    select,
    tensors,
    to,
)
from dldna.batches.loss_calls import PARAMETERS, loss_caller, wants_target

__all__ = [
    "PARAMETERS",
    "TARGETS",
    "Batch",
    "BatchList",
    "Called",
    "Sized",
    "SizedBatches",
    "apply",
    "check_sliced",
    "cut",
    "each",
    "held",
    "held_one_by_one",
    "inner",
    "is_whole",
    "join",
    "length",
    "loss_caller",
    "select",
    "size",
    "sliced",
    "split",
    "spread",
    "tensors",
    "to",
    "wants_target",
]
