"""One command makes what the chapters load."""

import pytest
import torch

from dldna.cli import FAILED, OK, STOPPED, main
from dldna.published.saved_networks import load_model, load_models_by_pattern

COMMAND = [
    "make-checkpoints",
    "--data",
    "digits",
    "--batch-size",
    "500",
    "--activations",
    "ReLU",
    "Tanh",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tmp" / "models"


def test_it_makes_them_where_they_are_looked_for(here, capsys):
    assert main([*COMMAND, "--epochs", "2"]) == OK
    models, labels = load_models_by_pattern()
    assert labels == ["ReLU-epoch1", "ReLU-epoch2", "Tanh-epoch1",
                      "Tanh-epoch2"]  # fmt: skip
    assert len(models) == 4
    assert "2 of 2 networks" in capsys.readouterr().out


def test_what_is_finished_is_left(here, capsys, monkeypatch):
    main([*COMMAND, "--epochs", "1"])
    kept = {f: f.read_bytes() for f in here.iterdir()}
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda *a: pytest.fail("it trains")
    )
    assert main([*COMMAND, "--epochs", "1"]) == OK
    assert "all are there" in capsys.readouterr().out
    assert {f: f.read_bytes() for f in here.iterdir()} == kept


def test_after_a_kill_it_goes_on(here, tmp_path, monkeypatch):
    main([*COMMAND, "--epochs", "2", "--out", "whole"])
    real, calls = torch.optim.Adam.step, []
    monkeypatch.setattr("dldna.cli.make_checkpoints._seconds", lambda *a: 0.0)

    def dying(*args):
        calls.append(1)
        if len(calls) == 5:  # in the second epoch of the first network
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(torch.optim.Adam, "step", dying)
    assert main([*COMMAND, "--epochs", "2"]) == STOPPED
    calls[:] = [1] * 100
    assert main([*COMMAND, "--epochs", "2"]) == OK
    assert len(calls) == 100 + 1 * 3 + 2 * 3  # one epoch was done before
    for name in ("ReLU", "Tanh"):
        file = f"SimpleNetwork-{name}.pth"
        a, _ = load_model(file, here)
        b, _ = load_model(file, tmp_path / "whole")
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(p, q)


def test_other_settings_are_trained_anew(here):
    one = [*COMMAND[:-1], "--epochs", "1"]
    main(one)
    before = load_model("SimpleNetwork-ReLU.pth")[0].layers[0].weight
    assert main([*one, "--seed", "1"]) == OK
    after = load_model("SimpleNetwork-ReLU.pth")[0].layers[0].weight
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--activations", "Relu"], "did you mean 'ReLU'"),
        (["--epochs", "0"], "at least 1"),
        (["--data", "digit"], "did you mean 'digits'"),
    ],
)
def test_wrong_words_are_met_with_the_right_ones(here, capsys, words, says):
    assert main(["make-checkpoints", *words]) == FAILED
    assert says in capsys.readouterr().err
