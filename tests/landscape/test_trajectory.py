"""Recorded runs: exact on disk, PCA against NumPy and scikit-learn."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from dldna import params
from dldna.landscape import Recorder, Trajectory, surface
from dldna.landscape.paths import recorded
from dldna.landscape.paths.null import simulated_shares, walk_shares
from dldna.landscape.space.checkpoints import checkpoints_in, read_checkpoint


def net(norm=True):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)]
    return nn.Sequential(*layers) if norm else nn.Sequential(layers[0])


def run(folder, steps=12, **options):
    """Train a little; give the model and all it went through."""
    model, rows = net(), []
    data = torch.randn(32, 6), torch.randint(3, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    with Recorder(folder, every=1, **options) as recorder:
        for step in range(steps):
            loss = nn.functional.cross_entropy(model(data[0]), data[1])
            recorder.record(model, step=step, loss=loss.item())
            rows.append(params.flatten(params.of(model)).clone())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        recorder.record(model, step=steps)
        rows.append(params.flatten(params.of(model)).clone())
    return model, torch.stack(rows).double().numpy(), data


def test_what_was_written_is_read(tmp_path):
    model, rows, _ = run(tmp_path)
    t = Trajectory(tmp_path)
    assert len(t) == 13
    assert t.steps.tolist() == list(range(13))
    assert np.isfinite(t.losses[:-1]).all()
    assert np.isnan(t.losses[-1])
    for i, point in enumerate(t):
        flat = params.flatten(point)
        assert np.array_equal(flat.double().numpy(), rows[i])
    final = t.final(net()).eval()
    x = torch.randn(5, 6)
    assert torch.equal(final(x), model.eval()(x))  # buffers came along


def test_half_the_space_at_three_digits(tmp_path):
    _, rows, _ = run(tmp_path / "a", dtype="float16")
    run(tmp_path / "b")
    small = (tmp_path / "a" / "weights.bin").stat().st_size
    assert 2 * small == (tmp_path / "b" / "weights.bin").stat().st_size
    flat = params.flatten(Trajectory(tmp_path / "a")[3]).numpy()
    np.testing.assert_allclose(flat, rows[3], rtol=1e-3, atol=1e-7)


def centred_svd(rows):
    """The oracle: a full SVD about the last row."""
    m = rows - rows[-1]
    _, s, vt = np.linalg.svd(m, full_matrices=False)
    return m, s, vt


def test_plane_is_the_svd_about_the_final_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "BLOCK_BYTES", 8 * 13 * 10)
    _, rows, _ = run(tmp_path)
    t = Trajectory(tmp_path)
    plane = t.plane(k=3)
    m, s, vt = centred_svd(rows)
    made = np.stack([params.flatten(v).numpy() for v in plane.vectors])
    for mine, theirs in zip(made, vt, strict=False):
        assert abs(mine @ theirs) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(mine) == pytest.approx(1, abs=1e-5)
    shares = plane.notes["explained"]["about the end"]
    np.testing.assert_allclose(shares, (s**2 / (s**2).sum())[:3], rtol=1e-6)
    np.testing.assert_allclose(t.gram(), m @ m.T, rtol=1e-9, atol=1e-12)
    # Coordinates about the end: the last checkpoint is the origin.
    shadow = t.project(plane)
    np.testing.assert_allclose(shadow.coords[-1], 0, atol=1e-6)
    want = m @ made.T
    np.testing.assert_allclose(shadow.coords, want, atol=1e-5)
    assert (shadow.coords[0] > 0).all()
    off = m - shadow.coords @ made
    np.testing.assert_allclose(
        shadow.distances, np.linalg.norm(off, axis=1), atol=1e-5
    )


def test_about_the_mean_it_is_scikit_learns_pca(tmp_path):
    decomposition = pytest.importorskip("sklearn.decomposition")
    _, rows, _ = run(tmp_path)
    pca = decomposition.PCA(n_components=3).fit(rows)
    explained = Trajectory(tmp_path).explained(3)
    np.testing.assert_allclose(
        explained["about the mean"], pca.explained_variance_ratio_, rtol=1e-6
    )
    # Its coordinates have another origin: the mean, not the final weights.
    assert np.linalg.norm(pca.transform(rows)[-1]) > 0.1


def test_projection_on_an_oblique_plane_is_least_squares(tmp_path):
    from dldna.landscape import Direction, Plane

    _, rows, _ = run(tmp_path)
    t = Trajectory(tmp_path)
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, rows.shape[1]))
    basis[1] += 2 * basis[0]
    origin = t[4]
    plane = Plane(
        origin,
        [
            Direction(params.unflatten(torch.from_numpy(b).float(), origin))
            for b in basis
        ],
    )
    shadow = t.project(plane)
    want, *_ = np.linalg.lstsq(basis.T, (rows - rows[4]).T, rcond=None)
    np.testing.assert_allclose(shadow.coords, want.T, atol=1e-6)
    coords, distance = plane.project(t[0])
    np.testing.assert_allclose(shadow.coords[0], coords, atol=1e-6)
    assert shadow.distances[0] == pytest.approx(distance, rel=1e-4)


def test_a_random_walk_is_the_null_model(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(3000, 1, bias=False)
    with Recorder(tmp_path, every=1) as recorder, torch.no_grad():
        for step in range(200):
            recorder.record(model, step=step)
            model.weight += torch.randn_like(model.weight)
    explained = Trajectory(tmp_path).explained(3)
    for about in ("end", "mean"):
        np.testing.assert_allclose(
            explained[f"about the {about}"],
            explained[f"random walk about the {about}"],
            rtol=0.12,
        )
    np.testing.assert_allclose(
        explained["about the end"],
        explained["random walk with these steps"],
        rtol=0.12,
    )


def test_null_values_of_the_literature():
    mean, end = walk_shares(4, "mean"), walk_shares(3)
    np.testing.assert_allclose(mean, [0.608, 0.152, 0.068, 0.038], atol=5e-4)
    np.testing.assert_allclose(end, [0.811, 0.090, 0.032], atol=5e-4)
    assert walk_shares(100000).sum() == pytest.approx(1, abs=1e-5)
    one = simulated_shares(np.ones(50), 2, seeds=2)
    np.testing.assert_array_equal(
        one, simulated_shares(np.ones(50), 2, seeds=2)
    )


def test_a_seam_between_two_runs_is_a_jump(tmp_path):
    model = nn.Linear(40, 1, bias=False)
    torch.manual_seed(0)
    with Recorder(tmp_path, every=1) as recorder, torch.no_grad():
        for step in range(15):
            if step == 8:
                model.weight += 22
            recorder.record(model, step=step)
            model.weight += 0.1 * torch.randn_like(model.weight)
    t = Trajectory(tmp_path)
    assert t.jumps() == [8]
    run(tmp_path / "steady")
    assert Trajectory(tmp_path / "steady").jumps() == []


def test_memory_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "BLOCK_BYTES", 1 << 20)
    model = nn.Linear(200_000, 1, bias=False)
    with Recorder(tmp_path, every=1) as recorder, torch.no_grad():
        for step in range(40):
            recorder.record(model, step=step)
            model.weight += torch.randn_like(model.weight)
    tracemalloc.start()
    Trajectory(tmp_path).gram()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20  # all rows together: 64 MB in float64


@pytest.mark.full
def test_a_kill_while_writing_leaves_whole_checkpoints(tmp_path):
    script = (
        "import sys, torch\n"
        "from torch import nn\n"
        "from dldna.landscape import Recorder\n"
        "m = nn.Linear(500, 400)\n"
        "r = Recorder(sys.argv[1], every=1)\n"
        "for s in range(100000):\n"
        "    r.record(m, step=s)\n"
        "    m.weight.data.fill_(s + 1)\n"
        "    print(s, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if int(line) >= 20:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    t = Trajectory(tmp_path)
    assert len(t) >= 20
    for i in range(1, len(t)):
        assert (t[i]["weight"] == i).all()


def test_half_written_rows_and_lines_are_left_out(tmp_path):
    run(tmp_path)
    with open(tmp_path / "index.jsonl", "ab") as index:
        index.write(b'{"step": 99, "ep')
    with open(tmp_path / "weights.bin", "ab") as weights:
        weights.write(b"123")
    assert len(Trajectory(tmp_path)) == 13
    os.truncate(
        tmp_path / "weights.bin",
        (tmp_path / "weights.bin").stat().st_size - 100,
    )
    assert len(Trajectory(tmp_path)) == 12


def test_resuming_replaces_the_steps_that_are_done_again(tmp_path):
    run(tmp_path)
    with pytest.raises(FileExistsError, match="resume=True"):
        Recorder(tmp_path)
    model = net()
    with Recorder(tmp_path, every=1, resume=True) as recorder:
        recorder.record(model, step=10)
        recorder.record(model, step=11)
        with pytest.raises(ValueError, match="steps must grow"):
            recorder.record(model, step=11)
    t = Trajectory(tmp_path)
    assert t.steps.tolist() == list(range(12))
    assert torch.equal(t[11]["0.weight"], model[0].weight)
    with pytest.raises(ValueError, match="another network"):
        Recorder(tmp_path, resume=True).record(net(False), step=20)


class State:
    def __init__(self, model):
        self.model, self.epoch, self.step, self.loss = model, 0, 0, 1.0


@pytest.mark.parametrize(
    ("every", "steps"), [(3, [0, 3, 6]), ("epoch", [0, 4])]
)
def test_it_is_a_callback(tmp_path, every, steps):
    recorder, state = Recorder(tmp_path, every=every), State(net())
    recorder.on_start(state)
    for step in range(1, 8):
        state.step = step
        recorder.on_step(state)
        if step == 4:
            state.epoch = 1
            recorder.on_epoch(state)
    recorder.close()
    assert Trajectory(tmp_path).steps.tolist() == steps


def test_surface_with_its_path(tmp_path):
    model, _, data = run(tmp_path)
    t, loss = Trajectory(tmp_path), nn.CrossEntropyLoss()
    s = surface(
        model, loss, data, "pca", "path", 9, trajectory=t,
    )  # fmt: skip
    assert s.path_coords.shape == (13, 2)
    assert s.path_losses[-1] == pytest.approx(s.centre_loss, rel=1e-5)
    assert s.path_projected[-1] == pytest.approx(s.centre_loss, rel=1e-4)
    assert s.alphas[0] <= s.path_coords[:, 0].min()
    assert s.alphas[-1] >= s.path_coords[:, 0].max()
    twin = t.final(net())
    weights, buffers = t.state(3)
    twin.load_state_dict({**twin.state_dict(), **weights, **buffers})
    with torch.no_grad():
        want = loss(twin.eval()(data[0]), data[1]).item()
    assert s.path_losses[3] == pytest.approx(want, rel=1e-5)
    explained = s.provenance.notes["explained"]["about the end"]
    assert sum(explained) > 0.8
    other = net()
    with pytest.raises(ValueError, match="other weights"):
        surface(other, loss, data, "pca", trajectory=t)
    with pytest.raises(ValueError, match="different networks"):
        surface(net(False), loss, data, trajectory=t, resolution=3)


@pytest.mark.full
def test_losses_of_a_run_do_not_ask_what_wraps_the_network(tmp_path):
    model, _, data = run(tmp_path)
    given = nn.CrossEntropyLoss(), data, "pca", "path", 3
    true, wrapped = (
        surface(m, *given, trajectory=tmp_path)
        for m in (model, torch.compile(model, backend="eager"))
    )
    np.testing.assert_allclose(
        wrapped.path_losses, true.path_losses, rtol=1e-5
    )
    assert np.ptp(true.path_losses) > 0.1


def test_bad_runs_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Recorder"):
        Trajectory(tmp_path / "none")
    run(tmp_path / "two", steps=1)
    with pytest.raises(ValueError, match="at least 3 checkpoints"):
        Trajectory(tmp_path / "two").plane()
    model = net()
    with Recorder(tmp_path / "still", every=1) as recorder:
        for step in range(4):
            recorder.record(model, step=step)
    with pytest.raises(ValueError, match="fewer than 2 directions"):
        Trajectory(tmp_path / "still").plane()
    with Recorder(tmp_path / "nan", every=1) as recorder, torch.no_grad():
        for step in range(4):
            model[0].weight += torch.nan if step == 2 else 0.1
            recorder.record(model, step=step)
            if step == 2:
                model[0].weight.fill_(1)
    with pytest.raises(ValueError, match=r"checkpoint 2 \(step 2\) holds NaN"):
        Trajectory(tmp_path / "nan").plane()
    (tmp_path / "two" / "meta.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        Trajectory(tmp_path / "two")
    with pytest.raises(ValueError, match="did you mean 'float16'"):
        Recorder(tmp_path / "x", dtype="flot16")
    with pytest.raises(ValueError, match="every"):
        Recorder(tmp_path / "x", every=0)
    meta = {
        "format": 1,
        "dtype": "float32",
        "parameters": 1,
        "shapes": [["w", [2]]],
    }
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="no complete checkpoint"):
        Trajectory(tmp_path / "empty")


def test_checkpoint_files_in_numeric_order(tmp_path):
    model = net()
    for epoch in range(1, 12):
        with torch.no_grad():
            model[0].weight.fill_(epoch)
        state = model.state_dict()
        torch.save(
            {"state_dict": state} if epoch % 2 else state,
            tmp_path / f"net-epoch{epoch}.pth",
        )
    files = checkpoints_in([tmp_path])
    t = Trajectory.collect(reversed(files), tmp_path / "run", model)
    assert [float(p["0.weight"][0, 0]) for p in t] == list(range(1, 12))
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(bad)
    torch.save([1, 2], bad)
    with pytest.raises(ValueError, match="no state dict"):
        read_checkpoint(bad)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "void").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint \(.pt"):
        checkpoints_in([tmp_path / "void"])


@pytest.mark.parametrize("where", ["1.weight", "bias", "running_var"])
@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("float16", 7e4, "reaches 7e.04, which float16 would store as inf"),
        ("float16", 1e-8, "reaches 1e-08, which float16 would store as 0"),
        ("float32", 1e200, "which float32 would store as inf"),
        ("float32", 1e-200, "which float32 would store as 0"),
    ],
)
def test_a_type_that_cannot_hold_a_tensor_is_refused(
    tmp_path, dtype, value, text, where
):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    if dtype == "float32":
        model.double()
    name = {"bias": "0.bias", "running_var": "2.running_var"}.get(where, where)
    with Recorder(tmp_path, dtype=dtype) as recorder:
        recorder.record(model, step=0)
        with torch.no_grad():
            model.get_parameter(name).fill_(0) if "run" not in name else (
                model.get_buffer(name).fill_(0)
            )
            recorder.record(model, step=1)  # zeros are zeros
            model.state_dict()[name].view(-1)[0] = value
        with pytest.raises(ValueError, match=text) as error:
            recorder.record(model, step=2)
        assert repr(name) in str(error.value)
        with torch.no_grad():
            model.state_dict()[name].fill_(0.5)
            model.state_dict()[name].view(-1)[0] = float("inf")
        recorder.record(model, step=3)  # a run that diverged is kept so
    assert Trajectory(tmp_path).steps.tolist() == [0, 1, 3]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_fits_is_stored_to_the_last_digit_of_the_type(tmp_path, dtype):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[0, 0] = 1e-9  # one small number among others
    with Recorder(tmp_path, dtype=dtype) as recorder:
        recorder.record(model, step=0)
        recorder.record(model.bfloat16(), step=1)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    rows = np.fromfile(tmp_path / "weights.bin", dtype).reshape(2, -1)
    np.testing.assert_array_equal(rows[1], flat.float().numpy().astype(dtype))
