"""Words by which a sentence compares, ranks or quantifies: ``words.txt``."""

import re
from pathlib import Path

PHRASES = r"""
not\ an?\b | as\ \w+\ as | in\ our\ trials | may\ well | would\ (?:take|be)
| told\ apart | no\ such | of\ the\ way | out\ of | % | ×
"""


def groups() -> dict[str, list[str]]:
    """The groups of the file, by the first word of their titles."""
    text = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    found = re.findall(r"\[(\w+)[^\]]*\]([^\[]*)", text)
    return {name: words.split() for name, words in found}


def degrees(word: str) -> set[str]:
    """The comparative and the superlative of an adjective."""
    stem = word
    if re.fullmatch(r"\w*[^aeiou][aeiou][bdgmnpt]", word):
        stem = word + word[-1]  # big, bigger
    if word.endswith("y"):
        stem = word[:-1] + "i"
    if word.endswith("e"):
        stem = word[:-1]
    return {stem + "er", stem + "est"}


GROUPS = groups()
_NUMBERS = GROUPS.pop("numbers")
WORDS = {w for adjective in GROUPS.pop("degrees") for w in degrees(adjective)}
WORDS |= {word for group in GROUPS.values() for word in group}
COMPARES = re.compile(
    rf"\b(?:{'|'.join(sorted(WORDS))})\b | {PHRASES}", re.I | re.X
)
TYPED = re.compile(
    rf"(?<![\w⟨])\d[\d,.]*|\b(?:{'|'.join(_NUMBERS)})s?\b", re.I
)
# Numbers that name a thing instead of measuring one.
NAMES = re.compile(
    r"""(?:chapter|exercise|section|figure|table|part|step|version|seed|CIFAR
    |ResNet|VGG|ImageNet|top|theorem|page|equation)s?[ -]?\d[\d.]*
    |\b(?:19|20)\d\d\b|\b\d-D\b|⟨[^⟩]*⟩|\[cite\]""",
    re.I | re.X,
)


def compares(text: str) -> list[str]:
    """The words by which a sentence compares; none if it does not."""
    return COMPARES.findall(text)


def typed(text: str) -> list[str]:
    """The numbers that are typed into a sentence."""
    return TYPED.findall(NAMES.sub(" ", text))
