"""The numbers behind a figure can be heard."""

from pathlib import Path

import pytest

from dldna.plotting.accessible import table_html

pytestmark = pytest.mark.page

SCRIPT = Path(__file__).parents[2] / "book" / "_static" / "dldna.js"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>listen</title></head><body><article>%s
<script src="%s"></script></article></body></html>"""
BOX = '<details class="dldna-data" open><summary>Numbers</summary>%s</details>'


@pytest.fixture
def page(offline, tmp_path):
    steps = list(range(1, 21))
    heard = table_html({"step": steps, "loss": [1 / s for s in steps],
                        "test": [2.0] * 19 + [float("nan")]})  # fmt: skip
    silent = table_html({"name": ["a", "b"], "of": ["c", "d"]})
    path = tmp_path / "listen.html"
    text = PAGE % (BOX % heard + BOX % silent + BOX % heard, SCRIPT.as_uri())
    path.write_text(text, encoding="utf-8")
    page, errors = offline.new_page(), []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert not errors


def test_only_a_table_of_numbers_has_the_button(page):
    assert page.locator(".dldna-data").count() == 3
    assert page.locator(".dldna-listen").count() == 2


def test_it_plays_and_falls_silent(page):
    page.evaluate("""() => {
      window.heard = [];
      const set = AudioParam.prototype.setValueAtTime;
      AudioParam.prototype.setValueAtTime = function (v, t) {
        window.heard.push(v);
        return set.call(this, v, t);
      };
    }""")
    button = page.locator(".dldna-listen").first
    button.click()
    assert button.inner_text() == "Stop"
    assert "In turn: loss, test." in page.inner_text("[role=status] >> nth=0")
    heard = page.evaluate("window.heard")
    # From 1 down to 1/20 while the highest value, 2, is the highest tone.
    assert len(heard) == 40
    assert heard[:20] == sorted(heard[:20], reverse=True)
    assert heard[19] == pytest.approx(220)
    assert heard[20:39] == pytest.approx([880] * 19)
    assert heard[39] == 80
    # One figure at a time.
    page.locator(".dldna-listen").last.click()
    assert button.inner_text() == "Listen"
    assert page.locator(".dldna-listen").last.inner_text() == "Stop"
