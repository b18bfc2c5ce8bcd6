"""The book's own text: four tragedies of Shakespeare inside the package."""

import re
from pathlib import Path

import numpy as np

from dldna.data.text import Text, text_of
from dldna.files import write_atomic

FILE = Path(__file__).parent / "plays.npz"
TITLES = {
    "hamlet": "HAMLET, PRINCE OF DENMARK",
    "lear": "THE TRAGEDY OF KING LEAR",
    "macbeth": "MACBETH",
    "othello": "OTHELLO, THE MOOR OF VENICE",
}


def plays() -> Text:
    """Hamlet, King Lear, Macbeth and Othello, always there.

    583,608 characters, 70 of them different, in the public domain. Of each
    play the first 80 % are for training, the next 10 % for validation,
    the last 10 % for the test: by place, so that no window is seen twice,
    and from every play, so that no part has speakers of its own.

    Returns:
        Windows of 128 characters; :meth:`Text.windows` cuts others.

    References:
        W. Shakespeare, 1603 to 1623.
    """
    with np.load(FILE) as kept:
        texts = [kept[name].tobytes().decode("ascii") for name in TITLES]
    return text_of(
        texts, "plays", "Hamlet, King Lear, Macbeth and Othello, characters"
    )


def embed(source: str | Path) -> Path:
    """Write the embedded file anew.

    Args:
        source: plays one after the other, each from its title, which a
            line "by William Shakespeare" follows.

    Returns:
        The file that was written.

    Raises:
        ValueError: the source has not all four.
    """
    text = Path(source).read_text(encoding="ascii")
    starts = [
        m.start()
        for m in re.finditer(r"^.+\n+by William Shakespeare$", text, re.M)
    ]
    found = {}
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        play = text[start:end].strip() + "\n"
        found[play.partition("\n")[0]] = np.frombuffer(play.encode(), np.uint8)
    missing = [t for t in TITLES.values() if t not in found]
    if missing:
        raise ValueError(f"{source} has no play {missing[0]!r}")
    part = {name: found[title] for name, title in TITLES.items()}
    return write_atomic(FILE, lambda f: np.savez_compressed(f, **part))
