"""The whole book in one file: numbered, linked, with bookmarks."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))
pypdf = pytest.importorskip("pypdf", reason="make pdf needs it")
import pdf  # noqa: E402

pytestmark = pytest.mark.page
ADDRESS = "https://book.example/"
TOC = {
    "root": "start",
    "parts": [
        {
            "caption": "Part I",
            "chapters": [
                {"file": "second.ipynb", "title": "Second steps"},
                {"file": "api/index", "sections": [{"glob": "api/*"}]},
            ],
        }
    ],
}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>{title} &#8212; book</title>
<link rel="stylesheet" href="{up}print.css" media="print"></head><body>
<article class="bd-article"><section><h1>{title}</h1>{body}</section>
</article></body></html>"""
BODIES = {
    "start": '<p>Go to <a href="second.html#below">the second page</a>, '
    'to <a href="_sources/start.txt">the source</a>, '
    'or <a href="https://elsewhere.example/">away</a>.</p>',
    "second": '<p>Look <a href="#below">below</a>.</p>'
    "<details><summary>Hint</summary>folded</details>"
    "<details open><summary>Proof</summary>unfolded</details>"
    '<div style="break-before: page"></div><h2 id="below">Below</h2>',
    "api/index": "<p>The code.</p>",
    "api/rules": '<section><h2>Ask</h2><fieldset class="dldna-quiz"><legend>'
    "How many?</legend><label><input type=radio data-says='Not yet: more.'>"
    "One</label><label><input type=radio data-says='Right. Both.'>Two</label>"
    '</fieldset><div class="cell"><div class="cell_input">answer = ...\n'
    "check(answer)</div>No answer yet.</div></section>",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A book of four pages."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "api").mkdir()
    shutil.copy(ROOT / "book" / "_static" / "print.css", folder)
    for name, body in BODIES.items():
        title = f"Page {name}"
        up = "../" * name.count("/")
        (folder / f"{name}.html").write_text(
            PAGE.format(title=title, body=body, up=up), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="module")
def printed(browser, folder, tmp_path_factory):
    """That book, printed, written and read again."""
    printer = pdf.Printer(browser, folder, ADDRESS)
    path = tmp_path_factory.mktemp("printed") / "book.pdf"
    pdf.join(printer, pdf.pages(TOC, folder)).write(path)
    printer.context.close()
    return pypdf.PdfReader(path)


def words(printed) -> list[str]:
    return [sheet.extract_text() for sheet in printed.pages]


def test_pages_come_in_order_and_are_numbered(printed):
    said = words(printed)
    assert len(said) == 6
    heads = (
        "Page start",
        "Contents",
        "Page second",
        "Below",
        "Page api/index",
    )
    for text, head in zip(said, heads, strict=False):
        assert head in text
    assert [text.split()[-1] for text in said] == list("123456")


def test_contents_name_the_sheets(printed):
    lines = words(printed)[1].splitlines()
    assert [line.split()[-1] for line in lines if "Page api" in line] == [
        "5", "6",
    ]  # fmt: skip
    assert any(line.split() == ["Second", "steps", "3"] for line in lines)


def test_what_is_folded_stays_away(printed):
    said = words(printed)[2]
    assert "unfolded" in said
    assert "Hint" not in said
    assert " folded" not in said.replace("\n", " ")


def test_questions_are_answered_and_nothing_asks_for_an_answer(printed):
    said = words(printed)[-1].replace("\n", " ")
    assert "How many? Two. Both." in said
    assert "No answer yet" not in said


def test_links_lead_within_the_file_or_to_the_world(printed):
    number = {page.indirect_reference.idnum: k
              for k, page in enumerate(printed.pages)}  # fmt: skip
    found = []
    for sheet in printed.pages:
        for item in sheet.get("/Annots", []):
            note = item.get_object()
            if "/Dest" in note:
                found.append(number[note["/Dest"][0].idnum])
            else:
                found.append(note["/A"]["/URI"])
    first, inside = found[:3], found[-1]
    assert first == [2, ADDRESS + "_sources/start.txt",
                     "https://elsewhere.example/"]  # fmt: skip
    assert found[3:6] == [2, 4, 5]  # the contents
    assert inside == 3


def test_bookmarks_name_parts_pages_and_sections(printed):
    def told(items):
        return [told(i) if isinstance(i, list) else i.title for i in items]

    assert told(printed.outline) == [
        "Page start", "Contents", "Part I",
        ["Second steps", ["Below"], "Page api/index", "Page api/rules",
         ["Answers to the questions", "Ask"]],
    ]  # fmt: skip


def test_a_page_that_was_not_built_is_named(folder):
    with pytest.raises(FileNotFoundError, match="make book"):
        pdf.pages(TOC | {"root": "absent"}, folder)
