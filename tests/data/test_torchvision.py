"""The import of torchvision, whole, mismatched, broken and absent."""

import os
import subprocess
import sys
import textwrap

import pytest

STUBS = {
    "whole": "datasets = 'whole'",
    "mismatched": """
        import torch
        # what torchvision's own code does with its missing operators
        torch.library.register_fake("torchvision::nms")(lambda *a: None)
        torch.library.register_fake("torchvision::qnms")(lambda *a: None)
        datasets = 'mended'
        """,
    "broken": "raise RuntimeError('something else is wrong')",
    "absent": "raise ImportError('no such thing')",
}
SAY = """
    from dldna import _torchvision as room
    try:
        found = room.torchvision('a test')
        print(found.datasets, len(room._kept))
        print(room.torchvision().datasets)
    except ImportError as error:
        print('ImportError:', error)
    """


def run(code, path=""):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("whole", "whole 0\nwhole"),
        ("mismatched", "mended 1\nmended"),
        ("broken", "ImportError: a test needs torchvision, which is inst"),
        ("absent", "ImportError: a test needs 'torchvision'"),
    ],
)
def test_each_kind_of_torchvision(kind, says, tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(STUBS[kind]))
    assert run(SAY, tmp_path).startswith(says)


def test_the_one_installed_here_works():
    code = """
    import gc
    import torch
    from dldna._torchvision import torchvision
    tv = torchvision()
    gc.collect()
    net = tv.models.resnet18(num_classes=10).eval()
    print(tuple(net(torch.zeros(1, 3, 32, 32)).shape))
    print(tv.transforms.Normalize((0.5,), (0.5,))(torch.zeros(1, 2, 2)).sum())
    print(tv.datasets.FashionMNIST.__name__)
    """
    assert run(code).split("\n")[:3] == [
        "(1, 10)",
        "tensor(-4.)",
        "FashionMNIST",
    ]
