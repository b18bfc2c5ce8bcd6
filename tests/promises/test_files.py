"""Files of others run nothing; files of ours survive what goes wrong."""

import ast
import errno
import io
import json
import os
import pickle
import resource
import subprocess
import sys
import textwrap
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dldna
from dldna import exercises, plotting
from dldna.data import Loader, cache
from dldna.data import load as load_data
from dldna.landscape import Recorder, Trajectory, surface
from dldna.landscape.scan.store import Store
from dldna.landscape.space import stored as remember
from dldna.landscape.space.checkpoints import read_checkpoint
from dldna.plotting.accessible import table_html
from dldna.published import saved_networks as metrics
from dldna.records import Line, Record, Surface, base
from dldna.training import load_checkpoint, train

# Older NumPy leaves its archive open when the disk is full.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
HOME = Path(dldna.__file__).parent


class Bomb:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("boom",)


@pytest.fixture(autouse=True)
def _nothing_goes_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "boom").exists()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def data():
    torch.manual_seed(1)
    return torch.randn(12, 3), torch.arange(12) % 2


# What the source may not say ---------------------------------------------


def calls_in(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            words = {k.arg: getattr(k.value, "value", k.value)
                     for k in node.keywords}  # fmt: skip
            yield ast.unparse(node.func), words


NEVER = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads",
    "joblib.load", "os.system", "yaml.load", "marshal.loads", "torch.jit.load",
    "torch.hub.load", "shutil.unpack_archive",
}  # fmt: skip


# Bytes that this process, or the one that started it, made a moment ago.
OWN_BYTES = {("pool.py", "pickle.loads")}


def test_no_file_is_read_in_a_way_that_runs_it():
    read = 0
    for path in sorted(HOME.rglob("*.py")):
        for name, words in calls_in(path):
            own = (path.name, name) in OWN_BYTES
            assert own or name not in NEVER, (path, name)
            assert not name.endswith(".extractall"), (path, name)
            assert words.get("shell") is not True, (path, name)
            if name == "torch.load":
                assert words.get("weights_only") is True, path
                read += 1
            if name == "np.load":
                assert words.get("allow_pickle", False) is False, path
                read += 1
    assert read >= 6


# Hostile files -----------------------------------------------------------


def hostile():
    """Contents by name; each would make a folder if it were trusted."""
    zipped, objects, huge = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": Bomb(), "format": "dldna"}, zipped)
    array = np.array([Bomb()], dtype=object)
    np.savez(objects, __record__=array, words=array, loss=array)
    head = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(head, claim)
    with zipfile.ZipFile(huge, "w") as archive:
        for name in ("__record__.npy", "words.npy", "loss.npy"):
            archive.writestr(name, head.getvalue())
    names = io.BytesIO()
    with zipfile.ZipFile(names, "w") as archive:
        archive.writestr("../boom/x.npy", b"x")
        archive.writestr("/boom/x.npy", b"x")
    return {
        "pickle": pickle.dumps(Bomb()),
        "torch file": zipped.getvalue(),
        "array of objects": objects.getvalue(),
        "array of 8 TB": huge.getvalue(),
        "names outside": names.getvalue(),
        "nothing": b"",
        "noise": bytes(range(256)),
    }


HOSTILE = hostile()


def _in_folder(folder, raw, reader):
    (folder / "tiles").mkdir()
    (folder / "tiles" / "000003.npz").write_bytes(raw)
    with pytest.warns(UserWarning, match="damaged"):
        assert reader(Store(folder)) is None
    raise ValueError("passed over")


def _model_04(file):
    config = {
        "act_func": "ReLU",
        "model_name": "SimpleNetwork-ReLU",
        "input_shape": 3,
        "num_labels": 2,
        "hidden_shape": [4],
    }
    file.with_suffix(".config").write_text(json.dumps(config))
    return metrics.load_model(file.name, file.parent)


def _cached(file):
    assert cache._read(file) is None
    raise ValueError("passed over")


def _remembered(file):
    assert remember._read(file, "key", None) is None
    raise ValueError("passed over")


READERS = {
    "records": Record.load,
    "training": load_checkpoint,
    "landscape": read_checkpoint,
    "chapter 4": _model_04,
    "trajectory": lambda file: Trajectory.collect(
        [file], file.parent / "run", net()
    ),
    "tiles": lambda file: _in_folder(
        file.parent, file.read_bytes(), lambda store: store.get(3)
    ),
    "decoded images": _cached,
    "directions": _remembered,
}


@pytest.mark.parametrize("content", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_hostile_files_are_refused(tmp_path, reader, content):
    file = tmp_path / "file.pth"
    file.write_bytes(HOSTILE[content])
    words = r"damaged|passed over|would run code"
    with pytest.raises(ValueError, match=words):
        READERS[reader](file)


def test_small_files_that_would_fill_the_memory_are_refused(tmp_path):
    file = tmp_path / "zeros.npz"
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (2**20,)}
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(4):
            archive.writestr(f"{k}.npy", head.getvalue() + bytes(2**23))
    assert file.stat().st_size < 2**16
    before = base.MOST_BYTES
    base.MOST_BYTES = 2**24
    try:
        with pytest.raises(ValueError, match="claim 33"):
            Record.load(file)
    finally:
        base.MOST_BYTES = before


@pytest.mark.parametrize(
    "change",
    [
        {"shapes": [["0.weight", [-4, 3]]]},
        {"shapes": [["0.weight", [2**40, 2**40]]]},
        {"shapes": "x"},
        {"dtype": "object"},
        {"dtype": "O"},
        {"parameters": -1},
        {"format": {"$": 1}},
    ],
)
def test_a_run_that_lies_about_itself(tmp_path, change):
    with Recorder(tmp_path / "run") as recorder:
        recorder.record(net(), step=0)
    meta = tmp_path / "run" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    with pytest.raises((ValueError, FileNotFoundError)):
        Trajectory(tmp_path / "run")[0]


EVIL = "x\n</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_names_are_escaped_wherever_they_reach_a_page():
    """Beside exports, which tests/export holds."""
    z = np.add.outer(np.arange(5.0) ** 2, np.arange(5.0) ** 2)
    grid = np.linspace(-1, 1, 5)
    s = Surface(grid, grid, z, np.ones(z.shape, bool), 0.0,
                directions=[EVIL, EVIL])  # fmt: skip
    page = plotting.playground(s, ["sgd"]).html
    clean = plotting.playground("golden", ["sgd"]).html
    for tag in ("<script", "</script", "<img"):
        assert page.count(tag) == clean.count(tag)
    side = {"measured": [0.0], "predicted": [0.1]}
    cell = {"forward": {**side, "spread": [0.0]}, "backward": {"1": side}}
    lab = {"depths": [1], "activations": ["relu", EVIL], "width": 8,
           "schemes": ["lecun_normal", EVIL], "seeds": 1,
           "cells": {f"{EVIL}/{EVIL}": cell}}  # fmt: skip
    assert "<img" not in plotting.init_lab(lab).html
    assert "<img" not in table_html({EVIL: [EVIL]})
    right = exercises.Option(EVIL, EVIL, True)
    wrong = exercises.Option(EVIL, EVIL, False)
    question = exercises.Question(EVIL, (right, wrong))
    assert "<img" not in question.to_html()


# Full disks and folders that cannot be written --------------------------


@contextmanager
def full_disk(size):
    """No file may grow beyond ``size`` bytes: writes end half way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def a_record(n):
    noise = np.random.default_rng(n).standard_normal(n)
    return Line(noise, noise)


def a_surface(n):
    axis = np.linspace(-1, 1, n)
    z = np.add.outer(axis**2, axis**2)
    return Surface(axis, axis, z, np.ones(z.shape, bool), 0.0)


def _trained(path, epochs):
    x, y = data()
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, sgd, Loader(x, y, 4), epochs=epochs, checkpoint=path)


WRITERS = {
    "record": lambda p, n: a_record(n).save(p / "r.npz"),
    "ply": lambda p, n: a_surface(n).to_ply(p / "s.ply"),
    "vtk": lambda p, n: a_surface(n).to_vtk(p / "s.vtk"),
    "html": lambda p, n: a_surface(n).to_html(p / "s.html"),
    "training": lambda p, n: _trained(p / "run.pt", n // 5),
}


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("how", ["disk is full", "sync fails", "read-only"])
@pytest.mark.parametrize("writer", WRITERS)
def test_earlier_results_stand(tmp_path, monkeypatch, writer, how):
    folder = tmp_path / "out"
    folder.mkdir()
    WRITERS[writer](folder, 5)
    before = contents(folder)
    assert before

    def refuse(number):
        def call(*_, **__):
            raise OSError(number, os.strerror(number))

        return call

    with monkeypatch.context() as patched:
        if how == "sync fails":
            patched.setattr(os, "fsync", refuse(errno.ENOSPC))
        if how == "read-only":  # root may write anywhere: simulated
            patched.setattr("tempfile.mkstemp", refuse(errno.EROFS))
        limit = 150 if how == "disk is full" else resource.RLIM_INFINITY
        with full_disk(limit), pytest.raises(OSError, match="cannot write"):
            WRITERS[writer](folder, 40)
    assert contents(folder) == before


def test_a_surface_survives_a_full_disk(tmp_path):
    options = {"resolution": 5, "out": tmp_path / "s"}
    first = surface(net(), nn.CrossEntropyLoss(), data(), **options)
    tiles = contents(tmp_path / "s" / "tiles")
    [gone, *_] = sorted((tmp_path / "s" / "tiles").glob("*.npz"))
    gone.unlink()
    with full_disk(100), pytest.raises(OSError, match="cannot write"):
        surface(net(), nn.CrossEntropyLoss(), data(), **options)
    again = surface(net(), nn.CrossEntropyLoss(), data(), **options)
    assert np.array_equal(first.losses, again.losses)
    assert contents(tmp_path / "s" / "tiles").keys() == tiles.keys()


class Broken(io.FileIO):
    """Takes five bytes, then no more."""

    def write(self, data):
        super().write(bytes(data[:5]))
        raise self.error(errno.ENOSPC, "full")


@pytest.mark.parametrize("what", ["weights", "index", "interrupt"])
def test_a_recorder_goes_on_after_a_full_disk(tmp_path, what, monkeypatch):
    model, folder = net(), tmp_path / "run"
    row = 4 * sum(p.numel() for p in model.parameters())
    with Recorder(folder, every=1) as recorder:
        for step in range(6):
            with torch.no_grad():
                model[0].weight.fill_(step)
            if step == 3 and what == "weights":
                with (
                    full_disk(3 * row + 10),
                    pytest.raises(OSError, match="those before are whole"),
                ):
                    recorder.record(model, step=step)
            elif step == 3:
                error = OSError if what == "index" else KeyboardInterrupt

                own = recorder._index
                recorder._index = Broken(folder / "index.jsonl", "ab")
                recorder._index.error = error
                with pytest.raises(error):
                    recorder.record(model, step=step)
                recorder._index.close()
                recorder._index = own
            if step != 3:
                recorder.record(model, step=step)
    run = Trajectory(folder)
    assert run.steps.tolist() == [0, 1, 2, 4, 5]
    for step, point in zip(run.steps, run, strict=True):
        assert (point["0.weight"] == step).all()


# Two at once -------------------------------------------------------------


def test_two_recorders_do_not_share_a_folder(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from torch import nn
        from dldna.landscape import Recorder
        for _ in sys.stdin:
            other = Recorder(sys.argv[1], resume=True)
            try:
                other.record(nn.Linear(2, 2), step=9)
                print("recorded", flush=True)
            except RuntimeError as error:
                print(error, flush=True)
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def try_it():
        child.stdin.write("go\n")
        child.stdin.flush()
        return child.stdout.readline()

    with child:
        with Recorder(tmp_path / "run") as recorder:
            recorder.record(nn.Linear(2, 2), step=0)
            assert f"process {os.getpid()} is recording a run" in try_it()
            second = Recorder(tmp_path / "run", resume=True)
            with pytest.raises(RuntimeError, match="is recording"):
                second.record(nn.Linear(2, 2), step=1)
            recorder.record(nn.Linear(2, 2), step=1)
        assert Trajectory(tmp_path / "run").steps.tolist() == [0, 1]
        assert try_it() == "recorded\n"
    assert Trajectory(tmp_path / "run").steps.tolist() == [0, 1, 9]


def test_two_trainings_on_one_checkpoint_both_end_right(tmp_path):
    """Each writes whole files, so neither reads half of the other's."""
    blobs = load_data("blobs")
    path = tmp_path / "run.pt"

    def run(checkpoint, callbacks=()):
        model = nn.Linear(2, 3)
        nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = Loader(blobs.train_x, blobs.train_y, 200, True, 5)
        train(model, sgd, loader, epochs=4, checkpoint=checkpoint,
              checkpoint_seconds=0, callbacks=callbacks)  # fmt: skip
        return model.weight.detach().clone()

    class Rival:
        """Starts the same run in the middle of this one."""

        found = None

        def on_step(self, state):
            if state.step == 7:
                Rival.found = run(path)

    first = run(path, [Rival()])
    whole = run(None)
    assert torch.equal(first, whole)
    assert torch.equal(Rival.found, whole)
