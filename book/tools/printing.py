"""Chromium prints a page of the built book: what `pdf.py` joins."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pypdf import PdfReader

FLAGS = [
    *("--no-sandbox", "--no-first-run", "--disable-background-networking"),
    # 3-D figures without a graphics card.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]
PAPER = {"width": 794, "height": 1123}  # A4 at 96 points per inch
MARGIN = {"top": "18mm", "bottom": "20mm", "left": "18mm", "right": "18mm"}
PATIENCE = 600_000  # ms for one page, on a machine that others use, too

# Paper cannot be asked: questions get their answers at the end of the page,
# and the cells that check a reader's answer stay away.
ASKED = """() => {
  for (const box of document.querySelectorAll("article .cell"))
    if (/^\\s*answer\\w* = \\.\\.\\.$/m.test(
      (box.querySelector(".cell_input") || {}).textContent)) box.remove();
  const told = [...document.querySelectorAll(".dldna-quiz")].flatMap(quiz => {
    const right = quiz.querySelector("input[data-says^='Right. ']");
    if (!right) return [];
    const row = document.createElement("li");
    row.textContent = quiz.querySelector("legend").textContent + " "
      + right.closest("label").textContent.trim() + ". "
      + right.dataset.says.slice(7);
    return [row];
  });
  if (!told.length) return;
  const end = document.createElement("section");
  end.className = "dldna-answers";
  end.innerHTML = "<h2>Answers to the questions</h2><ol></ol>";
  end.lastChild.append(...told);
  const all = document.querySelectorAll("article section > section > h2");
  const last = all.length && all[all.length - 1].parentNode;
  if (last) last.before(end);
}"""
# What moves becomes a picture; links name the page's public address. Returns
# the headings: those of Chromium's outline lose spaces, or come twice.
STILL = """async (site) => {
  const headings = [...document.querySelectorAll("article h2")]
    .filter(e => e.getClientRects().length)
    .map(e => [...e.childNodes].filter(n => n.className !== "headerlink")
      .map(n => n.textContent).join("").trim());
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
  return headings;
}"""


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

    def page(self, name: str) -> tuple[PdfReader, list[str]]:
        """One page of the book, and its sections' headings."""
        return self._print(self.folder / name)

    def text(self, markup: str, footer: str = "<span></span>") -> PdfReader:
        """A page of HTML that is not in the book."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.html"
            path.write_text(markup, encoding="utf-8")
            return self._print(path, footer)[0]

    def _print(
        self, path: Path, footer: str = "<span></span>"
    ) -> tuple[PdfReader, list[str]]:
        page = self.context.new_page()
        page.emulate_media(media="print")
        page.goto(path.as_uri(), wait_until="load")
        root = self.folder.as_uri() + "/"
        page.evaluate(ASKED)
        told = page.evaluate(STILL, {"root": root, "address": self.address})
        printed = page.pdf(
            format="A4", margin=MARGIN, scale=0.8, print_background=True,
            display_header_footer=True, header_template="<span></span>",
            footer_template=footer, outline=True, tagged=True,
        )  # fmt: skip
        page.close()
        return PdfReader(io.BytesIO(printed)), told
