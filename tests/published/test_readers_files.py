"""A reader's own networks stay as they are, whatever is called.

Each kind of file that a reader may have under the names that are written
here, crossed with each call that writes.
"""

import json
import os
import shutil

import pytest
import torch
from torch import nn

from dldna.cli import FAILED, OK, main
from dldna.data import Loader, load
from dldna.models import SimpleNetwork, make
from dldna.published import ownership
from dldna.published.model_training import train_model
from dldna.published.saved_networks import load_model, load_models_by_pattern

NAME = "SimpleNetwork-ReLU"
COMMAND = ["make-checkpoints", "--data", "digits", "--batch-size", "1000",
           "--epochs", "2", "--activations", "ReLU"]  # fmt: skip


def net(seed=0, hidden=(16, 8), act=None):
    torch.manual_seed(seed)
    return SimpleNetwork(act_func=act or nn.ReLU(), hidden_shape=list(hidden))


def old_file(path, model):
    """As version 0.1 wrote a network: weights and config in one file."""
    state = {"model_state_dict": model.state_dict(), "config": model.config}
    torch.save(state, path)


def old_version(folder):
    """A whole run of version 0.1."""
    (folder / f"{NAME}.config").write_text(json.dumps(net().config))
    for k in (1, 2):
        old_file(folder / f"{NAME}-epoch{k}.pth", net(k))
    old_file(folder / f"{NAME}.pth", net(2))


def run_of_ours(folder, epochs=2):
    train, test = load("digits").take(60, n_test=40).loaders(30)
    train_model(net(), train, test, epochs=epochs, save_dir=folder)


def replaced_by_hand(folder):
    """One file of ours, over which the reader has saved a network."""
    run_of_ours(folder)
    torch.save(net(9).state_dict(), folder / f"{NAME}.pth")


def with_our_config(folder):
    """The reader's file beside a config that we wrote."""
    run_of_ours(folder)
    for file in folder.glob("*.pth"):
        file.unlink()
    old_file(folder / f"{NAME}-epoch2.pth", net(9))


def tuned(folder):
    """A network of ours, trained on by the reader and saved as it was."""
    run_of_ours(folder)
    file = folder / f"{NAME}.pth"
    found = torch.load(file, weights_only=True)
    found["model_state_dict"]["layers.0.weight"] += 1
    torch.save(found, file)


def tuned_by_the_book(folder):
    """The same, with the config that load_model gave."""
    run_of_ours(folder)
    model, config = load_model(f"{NAME}-epoch1.pth", folder, "cpu")
    with torch.no_grad():
        model.layers[2].bias.add_(1)
    state = {"model_state_dict": model.state_dict(), "config": config}
    torch.save(state, folder / f"{NAME}-epoch1.pth")


def in_the_way(folder):
    """Where a run would go instead stands a file of the reader's."""
    old_file(folder / f"{NAME}.pth", net())
    (folder / ownership.BESIDE).write_text("my notes")


def linked(folder):
    home = folder.parent / "elsewhere"
    home.mkdir()
    old_file(home / "best.pth", net(3))
    (folder / f"{NAME}.pth").symlink_to(home / "best.pth")


def a_folder(folder):
    (folder / f"{NAME}.pth").mkdir()
    (folder / f"{NAME}.pth" / "notes.txt").write_text("mine")


def one(name, write):
    return lambda folder: write(folder / name)


CASES = {
    "version 0.1": old_version,
    "0.1, last epoch only": one(f"{NAME}.pth", lambda p: old_file(p, net())),
    "0.1, one epoch": one(f"{NAME}-epoch1.pth",
                          lambda p: old_file(p, net())),
    "0.1, a later epoch": one(f"{NAME}-epoch40.pth",
                              lambda p: old_file(p, net())),
    "a state dict": one(f"{NAME}.pth",
                        lambda p: torch.save(net().state_dict(), p)),
    "a whole module": one(f"{NAME}.pth", lambda p: torch.save(net(), p)),
    "a config alone": one(f"{NAME}.config",
                          lambda p: p.write_text(json.dumps(net().config))),
    "a config of no JSON": one(f"{NAME}.config",
                               lambda p: p.write_text("lr: 0.1")),
    "a config that is a list": one(f"{NAME}.config",
                                   lambda p: p.write_text("[1, 2]")),
    "no checkpoint at all": one(f"{NAME}.pth",
                                lambda p: p.write_bytes(b"notes")),
    "an empty file": one(f"{NAME}-epoch2.pth", lambda p: p.touch()),
    "another make's run": one(f"{NAME}.run",
                              lambda p: torch.save({"epoch": 3}, p)),
    "replaced by hand": replaced_by_hand,
    "beside our config": with_our_config,
    "ours with other weights": tuned,
    "ours, trained on": tuned_by_the_book,
    "notes in the way": in_the_way,
    "a link": linked,
    "a folder": a_folder,
}  # fmt: skip
CALLS = {
    "make-checkpoints": None,
    "train anew": {"retrain": True},
    "train on": {"retrain": False},
    "train longer": {"retrain": False, "epochs": 3},
    "keep one epoch": {"retrain": True, "save_epochs": [1]},
}


def theirs(folder):
    """Every file that is not ours: its bytes, its time, where it leads."""
    found = {}
    for file in sorted(folder.rglob("*")):
        where = str(file.relative_to(folder).parent)
        if file.is_dir() or where.startswith(ownership.BESIDE):
            continue
        if file.suffix in (".pth", ".config", ".run") and ownership.run_of(
            file
        ):
            continue
        link = os.readlink(file) if file.is_symlink() else None
        stat = file.stat()
        found[str(file)] = (
            file.read_bytes(), stat.st_mtime_ns, stat.st_ino, link
        )  # fmt: skip
    return found


EACH = [(case, call) for case in CASES for call in CALLS]


@pytest.mark.filterwarnings("ignore:.*did not make:UserWarning")
@pytest.mark.parametrize(
    ("case", "call"),
    [pytest.param(*pair, marks=() if i % 2 == 0 else pytest.mark.full)
     for i, pair in enumerate(EACH)],
)  # fmt: skip
def test_what_a_reader_has_stays(case, call, tmp_path, capsys):
    folder = tmp_path / "models"
    folder.mkdir()
    CASES[case](folder)
    before = theirs(folder)
    assert before
    if CALLS[call] is None:
        assert main([*COMMAND, "--out", str(folder)]) == FAILED
        said = capsys.readouterr().err
        assert "did not make" in said
        assert "--out" in said
    else:
        train, test = load("digits").take(60, n_test=40).loaders(30)
        options = {"epochs": 2, "save_dir": folder} | CALLS[call]
        try:
            train_model(net(5), train, test, "cpu", **options)
        except ValueError as error:  # what is there cannot be loaded
            assert not options["retrain"]
            assert str(folder) in str(error)
    assert theirs(folder) == before


@pytest.mark.parametrize("lost", [(), (".config",), (".pth", ".run")])
def test_the_command_replaces_no_run_of_train_model(lost, tmp_path, capsys):
    """A reader's hours, though it was our function that wrote them."""
    train, test = load("digits").take(60, n_test=40).loaders(30)
    whole = SimpleNetwork(act_func=nn.ReLU())
    train_model(whole, train, test, epochs=2, save_dir=tmp_path)
    for end in lost:
        (tmp_path / f"{NAME}{end}").unlink()
    before = {f: f.read_bytes() for f in tmp_path.iterdir()}
    assert main([*COMMAND, "--out", str(tmp_path)]) == FAILED
    assert "did not make" in capsys.readouterr().err
    assert {f: f.read_bytes() for f in tmp_path.iterdir()} == before
    assert main([*COMMAND, "--out", str(tmp_path / "new")]) == OK
    assert (
        main([*COMMAND, "--seed", "1", "--out", str(tmp_path / "new")]) == OK
    )  # its own it may replace


def test_a_file_where_a_folder_should_be_is_named(tmp_path, capsys):
    file = tmp_path / "models"
    file.write_text("mine")
    train, test = load("digits").take(60, n_test=40).loaders(30)
    with pytest.raises(NotADirectoryError, match=r"save_dir=.* is a file"):
        train_model(net(), train, test, epochs=1, save_dir=file)
    assert main([*COMMAND, "--out", str(file)]) == FAILED
    assert "--out=" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_it_is_said_where_a_run_is_kept_instead(tmp_path, capsys):
    old_version(tmp_path)
    train, test = load("digits").take(60, n_test=40).loaders(30)
    with pytest.warns(UserWarning, match="stay as they are") as seen:
        train_model(net(5), train, test, epochs=1, save_dir=tmp_path)
    assert [w.filename for w in seen] == [__file__]
    assert str(tmp_path / ownership.BESIDE) in str(seen[0].message)
    mine, _ = load_model(f"{NAME}.pth", tmp_path / ownership.BESIDE, "cpu")
    theirs, _ = load_model(f"{NAME}.pth", tmp_path, "cpu")
    assert not torch.equal(mine.layers[0].weight, theirs.layers[0].weight)
    with pytest.warns(UserWarning, match="stay as they are"):
        train_model(net(5), train, test, epochs=1, save_dir=tmp_path)
    assert not (tmp_path / f"{ownership.BESIDE}-2").exists()  # the same place


def test_what_is_beside_may_be_a_readers_too(tmp_path):
    old_version(tmp_path)
    (tmp_path / ownership.BESIDE).mkdir()
    old_version(tmp_path / ownership.BESIDE)
    with pytest.warns(UserWarning, match="dldna-2"):
        assert (
            ownership.beside(tmp_path, NAME)
            == tmp_path / f"{ownership.BESIDE}-2"
        )


def test_the_command_says_what_else_can_be_made(tmp_path, capsys):
    old_file(tmp_path / f"{NAME}.pth", net())
    words = [*COMMAND[:-1], "ReLU", "Tanh", "--out", str(tmp_path)]
    assert main(words) == FAILED
    assert "--activations Tanh" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == [f"{NAME}.pth"]


def test_names_that_are_patterns_are_names(tmp_path):
    """A network called x[1] takes no file of x1, and none of x[1]y."""
    for name in ("x1", "x[1]y", "x[1]", "x[1]-epoch3"):
        (tmp_path / f"{name}.pth").write_bytes(b"mine")
    found = [f.name for f in ownership.files_of(tmp_path, "x[1]")]
    assert found == ["x[1]-epoch3.pth", "x[1].pth"]


# Reading what version 0.1 wrote ------------------------------------------


@pytest.mark.parametrize("act", [nn.ReLU(), nn.PReLU(), nn.GELU()])
def test_a_network_of_version_01_is_loaded(act, tmp_path):
    model = net(3, act=act).eval()
    name = model.config["model_name"]
    (tmp_path / f"{name}.config").write_text(json.dumps(model.config))
    old_file(tmp_path / f"{name}-epoch7.pth", model)
    found, config = load_model(f"{name}-epoch7.pth", tmp_path, "cpu")
    x = torch.randn(4, 784)
    assert torch.equal(found(x), model(x))
    assert config == model.config
    [_], labels = load_models_by_pattern(tmp_path)
    assert labels == [f"{type(act).__name__}-epoch7"]


def test_old_names_are_mapped(tmp_path):
    model = net(3, act=nn.SiLU())
    config = model.config | {
        "model_name": "SimpleNetwork-Swish", "act_func": "Swish",
    }  # fmt: skip
    state = {"model_state_dict": model.state_dict(), "config": config}
    torch.save(state, tmp_path / "SimpleNetwork-Swish.pth")
    found, _ = load_model("SimpleNetwork-Swish.pth", tmp_path, "cpu")
    x = torch.randn(4, 784)
    assert torch.equal(found(x), model.eval()(x))


class OldCNN(nn.Module):
    """The published CNN's parameters under their published names."""

    def __init__(self):
        super().__init__()
        wide = [3, 32, 64, 128]
        for i in (1, 2, 3):
            conv = nn.Conv2d(wide[i - 1], wide[i], 3, padding=1)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"bn{i}", nn.BatchNorm2d(wide[i]))
        self.fc1, self.fc2 = nn.Linear(2048, 512), nn.Linear(512, 100)

    def forward(self, x):
        for i in (1, 2, 3):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            x = nn.functional.max_pool2d(x.relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def test_the_published_cnn_is_ours_by_other_names(tmp_path):
    old = OldCNN()
    old(torch.randn(8, 3, 32, 32))  # statistics that are not those of a start
    config = {"model_name": "CIFAR100CNN", "num_classes": 100,
              "input_shape": (3, 32, 32)}  # fmt: skip
    torch.save({"model_state_dict": old.state_dict(), "config": config},
               tmp_path / "CIFAR100CNN.pth")  # fmt: skip
    found, _ = load_model("CIFAR100CNN.pth", tmp_path, "cpu")
    assert type(found) is type(make("arena-cnn", in_shape=(3, 32, 32)))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(found(x), old.eval()(x))


def test_weights_of_another_architecture_are_refused(tmp_path):
    old_file(tmp_path / f"{NAME}.pth", net(0, hidden=(4,)))
    train, test = load("digits").take(60, n_test=40).loaders(30)
    model = net(5)
    with pytest.raises(ValueError, match="another network") as error:
        train_model(model, train, test, epochs=1, save_dir=tmp_path,
                    retrain=False)  # fmt: skip
    assert f"{NAME}.pth" in str(error.value)


def test_an_activation_with_settings_is_not_taken_for_the_plain_one(tmp_path):
    train, test = load("digits").take(60, n_test=40).loaders(30)
    model = net(0, act=nn.LeakyReLU(0.3))
    train_model(model, train, test, epochs=1, save_dir=tmp_path)
    with pytest.raises(ValueError, match=r"LeakyReLU\(negative_slope=0.3\)"):
        load_model("SimpleNetwork-LeakyReLU.pth", tmp_path)


class Swish(nn.Module):
    """A reader's own, which is not the one of version 0.1."""

    def forward(self, x):
        return x * torch.sigmoid(3 * x)


def test_a_readers_activation_is_not_taken_for_one_of_that_name(tmp_path):
    train, test = load("digits").take(60, n_test=40).loaders(30)
    train_model(net(0, act=Swish()), train, test, epochs=1, save_dir=tmp_path)
    with pytest.raises(ValueError, match="unknown activation 'Swish'"):
        load_model("SimpleNetwork-Swish.pth", tmp_path)


# Loading instead of training, and runs that are not one ------------------


def never(*args, **kwargs):
    raise AssertionError("it trains")


@pytest.mark.parametrize("case", ["version 0.1", "a state dict"])
def test_retrain_false_loads_a_readers_network(
    case, tmp_path, monkeypatch, capsys
):
    CASES[case](tmp_path)
    train, test = load("digits").take(60, n_test=40).loaders(30)
    model = net(5)
    monkeypatch.setattr(torch.optim.SGD, "step", never)
    found = train_model(model, train, test, epochs=2, save_dir=tmp_path,
                        retrain=False)  # fmt: skip
    assert found is None
    assert "Model file already exists" in capsys.readouterr().out
    wanted = net(2 if case == "version 0.1" else 0)
    assert torch.equal(model.layers[0].weight, wanted.layers[0].weight)


def test_retrain_false_loads_ours_beside_a_readers_epoch(
    tmp_path, monkeypatch
):
    run_of_ours(tmp_path, epochs=2)
    old_file(tmp_path / f"{NAME}-epoch40.pth", net(3))
    train, test = load("digits").take(60, n_test=40).loaders(30)
    monkeypatch.setattr(torch.optim.SGD, "step", never)
    found = train_model(net(5), train, test, epochs=2, save_dir=tmp_path,
                        retrain=False)  # fmt: skip
    assert found["epochs"] == [1, 2]
    assert not (tmp_path / ownership.BESIDE).exists()


class Mine(torch.optim.SGD):
    """A reader's own, which a class name would take for another."""


def other(kind, **settings):
    return lambda model: {"optimizer": kind(model.parameters(), **settings)}


OTHERS = {
    "shorter": (lambda m: {"epochs": 1}, "for 2 epochs, not 1"),
    "longer": (lambda m: {"epochs": 3}, "for 2 epochs, not 3"),
    "another rate": (other(torch.optim.SGD, lr=0.5, momentum=0.9),
                     r"SGD, lr 0\.001, momentum 0\.9, not SGD, lr 0\.5"),
    "no momentum": (other(torch.optim.SGD, lr=1e-3),
                    r"momentum 0\.9, not SGD, lr 0\.001: "),
    "another optimizer": (other(torch.optim.Adam), "not Adam, lr 0.001"),
    "a reader's own": (other(Mine, lr=1e-3, momentum=0.9), "not Mine, lr"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*did not make:UserWarning")
@pytest.mark.parametrize("place", ["in the folder", "beside"])
@pytest.mark.parametrize("case", OTHERS)
def test_retrain_false_refuses_a_run_of_another_kind(case, place, tmp_path):
    if place == "beside":
        old_file(tmp_path / f"{NAME}-epoch40.pth", net(3))
    run_of_ours(tmp_path, epochs=2)
    kept = {f: f.read_bytes() for f in tmp_path.rglob("*.*")}
    train, test = load("digits").take(60, n_test=40).loaders(30)
    options, says = OTHERS[case]
    model = net()
    given = {"epochs": 2, "save_dir": tmp_path} | options(model)
    with pytest.raises(ValueError, match=says):
        train_model(model, train, test, retrain=False, **given)
    assert {f: f.read_bytes() for f in tmp_path.rglob("*.*")} == kept


class Dying(Loader):
    """A loader whose process is killed in the second epoch."""

    def batches(self, epoch, start=0):
        if epoch == 1:
            raise KeyboardInterrupt
        return super().batches(epoch, start)


@pytest.mark.parametrize("mine", [False, True])
def test_a_killed_run_goes_on_over_an_older_one(mine, tmp_path):
    """And not over what the reader has saved there since."""
    train, test = load("digits").take(60, n_test=40).loaders(30)
    run_of_ours(tmp_path, epochs=1)
    dying = Dying(train.x, train.y, 30, shuffle=True)
    with pytest.raises(KeyboardInterrupt):
        train_model(net(4), dying, test, epochs=2, save_dir=tmp_path)
    if mine:
        old_file(tmp_path / f"{NAME}-epoch2.pth", net(3))
        before = theirs(tmp_path)
        with pytest.warns(UserWarning, match="stay as they are"):
            train_model(net(4), train, test, epochs=2, save_dir=tmp_path,
                        retrain=False)  # fmt: skip
        assert theirs(tmp_path) == before
        return
    model, whole = net(5), net(4)
    found = train_model(model, train, test, epochs=2, save_dir=tmp_path,
                        retrain=False)  # fmt: skip
    wanted = train_model(whole, train, test, epochs=2,
                         save_dir=tmp_path / "whole")  # fmt: skip
    assert found == wanted
    assert torch.equal(model.layers[0].weight, whole.layers[0].weight)
    assert load_models_by_pattern(tmp_path)[1] == ["ReLU-epoch1",
                                                   "ReLU-epoch2"]  # fmt: skip


def test_epochs_of_an_older_longer_run_are_not_mixed_in(tmp_path):
    run_of_ours(tmp_path, epochs=4)
    run_of_ours(tmp_path, epochs=2)
    assert len(list(tmp_path.glob("*-epoch*.pth"))) == 4
    with pytest.warns(UserWarning, match=r"another run: .*epoch3.pth") as seen:
        _, labels = load_models_by_pattern(tmp_path)
    assert labels == ["ReLU-epoch1", "ReLU-epoch2"]
    assert [w.filename for w in seen] == [__file__]
    _, labels = load_models_by_pattern(tmp_path, ["ReLU"], [1, 2])
    assert labels == ["ReLU-epoch1", "ReLU-epoch2"]
    with pytest.raises(FileNotFoundError, match=r"epoch4.pth .* another run"):
        load_models_by_pattern(tmp_path, epochs=[2, 4])


def test_a_readers_epochs_are_not_mixed_with_ours(tmp_path):
    run_of_ours(tmp_path, epochs=2)
    old_file(tmp_path / f"{NAME}-epoch3.pth", net(3))
    with pytest.warns(UserWarning, match="another run"):
        _, labels = load_models_by_pattern(tmp_path)
    assert labels == ["ReLU-epoch1", "ReLU-epoch2"]
    shutil.copy(tmp_path / f"{NAME}-epoch3.pth", tmp_path / f"{NAME}.pth")
    (tmp_path / f"{NAME}.config").write_text(json.dumps(net().config))
    with pytest.warns(UserWarning, match="another run"):
        _, labels = load_models_by_pattern(tmp_path)
    assert labels == ["ReLU-epoch3"]


class Counting(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        Counting.steps += 1
        return super().step(closure)


def test_a_run_that_is_there_is_loaded_by_other_weights(tmp_path):
    train, test = load("digits").take(60, n_test=40).loaders(30)
    first, again = net(), net(1)
    for model in (first, again):
        found = train_model(
            model, train, test, "cpu",
            Counting(model.parameters(), lr=0.1), epochs=2,
            save_dir=tmp_path, retrain=False,
        )  # fmt: skip
        assert found["epochs"] == [1, 2]
    assert Counting.steps == 4
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
