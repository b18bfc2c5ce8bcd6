"""Warnings point at the reader's line, from any depth."""

import functools
from pathlib import Path

import pytest
import torch

from dldna import checks


def test_a_warning_points_at_the_line_that_called(recwarn):
    with pytest.warns(UserWarning, match="gap") as seen:
        checks.warn("mind the gap")
    assert [w.filename for w in seen] == [__file__]


@pytest.mark.parametrize("name", ["dldna-course", "dldna_mine", "dldna.d"])
def test_a_readers_folder_may_begin_as_ours_does(name):
    """Beside the package, as where the repository is cloned."""
    home = Path(checks.__file__).parent.with_name(name) / "cell.py"
    source = compile("checks.warn('mine')", str(home), "exec")
    with pytest.warns(UserWarning, match="mine") as seen:
        exec(source, {"checks": checks})
    assert [w.filename for w in seen] == [str(home)]


@pytest.mark.parametrize("depth", [1, 3])
def test_frames_of_the_package_and_of_torch_are_left_out(depth, tmp_path):
    """A function compiled as one of the package's files, decorated."""
    names = {"checks": checks, "torch": torch}
    home = checks.__file__.replace("checks.py", "somewhere/deep.py")
    source = (
        "@torch.no_grad()\n"
        "def call(n):\n"
        "    return checks.warn('deep') if n == 1 else call(n - 1)\n"
    )
    exec(compile(source, home, "exec"), names)
    with pytest.warns(UserWarning, match="deep") as seen:
        functools.partial(names["call"], depth)()
    assert [w.filename for w in seen] == [__file__]
