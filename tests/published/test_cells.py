"""The chapter's fourteen cells run as they are printed.

In order in one kernel, again in it and in a fresh one (make test-full); only
the data are named anew, once. What a cell passes on has the form that the
next expects.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import CELLS, CHECKPOINTS, SETUP
from torch import nn

import dldna
from dldna.chapter_04.utils.metrics import load_models_by_pattern

pytestmark = [pytest.mark.slow, pytest.mark.full]


def test_there_are_fourteen(kernel):
    assert [int(t.split()[0]) for t in CELLS] == list(range(1, 15))
    assert all(len(said) == 14 for said in kernel.said)


@pytest.mark.full
def test_a_second_time_gives_the_same(again):
    """All but times: the same numbers, to the last bit."""
    first, second = again.rounds
    for name in ("alphas", "losses", "accuracies", "embedded_pca",
                 "embedded_tsne", "x", "y", "z", "popt", "points_sgd",
                 "points_sgd_m", "points_adam"):  # fmt: skip
        assert np.array_equal(first[name], second[name]), name
    for name in ("one", "labels", "top_eigenvalues", "metrics"):
        assert first[name] == second[name], name
    for name in ("basic", "cnn", "transformer"):
        for key in first[name]:
            assert first[name][key] == second[name][key], (name, key)
    for key in first["analysis"]:
        for column in ("loss", "convergence_speed", "gradient_norm"):
            np.testing.assert_equal(  # NaN is NaN
                first["analysis"][key][column],
                second["analysis"][key][column],
            )


def test_only_what_is_so_is_warned_of(kernel):
    """The missing GPU, and nothing else; at the cell's own line."""
    home = str(Path(dldna.__file__).parent)
    said = [
        (title, w)
        for title, found in kernel.warned.items()
        for w in found
        if w.filename.startswith(("<", home))  # not what others mutter
    ]
    gpu = torch.cuda.is_available()
    for title, warning in said:
        assert "there is no CUDA device" in str(warning.message), title
        assert warning.filename == f"<{title}>"
    titles = {title for title, _ in said}
    assert titles == (set() if gpu else {"10 contours", "12 Gaussian fit"})


def test_forms_are_those_that_cells_use(kernel):
    names = kernel.rounds[-1]
    assert list(names["one"]) == [
        "epochs", "train_losses", "train_accuracies", "test_losses",
        "test_accuracies",
    ]  # fmt: skip
    for kind, epochs in (("basic", 20), ("cnn", 40), ("transformer", 40)):
        assert list(names[kind]) == ["SGD", "Adam", "Lion"]
        for result in names[kind].values():
            assert all(len(v) == epochs for v in result.values())
    assert len(names["in_space"]) == len(names["from_above"]) == 2
    assert [ax.name for ax in names["in_space"]] == ["3d", "3d"]
    assert all(ax.name == "rectilinear" for ax in names["from_above"])
    values, vectors = names["top_eigenvalues"], names["top_eignevectors"]
    assert all(isinstance(v, float) for v in values)
    assert [len(v) for v in vectors] == [10, 10]
    for x, y, z in names["surfaces"]:
        assert x.shape == y.shape == z.shape == (1600,)
        assert np.array_equal(x[:40], np.full(40, x[0]))  # the outer loop
    for points in ("points_sgd", "points_sgd_m", "points_adam"):
        assert names[points].shape == (100, 3)
        assert names[points][0, :2].tolist() == [-1, 1]
    assert names["path_axes"].get_title() == "paths on the well, ReLU"
    assert len(names["metrics"]) == 5
    assert all(len(v) == 20 for v in names["metrics"].values())


LINES = {
    "2 analysis": (
        r"\nInitialization method: l-momentum\n",
        r"Initialization Method \| Error Rate \(%\) \| Convergence Speed",
    ),
    "4 one epoch": (
        r"\nStarting training for SimpleNetwork-ReLU\.\n",
        r"Execution completed for SimpleNetwork-ReLU, Execution time = "
        r"[\d.]+ secs\n",
    ),
    "5 basic experiment": (
        r"Starting experiment with Lion optimizer",
        r"={50}\nOptimizer: Lion\n", r"Model Size: 283\.9K parameters\n",
        r"Peak Allocated: [\d.]+MB\n",
    ),
    "6 CNN": (r"Results saved to: Lion_cnn_\d{8}_\d{6}\w*\.csv\n",),
    "7 transformer": (
        r"Results saved to: SGD_transformer_\d{8}_\d{6}\w*\.csv\n",
    ),
    "12 Gaussian fit": (r"Function parameters = \[",),
    "13 paths": (
        r"\ntrain_loss_surface: Adam\n",
        r"SGD: Iter=100 loss=[-\d.]+ w=\[[-\d.]+, [-\d.]+\]\n",
    ),
    "14 dynamics": (
        r"Epoch 1/20 - Loss: [\d.]+, Grad Norm: [\d.]+, Param Change: "
        r"[\d.]+, Weight Norm: [\d.]+, Loss Improvement: 0\.0000\n",
        r"Final Loss: [\d.]+\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", LINES)
def test_the_lines_that_readers_look_for_are_printed(kernel, title):
    for said in kernel.said:
        for line in LINES[title]:
            assert re.search(line, said[title]), line


def test_tables_of_all_rounds_are_kept(kernel):
    for kind in ("cnn", "transformer"):
        files = sorted(kernel.folder.glob(f"*_{kind}_*.csv"))
        assert len(files) == 3 * len(kernel.rounds)  # three optimizers


@pytest.mark.parametrize("mine", ["own", "torch's"])
def test_a_readers_own_sgd_goes_through_every_function(kernel, mine):
    """The class of cell 3, which has no momentum in its groups."""
    names = kernel.rounds[-1]
    model = names["SimpleNetwork"](act_func=nn.ReLU())
    kind = names["OwnSGD"] if mine == "own" else torch.optim.SGD
    made = kind(model.parameters(), lr=0.01)
    found = names["visualize_training_dynamics"](
        model, made, names["train_loader"], nn.CrossEntropyLoss(), 2, "cpu"
    )
    assert len(found["loss"]) == 2
    path = names["train_loss_surface"](
        lambda p: kind(p, lr=0.01), [-1, 1], 5, names["gaussian_params"]
    )
    assert path.label == "SGD, lr 0.01"
    result = names["run_basic_experiment"](
        kind, *names["get_data_loaders"](), {"lr": 0.01}, "cpu", epochs=1
    )
    assert np.isfinite(result["train_loss"][0])


@pytest.mark.full
def test_they_run_in_a_fresh_kernel(tmp_path, kernel):
    """Another process, in an empty folder, without what was run before."""
    source = [SETUP, "from dldna.cli import main",
              f"assert main({CHECKPOINTS.split()!r}) == 0", *CELLS.values(),
              "print('all of', 14, 'ran')"]  # fmt: skip
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(source))
    home = str(Path(dldna.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": home, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert "all of 14 ran" in found.stdout
    models, labels = load_models_by_pattern(tmp_path / "tmp" / "models")
    assert labels == [f"ReLU-epoch{k}" for k in range(1, 16)]
    assert len(models) == 15


@pytest.mark.parametrize(
    "title", ["8 line", "9 weight space", "10 contours", "11 scales",
              "12 Gaussian fit", "14 dynamics"],
)  # fmt: skip
def test_without_checkpoints_the_cell_names_the_command(
    title, kernel, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="dldna make-checkpoints"):
        exec(compile(CELLS[title], f"<{title}>", "exec"), {**kernel.names})
