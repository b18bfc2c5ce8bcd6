"""Checkpoints: the same end, however often a run is cut; nothing is run."""

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dldna.data import Loader, crop_and_flip, load
from dldna.training import load_checkpoint, train
from dldna.training.checkpoint import save_checkpoint


class Cut(Exception):
    pass


class Stop:
    """Pulls the plug after so many steps; remembers a sum on the way."""

    def __init__(self, after):
        self.after, self.sum = after, 0.0

    def on_step(self, state):
        self.sum += state.loss
        if state.step == self.after:
            raise Cut

    def state_dict(self):
        return {"sum": self.sum}

    def load_state_dict(self, state):
        self.sum = state["sum"]


def in_memory():
    data = load("blobs")
    return Loader(data.train_x, data.train_y, 200, True, 5)


def images():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1000, 1, 8, 8, generator=generator)
    y = (x.mean((1, 2, 3)) > 0).long()
    return Loader(x, y, 200, True, 2, transform=crop_and_flip)


def foreign(generator=None):
    data = load("blobs")
    pairs = TensorDataset(data.train_x, data.train_y)
    return DataLoader(pairs, 200, shuffle=True, generator=generator)


def foreign_own():
    return foreign(torch.Generator().manual_seed(7))


def setup(loader, kind="adam"):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        n_in = next(iter(loader))[0][0].numel()
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_in, 12),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Linear(12, 3),
        )
    if kind == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], 0.5)
    return model, optimizer, scheduler


def run(make_loader, path=None, after=None, kind="adam", every=0.0):
    loader = make_loader()
    model, optimizer, scheduler = setup(make_loader(), kind)
    stop = Stop(after)
    history = train(
        model,
        optimizer,
        loader,
        loader if isinstance(loader, Loader) else None,
        epochs=3,
        scheduler=scheduler,
        callbacks=[stop],
        checkpoint=path,
        checkpoint_seconds=every,
    )
    return digest(model, optimizer, history, stop.sum)


def digest(model, optimizer, history, extra):
    """Everything that may not depend on interruptions, as one word."""
    hasher = hashlib.sha256()
    for value in model.state_dict().values():
        hasher.update(value.numpy().tobytes())
    state = optimizer.state_dict()["state"]
    for key in sorted(state):
        for name in sorted(state[key]):
            hasher.update(state[key][name].numpy().tobytes())
    for name in ("step_loss", "train_loss", "train_accuracy", "test_loss"):
        hasher.update(getattr(history, name).tobytes())
    hasher.update(repr((history.metrics["lr"].tolist(), extra)).encode())
    return hasher.hexdigest()


LOADERS = {
    "in memory": in_memory,
    "augmented": images,
    "torch's": foreign,
    "torch's, own generator": foreign_own,
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "adam") for name in LOADERS), ("in memory", "sgd")],
)
def test_cut_anywhere_the_end_is_bit_identical(name, kind, tmp_path):
    """15 steps in 3 epochs, cut after some of them, then resumed."""
    make_loader = LOADERS[name]
    whole = run(make_loader, kind=kind)
    for after in (1, 4, 5, 6, 10, 13, 15):
        path = tmp_path / f"{after}.pt"
        with pytest.raises(Cut):
            run(make_loader, path, after, kind)
        torch.manual_seed(after)  # nothing may depend on this
        assert run(make_loader, path, None, kind) == whole


def test_cut_at_each_step_in_turn(tmp_path):
    """One run, cut 15 times in a row."""
    whole = run(in_memory)
    path = tmp_path / "run.pt"
    for after in range(1, 16):
        with pytest.raises(Cut):
            run(in_memory, path, after)
    assert run(in_memory, path) == whole


def test_saved_at_the_ends_of_epochs_only(tmp_path):
    whole = run(in_memory)
    path = tmp_path / "run.pt"
    with pytest.raises(Cut):
        run(in_memory, path, after=9, every=1e9)
    assert load_checkpoint(path)["run"]["epoch"] == 1
    assert run(in_memory, path, every=1e9) == whole


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "run.pt"
    whole = run(in_memory, path)
    before = path.read_bytes()
    assert run(in_memory, path) == whole
    assert path.read_bytes() == before


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    path = tmp_path / "run.pt"

    def go(epochs, path):
        model, optimizer, _ = setup(in_memory())
        return train(
            model, optimizer, in_memory(), epochs=epochs, checkpoint=path
        )

    go(2, path)
    longer, straight = go(4, path), go(4, None)
    assert np.array_equal(longer.step_loss, straight.step_loss)
    with pytest.raises(ValueError, match="4 finished epochs already"):
        go(3, path)


# Files that are missing, broken, of another, or mean harm ---------------


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.pt"
    run(in_memory, path)
    return path


def test_missing_names_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\(..., checkpoint="):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"run.pt is damaged.*delete it"):
        run(in_memory, saved)


def test_every_flipped_byte_is_an_error_or_harmless(saved):
    """Whatever a byte is turned into, no other exception gets out."""
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    for where in rng.integers(0, len(data), 150):
        broken = bytearray(data)
        broken[where] ^= int(rng.integers(1, 256))
        saved.write_bytes(broken)
        try:
            state = load_checkpoint(saved)
        except ValueError as error:
            assert "run.pt" in str(error)
        else:
            assert state["format"]


@pytest.mark.parametrize("reference", [b"K\x01", b"X\x01\x00\x00\x00a"])
def test_an_assertion_of_torch_is_an_error_in_words(saved, reference):
    """A tensor's bytes are referred to by a number, or by a word.

    torch asserts that it is a tuple: old releases fail so at the word, new
    ones at the number, and refuse the other.
    """
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in parts.items():
            broken = b"\x80\x02" + reference + b"Q."
            archive.writestr(name, broken if name.endswith(".pkl") else data)
    with pytest.raises((AssertionError, pickle.UnpicklingError)):
        torch.load(saved, weights_only=True)
    with pytest.raises(ValueError, match="damaged or is not a checkpoint"):
        load_checkpoint(saved)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_hostile_files_are_refused_and_not_run(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = load_checkpoint(saved)
    state["run"]["epoch"] = Evil()
    torch.save(state, saved)
    with pytest.raises(ValueError, match="damaged or is not a checkpoint"):
        run(in_memory, saved)
    saved.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="damaged or is not a checkpoint"):
        load_checkpoint(saved)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("other", [[1, 2], {"model": {}}])
def test_a_torch_file_that_is_no_checkpoint(saved, other):
    torch.save(other, saved)
    with pytest.raises(ValueError, match="not a checkpoint of dldna"):
        run(in_memory, saved)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 3), "'weight' is not in the checkpoint"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(2, 9)),
            r"'1.weight' has shape \(12, 2\) there and \(9, 2\)",
        ),
    ],
)
def test_another_architecture(saved, model, message):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="another architecture: " + message):
        train(model, optimizer, in_memory(), epochs=9, checkpoint=saved)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_other_settings(saved):
    model, optimizer, scheduler = setup(in_memory(), "sgd")
    options = {"epochs": 3, "scheduler": scheduler, "checkpoint": saved}
    with pytest.raises(ValueError, match="made with optimizer='Adam', not"):
        train(model, optimizer, in_memory(), **options)
    model, optimizer, scheduler = setup(in_memory())
    options["scheduler"] = scheduler
    data = load("blobs")
    small = Loader(data.train_x, data.train_y, 100, True, 5)
    with pytest.raises(ValueError, match="batch_size=200, not 100"):
        train(model, optimizer, small, **options)
    with pytest.raises(ValueError, match="made with seed=0, not 1"):
        train(model, optimizer, in_memory(), seed=1, **options)


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    class Odd:
        pass

    with pytest.raises(TypeError, match=r"Odd \(state\['a'\]\[1\]\)"):
        save_checkpoint(tmp_path / "x.pt", {"a": [1, Odd()]})
    assert not list(tmp_path.iterdir())
    save_checkpoint(tmp_path / "x.pt", {"a": (np.float64(0.1), None)})
    assert load_checkpoint(tmp_path / "x.pt")["a"] == (0.1, None)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write run\.pt"):
        run(in_memory, tmp_path / "file" / "run.pt")


KILL = """
    import sys, threading
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    import test_checkpoint as t

    class Hang(t.Stop):
        def on_step(self, state):
            super().on_step(state)
            if state.step == 14:
                Path(sys.argv[2]).touch()
                threading.Event().wait()  # until it is killed

    t.Stop = Hang
    print("begin", flush=True)
    t.run(t.in_memory, Path(sys.argv[1]))
    """


def child(path, end):
    """A run in an interpreter of its own, about to begin; it never ends."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILL),
            str(path),
            str(end),
            os.path.dirname(__file__),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DLDNA_PROGRESS": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begin\n"
    return process


@pytest.mark.full
def test_kill_minus_nine_at_random_moments(tmp_path):
    chance = random.Random(1)
    path, end = tmp_path / "killed.pt", tmp_path / "end"

    def stamp():
        return path.stat().st_mtime_ns if path.exists() else 0

    # Before it has saved anything, after it has, and then some time later.
    for wait in (False, True):
        before = stamp()
        with child(path, end) as process:
            while wait and stamp() == before and not end.exists():
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.03) if wait else 0.0)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert path.exists()
    assert run(in_memory, path) == run(in_memory)


@pytest.mark.parametrize("when", [1, 2, 6, 7])
def test_a_callback_may_ask_for_a_checkpoint(when, tmp_path):
    """It is written once, after that very step."""

    class Ask(Stop):
        def on_step(self, state):
            state.save |= state.step == when
            super().on_step(state)

    path = tmp_path / "run.pt"
    net = nn.Linear(2, 3)
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    with pytest.raises(Cut):
        train(
            net, sgd, in_memory(), epochs=2, callbacks=[Ask(when + 2)],
            checkpoint=path, checkpoint_seconds=1e9, progress=False,
        )  # fmt: skip
    assert len(load_checkpoint(path)["step_loss"]) == when
