"""The init lab is one piece of HTML that holds its numbers whole."""

import json
import re
from xml.etree import ElementTree

import pytest

from dldna import init, plotting


@pytest.fixture(scope="module")
def grid():
    return init.lab_grid(
        [2, 3],
        activations=["relu", "tanh"],
        schemes=["lecun_normal", "kaiming_normal"],
        width=16,
        samples=4,
        seeds=2,
    )


def held(html):
    """The numbers that the widget carries."""
    pattern = r'<script type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, html, re.DOTALL)[1])


def test_the_numbers_arrive_unchanged(grid):
    data = held(plotting.init_lab(grid)._repr_html_())
    assert data["cells"] == grid["cells"]
    assert data["depths"] == [2, 3]
    assert data["about"]["kaiming_normal"] == "variance 2/n"


def test_it_asks_for_nothing_and_leaves_no_blank(grid):
    html = plotting.init_lab(grid).html
    assert not re.search(r"https?:|src=|href=|@import|url\(", html)
    assert "LAB_" not in html


def test_the_sliders_start_where_asked(grid):
    html = plotting.init_lab(
        grid, depth=3, activation="tanh", scheme="kaiming_normal"
    ).html
    body = re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)
    body = re.sub(r"(<input[^>]*)>", r"\1/>", body)
    tree = ElementTree.fromstring(body)
    sliders = {e.get("data-lab"): e for e in tree.iter("input")}
    for name in ("depth", "activation", "scheme"):
        assert sliders[name].get("value") == "1"
        assert sliders[name].get("max") == "1"
    labels = {e.get("for") for e in tree.iter("label")}
    assert {e.get("id") for e in sliders.values()} == labels


def test_two_labs_on_a_page_do_not_meet(grid):
    other = {**grid, "schemes": grid["schemes"][::-1]}
    ids = [
        re.search(r'id="(dldna-lab-\w+)"', plotting.init_lab(g).html)[1]
        for g in (grid, other)
    ]
    assert ids[0] != ids[1]


def test_what_is_not_finite_becomes_null(grid):
    cells = json.loads(json.dumps(grid["cells"]))
    cells["lecun_normal/relu"]["forward"]["measured"][0] = float("-inf")
    data = held(plotting.init_lab({**grid, "cells": cells}).html)
    assert data["cells"]["lecun_normal/relu"]["forward"]["measured"][0] is None


def test_a_start_outside_the_grid_is_named(grid):
    with pytest.raises(ValueError, match="did you mean 'kaiming_normal'"):
        plotting.init_lab(grid, scheme="kaiming_norm")
    with pytest.raises(ValueError, match="depth"):
        plotting.init_lab(grid, depth=7)
