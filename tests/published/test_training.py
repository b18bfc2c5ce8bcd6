"""Chapter 4's calls against the rooms they wrap."""

import json

import numpy as np
import pytest
import torch
from readers import FEW, optimizer, plain
from torch import nn

from dldna import data, training
from dldna.data import Loader, load
from dldna.models import SimpleNetwork
from dldna.published import timed_training
from dldna.published.loaders import (
    get_data_loaders,
    get_dataset,
    get_device,
    usable,
)
from dldna.published.model_training import train_model
from dldna.published.saved_networks import load_model, load_models_by_pattern
from dldna.published.train_dynamics import visualize_training_dynamics

KEYS = [
    "epochs",
    "train_losses",
    "train_accuracies",
    "test_losses",
    "test_accuracies",
]


def net(act=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SimpleNetwork(act_func=act or nn.ReLU(), hidden_shape=[16, 8])


@pytest.fixture
def loaders():
    small = load("digits").take(200, n_test=100)
    return small.loaders(50)


@pytest.fixture
def folder(tmp_path, loaders):
    """Twelve epochs of ReLU, two of Tanh."""
    for act, epochs in ((nn.ReLU(), 12), (nn.Tanh(), 2)):
        train_model(
            net(act), *loaders, "cpu", epochs=epochs, save_dir=tmp_path
        )
    return tmp_path


def test_the_network_has_the_published_size():
    sizes = {
        act: sum(p.numel() for p in SimpleNetwork(act_func=act).parameters())
        for act in (nn.ReLU(), nn.PReLU())
    }
    assert list(sizes.values()) == [283_914, 283_915]


def test_device_is_a_word():
    assert get_device() == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", torch.device("cuda", 1)])
def test_without_a_gpu_the_cpu_is_used_and_said(device):
    with pytest.warns(UserWarning, match="using the CPU"):
        assert usable(device) == torch.device("cpu")


def test_loaders_are_those_of_the_data_room():
    train, test = get_data_loaders("digits", 64)
    ours = load("digits")
    order = torch.cat([y for _, y in train])
    assert not torch.equal(order, ours.train_y)
    assert torch.equal(order.bincount(), ours.train_y.bincount())
    assert torch.equal(torch.cat([x for x, _ in test]), ours.test_x)
    assert len(next(iter(train))[0]) == 64


def test_a_data_set_gives_images_one_by_one():
    train, test = get_dataset("digits")
    ours = load("digits")
    assert (len(train), len(test)) == (len(ours.train_x), len(ours.test_x))
    image, label = train[3]
    assert torch.equal(image, ours.train_x[3])
    assert label == int(ours.train_y[3])
    assert train.classes[label] == ours.classes[label]


def test_cifar100_is_augmented_in_training_only(monkeypatch):
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    y = torch.arange(8)
    fake = data.Dataset("CIFAR100", x, y, x, y, tuple("abcdefgh"))
    monkeypatch.setattr("dldna.published.loaders.load", lambda _: fake)
    train, test = get_data_loaders("CIFAR100", 8)
    [(moved, labels)] = list(train)
    assert not torch.equal(moved, x[labels])
    assert moved.min() >= -1 - 1e-6
    [(still, _)] = list(test)
    assert torch.equal(still, x)
    whole, fixed = get_dataset("CIFAR100")
    torch.manual_seed(0)
    first = whole[0][0]
    torch.manual_seed(0)
    assert torch.equal(first, whole[0][0])
    assert not torch.equal(first, x[0])
    assert torch.equal(fixed[0][0], x[0])


def test_cifar100_without_network_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path))
    monkeypatch.setattr("dldna.data.cifar.MIRRORS", ("file:///nowhere/",))
    with pytest.raises(ConnectionError, match="DLDNA_DATA"):
        get_data_loaders("CIFAR100")


def test_training_is_that_of_the_training_room(tmp_path, capsys, loaders):
    found = train_model(net(), *loaders, "cpu", epochs=2, save_dir=tmp_path)
    twin = net()
    sgd = torch.optim.SGD(twin.parameters(), lr=1e-3, momentum=0.9)
    history = training.train(twin, sgd, *loaders, epochs=2)
    assert list(found) == KEYS
    assert found["epochs"] == [1, 2]
    assert found["train_losses"] == history.train_loss.tolist()
    assert found["test_accuracies"] == history.test_accuracy.tolist()
    assert max(found["train_accuracies"]) <= 1
    said = capsys.readouterr().out
    assert said.startswith("\nStarting training for SimpleNetwork-ReLU.\n")
    assert (
        "Execution completed for SimpleNetwork-ReLU, Execution time = " in said
    )
    assert said.endswith(" secs\n")


@pytest.mark.parametrize(("name", "what"), FEW)
def test_a_readers_optimizer_trains(name, what, tmp_path, loaders):
    """Again from its checkpoints, where it began anew or went on."""
    wanted = net()
    plain_run = train_model(
        wanted, *loaders, "cpu", plain(wanted.parameters()), epochs=2,
        save_dir=tmp_path / "plain",
    )  # fmt: skip
    for retrain in (True, False):
        model = net()
        mine = optimizer(name, what, model.parameters())
        found = train_model(
            model, *loaders, "cpu", mine, epochs=2, retrain=retrain,
            save_dir=tmp_path / "mine",
        )  # fmt: skip
        for key, values in found.items():
            assert values == pytest.approx(plain_run[key], rel=1e-4)


def test_the_published_files_are_written(folder):
    names = {f.name for f in folder.iterdir()}
    assert {
        "SimpleNetwork-ReLU.config",
        "SimpleNetwork-ReLU.pth",
        "SimpleNetwork-ReLU-epoch1.pth",
        "SimpleNetwork-ReLU-epoch12.pth",
        "SimpleNetwork-Tanh-epoch2.pth",
    } <= names
    config = json.loads((folder / "SimpleNetwork-ReLU.config").read_text())
    assert config["act_func"] == "ReLU"
    assert config["hidden_shape"] == [16, 8]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [([1, 3], [1, 3]), ({3, 1}, [1, 3]), (range(2, 9), [2, 3]), (2, [2]),
     (np.array([3]), [3]), (torch.tensor([1, 2]), [1, 2]), ([], [])],
    ids=["list", "set", "range", "one", "array", "tensor", "none"],
)  # fmt: skip
def test_only_the_epochs_asked_for_are_kept(asked, kept, tmp_path, loaders):
    train_model(
        net(), *loaders, epochs=3, save_dir=tmp_path, save_epochs=asked
    )
    found = sorted(f.name for f in tmp_path.glob("*-epoch*"))
    assert found == [f"SimpleNetwork-ReLU-epoch{k}.pth" for k in kept]


def test_epochs_that_are_none_are_refused_before_training(tmp_path, loaders):
    with pytest.raises(TypeError, match="save_epochs must be a whole number"):
        train_model(net(), *loaders, save_dir=tmp_path, save_epochs=["last"])
    assert not list(tmp_path.iterdir())


def test_a_finished_run_is_not_trained_again(tmp_path, loaders, monkeypatch):
    first, again = net(), net(seed=1)
    options = {"epochs": 2, "save_dir": tmp_path, "retrain": False}
    found = train_model(first, *loaders, "cpu", **options)

    def no_step(*args, **kwargs):
        raise AssertionError("it trains again")

    monkeypatch.setattr(torch.optim.SGD, "step", no_step)
    assert train_model(again, *loaders, "cpu", **options) == found
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, loaders):
    whole, killed, later = net(), net(), net(seed=1)
    train, test = loaders
    wanted = train_model(
        whole, train, test, epochs=3, save_dir=tmp_path / "whole"
    )
    home = {"save_dir": tmp_path / "killed", "retrain": False}

    class Killed(Loader):
        def batches(self, epoch, start=0):
            if epoch == 2:
                raise KeyboardInterrupt
            return super().batches(epoch, start)

    dying = Killed(train.x, train.y, 50, shuffle=True)
    with pytest.raises(KeyboardInterrupt):
        train_model(killed, dying, test, epochs=3, **home)
    load_model("SimpleNetwork-ReLU-epoch2.pth", home["save_dir"])
    found = train_model(later, train, test, epochs=3, **home)
    assert found == wanted
    for a, b in zip(whole.parameters(), later.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_gives_its_network_back(folder, loaders):
    model, config = load_model(
        "SimpleNetwork-ReLU-epoch12.pth", folder, torch.device("cpu")
    )
    last, _ = load_model("SimpleNetwork-ReLU.pth", folder)
    assert config["model_name"] == "SimpleNetwork-ReLU"
    assert not model.training
    x = next(iter(loaders[1]))[0]
    assert torch.equal(model(x), last(x))


def test_a_network_without_activations_comes_back(tmp_path, loaders):
    plain = SimpleNetwork(nn.ReLU(), hidden_shape=[8], no_act=True)
    train_model(plain, *loaders, epochs=1, save_dir=tmp_path)
    back, _ = load_model("SimpleNetwork-ReLU.pth", tmp_path)
    x = torch.randn(3, 784)
    assert torch.equal(back(x), plain.eval()(x))


def test_epochs_come_in_the_order_of_numbers(folder):
    _, labels = load_models_by_pattern(folder, activation_types=["ReLU"])
    assert labels == [f"ReLU-epoch{k}" for k in range(1, 13)]
    _, labels = load_models_by_pattern(folder, ["Tanh", "ReLU"], [2, 1])
    assert labels == [
        f"{a}-epoch{k}" for a in ("Tanh", "ReLU") for k in (1, 2)
    ]
    models, labels = load_models_by_pattern(folder)
    assert len(models) == len(labels) == 14
    for acts in ("Tanh", ("Tanh",), {"Tanh": 1}, iter(["Tanh"])):
        _, labels = load_models_by_pattern(folder, acts, (k for k in (2, 1)))
        assert labels == ["Tanh-epoch1", "Tanh-epoch2"]
    _, labels = load_models_by_pattern(folder, "ReLU", range(1, 13))
    assert len(labels) == 12
    for one in (2, [2], np.array([2]), torch.tensor([2])):
        _, labels = load_models_by_pattern(folder, "Tanh", one)
        assert labels == ["Tanh-epoch2"]
    for every in (None, [], ()):  # as in version 0.1
        assert len(load_models_by_pattern(folder, every, every)[1]) == 14
    for wrong in ([2.5], ["2"], 2.5):
        with pytest.raises(TypeError, match="epochs must be a whole number"):
            load_models_by_pattern(folder, "Tanh", wrong)


def test_epochs_may_be_written_with_zeros(folder):
    """As a reader may have named them; the order is that of numbers."""
    for file in folder.glob("*Tanh-epoch*.pth"):
        file.rename(folder / file.name.replace("epoch", "epoch0"))
    _, labels = load_models_by_pattern(folder, "Tanh", [2, 1])
    assert labels == ["Tanh-epoch1", "Tanh-epoch2"]


class Config:
    """A config of another make, which is no dict."""

    model_type = "mine"


@pytest.mark.parametrize("config", [None, Config(), {}, {"lr": {1, 2}}, 3])
def test_a_readers_network_with_any_config_is_kept(config, tmp_path, loaders):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.config = config
    found = train_model(model, *loaders, epochs=1, save_dir=tmp_path / "a b")
    assert len(found["epochs"]) == 1
    again = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    train_model(again, *loaders, epochs=1, save_dir=tmp_path / "a b",
                retrain=False)  # fmt: skip
    assert torch.equal(model[1].weight, again[1].weight)


@pytest.mark.parametrize(
    ("acts", "epochs", "named"),
    [
        (["GELU"], None, "GELU"),
        (["ReLU", "GELU"], None, "GELU"),
        (["Tanh"], [1, 3], "Tanh-epoch3"),
    ],
)
def test_a_missing_checkpoint_names_the_command(folder, acts, epochs, named):
    with pytest.raises(FileNotFoundError, match="make-checkpoints") as error:
        load_models_by_pattern(folder, acts, epochs)
    assert named in str(error.value)


def test_an_empty_folder_names_the_command(tmp_path):
    for load_it in (
        lambda: load_models_by_pattern(tmp_path),
        lambda: load_model("SimpleNetwork-ReLU.pth", tmp_path),
    ):
        with pytest.raises(FileNotFoundError, match="dldna make-checkpoints"):
            load_it()


def test_a_damaged_checkpoint_is_named(folder):
    file = folder / "SimpleNetwork-Tanh.pth"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        load_model(file.name, folder)


# An estimate first, and what it leaves behind ----------------------------


class Slow(nn.Module):
    """A network of 30 steps, each of which takes its time by our clock."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.layer = clock, nn.Linear(784, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        self.clock.now += 4.0
        return self.layer(self.dropout(x.flatten(1)))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("kind", ["ours", "torch's", "torch's, generator"])
def test_an_estimate_comes_before_the_first_step(kind, monkeypatch, capsys):
    """And neither the model, nor any random state, has moved by then."""
    monkeypatch.setenv("DLDNA_PROGRESS", "1")
    clock = Clock()
    monkeypatch.setattr(
        "dldna.published.timed_training.time.perf_counter", clock
    )
    model, (train, test) = Slow(clock), load("digits").take(60).loaders(20)
    generator = None
    if kind != "ours":
        if "generator" in kind:
            generator = torch.Generator().manual_seed(5)
        train = torch.utils.data.DataLoader(
            train.dataset, batch_size=20, shuffle=True, generator=generator
        )
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    states = torch.random.get_rng_state()
    own = None if generator is None else generator.get_state()
    seen = []

    class First:
        def on_start(self, state):
            seen.append(capsys.readouterr().out)
            for k, v in model.state_dict().items():
                assert torch.equal(v, before[k])
            assert all(p.grad is None for p in model.parameters())
            if own is not None:
                assert torch.equal(generator.get_state(), own)

    timed_training.run(model, sgd, train, test, epochs=5, callbacks=[First()])
    # 4 s for a batch of three, a third of it for the one that is tested
    assert seen == ["training: about 1 min 7 s\n"]
    assert torch.equal(torch.random.get_rng_state(), states)


@pytest.mark.parametrize("data", ["no length", "one pass"])
def test_data_that_cannot_be_looked_at_twice_are_left_alone(data):
    train, _ = load("digits").take(60).loaders(20)
    items = list(train)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    given = iter(items) if data == "one pass" else (b for b in items)
    loss = torch.nn.functional.cross_entropy
    assert timed_training.foresee(model, given, None, loss) == 0.0
    assert len(list(given)) == 3


class Stream(torch.utils.data.IterableDataset):
    """Samples without a number of them; its DataLoader has ``__len__``."""

    def __iter__(self):
        digits = load("digits")
        return iter([(digits.train_x[i], digits.train_y[i])
                     for i in range(40)])  # fmt: skip


def test_a_loader_of_unknown_length_trains(tmp_path):
    loader = torch.utils.data.DataLoader(Stream(), batch_size=20)
    assert hasattr(loader, "__len__")
    found = train_model(net(), loader, loader, epochs=2, save_dir=tmp_path)
    assert found["epochs"] == [1, 2]
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    figures = visualize_training_dynamics(
        model, sgd, loader, nn.CrossEntropyLoss(), 2, "cpu"
    )
    assert len(figures["loss"]) == 2
