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
# Each kind finds neither torchvision nor what our module knows of it.
SAY = """
    import importlib, sys
    import dldna
    for kind in sys.argv[1:]:
        sys.path.insert(0, kind)
        for name in ("torchvision", "dldna._torchvision"):
            sys.modules.pop(name, None)
        room = importlib.import_module("dldna._torchvision")
        try:
            found = room.torchvision('a test')
            print(found.datasets, len(room._kept), end=" ")
            print(room.torchvision().datasets)
        except ImportError as error:
            print('ImportError:', error)
        sys.path.remove(kind)
    """
SAID = {
    "whole": "whole 0 whole",
    "mismatched": "mended 1 mended",
    "broken": "ImportError: a test needs torchvision, which is inst",
    "absent": "ImportError: a test needs 'torchvision'",
}


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
        + [str(one) for one in arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_kind_of_torchvision(tmp_path):
    for kind, stub in STUBS.items():
        package = tmp_path / kind / "torchvision"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(textwrap.dedent(stub))
    lines = run(SAY, *(tmp_path / kind for kind in STUBS)).splitlines()
    for (kind, says), line in zip(SAID.items(), lines, strict=True):
        assert line.startswith(says), kind


@pytest.mark.full
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
