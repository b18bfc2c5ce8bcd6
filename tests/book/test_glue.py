"""Numbers in the prose look as they were formatted."""

import pytest

import dldna.book


@pytest.fixture
def variables():
    """Imported here, for it takes its time."""
    return pytest.importorskip("myst_nb.core.variables")


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [(6000, "{:,}", "6,000"), (0.1, "{:.2f}", "0.10"), ("8 or 9", "{}", None)],
)
def test_the_page_shows_what_was_formatted(
    monkeypatch, value, form, shown, variables
):
    sent = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **_: sent.append(data)
    )
    dldna.book.glue("x", value, form)
    [text] = sent[0].values()
    assert variables.format_plain_text(text, "") == (shown or value)
