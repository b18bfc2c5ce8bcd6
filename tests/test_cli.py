"""The command line: results, resuming, and errors without tracebacks."""

import argparse
import importlib
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from dldna import __version__
from dldna.cli import arguments, main, shared_words
from dldna.data import load
from dldna.models import make
from dldna.records import Surface


@pytest.fixture
def net(tmp_path):
    """A checkpoint of a tiny network for the plane."""
    model = make("mlp", in_shape=(2,), num_classes=2, hidden=[8])
    torch.save(model.state_dict(), tmp_path / "net.pth")
    code = (
        "from dldna.models import make\n"
        "def net():\n"
        "    return make('mlp', in_shape=(2,), num_classes=2, hidden=[8])\n"
        "number = 3\n"
    )
    (tmp_path / "mine.py").write_text(code)
    return tmp_path


def call(folder, *more, checkpoint="net.pth", grid="5"):
    return main(
        [
            "landscape", f"{folder}/mine.py:net",
            *(f"{folder}/{name}" for name in checkpoint.split()),
            "--data", "moons", "--grid", grid, "--out", f"{folder}/o",
            *more,
        ]
    )  # fmt: skip


def test_one_command_makes_a_surface(net, capsys):
    formats = ("html", "ply", "vtp", "vti", "csv")
    assert call(net, "--export", *formats) == 0
    out = capsys.readouterr().out
    assert "The centre" in out
    s = Surface.load(net / "o" / "surface.npz")
    assert s.losses.shape == (5, 5)
    assert s.provenance.n_samples == 960
    assert s.provenance.data == "moons (train)"
    assert "accuracy" in s.metrics
    for name in formats:
        assert (net / "o" / f"surface.{name}").exists()
    assert "parameters" in (net / "o" / "report.txt").read_text()
    data = load("moons")
    model = make("mlp", in_shape=(2,), num_classes=2, hidden=[8])
    model.load_state_dict(torch.load(net / "net.pth", weights_only=True))
    with torch.no_grad():
        want = torch.nn.functional.cross_entropy(
            model(data.train_x), data.train_y
        )
    assert s.centre_loss == pytest.approx(want.item(), rel=1e-5)


def test_plan_only_tells_the_cost(net, capsys):
    assert call(net, "--plan", grid="40x25") == 0
    out = capsys.readouterr().out
    assert "1000 points x 960 of 960 samples" in out
    assert not (net / "o" / "surface.npz").exists()


def test_it_goes_on_after_a_budget_of_points(net, capsys):
    assert call(net, "--budget", "20points", grid="15") == 0
    assert "the same command goes on" in capsys.readouterr().out
    first = Surface.load(net / "o" / "surface.npz")
    assert 0 < first.evaluated.sum() <= 20
    assert call(net, "--plan", grid="15") == 0
    assert "points found" in capsys.readouterr().out
    assert call(net, grid="15") == 0
    whole = Surface.load(net / "o" / "surface.npz")
    assert whole.evaluated.all()
    done = first.evaluated
    assert np.array_equal(whole.losses[done], first.losses[done])


@pytest.mark.parametrize(
    ("extent", "ends"),
    [
        ("-0.5:1.5", (-0.5, 1.5, -0.5, 1.5)),
        ("-.5:.5,-2:2", (-0.5, 0.5, -2.0, 2.0)),
    ],
)
def test_an_extent_may_begin_with_a_minus(net, extent, ends):
    assert call(net, "--extent", extent) == 0
    s = Surface.load(net / "o" / "surface.npz")
    found = [*s.alphas[[0, -1]], *s.betas[[0, -1]]]
    assert found == pytest.approx(ends)


def test_directions_towards_checkpoints(net):
    for i in (1, 2):
        torch.manual_seed(i)
        state = torch.load(net / "net.pth", weights_only=True)
        state = {k: v + torch.randn_like(v) for k, v in state.items()}
        torch.save({"model": state}, net / f"b{i}.pth")
    three = "net.pth b1.pth b2.pth"
    words = ["--directions", "checkpoints", "--extent=-1:1"]
    assert call(net, *words, checkpoint=three) == 0
    s = Surface.load(net / "o" / "surface.npz")
    one = Surface.load(net / "o" / "surface.npz").losses[4, 2]
    (net / "o2").mkdir()
    assert call(net, "--out", f"{net}/o2", checkpoint="b1.pth") == 0
    want = Surface.load(net / "o2" / "surface.npz").centre_loss
    assert one == pytest.approx(want, rel=1e-4)
    assert s.directions == ["towards checkpoint 1", "towards checkpoint 2"]


def test_pca_of_checkpoint_files(net):
    (net / "run").mkdir()
    state = torch.load(net / "net.pth", weights_only=True)
    for i in range(11):
        torch.manual_seed(i)
        state = {k: v + 0.1 * torch.randn_like(v) for k, v in state.items()}
        torch.save(state, net / "run" / f"net-epoch{i}.pth")
    assert call(net, "--directions", "pca", checkpoint="run") == 0
    s = Surface.load(net / "o" / "surface.npz")
    assert s.path_coords.shape == (11, 2)
    np.testing.assert_allclose(s.path_coords[-1], 0, atol=1e-5)
    assert "explained" in s.provenance.notes
    # Again: everything is found, the directions too.
    assert call(net, "--directions", "pca", checkpoint="run") == 0
    again = Surface.load(net / "o" / "surface.npz")
    assert again.provenance.notes["tiles"]["found"] > 0
    assert np.array_equal(again.losses, s.losses)


def test_hessian_directions_are_kept_for_resuming(net):
    assert call(net, "--directions", "hessian", "--limit", "100") == 0
    file = net / "o" / "directions.npz"
    before = file.read_bytes()
    assert call(net, "--directions", "hessian", "--limit", "100") == 0
    assert file.read_bytes() == before
    s = Surface.load(net / "o" / "surface.npz")
    assert "eigenvalue" in s.provenance.notes["directions"][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--directions", "hesian"], "did you mean 'hessian'"),
        (["--directions", "pca", "--out", "/dev/null"], "is a file"),
        (["--directions", "checkpoints"], "three checkpoint files"),
        (["--statistics", "evla"], "did you mean 'eval'"),
        (["--dtype", "float2"], "did you mean"),
        (["--loss", "cros_entropy"], "did you mean 'cross_entropy'"),
        (["--export", "htm"], "did you mean 'html'"),
        (["--scale", "lg"], "did you mean 'log'"),
        (["--data", "mons"], "did you mean 'moons'"),
        (["--data", "digits"], "centre|shape|mat1|size"),
        (["--limit", "0"], "at least 1"),
        (["--extent", "1:2"], "must lie in the extent"),
        (["--loss", "mine.py:nothing"], "no file mine.py"),
        (["--device", "cuda"], "no CUDA device"),
    ],
)
def test_errors_are_one_line_and_helpful(net, capsys, words, says):
    if words[0] == "--device" and torch.cuda.is_available():
        pytest.skip("there is one here")
    assert call(net, *words) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(says, error)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no checkpoint at"),
        (b"", "damaged"),
        (b"nonsense", "damaged"),
        ({"a": torch.zeros(1)}, "does not fit"),
        ([1], "no state dict"),
    ],
)
def test_bad_checkpoints(net, capsys, content, says):
    if isinstance(content, bytes):
        (net / "bad.pth").write_bytes(content)
    elif content is not None:
        torch.save(content, net / "bad.pth")
    assert call(net, checkpoint="bad.pth") == 1
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("mpl", "did you mean 'mlp'"),
        ("nowhere:make", "No module named 'nowhere'"),
        ("mine.py:number", "TypeError|not callable|int"),
    ],
)
def test_bad_models(net, capsys, monkeypatch, model, says):
    monkeypatch.chdir(net)
    words = ["landscape", model, "--data", "moons", "--out", "o"]
    assert main(words) == 1
    assert re.search(says, capsys.readouterr().err)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["landscape"],
        ["landscap", "mlp"],
        ["landscape", "mlp", "--data", "moons", "--grid", "4y4"],
        ["landscape", "mlp", "--data", "moons", "--budget", "long"],
        ["landscape", "mlp", "--data", "moons", "--budget", "0s"],
        ["landscape", "mlp", "--data", "moons", "--extent", "a:b"],
    ],
)
def test_what_makes_no_sense_is_exit_code_2(words, capsys):
    assert main(words) == 2
    both = capsys.readouterr()
    assert "usage" in both.err + both.out


def test_another_job_in_the_same_folder_is_refused(net, capsys):
    assert call(net) == 0
    assert call(net, "--seed", "1") == 1
    assert "other directions" in capsys.readouterr().err


def test_a_file_of_ones_own_takes_no_module_s_place(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    other, mine = sys.modules["random"], "only_in_this_test"
    for name in ("random", mine):
        (tmp_path / f"{name}.py").write_text("class Thing:\n    pass\n")
        made = arguments.thing(f"{tmp_path}/{name}.py:Thing")
        assert sys.modules[made.__module__].Thing is made
    assert sys.modules["random"] is other
    # as another process with this path does
    monkeypatch.delitem(sys.modules, mine)
    assert importlib.import_module(mine).__file__ == str(
        tmp_path / f"{mine}.py"
    )


def test_ctrl_c_is_130(net, capsys, monkeypatch):
    import dldna.landscape

    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dldna.landscape, "surface", stopped)
    assert call(net) == 130
    assert "kept" in capsys.readouterr().err


@pytest.mark.full
def test_version_and_help_from_a_shell():
    for words, code, says in (
        (["--version"], 0, f"dldna {__version__}"),
        (["landscape", "--help"], 0, "--budget"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "dldna.cli", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert says in done.stdout


@pytest.mark.parametrize(
    ("word", "package"), [("hf:gpt2", "transformers"), ("timm:vit", "timm")]
)
def test_networks_of_packages_that_are_missing(
    word, package, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("dldna._torchvision.torchvision", lambda: None)
    monkeypatch.setitem(sys.modules, package, None)
    words = ["--data", "moons", "--out", str(tmp_path / "o")]
    assert main(["landscape", word, *words]) == 1
    said = capsys.readouterr().err
    assert f"needs '{package}'" in said
    assert 'pip install "dldna[libraries]"' in said
    assert main(["landscape", word.partition(":")[0] + ":", *words]) == 1
    assert "names no network" in capsys.readouterr().err


def test_a_network_with_its_own_loss(tmp_path, monkeypatch, capsys):
    """By a stand-in for the package that makes it."""

    class Net(torch.nn.Module):
        main_input_name = "pixel_values"

        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(2, 2)

        def forward(self, pixel_values, labels):
            z = self.a(pixel_values)
            loss = torch.nn.functional.cross_entropy(z, labels)
            return {"loss": 3 * loss, "logits": z}

    from dldna.cli import library_models

    torch.manual_seed(0)
    made = Net()
    monkeypatch.setattr(library_models, "library_model", lambda *given: made)
    words = ["--data", "moons", "--grid", "3", "--limit", "40"]
    out = tmp_path / "o"
    call = ["landscape", "hf:anything", *words, "--out", str(out)]
    assert main(call) == 0
    assert "at its initial weights" in capsys.readouterr().out
    data = load("moons")
    batch = {"pixel_values": data.train_x[:40], "labels": data.train_y[:40]}
    right = made(**batch)["loss"].item()
    found = Surface.load(out / "surface.npz")
    assert found.centre_loss == pytest.approx(right, rel=1e-6)
    assert found.metrics == {}
    assert main([*call, "--loss", "mode"]) == 1
    assert "did you mean 'model'" in capsys.readouterr().err


def test_a_named_network_takes_the_shape_of_batches_of_one_s_own(tmp_path):
    file = tmp_path / "own_batches.py"
    file.write_text(
        "import torch\n"
        "batches = [(torch.zeros(2, 3, 8, 8), torch.zeros(2).long())]\n"
    )
    given = argparse.Namespace(
        model="cnn", data=f"{file}:batches", loss="cross_entropy",
        threads=None, seed=0, limit=None, split="test",
    )  # fmt: skip
    model, data, *_ = shared_words.opened(given)
    assert model(data[0][0]).shape == (2, 10)
