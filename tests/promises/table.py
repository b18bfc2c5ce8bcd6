"""The table of the page *What we promise*, counted and not typed.

    python tests/promises/table.py           # print it
    python tests/promises/table.py --write   # put it into the page

The number of tests is pytest's own count of what it collects from the
files named; the cases that one test goes through are counted from its
tables. A test holds the page to what this prints.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from page import ROOT, write


@dataclass(frozen=True)
class Promise:
    """A row: what is promised, which tests hold it, what they brought."""

    words: str
    tests: tuple[str, ...]  # files under tests/, or file::part of a name
    mended: int = 0
    left: str = "none known"


PROMISES = (
    Promise(
        "A call that looks at a model leaves it, the data and the random "
        "states as they were, to the bit",
        ("promises/test_model_safety.py", "ground/test_guard.py",
         "landscape/test_surface.py::untouched",
         "landscape/test_evaluate_paths.py::untouched",
         "landscape/test_evaluate_slow.py::untouched"),
        mended=7,
        left="an attribute that a forward assigns, such as a counter of "
        "plain numbers, is not put back",
    ),
    Promise(
        "The explorer answers its own page alone: nothing without the token, "
        "nothing to another host or origin, no path or code from the page",
        ("explorer/test_served.py", "explorer/test_messages.py"),
    ),
    Promise(
        "Reading a file runs nothing; damaged and hostile files are "
        "refused in words",
        ("promises/test_files.py::hostile",
         "promises/test_files.py::in_a_way_that_runs",
         "promises/test_files.py::fill_the_memory",
         "promises/test_files.py::lies_about",
         "ground/test_records.py::unpickled",
         "ground/test_records.py::truncated",
         "training/test_checkpoint.py::truncated",
         "training/test_checkpoint.py::flipped_byte",
         "training/test_checkpoint.py::hostile",
         "data/test_cifar.py::damaged",
         "data/test_cifar.py::want_more",
         "data/test_cifar.py::arrays_of_objects"),
        mended=4,
        left="`weights_only=True` had holes of its own in torch: before 2.6 "
        "(CVE-2025-32434) and before 2.10 (CVE-2026-24747)",
    ),
    Promise(
        "Archives and broken images write nothing outside and stop early",
        ("data/test_folder.py::broken_images",
         "data/test_folder.py::huge_pictures",
         "data/test_folder.py::hostile_members",
         "data/test_folder.py::bombs",
         "data/test_folder.py::cut_archives"),
    ),
    Promise(
        "Only the download of a data set uses the network; the file arrives "
        "whole and checked, or not at all",
        ("promises/test_network.py", "data/test_download.py"),
        left="the check is an MD5: damage is found, forgery is not",
    ),
    Promise(
        "Names are escaped in HTML, PLY and VTK",
        ("promises/test_files.py::escaped",
         "pages/test_playground_page.py::leave_its_script",
         "export/test_export.py::hostile_names"),
    ),
    Promise(
        "A full disk, a folder that cannot be written and a second writer "
        "leave earlier results whole, and are named",
        ("promises/test_files.py::earlier_results",
         "promises/test_files.py::full_disk",
         "promises/test_files.py::two_",
         "ground/test_files.py::old_file",
         "ground/test_files.py::full_disk",
         "ground/test_files.py::is_a_file",
         "landscape/test_resume.py::second_process",
         "landscape/test_resume.py::twice",
         "data/test_download.py::cannot_be_written",
         "data/test_download.py::full_disk"),
        mended=3,
        left="a read-only file system is simulated",
    ),
    Promise(
        "Expressions are arithmetic, bounded and never run",
        ("promises/test_expressions.py",
         "ground/test_graph.py::malformed",
         "ground/test_graph.py::no_sense",
         "ground/test_graph.py::bounded",
         "ground/test_graph.py::or_refused"),
    ),
    Promise(
        "After kill -9 a job goes on and ends byte for byte as if it had "
        "not been killed",
        ("promises/test_kill.py",
         "training/test_checkpoint.py::kill",
         "landscape/test_resume.py::kill",
         "landscape/test_resume.py::dead_worker",
         "landscape/test_trajectory.py::kill",
         "data/test_download.py::killed"),
    ),
    Promise(
        "The oldest supported versions are the tested ones",
        ("book/test_versions.py",),
        mended=7,
        left="Adafactor and Muon came to torch later, and are compared with "
        "the newer torch only; tests that take more than ten seconds are "
        "left out, and one of them finds that torch 2.4 compiles the step "
        "of an optimizer in pieces: right, but slower",
    ),
    Promise(
        "A chapter that is run twice says the same numbers",
        ("promises/test_repeat.py",),
        mended=1,
        left="on another number of threads, or other hardware, digits may "
        "differ: see Repeatability below",
    ),
    Promise(
        "A sentence with a ✓ is asserted in its page, and the assertion "
        "fails on results that would refute it",
        ("book/test_claims.py", "book/test_ledger.py",
         "book/test_claims_page.py"),
        left="none known",
    ),
    Promise(
        "\"Better\", \"not separated\" and \"cannot be told apart\" are words "
        "of one test, whose level and power are known",
        ("training/test_statistics.py",),
        left="a t test, where there are too few runs for a permutation "
        "test, trusts that scores are spread like a bell",
    ),
    Promise(
        "No rate is chosen on the numbers that are reported, nor at the "
        "edge of its grid",
        ("training/test_statistics.py::rate",
         "training/test_statistics.py::grid",
         "data/test_sources.py::validation_part"),
        left="the functions are held, not that each chapter uses them",
    ),
    Promise(
        "Every reader's pages are made from the same images, whatever is on "
        "disk",
        ("data/test_sources.py::clothes",
         "data/test_sources.py::whatever_is_on_disk"),
    ),
    Promise(
        "What a box says of another text is what was kept of that text, and "
        "the text is named",
        ("book/test_print.py",),
        left="the texts themselves are not part of this repository",
    ),
)  # fmt: skip


FILES = sorted({t.partition("::")[0] for p in PROMISES for t in p.tests})


def collected() -> list[str]:
    """Names of all tests in the files that are named, as pytest says."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q",
         "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib",
         *(f"tests/{name}" for name in FILES)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = [line for line in done.stdout.splitlines() if "::" in line]
    if done.returncode or not names:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return names


def count(promise: Promise, names: list[str]) -> int:
    """Tests that hold a promise, each once."""
    found = set()
    for test in promise.tests:
        file, _, part = test.partition("::")
        mine = {n for n in names if n.startswith(f"tests/{file}::")
                and part in n.partition("::")[2]}  # fmt: skip
        if not mine:
            raise ValueError(f"{test} names no test")
        found |= mine
    return len(found)


def inside() -> str:
    """How much the tests of the first row go through."""
    from calls import CALLS
    from menagerie import KINDS

    return (
        f"The first row makes {len(CALLS)} calls on {len(KINDS)} kinds of "
        f"models, {len(CALLS) * len(KINDS):,} pairs: a strange model may be "
        "refused, but not changed. Then each call is broken off on one or "
        "two of these kinds: at calls of the model, and at moments spread "
        "over all its torch operations, by an error and by Ctrl-C. A public "
        "call that takes a model and is not among them fails a test."
    )


def table(names: list[str] | None = None) -> str:
    """Rows in Markdown, and what they go through."""
    names = collected() if names is None else names
    lines = [
        "| promise | tests | how many | found and mended | left |",
        "|---|---|---:|---:|---|",
    ]
    for p in PROMISES:
        files = dict.fromkeys(t.partition("::")[0] for t in p.tests)
        where = ", ".join(f"`{name}`" for name in files)
        lines.append(
            f"| {p.words} | {where} | {count(p, names)} | {p.mended} "
            f"| {p.left} |"
        )
    return "\n".join([*lines, "", inside()])


def main() -> None:
    made = table()
    if "--write" in sys.argv:
        write("counted", made)
    print(made)


if __name__ == "__main__":
    main()
