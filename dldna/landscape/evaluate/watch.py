"""Numbers that leave torch while a model runs under a recorder."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dldna.landscape.evaluate.evaluator import Unsupported
from dldna.landscape.evaluate.steering import ASKING
from dldna.torch_internals import TorchFunctionMode, tree_flatten

# where a tensor's numbers lie, or a copy, without an operation of torch
LEAVE = {
    Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr,
    Tensor.untyped_storage, Tensor.storage, Tensor.__reduce_ex__,
    Tensor._nnz,
}  # fmt: skip
# numbers of Python
NUMBERS = {
    Tensor.tolist, Tensor.__float__, Tensor.__int__, Tensor.__bool__,
    Tensor.__index__, Tensor.__complex__, Tensor.item,
}  # fmt: skip
# a new tensor of numbers in a list
MAKE = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
# numbers among the arguments are read as lengths
READ = {torch.tensor_split, Tensor.tensor_split, F.ctc_loss, torch.ctc_loss}
WATCHED = LEAVE | NUMBERS | MAKE | READ | ASKING.keys()


class Watch(TorchFunctionMode):
    """Knows when moving numbers are taken out of torch, and refuses it.

    But for whole numbers and truth values, which can be compared at each
    point.

    Args:
        recorder: whose ``moves`` says whether a tensor's numbers move, and
            ``busy`` that it looks at tensors itself; ``hold`` compares.
    """

    def __init__(self, recorder: Any):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call a function, if its numbers stay inside."""
        kwargs = kwargs or {}
        if func in WATCHED and not self.recorder.busy:
            flat = tree_flatten((args, kwargs))[0]
            moving = [
                t
                for t in flat
                if isinstance(t, Tensor) and self.recorder.moves(t)
            ]
            if func in MAKE:
                moving = [t for t in moving if not _given(t, args, kwargs)]
            elif func in READ:
                moving = [t for t in moving if not t.is_floating_point()]
            elif func in ASKING:
                return ASKING[func](*args, **kwargs)
            elif func is Tensor.__bool__ and moving:
                moving = [args[0] != 0]
            for t in moving:
                self._hold(func, t)
        return func(*args, **kwargs)

    def _hold(self, func: Any, t: Tensor) -> None:
        """Let a tensor's numbers out, to be compared at each point."""
        whole = not (t.is_floating_point() or t.is_complex())
        if func in LEAVE or not whole or not self.recorder.moves(t):
            raise Unsupported(f"{func.__name__} takes numbers out of torch")
        self.recorder.hold(t)


def _given(tensor: Tensor, args: tuple, kwargs: dict) -> bool:
    """Whether a tensor is itself an argument, and not in a list."""
    return any(tensor is v for v in (*args, *kwargs.values()))
