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
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "dldna.pdf"
FLAGS = [
    *("--no-sandbox", "--no-first-run", "--disable-background-networking"),
    # 3-D figures without a graphics card.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]
PAPER = {"width": 794, "height": 1123}  # A4 at 96 points per inch
MARGIN = {"top": "18mm", "bottom": "20mm", "left": "18mm", "right": "18mm"}
TITLE = r"<title>(.*?)(?: &#8212; .*)?</title>"
PATIENCE = 600_000  # ms for one page, on a machine that others use, too

# What moves becomes a picture; links name the page's public address.
STILL = """async (site) => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  window.dispatchEvent(new Event("beforeprint"));
  const pause = () => new Promise(done => setTimeout(done, 50));
  for (const box of document.querySelectorAll(".dldna-plotly")) {
    while (!box.dataset.drawn) await pause();
    if (box.dataset.drawn !== "yes") continue;
    const picture = document.createElement("img");
    picture.src = await Plotly.toImage(box, {
      format: "png", scale: 2, width: 680, height: box.clientHeight || 460});
    picture.alt = box.getAttribute("aria-label") || "";
    picture.style.width = "100%";
    box.replaceWith(picture);
  }
  for (const image of document.images)
    if (image.getClientRects().length) image.loading = "eager";
  while ([...document.images].some(
    e => e.getClientRects().length && !e.complete)) await pause();
  const root = new URL(site.root), here = location.href.split("#")[0];
  for (const link of document.querySelectorAll("a[href]")) {
    const to = link.href;
    if (to.startsWith(root.href) && to.split("#")[0] !== here)
      link.href = site.address + to.slice(root.href.length);
  }
}"""


@dataclass
class Page:
    """One page of the book, and where it came to lie.

    Args:
        name: its file, below the folder of the built book.
        title: as the table of contents calls it.
        part: the caption of its part; "" for the first page.
        sheet: the number of its first sheet, from 0.
        ends: headings of the page for the outline: level, title, sheet.
    """

    name: str
    title: str
    part: str = ""
    sheet: int = 0
    ends: list = field(default_factory=list)


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


# --- printing ------------------------------------------------------------


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window.

    Raises:
        SystemExit: there is none.
    """
    from playwright.sync_api import sync_playwright

    wanted = os.environ.get("CHROMIUM", "chromium")
    path = shutil.which(wanted) or shutil.which("chromium-browser")
    if path is None:
        raise SystemExit(
            "Chromium prints the book, and was not found: apt install "
            "chromium, or name one by the variable CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Printer:
    """Prints pages of a built book.

    Args:
        browser: playwright's Chromium.
        folder: the built book.
        address: where the book lies in public.
    """

    def __init__(self, browser: Any, folder: Path, address: str):
        self.folder, self.address = folder, address
        self.context = browser.new_context(
            viewport=PAPER, color_scheme="light", reduced_motion="reduce"
        )
        self.context.set_offline(True)
        self.context.set_default_timeout(PATIENCE)

    def page(self, name: str) -> PdfReader:
        """One page of the book, with an outline of its headings."""
        return self._print(self.folder / name)

    def text(self, markup: str, footer: str = "<span></span>") -> PdfReader:
        """A page of HTML that is not in the book."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.html"
            path.write_text(markup, encoding="utf-8")
            return self._print(path, footer)

    def _print(self, path: Path, footer: str = "<span></span>") -> PdfReader:
        page = self.context.new_page()
        page.emulate_media(media="print")
        page.goto(path.as_uri(), wait_until="load")
        root = self.folder.as_uri() + "/"
        page.evaluate(STILL, {"root": root, "address": self.address})
        printed = page.pdf(
            format="A4", margin=MARGIN, scale=0.8, print_background=True,
            display_header_footer=True, header_template="<span></span>",
            footer_template=footer, outline=True, tagged=True,
        )  # fmt: skip
        page.close()
        return PdfReader(io.BytesIO(printed))


# --- joining -------------------------------------------------------------


def join(printer: Printer, found: list[Page]) -> PdfWriter:
    """The book: first page, contents, and all the others, with numbers."""
    writer, links = PdfWriter(), []
    first, *others = found
    _add(writer, printer.page(first.name), first, links)
    # Their page numbers are not known yet, their length is.
    table = Page("", "Contents", sheet=len(writer.pages))
    blank = printer.text(contents(others, printer.address))
    ahead = table.sheet + len(blank.pages)
    printed = []
    for page in others:
        printed.append(printer.page(page.name))
        page.sheet = ahead
        ahead += len(printed[-1].pages)
        print(f"  {page.sheet + 1:4d}  {page.title}", flush=True)
    filled = printer.text(contents(others, printer.address))
    _add(writer, filled, table, links)
    table.ends = []
    for page, reader in zip(others, printed, strict=True):
        _add(writer, reader, page, links)
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


def _add(writer: PdfWriter, reader: PdfReader, page: Page, links: list):
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
    page.ends = list(_headings(reader, start))
    writer.append(reader, import_outline=False)


def _headings(reader: PdfReader, start: int) -> Iterator[tuple[str, int]]:
    """Titles below the page's own, one level deep, and their sheets."""
    below = [item for item in reader.outline if isinstance(item, list)]
    for item in below[0] if below else []:
        if not isinstance(item, list):
            number = reader.get_destination_page_number(item)
            yield str(item.title), start + number


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
        for title, sheet in page.ends:
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
