"""Build what is given away, look at it, install it, and use it.

    python tests/dist.py        # make dist

The source archive and the wheel are built, the wheel from the archive, into
``dist/``. What is in them is compared with the folder. The wheel, not the
folder, is then installed into an empty environment, whose other packages
are borrowed from this one, and runs there, away from the folder, the first
example of the README, the command line, and an exercise.
"""

import email
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {".py", ".html", ".js", ".css", ".json", ".csv", ".npz", ".txt"}
BUILD = "from setuptools import build_meta as b; print(b.build_{}({!r}))"

# What must hold after the first example of the README.
AFTER = """
import dldna, pathlib, sys
from dldna.exercises import check
assert pathlib.Path(dldna.__file__).is_relative_to(sys.prefix), dldna.__file__
assert picture.evaluated.all() and pathlib.Path("surface.npz").exists()
assert pathlib.Path("surface.png").stat().st_size > 10_000
assert check("how_to_use-ex1", 0.064)
assert not check("how_to_use-ex1", 0.4)
from dldna import plotting
assert "<script" in plotting.playground("golden").html
assert picture.to_html("surface.html").stat().st_size > 10_000
import dldna.chapter_04.utils.data
from dldna.chapter_05.visualization.loss_surface import xy_perturb_loss
from dldna.plotting.show import table_html
from dldna.stored import names, stored
for name in names():
    stored(name)
"""


def run(*command, cwd=ROOT, **more) -> str:
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True,
        check=False, **more,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(target: Path) -> tuple[Path, Path]:
    """The source archive, and the wheel that is built from it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        for name in ("pyproject.toml", "README.md", "LICENSE", "dldna"):
            kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy.mkdir(exist_ok=True)
            kind(ROOT / name, copy / name)
        run(sys.executable, "-c", BUILD.format("sdist", str(target)), cwd=copy)
        [archive] = target.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        inside = Path(place) / archive.name.removesuffix(".tar.gz")
        run(sys.executable, "-c", BUILD.format("wheel", str(target)),
            cwd=inside)  # fmt: skip
    [wheel] = target.glob("*.whl")
    return archive, wheel


def look(archive: Path, wheel: Path) -> None:
    """Each holds the whole package and nothing else; its card is complete."""
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dldna").rglob("*")
        if path.suffix in SHIPPED and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as packed:
        names = {n for n in packed.namelist() if ".dist-info/" not in n}
        [card] = [n for n in packed.namelist() if n.endswith("/METADATA")]
        card = email.message_from_bytes(packed.read(card))
    with tarfile.open(archive) as packed:
        source = {n.partition("/")[2] for n in packed.getnames()}
    assert names == wanted, sorted(names ^ wanted)
    assert wanted | {"README.md", "LICENSE", "pyproject.toml"} <= source
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "dldna" / "__init__.py").read_text()
    version = re.search(r'^__version__ = "(.*)"$', text, re.MULTILINE)[1]
    assert (card["Name"], card["Version"]) == ("dldna", version)
    assert version in wheel.name
    assert version in archive.name
    assert card["Summary"] == project["description"]
    assert card["Requires-Python"] == project["requires-python"]
    assert (
        card.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    )
    assert set(card.get_all("Provides-Extra")) == set(
        project["optional-dependencies"]
    )


def use(wheel: Path) -> None:
    """Install it into an empty environment, and work with it there."""
    with tempfile.TemporaryDirectory() as place:
        home, desk = Path(place) / "env", Path(place) / "desk"
        desk.mkdir()
        venv.create(home, with_pip=False)
        python = next(home.glob("bin/python")), "-I"
        run(sys.executable, "-m", "pip", "--python", home, "install",
            "--quiet", "--no-deps", "--no-index", wheel)  # fmt: skip
        # The others' packages come from here, after its own: of dldna there
        # is nothing but the wheel.
        [own] = home.glob("lib/python*/site-packages")
        there = [p for p in site.getsitepackages() if Path(p).is_dir()]
        (own / "others.pth").write_text(
            "".join(f"import sys; sys.path.append({p!r})\n" for p in there)
        )
        readme = (ROOT / "README.md").read_text()
        example = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
        run(*python, "-c", example + AFTER, cwd=desk)
        said = run(home / "bin" / "dldna", "--version", cwd=desk)
        assert said.startswith("dldna ")
        run(home / "bin" / "dldna", "landscape", "--help", cwd=desk)
        run(*python, "-m", "dldna.cli", "--help", cwd=desk)


def main() -> None:
    archive, wheel = build(ROOT / "dist")
    look(archive, wheel)
    use(wheel)
    print(f"built, looked at and used: dist/{archive.name} {wheel.name}")


if __name__ == "__main__":
    main()
