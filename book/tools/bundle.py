"""Pack the built book for a class without a network.

    python book/tools/bundle.py        writes _build/dldna-VERSION.zip

Inside: the pages, the chapters' notebooks with and without solutions, the
data that may be handed on, the package's own wheel, and the exact list of
packages to fetch beforehand.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import dldna
from dldna.files import cache_folder

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
FASHION = "FashionMNIST/raw"  # MIT License, Zalando Research

READ_ME = """dldna {version}: the book for a class without a network
{line}

book/index.html      the book; open it in a browser
notebooks/           the chapters
student/             the chapters without solutions
data/                {data}
wheels.txt           what to fetch while there still is a network:

    pip download -d wheels -r wheels.txt

and in the class, on the same kind of machine and Python {python}:

    pip install --no-index --find-links wheels -r wheels.txt
    pip install --no-index --no-deps {wheel}
    DLDNA_DATA=$PWD/data jupyter lab
"""


def wheels() -> str:
    """What is installed here, pinned: the same numbers in the class."""
    found = {
        f"{item.metadata['Name']}=={item.version.partition('+')[0]}"
        for item in metadata.distributions()
        if item.metadata["Name"] not in (None, "dldna", "pip")
    }
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def own_wheel(folder: Path) -> Path:
    stale = ROOT / "build"  # setuptools would take old files from it
    shutil.rmtree(stale, ignore_errors=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet"),
            *("--no-deps", "--wheel-dir", str(folder), str(ROOT)),
        ],
        check=True,
    )
    shutil.rmtree(stale, ignore_errors=True)
    return next(folder.glob("dldna-*.whl"))


def pack(target: Path, wheel: Path) -> Path:
    """Write the zip; a half-written one never takes the name."""
    data = sorted((cache_folder() / FASHION).glob("*-ubyte.gz"))
    text = READ_ME.format(
        version=dldna.__version__,
        line="=" * (45 + len(dldna.__version__)),
        data="Fashion-MNIST (MIT License)"
        if data
        else "the chapters' images are inside the package; the full set was "
        "not on disk",
        python=".".join(map(str, sys.version_info[:2])),
        wheel=wheel.name,
    )
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", text)
        bundle.writestr("wheels.txt", wheels())
        bundle.write(wheel, wheel.name)
        bundle.write(ROOT / "LICENSE", "LICENSE")
        for path in sorted(HTML.rglob("*")):
            if path.is_file():
                bundle.write(path, f"book/{path.relative_to(HTML)}")
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            bundle.write(path, f"notebooks/{path.name}")
        for path in sorted((HTML / "student").glob("*.ipynb")):
            bundle.write(path, f"student/{path.name}")
        for path in data:
            bundle.write(path, f"data/{FASHION}/{path.name}")
    return part.replace(target)


def main() -> int:
    if not (HTML / "index.html").is_file():
        print("The book is not built: first `make book`.")
        return 1
    target = ROOT / "_build" / f"dldna-{dldna.__version__}.zip"
    with tempfile.TemporaryDirectory() as folder:
        pack(target, own_wheel(Path(folder)))
    size = target.stat().st_size / 1e6
    print(f"The bundle: {target.relative_to(ROOT)} ({size:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
