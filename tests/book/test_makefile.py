"""The two commands at the top of the README, and the others."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = (
    *("help", "book", "book-instructor", "test", "test-full"),
    *("test-libraries", "test-pages", "test-kill", "test-load"),
    *("test-repeat", "test-oldest", "test-newest"),
    *("test-gpu", "coverage", "lint", "dist", "serve", "bench", "pdf"),
    *("bundle", "clean"),
)


def make(folder, *arguments, **environment):
    found = shutil.which("make")
    if found is None:
        pytest.skip("make is not installed")
    return subprocess.run(
        [found, "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": environment.pop("PATH", "/usr/bin:/bin")} | environment,
    )


@pytest.fixture
def shell(tmp_path):
    """The outer shell alone: nothing is set up."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


def test_help_is_the_default_and_names_every_target(shell):
    out = make(shell).stdout
    assert out == make(shell, "help").stdout
    assert tuple(re.findall(r"^  ([\w-]+) ", out, re.MULTILINE)) == TARGETS


def test_an_old_python_is_refused_in_words(shell):
    fake = shell / "bin"
    fake.mkdir()
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        (fake / name).write_text("#!/bin/sh\nexit 1\n")
        (fake / name).chmod(0o755)
    done = make(shell, "environment", PATH=f"{fake}:/usr/bin:/bin")
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stdout
    assert not (shell / ".venv").exists()


def test_set_up_happens_again_only_when_requirements_change(shell):
    def plan():
        return make(shell, "-n", "book").stdout

    assert "Installing" in plan()
    stamp = re.search(r"touch (\S+)", plan())[1]
    (shell / stamp).parent.mkdir()
    (shell / stamp).touch()
    assert "Installing" not in plan()
    with (shell / "requirements.txt").open("a") as file:
        file.write("one-more\n")
    assert "Installing" in plan()


def test_torch_is_installed_first_and_alone(shell):
    plan = make(shell, "-n", "book").stdout
    steps = re.findall(r"pip install --quiet (.*)$", plan, re.MULTILINE)
    assert "^torch==" in steps[0]
    assert steps[1] == "-r requirements.txt"
    assert steps[2] == "--no-deps -e ."
