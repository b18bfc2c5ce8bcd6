"""Old addresses of chapters: a page that goes on to the new one.

The file of a chapter was once named by its number; so was each exercise,
``ch05-ex2`` for what is now ``adaptive-ex2``.
"""

import json
from pathlib import Path

FORMERLY = {
    "01_signals": "signals",
    "02_initialization": "initialization",
    "03_descent_by_hand": "descent_by_hand",
    "04_momentum": "momentum",
    "05_adaptive": "adaptive",
    "06_two_weights": "two_weights",
    "07_modern": "modern",
    "08_comparison": "comparison",
    "09_line_search": "line_search",
    "10_schedules": "schedules",
    "11_lines": "lines",
    "12_planes": "planes",
    "13_curvature": "curvature",
    "14_paths": "paths",
    "15_connectivity": "connectivity",
    "16_topology": "topology",
    "17_dynamics": "dynamics",
}
# What a chapter that was divided gave to other pages, page and anchor; what
# has no anchor of its own any more leads to the section that holds it now.
ELSEWHERE = {
    "02_initialization": {
        "ch02-ex4": "starts#starts-ex3",
        "starts-that-look-further": "starts",
        "lsuv-measure-instead-of-assuming": (
            "starts#looking-at-the-data-lsuv"
        ),
        "fixup-and-zero-begin-at-nothing": (
            "starts#fixup-and-zero-begin-at-nothing"
        ),
        "delta-orthogonal-an-orthogonal-convolution": (
            "starts#delta-orthogonal-an-orthogonal-convolution"
        ),
        "metainit-a-start-where-a-step-changes-little": (
            "starts#metainit-a-start-where-a-step-changes-little"
        ),
        "gradinit-make-the-first-step-pay": (
            "starts#gradinit-make-the-first-step-pay"
        ),
        "emergence-the-same-function-other-gradients": (
            "starts#emergence-the-same-function-other-gradients"
        ),
        "spectral-normalization-a-bound-that-stays": (
            "starts#a-bound-that-stays-spectral-normalization"
        ),
        "mup-will-my-rate-hold-when-the-network-grows": (
            "starts#looking-at-the-width-mup"
        ),
    },
    "14_paths": {
        "ch14-ex4": "paths#paths-ex5",
        "ch14-ex5": "paths#paths-ex6",
        "ch14-ex6": "paths#paths-ex7",
    },
    "15_connectivity": {
        "ch15-ex6": "paths#paths-ex4",
        "ch15-ex7": "connectivity#connectivity-ex6",
        "many-checkpoints-on-one-sheet": (
            "paths#several-optimizers-on-one-sheet"
        ),
        "derive-principal-components-from-inner-products": (
            "paths#the-plane-that-holds-most-of-the-path"
        ),
        "the-null-model-a-random-walk": (
            "paths#what-principal-components-make-of-noise"
        ),
        "order-and-runs-that-were-mixed": "paths#is-it-one-path",
        "t-sne-who-is-near-whom": "paths#t-sne-who-is-near-whom",
    },
    "16_topology": {
        "ch16-ex4": "scales#scales-ex1",
        "ch16-ex5": "wells#wells-ex1",
        "ch16-ex6": "topology#topology-ex5",
        "at-which-scale": "scales#at-which-scale",
        "a-line-at-all-scales": "scales#a-line-at-all-scales",
        "is-it-a-well": "wells#is-it-a-well",
        "optimizers-on-a-fitted-well": "wells#optimizers-on-a-fitted-well",
    },
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>This chapter has moved</title>
<link rel="canonical" href="{name}.html">
<meta name="robots" content="noindex">
<noscript><meta http-equiv="refresh" content="0; url={name}.html"></noscript>
<p>This chapter has moved: <a href="{name}.html">{name}</a>.</p>
<script>
  const moved = {moved};
  const part = location.hash.slice(1);
  const here = "{name}#" + part.replace(/^ch\\d\\d-/, "{name}-");
  const [page, now] = (moved[part] || here).split("#");
  location.replace(
    page + ".html" + location.search + (now ? "#" + now : ""));
</script>
</html>
"""


def write(app, exception) -> None:
    """Put a page at each old address whose chapter was built."""
    if exception or app.builder.format != "html":
        return
    for old, name in FORMERLY.items():
        if f"notebooks/{name}" in app.env.found_docs:
            page = Path(app.outdir) / "notebooks" / f"{old}.html"
            moved = json.dumps(ELSEWHERE.get(old, {}))
            text = PAGE.format(name=name, moved=moved)
            page.write_text(text, encoding="utf-8")


def setup(app) -> None:
    app.connect("build-finished", write)
