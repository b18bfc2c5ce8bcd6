"""Code that a page shows is where the page looks for it."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"```\{literalinclude\} (\S+)\n((?::.*\n)*)")


def includes():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        for cell in cells:
            for file, options in SHOWN.findall("".join(cell["source"])):
                yield path.name, file, options


def names(tree, before=""):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield before + node.name
        if isinstance(node, ast.ClassDef):
            yield from names(node, f"{before}{node.name}.")


@pytest.mark.parametrize(("page", "file", "options"), list(includes()))
def test_what_a_page_shows_is_there(page, file, options):
    text = (ROOT / "notebooks" / file).read_text()
    known = set(names(ast.parse(text)))
    found = dict(re.findall(r":([\w-]+): \"?(.*?)\"?\n", options))
    assert set(found) & {"pyobject", "start-after", "lines"}
    if "pyobject" in found:
        assert found["pyobject"] in known
    begin = found.get("start-after", found.get("start-at", ""))
    end = found.get("end-before", found.get("end-at", ""))
    assert end in text[text.index(begin) + len(begin) :]
