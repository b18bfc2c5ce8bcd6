"""``{quiz} adaptive-q1``: a multiple-choice question in a page of prose.

In a notebook a cell calls :func:`dldna.exercises.quiz` instead; both show
the same question from the same place.
"""

from docutils import nodes
from docutils.parsers.rst import Directive


class Quiz(Directive):
    required_arguments = 1

    def run(self):
        from dldna.exercises import quiz

        markup = quiz(self.arguments[0]).to_html()
        return [nodes.raw("", markup, format="html")]


def setup(app) -> None:
    app.add_directive("quiz", Quiz)
