"""The oldest versions that are tested are the oldest that are promised."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Bare in pyproject.toml: its versions follow torch's.
FOLLOWS_TORCH = {"torchvision"}
# Not ours: held back for the old releases of others.
HELD_BACK = {"pyparsing"}


def bounds():
    """Lower bounds and pins of pyproject.toml, by lower-case name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    rooms = ("data", "science", "interactive", "scales", "topology",
             "parallel", "hessian", "checkpoints", "explore",
             "test")  # fmt: skip
    lines = [*project["dependencies"], *(x for k in rooms for x in extras[k])]
    found = {}
    for line in lines:
        match = re.match(r"([\w-]+)[>=]=([\d.]+)", line)
        if match:
            found[match[1].lower()] = match[2]
    return found


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    return [re.match(r"([\w-]+)(?:==([\d.]+))?", line) for line in names]


def test_the_oldest_versions_are_the_lower_bounds():
    known = bounds()
    for match in pins("requirements-oldest.txt"):
        name, version = match[1].lower(), match[2]
        if name in FOLLOWS_TORCH | HELD_BACK:
            continue
        assert version == known[name] or version.startswith(
            known[name] + "."
        ), f"{name}: {version} is tested, {known[name]} is promised"


def test_both_ends_name_the_same_packages():
    old, new = (
        {m[1].lower() for m in pins(f"requirements-{end}.txt")}
        for end in ("oldest", "newest")
    )
    core = {"torch", "numpy", "matplotlib", "tqdm"}
    assert core <= old
    assert core <= new
    assert old - HELD_BACK <= new
