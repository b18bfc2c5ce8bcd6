"""Expressions of neurons, read by a parser of our own (no ``eval``).

Names, numbers, ``+ - *`` and brackets, bounded in length and depth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_CHARACTERS = 10_000
MOST_DEPTH = 40


class ExpressionError(ValueError):
    """An expression that cannot be read; the message points at the place."""

    def __init__(self, text: str, position: int, problem: str):
        start = max(0, position - 40)
        shown = text[start : position + 30].replace("\n", " ")
        super().__init__(
            f"{problem}\n  {shown}\n  {' ' * (position - start)}^"
        )
        self.position = position


@dataclass(frozen=True)
class Term:
    """A part of an expression: a name, a number, or an operation on parts.

    Args:
        kind: "name", "number", "+", "*", or "-" of a single part.
        parts: the operands; empty for names and numbers.
        value: the name, or the number.
    """

    kind: str
    parts: tuple["Term", ...] = ()
    value: str | float = ""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> tuple[str, Term]:
    """Read one line ``name = expression``.

    Args:
        text: the line.

    Returns:
        The name on the left, and the tree of the right.

    Raises:
        ExpressionError: malformed, too long or too deep; a caret points at
            the character.

    Example:
        >>> name, tree = parse("xw = ap*xp - 2*xq")
        >>> name, tree.kind, [part.kind for part in tree.parts]
        ('xw', '+', ['*', '-'])
        >>> try:
        ...     parse("xw = ap*")
        ... except ExpressionError as error:
        ...     print(error)
        expected a name, a number or '('
          xw = ap*
                  ^
    """
    if not isinstance(text, str):
        raise TypeError(f"an expression is a string, not {text!r}")
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(
            text, MOST_CHARACTERS, f"longer than {MOST_CHARACTERS} characters"
        )
    return _Parser(text).line()


def tokens(text: str) -> list[_Token]:
    """The words, numbers and signs of a line, with their places."""
    found, i = [], 0
    while i < len(text):
        c = text[i]
        if c.isspace():
            i += 1
            continue
        j = i + 1
        if c.isascii() and (c.isalpha() or c == "_"):
            while j < len(text) and (
                text[j].isascii() and (text[j].isalnum() or text[j] == "_")
            ):
                j += 1
            found.append(_Token("name", text[i:j], i))
        elif c.isascii() and (c.isdigit() or c == "."):
            while j < len(text) and text[j] in "0123456789.":
                j += 1
            if text[i:j].count(".") > 1 or text[i:j] == ".":
                raise ExpressionError(text, i, "not a number")
            found.append(_Token("number", text[i:j], i))
        elif c in "+-*()=":
            found.append(_Token(c, c, i))
        else:
            raise ExpressionError(text, i, f"{c!r} is not allowed here")
        i = j
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent: sum > product > factor."""

    def __init__(self, text: str):
        self.text, self.tokens = text, tokens(text)
        self.at, self.depth = 0, 0

    def line(self) -> tuple[str, Term]:
        name = self.take("name", "a name")
        self.take("=", "'='")
        tree = self.sum()
        self.take("end", "an operator or the end of the line")
        return name.text, tree

    def take(self, kind: str, wanted: str) -> _Token:
        token = self.tokens[self.at]
        if token.kind != kind:
            self.fail(f"expected {wanted}")
        self.at += 1
        return token

    def fail(self, problem: str):
        raise ExpressionError(
            self.text, self.tokens[self.at].position, problem
        )

    def next_is(self, kinds: str) -> bool:
        return self.tokens[self.at].kind in tuple(kinds)

    def sum(self) -> Term:
        parts = [self.product()]
        while self.next_is("+-"):
            sign = self.tokens[self.at].kind
            self.at += 1
            part = self.product()
            parts.append(part if sign == "+" else Term("-", (part,)))
        return parts[0] if len(parts) == 1 else Term("+", tuple(parts))

    def product(self) -> Term:
        parts = [self.factor()]
        while self.next_is("*"):
            self.at += 1
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else Term("*", tuple(parts))

    def factor(self) -> Term:
        token = self.tokens[self.at]
        self.depth += 1
        if self.depth > MOST_DEPTH:
            self.fail(f"nested deeper than {MOST_DEPTH}")
        if token.kind == "-":
            self.at += 1
            tree = Term("-", (self.factor(),))
        elif token.kind == "(":
            self.at += 1
            tree = self.sum()
            self.take(")", "')'")
        elif token.kind == "name":
            self.at += 1
            tree = Term("name", value=token.text)
        elif token.kind == "number":
            self.at += 1
            tree = Term("number", value=float(token.text))
        else:
            self.fail("expected a name, a number or '('")
        self.depth -= 1
        return tree


def names_in(tree: Term) -> Iterator[str]:
    """Every name in a tree, from left to right."""
    if tree.kind == "name":
        yield tree.value
    for part in tree.parts:
        yield from names_in(part)
