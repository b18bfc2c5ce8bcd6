"""Old addresses of chapters: a page that goes on to the new one.

The file of a chapter was once named by its number; so was each exercise,
``ch05-ex2`` for what is now ``adaptive-ex2``.
"""

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
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>This chapter has moved</title>
<link rel="canonical" href="{name}.html">
<meta name="robots" content="noindex">
<noscript><meta http-equiv="refresh" content="0; url={name}.html"></noscript>
<p>This chapter has moved: <a href="{name}.html">{name}</a>.</p>
<script>
  const part = location.hash.replace(/^#ch\\d\\d-/, "#{name}-");
  location.replace("{name}.html" + location.search + part);
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
            page.write_text(PAGE.format(name=name), encoding="utf-8")


def setup(app) -> None:
    app.connect("build-finished", write)
