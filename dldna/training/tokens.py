"""Train on a text for so many tokens, with warm-up and a falling rate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dldna.checks import count
from dldna.data.loader import Loader
from dldna.data.stretched import Stretched
from dldna.data.text import Text
from dldna.optim import WarmupThen
from dldna.records import History
from dldna.training.loop import train


def windows_anywhere(tokens: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """All windows of a text, and the character after each of theirs.

    Both are views: they take no memory of their own.

    Args:
        tokens: (n,) characters in their order.
        length: T, characters in a window.

    Returns:
        Inputs and targets, (n - T, T) each.

    Raises:
        ValueError: the text is shorter than one window and a character.

    Example:
        >>> x, y = windows_anywhere(Tensor([0, 1, 2, 3]), 2)
        >>> x.tolist(), y.tolist()
        ([[0.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 3.0]])
    """
    if len(tokens) <= count("length", length):
        raise ValueError(
            f"{len(tokens)} characters hold no window of {length} and the "
            "one after it"
        )
    every = tokens.unfold(0, length, 1)
    return every[:-1], every[1:]


def train_tokens(
    model: nn.Module,
    optimizer: Optimizer,
    text: Text,
    *,
    tokens: int,
    batch_size: int = 8,
    warmup: float = 0.1,
    end: str = "cosine",
    marks: int = 10,
    clip: float | None = None,
    seed: int = 0,
    loss_fn: Callable = nn.functional.cross_entropy,
    callbacks: Sequence[Any] = (),
    checkpoint: str | Path | None = None,
) -> History:
    """Train on windows of a text that begin anywhere, for so many tokens.

    The windows are as long as the text's own; their order follows from
    the seed. The rate rises over the warm-up and falls to nothing. The
    validation part is read ``marks`` times, at equal distances.

    Args:
        model: takes (B, T) tokens and gives (B, vocab, T) logits.
        optimizer: over its parameters; its rate is the largest.
        text: see :class:`dldna.data.Text`.
        tokens: targets that all steps see; what does not fill equal
            stretches of whole batches is left out.
        batch_size: windows for each step.
        warmup: share of the steps over which the rate rises; 0 for none.
        end: ``cosine``, or ``constant`` for Schedule-Free.
        marks: how often the validation part is read.
        clip: largest L2 norm of the whole gradient.
        seed: of the order of the windows.
        loss_fn: a mean over the batch.
        callbacks: see :class:`dldna.training.Callback`.
        checkpoint: a file, as :func:`dldna.training.train` keeps it.

    Returns:
        One entry for each mark, ``test_loss`` being that of the
        validation part, and the loss of each step. A loss that diverges
        ends the run; the history says where.

    Raises:
        ValueError: too few tokens for one step at each mark.

    Example:
        >>> from dldna.data import load
        >>> from dldna.models import DecoderTransformer
        >>> net = DecoderTransformer(width=8, depth=1, heads=1, context=16)
        >>> from torch.optim import Adam
        >>> adam = Adam(net.parameters(), lr=0.01)
        >>> text = load("plays").windows(16)
        >>> found = train_tokens(net, adam, text, tokens=5_000, marks=2)
        >>> bool(found.test_loss[-1] < found.step_loss[0])
        True
    """
    length = text.train_x.shape[1]
    each = tokens // (batch_size * length * count("marks", marks))
    if each < 1:
        raise ValueError(
            f"{tokens} tokens are fewer than {marks} batches of "
            f"{batch_size * length}"
        )
    x, y = windows_anywhere(text.tokens["train"], length)
    loader = Loader(x, y, batch_size, shuffle=True, seed=seed, drop_last=True)
    return train(
        model,
        optimizer,
        Stretched(loader, each),
        Loader(text.valid_x, text.valid_y, 128),
        epochs=marks,
        loss_fn=loss_fn,
        scheduler=LambdaLR(optimizer, WarmupThen(each * marks, warmup, end)),
        scheduler_every="step",
        clip=clip,
        seed=seed,
        callbacks=callbacks,
        checkpoint=checkpoint,
        on_divergence="record",
        progress=False,
    )
