"""The repository's texts: nobody's machine, no outputs, modest sizes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERS = ("book/_vendor/", "tests/pages/vendor/")
# Someone's own folders; and registries, whose choice is the reader's.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/"
    r"|pypi\.o" + "rg|python" + "hosted|registry\\.npmjs|anaconda\\.org"
)


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    out = subprocess.run(
        [git, "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    names = [name for name in out.split("\0") if name]
    return [
        ROOT / name
        for name in names
        if not name.startswith(OTHERS) and (ROOT / name).is_file()
    ]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            found.append((path, data.decode("utf-8")))
    return found


def test_no_text_names_a_machine_s_folders_or_a_registry():
    bad = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if (match := FOREIGN.search(text))
    ]
    assert not bad


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /ho" + "me/ann/x", True),
        ("open /ro" + "ot/.cache", True),
        ("https://a.b/wo" + "rk/x", False),
        ("_build/html", False),
    ],
)
def test_the_search_for_folders_works(text, found):
    assert bool(FOREIGN.search(text)) is found


def test_nothing_built_is_committed():
    names = [path.relative_to(ROOT).as_posix() for path in tracked()]
    for name in names:
        assert not name.startswith(("_build/", ".venv/", "dist/"))
        assert "__pycache__" not in name
        assert ".ipynb_checkpoints" not in name


def test_files_are_small():
    for path in tracked():
        # The book's own images: the one large file, kept for every reader.
        most = 6_000_000 if path.name == "clothes.npz" else 1_000_000
        assert path.stat().st_size < most, path


def test_licences_come_with_the_scripts_of_others():
    for folder in OTHERS:
        for package in (ROOT / folder).iterdir():
            if package.is_dir():
                assert (package / "LICENSE").is_file(), package
