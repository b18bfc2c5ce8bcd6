"""Multiple-choice questions that need no server and no kernel."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any
from zlib import crc32

from dldna.exercises.answer_kinds import Verdict

# The answer's sentence stands in the option it belongs to; choosing one
# shows it, and a screen reader reads it out (``output`` is a live region).
_ON_CHANGE = (
    "this.querySelector('output').textContent=event.target.dataset.says"
)


@dataclass(frozen=True)
class Option:
    """One answer to choose.

    Args:
        text: the answer.
        says: why it is right or wrong, in a sentence.
        right: whether it is the right one.
    """

    text: str
    says: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with one right answer.

    In a notebook the object shows itself as a form; in the pages, too.

    Args:
        text: the question.
        options: at least two, exactly one of them right.
        section: for a guess before a chapter, the title of the section
            that answers it; until then no option is called right or wrong.

    Raises:
        ValueError: none or several options are right.

    Example:
        >>> q = Question(
        ...     "Which way does descent go?",
        ...     (
        ...         Option("Uphill", "The sign is missing."),
        ...         Option("Downhill", "Along the negative gradient.", True),
        ...     ),
        ... )
        >>> q.judge("b").says
        'Right. Along the negative gradient.'
        >>> print(q)
        Which way does descent go?
          a) Uphill
          b) Downhill
    """

    text: str
    options: tuple[Option, ...]
    section: str = ""

    def __post_init__(self) -> None:
        right = sum(option.right for option in self.options)
        if len(self.options) < 2 or right != 1:
            raise ValueError(
                f"a question has at least two options and one right one; "
                f"this has {len(self.options)}, {right} of them right"
            )

    def letters(self) -> dict[str, Option]:
        """The options by letter."""
        return dict(zip("abcdefgh", self.options, strict=False))

    def judge(self, given: Any) -> Verdict:
        """Judge a letter, or whatever else was answered."""
        known = self.letters()
        letter = given.strip().lower() if isinstance(given, str) else ""
        option = known.get(letter)
        if option is None:
            listed = ", ".join(known)
            return Verdict(False, f"Not yet: answer one of {listed}.")
        if self.section:
            return Verdict(
                option.right,
                f"Noted, and neither right nor wrong for now: "
                f"“{self.section}” answers.",
            )
        word = "Right." if option.right else "Not yet:"
        return Verdict(option.right, f"{word} {option.says}")

    def __str__(self) -> str:
        lines = [f"  {k}) {o.text}" for k, o in self.letters().items()]
        return "\n".join([self.text, *lines])

    def to_html(self) -> str:
        """The question as a form, usable by mouse, touch and keyboard."""
        group = f"quiz-{crc32(str(self).encode()):08x}"
        rows = "".join(
            f'<label style="display:block;padding:.35em 0;cursor:pointer">'
            f'<input type="radio" name="{group}" value="{letter}" '
            f'data-says="{escape(self.judge(letter).says)}"> '
            f"{escape(option.text)}</label>"
            for letter, option in self.letters().items()
        )
        return (
            f'<fieldset class="dldna-quiz" onchange="{_ON_CHANGE}">'
            f'<legend style="font-size:1em;font-weight:bold">'
            f"{escape(self.text)}</legend>{rows}"
            f'<output style="display:block;min-height:1.5em"></output>'
            f"</fieldset>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()
