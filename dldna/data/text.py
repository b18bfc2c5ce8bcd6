"""Texts: characters as tokens, parted by place, cut into windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from dldna.checks import count
from dldna.data.dataset import Dataset, pick

WINDOW = 128
TRAIN, VALID = 0.8, 0.1  # shares of a text; the rest is for the test


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Text(Dataset):
    r"""A text whose next character is to be foretold.

    A window of T characters is one sample: ``x`` holds
    :math:`c_{iT}, \dots, c_{iT + T - 1}`, and ``y`` the character after
    each of them, so that every character of a part but its first is a
    target once. The parts follow each other in the text and share no
    character. :class:`Dataset` says what the other fields are; ``classes``
    are the characters, and inputs and targets are int64, (N, T).

    Args:
        valid_x: (K, T) windows to choose by.
        valid_y: (K, T) their targets.
        tokens: (n,) int64 characters of each part in their order, by its
            name: ``train``, ``valid``, ``test``.

    Example:
        >>> from dldna.data import load
        >>> plays = load("plays")
        >>> plays
        plays: 3647 + 455 + 455 windows of 128 characters, 70 different
        >>> plays.decode(plays.train_x[0, :25])
        'HAMLET, PRINCE OF DENMARK'
    """

    valid_x: Tensor
    valid_y: Tensor
    tokens: dict[str, Tensor]

    PARTS: ClassVar = ("train", "valid", "test")

    def __repr__(self) -> str:
        sizes = [str(len(getattr(self, f"{p}_x"))) for p in self.PARTS]
        return (
            f"{self.name}: {' + '.join(sizes)} windows of {self.shape[0]} "
            f"characters, {len(self.classes)} different"
        )

    def windows(self, length: int) -> Self:
        """The same text in windows of another length.

        Args:
            length: characters in a window.

        Raises:
            ValueError: a part is shorter than one window.

        Example:
            >>> from dldna.data import load
            >>> load("plays").windows(64)
            plays: 7295 + 911 + 911 windows of 64 characters, 70 different
        """
        return replace(self, **cut(self.tokens, length))

    def hold_out(self, n: int | None = None, seed: int = 0) -> Self:
        """The validation part in the place of the test set, to choose by.

        Args:
            n: number of its windows; all if not given.
            seed: which ones.

        Returns:
            A new data set that trains on the same windows as this one.

        Raises:
            ValueError: there are not that many.

        Example:
            >>> from dldna.data import load
            >>> len(load("plays").hold_out(100).test_x)
            100
        """
        part = slice(None)
        if n is not None:
            part = pick("n", n, len(self.valid_x), seed)
        x, y = self.valid_x[part], self.valid_y[part]
        return replace(self, test_x=x, test_y=y)

    def encode(self, text: str) -> Tensor:
        """(n,) tokens of a string.

        Raises:
            ValueError: a character that this text does not have.

        Example:
            >>> from dldna.data import load
            >>> load("plays").encode("To be")
            tensor([35, 58,  1, 45, 48])
        """
        number = {c: k for k, c in enumerate(self.classes)}
        unknown = sorted(set(text) - set(number))
        if unknown:
            raise ValueError(
                f"{self.name} has no character {unknown[0]!r}; it has "
                f"{''.join(self.classes)!r}"
            )
        return torch.tensor(
            [number[c] for c in text], dtype=torch.int64, device="cpu"
        )

    def decode(self, tokens: Tensor) -> str:
        """The string of (n,) tokens."""
        return "".join(self.classes[k] for k in tokens.tolist())


def cut(tokens: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    """Windows and their targets, of all parts, by the fields' names.

    Args:
        tokens: (n,) characters by the name of the part.
        length: characters in a window; what does not fill one at the end
            of a part is left out.

    Returns:
        ``train_x``, ``train_y`` and so on, (N, length) each.

    Raises:
        ValueError: a part is shorter than one window.

    Example:
        >>> found = cut({"train": torch.arange(6)}, 2)
        >>> found["train_x"].tolist(), found["train_y"].tolist()
        ([[0, 1], [2, 3]], [[1, 2], [3, 4]])
    """
    count("length", length)
    found = {}
    for part, t in tokens.items():
        n = (len(t) - 1) // length
        if n < 1:
            raise ValueError(
                f"a window of {length} characters and the one after it do "
                f"not fit into the {part} part, which has {len(t)}"
            )
        for key, start in (("x", 0), ("y", 1)):
            rows = t[start : start + n * length].clone().view(n, length)
            found[f"{part}_{key}"] = rows
    return found


def text_of(texts: Sequence[str], name: str, description: str) -> Text:
    """Part each text by place, join what belongs together, and cut it.

    The first 80 % of the characters of each text are for training, the
    next 10 % for validation, the last 10 % for the test.

    Args:
        texts: one or more.
        name: of the data set.
        description: what it is, one line.

    Returns:
        The data set, in windows of 128 characters. Its classes are all
        characters of the texts, sorted.

    Raises:
        ValueError: the texts are too short.
    """
    points = [np.frombuffer(t.encode("utf-32-le"), "<u4") for t in texts]
    known = np.unique(np.concatenate(points))
    parts: dict[str, list[np.ndarray]] = {p: [] for p in Text.PARTS}
    for one in points:
        first, second = int(TRAIN * len(one)), int((TRAIN + VALID) * len(one))
        pieces = one[:first], one[first:second], one[second:]
        for part, piece in zip(Text.PARTS, pieces, strict=True):
            parts[part].append(np.searchsorted(known, piece))
    tokens = {
        part: torch.from_numpy(np.concatenate(pieces).astype(np.int64))
        for part, pieces in parts.items()
    }
    return Text(
        name=name,
        classes=tuple(chr(c) for c in known),
        description=description,
        tokens=tokens,
        **cut(tokens, WINDOW),
    )


def text_file(path: str | Path) -> Text:
    """A reader's own text, from one file in UTF-8.

    Args:
        path: the file. Ends of lines are read as ``\\n``.

    Returns:
        The data set.

    Raises:
        ValueError: it is not UTF-8, or too short.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is no text in UTF-8 ({error.reason} at byte "
            f"{error.start}); save it as UTF-8 first"
        ) from error
    try:
        return text_of([text], f"folder:{path}", f"the text {file.name}")
    except ValueError as error:
        raise ValueError(f"{file} is too short: {error}") from error
