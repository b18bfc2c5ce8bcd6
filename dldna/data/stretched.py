"""A loader cut anew, where a pass over the data is no good measure."""

from collections.abc import Iterator

from torch import Tensor

from dldna.checks import count
from dldna.data.loader import Loader


class Stretched:
    """A loader cut anew: every "epoch" is the next so many batches.

    Args:
        loader: the data, pass after pass.
        steps: batches of a stretch.

    Example:
        >>> import torch
        >>> few = Loader(torch.arange(6), torch.arange(6), batch_size=2)
        >>> stretch = Stretched(few, 2)
        >>> [x.tolist() for x, _ in stretch.batches(1)]
        [[4, 5], [0, 1]]
    """

    def __init__(self, loader: Loader, steps: int):
        self.loader, self.steps = loader, count("steps", steps)
        self.x, self.seed = loader.x, loader.seed
        self.batch_size = loader.batch_size

    def __len__(self) -> int:
        return self.steps

    def batches(
        self, epoch: int, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of a stretch, from the one numbered ``start`` on."""
        k, end = epoch * self.steps + start, (epoch + 1) * self.steps
        while k < end:
            passed, at = divmod(k, len(self.loader))
            for batch in self.loader.batches(passed, at):
                yield batch
                k += 1
                if k == end:
                    return
