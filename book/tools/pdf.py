"""Print the built book into one PDF.

    python book/tools/pdf.py        writes _build/dldna.pdf, after `make book`

Chromium prints page after page in the order of `_toc.yml`; the style sheet
folds and hides what only works on a screen, and figures that turn become
still pictures first. pypdf joins the pages, numbers them, and makes links
between chapters lead to the page in the same file. Chromium comes from the
system, or is named by the variable CHROMIUM.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

sys.path.insert(0, str(Path(__file__).parent))
from printing import Printer, chromium

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "dldna.pdf"
# Sixty sheets of links from sentences to cells: for the screen alone.
LEFT_OUT = ("book/claims.md",)
TITLE = r"<title>(.*?)(?: &#8212; .*)?</title>"


@dataclass
class Page:
    """One page of the book, and where it came to lie.

    Args:
        name: its file, below the folder of the built book.
        title: as the table of contents calls it.
        part: the caption of its part; "" for the first page.
        sheet: the number of its first sheet, from 0.
        sections: title and sheet of each, for the outline.
    """

    name: str
    title: str
    part: str = ""
    sheet: int = 0
    sections: list = field(default_factory=list)


def pages(toc: dict, folder: Path) -> list[Page]:
    """The pages of a table of contents, in order.

    Args:
        toc: as in `_toc.yml`.
        folder: the built book; titles that the table leaves out stand there.

    Raises:
        FileNotFoundError: a page has not been built.
    """
    found = [_page(toc["root"], folder)]
    for part in toc["parts"]:
        for entry in part["chapters"]:
            if entry["file"] in LEFT_OUT:
                continue
            found.append(_page(entry["file"], folder, entry, part["caption"]))
            for section in entry.get("sections", []):
                pattern = f"{section['glob']}.html"
                found += [
                    _page(
                        path.relative_to(folder), folder, {}, part["caption"]
                    )
                    for path in sorted(folder.glob(pattern))
                    if path != folder / found[-1].name and path.stem != "index"
                ]
    return found


def _page(
    name: Any, folder: Path, entry: dict | None = None, part: str = ""
) -> Page:
    path = (folder / name).with_suffix(".html")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: make book builds it")
    title = (entry or {}).get("title")
    if title is None:
        text = path.read_text(encoding="utf-8")
        title = html.unescape(re.search(TITLE, text)[1])
    return Page(path.relative_to(folder).as_posix(), title, part)


# --- joining -------------------------------------------------------------


def join(printer: Printer, found: list[Page]) -> PdfWriter:
    """The book: first page, contents, and all the others, with numbers."""
    writer, links = PdfWriter(), []
    first, *others = found
    _add(writer, *printer.page(first.name), first, links)
    # Their page numbers are not known yet, their length is.
    table = Page("", "Contents", sheet=len(writer.pages))
    blank = printer.text(contents(others, printer.address))
    ahead = table.sheet + len(blank.pages)
    printed = []
    for page in others:
        printed.append(printer.page(page.name))
        page.sheet = ahead
        ahead += len(printed[-1][0].pages)
        print(f"  {page.sheet + 1:4d}  {page.title}", flush=True)
    filled = printer.text(contents(others, printer.address))
    _add(writer, filled, [], table, links)
    for page, (reader, headings) in zip(others, printed, strict=True):
        _add(writer, reader, headings, page, links)
    _connect(writer, links, found, printer.address)
    _outline(writer, [first, table, *others])
    _number(writer, printer)
    writer.compress_identical_objects(remove_unreferenced=True)
    writer.add_metadata({"/Title": "dldna", "/Author": "The dldna authors"})
    return writer


def contents(others: list[Page], address: str) -> str:
    """The table of contents, as a page of HTML."""
    rows, part = [], ""
    for page in others:
        if page.part != part:
            part = page.part
            rows.append(f"<h2>{html.escape(part)}</h2>")
        number = page.sheet + 1 if page.sheet else ""
        rows.append(
            f'<p><a href="{address}{page.name}">{html.escape(page.title)}</a>'
            f"<span>{number}</span></p>"
        )
    return f"""<!doctype html><meta charset="utf-8"><title>Contents</title>
<style>
body {{ font: 11pt/1.45 system-ui, sans-serif; color: #222; }}
h1 {{ font-size: 20pt; }}
h2 {{ break-after: avoid; font-size: 12pt; margin: 1.1em 0 .3em; }}
p {{ display: flex; gap: 1em; justify-content: space-between; margin: 0; }}
a {{ color: inherit; text-decoration: none; }}
</style><h1>Contents</h1>{"".join(rows)}"""


def _add(
    writer: PdfWriter,
    reader: PdfReader,
    headings: list[str],
    page: Page,
    links: list,
) -> None:
    """Append the sheets of a page; its links are set when all are there."""
    start = page.sheet = len(writer.pages)
    named = reader.named_destinations
    places = {
        name: (start + reader.get_destination_page_number(place), place.top)
        for name, place in named.items()
    }
    for k, sheet in enumerate(reader.pages):
        for item in sheet.get("/Annots", []):
            note = item.get_object()
            action = note.get("/A", {})
            links.append(
                (start + k, note["/Rect"], places.get(note.get("/Dest")),
                 action.get("/URI"))
            )  # fmt: skip
        sheet.pop("/Annots", None)
    sheets = [start + sheet for sheet in _sheets(reader)]
    page.sections = list(zip(headings, sheets, strict=False))
    writer.append(reader, import_outline=False)


def _sheets(reader: PdfReader) -> Iterator[int]:
    """The sheets on which the sections below the title begin."""
    below = [item for item in reader.outline if isinstance(item, list)]
    for item in below[0] if below else []:
        if not isinstance(item, list):
            yield reader.get_destination_page_number(item)


def _connect(
    writer: PdfWriter, links: list, found: list[Page], address: str
) -> None:
    """Set the links anew: within this file, or to the world."""
    sheets = {page.name: page.sheet for page in found}
    for sheet, box, place, address_of in links:
        target, uri = None, None
        if place is not None:
            target = place
        elif address_of and str(address_of).startswith(address):
            name = str(address_of)[len(address) :].partition("#")[0]
            if name in sheets:
                target = (sheets[name], None)
            else:
                uri = str(address_of)
        elif address_of and not str(address_of).startswith("file:"):
            uri = str(address_of)
        if target is not None:
            number, top = target
            fit = Fit.fit() if top is None else Fit.xyz(top=float(top))
            link = Link(rect=box, target_page_index=number, fit=fit)
        elif uri is not None:
            link = Link(rect=box, url=uri)
        else:
            continue
        writer.add_annotation(sheet, link)


def _outline(writer: PdfWriter, found: list[Page]) -> None:
    """Parts, chapters and their sections as bookmarks."""
    part, parent = "", None
    for page in found:
        if page.part != part:
            part = page.part
            parent = writer.add_outline_item(
                title=part, page_number=page.sheet, is_open=True
            )
        item = writer.add_outline_item(
            title=page.title,
            page_number=page.sheet,
            parent=parent,
            is_open=False,
        )
        for title, sheet in page.sections:
            writer.add_outline_item(
                title=title, page_number=sheet, parent=item, is_open=False
            )


def _number(writer: PdfWriter, printer: Printer) -> None:
    """Print the number of each sheet at its foot."""
    sheet = '<div style="break-after: page">&nbsp;</div>'
    many = "<!doctype html><title>numbers</title>" + sheet * (
        len(writer.pages) - 1
    )
    foot = (
        '<div style="color:#555;font:8pt sans-serif;text-align:center;'
        'width:100%"><span class="pageNumber"></span></div>'
    )
    numbers = printer.text(many + "&nbsp;", foot)
    if len(numbers.pages) != len(writer.pages):
        raise RuntimeError("the numbers do not fit the pages")
    for page, number in zip(writer.pages, numbers.pages, strict=True):
        page.merge_page(number)


def main(folder: Path = HTML, target: Path = TARGET) -> Path:
    """Print the book; a half-written file never takes the name."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    told = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    found = pages(toc, folder)
    with chromium() as browser:
        printer = Printer(browser, folder, told["html"]["baseurl"])
        writer = join(printer, found)
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        writer.write(file)
    part.replace(target)
    return target


if __name__ == "__main__":
    done = main(*map(Path, sys.argv[1:]))
    print(f"The book: {done}")
