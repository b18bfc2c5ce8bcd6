"""Killed, resumed, shared between processes: the surface is the same."""

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna.landscape import surface
from dldna.landscape.scan import scan as running
from dldna.landscape.scan import timing
from dldna.landscape.scan.fingerprint import digest
from dldna.landscape.scan.store import Store, thin

SCRIPT = textwrap.dedent(
    """
    import os, sys, threading, torch
    from torch import nn
    from dldna.landscape import surface
    from dldna.landscape.scan import timing

    # Small tiles, and one look at the clock, however slow the machine is.
    timing.TILE_SECONDS, timing.QUICK = 0.0, float("inf")
    torch.set_num_threads(1)
    calls = open(sys.argv[3], "a")

    class Counting(nn.CrossEntropyLoss):
        def forward(self, output, target):
            if os.path.getsize(sys.argv[3]) == int(sys.argv[2]):
                threading.Event().wait()  # until it is killed
            calls.write("x")
            calls.flush()
            return super().forward(output, target)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    data = torch.randn(24, 6), torch.randint(3, (24,))
    s = surface(net, Counting(), data, resolution=15, out=sys.argv[1],
                way="slow", metrics="accuracy")
    print(s.losses.tobytes().hex())
    """
)


@contextlib.contextmanager
def held(folder, calls, made):
    """The job in a process of its own, which stands still half way."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, folder, str(made), calls],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
    )
    with process:
        try:
            while not calls.exists() or calls.stat().st_size < made:
                if process.poll() is not None:
                    raise AssertionError(process.communicate()[1])
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def run_here(folder, calls, monkeypatch):
    """What the same job prints in this process."""
    monkeypatch.setattr(timing, "TILE_SECONDS", timing.TILE_SECONDS)
    monkeypatch.setattr(timing, "QUICK", timing.QUICK)
    monkeypatch.setattr(sys, "argv", ["job", str(folder), "-1", str(calls)])
    said, names = io.StringIO(), {"__name__": "__main__"}
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(SCRIPT, "<string>", "exec"), names)
    finally:
        names["calls"].close()
    return said.getvalue()


@pytest.mark.full
def test_kill_and_resume_is_identical_and_repeats_no_tile(
    tmp_path, monkeypatch
):
    with held(tmp_path / "cut", tmp_path / "c1", 100) as victim:
        pass
    assert victim.returncode == -signal.SIGKILL
    done = list((tmp_path / "cut" / "tiles").glob("*.npz"))
    points = sum(len(np.load(p)["loss"]) for p in done)
    assert 50 < points < 100
    rest = run_here(tmp_path / "cut", tmp_path / "c2", monkeypatch)
    assert rest == run_here(tmp_path / "whole", tmp_path / "c0", monkeypatch)
    # What was left, and what any run evaluates for its plan and its checks.
    whole, rest = (len((tmp_path / c).read_text()) for c in ("c0", "c2"))
    assert rest <= 225 - points + (whole - 225)


def test_a_second_process_is_told_to_wait(tmp_path, monkeypatch):
    with (
        held(tmp_path / "o", tmp_path / "c1", 100) as first,
        pytest.raises(
            RuntimeError, match=f"process {first.pid} is computing a surface"
        ),
    ):
        run_here(tmp_path / "o", tmp_path / "c", monkeypatch)
    # A dead process keeps nobody out.
    assert run_here(tmp_path / "o", tmp_path / "c", monkeypatch)


def net_and_data():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    return net, (torch.randn(24, 6), torch.randint(3, (24,)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("weights", "other weights"),
        ("data", "other data"),
        ("seed", "other directions"),
        ("extent", "other grid"),
        ("loss", "other loss or metrics"),
        ("dtype", "other settings"),
    ],
)
def test_another_job_is_not_mixed_in(tmp_path, change, says):
    net, (x, y) = net_and_data()
    loss = nn.CrossEntropyLoss()
    options = {"resolution": 3, "out": tmp_path}
    surface(net, loss, (x, y), **options)
    if change == "weights":
        with torch.no_grad():
            net[0].weight[0, 0] += 1e-6
    elif change == "data":
        y = y.roll(1)
    elif change == "loss":
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    elif change == "dtype":
        options["dtype"] = "float64"
    else:
        options[change] = 7
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(ValueError, match=says):
        surface(net, loss, (x, y), **options)
    assert (tmp_path / "plan.json").read_bytes() == before


class Focal(nn.Module):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def forward(self, output, target):
        loss = F.cross_entropy(output, target, reduction="none")
        return ((1 - torch.exp(-loss)) ** self.gamma * loss).mean()


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, output, batch):
        return self.factor * F.cross_entropy(output, batch[1])


def closed_over(factor):
    return lambda output, batch: factor * F.cross_entropy(output, batch[1])


FACTOR = 1.0


def of_a_global(output, batch):
    return FACTOR * F.cross_entropy(output, batch[1])


class Net(nn.Module):
    def __init__(self, slope):
        super().__init__()
        self.layer, self.slope = nn.Linear(6, 3), slope

    def forward(self, x):
        return F.leaky_relu(self.layer(x), self.slope)


LIKE_TWINS = {
    "a constant": (
        lambda output, batch: 1.0 * F.cross_entropy(output, batch[1]),
        lambda output, batch: 3.0 * F.cross_entropy(output, batch[1]),
    ),
    "a closure": (closed_over(1.0), closed_over(3.0)),
    "a number of a module": (Focal(1.0), Focal(2.0)),
    "a number of an object": (Scaled(1.0), Scaled(3.0)),
    "a keyword": (
        functools.partial(F.cross_entropy, label_smoothing=0.1),
        functools.partial(F.cross_entropy, label_smoothing=0.2),
    ),
    "a name that is called": (
        lambda output, batch: F.cross_entropy(output, batch[1]),
        lambda output, batch: F.multi_margin_loss(output, batch[1]),
    ),
}


@pytest.mark.parametrize("twins", LIKE_TWINS)
def test_losses_alike_are_told_apart(tmp_path, twins):
    first, second = LIKE_TWINS[twins]
    net, data = net_and_data()
    options = {"resolution": 3, "way": "slow", "out": tmp_path}
    surface(net, first, data, **options)
    surface(net, first, data, **options)
    with pytest.raises(ValueError, match="other loss or metrics"):
        surface(net, second, data, **options)


def test_a_global_that_a_loss_reads_belongs_to_it(tmp_path, monkeypatch):
    net, data = net_and_data()
    options = {"resolution": 3, "out": tmp_path}
    surface(net, of_a_global, data, **options)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    with pytest.raises(ValueError, match="other loss or metrics"):
        surface(net, of_a_global, data, **options)


def test_metrics_and_forwards_are_told_apart(tmp_path):
    _, data = net_and_data()
    torch.manual_seed(0)
    net = Net(0.1)
    options = {"resolution": 3, "out": tmp_path}
    metric = {"m": lambda output, batch: output.mean()}
    surface(net, nn.CrossEntropyLoss(), data, metrics=metric, **options)
    other = {"m": lambda output, batch: output.std()}
    with pytest.raises(ValueError, match="other loss or metrics"):
        surface(net, nn.CrossEntropyLoss(), data, metrics=other, **options)
    net.slope = 0.2
    with pytest.raises(ValueError, match="other weights"):
        surface(net, nn.CrossEntropyLoss(), data, metrics=metric, **options)


def test_a_stored_centre_is_held_to_the_loss(tmp_path, monkeypatch):
    """Whatever the fingerprints miss is seen at the centre."""
    net, data = net_and_data()
    options = {"resolution": 3, "out": tmp_path}
    surface(net, closed_over(1.0), data, **options)
    known = json.loads((tmp_path / "plan.json").read_text())["identity"]
    monkeypatch.setattr(running, "scan_identity", lambda scan: known)
    with pytest.raises(ValueError, match="holds another loss"):
        surface(net, closed_over(3.0), data, **options)


def test_damaged_files_are_found(tmp_path):
    net, data = net_and_data()
    loss = nn.CrossEntropyLoss()
    first = surface(net, loss, data, resolution=5, out=tmp_path)
    [tile, *_] = sorted((tmp_path / "tiles").glob("*.npz"))
    tile.write_bytes(tile.read_bytes()[:50])
    with pytest.warns(UserWarning, match="computed again"):
        second = surface(net, loss, data, resolution=5, out=tmp_path)
    assert np.array_equal(first.losses, second.losses)
    wrong = bytearray(tile.read_bytes())
    for at in (wrong.index(b"PK\1\2") + 10, 8):  # no such compression
        wrong[at] = 99
    tile.write_bytes(wrong)
    with pytest.warns(UserWarning, match="computed again"):
        third = surface(net, loss, data, resolution=5, out=tmp_path)
    assert np.array_equal(first.losses, third.losses)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        surface(net, loss, data, resolution=5, out=tmp_path)
    with pytest.raises(NotADirectoryError, match="give a folder"):
        surface(net, loss, data, out=tmp_path / "plan.json")


@pytest.mark.parametrize("lost", ["tile", "order", "samples", "way"])
def test_a_plan_without_a_field_is_damaged(lost, tmp_path):
    net, data = net_and_data()
    surface(net, nn.CrossEntropyLoss(), data, resolution=3, out=tmp_path)
    file = tmp_path / "plan.json"
    found = json.loads(file.read_text())
    del found["plan"][lost]
    file.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="damaged"):
        surface(net, nn.CrossEntropyLoss(), data, resolution=3, out=tmp_path)


def test_a_budget_goes_on_where_it_stopped(tmp_path):
    net, data = net_and_data()
    loss = nn.CrossEntropyLoss()
    options = {"resolution": 21, "out": tmp_path}
    first = surface(net, loss, data, budget_points=50, **options)
    assert 0 < first.evaluated.sum() <= 50
    second = surface(net, loss, data, **options)
    assert second.evaluated.all()
    assert second.provenance.notes["tiles"]["found"] > 0
    full = surface(net, loss, data, resolution=21)
    np.testing.assert_allclose(second.losses, full.losses, rtol=1e-5)


def test_ctrl_c_keeps_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "TILE_SECONDS", 1e-4)
    net, data = net_and_data()

    class Interrupted(nn.CrossEntropyLoss):
        calls = 0

        def forward(self, output, target):
            type(self).calls += 1
            if type(self).calls == 200:
                raise KeyboardInterrupt
            return super().forward(output, target)

    options = {"resolution": 21, "out": tmp_path, "way": "slow"}
    with pytest.raises(KeyboardInterrupt):
        surface(net, Interrupted(), data, **options)
    assert list((tmp_path / "tiles").glob("*.npz"))
    again = surface(net, Interrupted(), data, **options)
    assert again.evaluated.all()
    assert again.provenance.notes["tiles"]["found"] > 0


def test_one_process_cannot_take_a_folder_twice(tmp_path):
    store = Store(tmp_path)
    with (
        store.lock(),
        pytest.raises(RuntimeError, match="is computing"),
        Store(tmp_path).lock(),
    ):
        pass
    with store.lock():
        pass


def test_digests_tell_bits_apart():
    a = torch.zeros(3)
    b = a.clone()
    b[1] = -0.0
    assert digest(a) == digest(torch.zeros(3))
    assert digest(a) != digest(b)
    assert digest(a) != digest(a.double())
    assert digest({"x": a}) != digest({"y": a})
    assert digest(torch.zeros(0)) != digest(a)
    assert digest(torch.tensor(1.0)) == digest(torch.tensor(1.0))
    assert digest(a.bfloat16()) != digest(a.half())


@pytest.mark.parametrize("samples", [1, 7, 19, 20])
def test_thinning_keeps_the_number_and_the_pairs(samples):
    x = torch.arange(20)
    held = [(x[:6], -x[:6]), {"a": x[6:9]}, (x[9:], -x[9:])]
    kept = thin(held, samples)
    found = [b["a"] if isinstance(b, dict) else b[0] for b in kept]
    flat = torch.cat(found)
    assert len(flat) == samples
    assert len(flat.unique()) == samples
    for b in kept:
        if not isinstance(b, dict):
            assert torch.equal(b[0], -b[1])


# Through joblib


@pytest.mark.full
def test_processes_give_the_same_surface(tmp_path):
    net, data = net_and_data()
    loss = nn.CrossEntropyLoss()
    one = surface(net, loss, data, resolution=9)
    two = surface(net, loss, data, resolution=9, n_jobs=2, out=tmp_path)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-6)
    assert two.evaluated.all()


def test_an_active_parallel_config_is_enough():
    joblib = pytest.importorskip("joblib")
    net, data = net_and_data()
    loss = nn.CrossEntropyLoss()
    one = surface(net, loss, data, resolution=9)
    with joblib.parallel_config("threading", n_jobs=2):
        two = surface(net, loss, data, resolution=9)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-6)


class Deadly(nn.CrossEntropyLoss):
    """Kills the first worker process that gets this far."""

    def __init__(self, mark, home):
        super().__init__()
        self.mark, self.home, self.calls = str(mark), home, 0

    def forward(self, output, target):
        self.calls += 1
        if os.getpid() != self.home and self.calls == 20:
            try:
                os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return super().forward(output, target)


@pytest.mark.full
def test_a_dead_worker_is_survived(tmp_path):
    net, data = net_and_data()
    loss = Deadly(tmp_path / "mark", os.getpid())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = surface(net, loss, data, resolution=15, n_jobs=2, way="slow")
    assert (tmp_path / "mark").exists()
    assert any("handed out again" in str(w.message) for w in said)
    want = surface(net, nn.CrossEntropyLoss(), data, resolution=15)
    np.testing.assert_allclose(got.losses, want.losses, rtol=1e-6)
    assert got.evaluated.all()
