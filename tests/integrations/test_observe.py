"""An observer in a plain loop: what it finds, takes, and leaves alone."""

import copy
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import params
from dldna.integrations import CSV, MLflow, Observe, TensorBoard, WandB
from dldna.integrations import share as shares
from dldna.landscape import Recorder, Trajectory, trace
from dldna.records import Motion

X, Y = torch.randn(64, 4), torch.randint(0, 3, (64,))
HELD = X[:32], Y[:32]


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Linear(6, 3),
    )


def make(kind, model):
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return torch.optim.Adam(model.parameters(), lr=0.01)


def step(model, optimizer):
    """One step on random samples, which all three generators choose."""
    rows = torch.randperm(64)[: 8 + np.random.randint(4)]  # noqa: NPY002
    optimizer.zero_grad()
    loss = random.random() * F.cross_entropy(model(X[rows]), Y[rows])
    loss.backward()
    optimizer.step()
    return loss


def trained(observe, steps=9, kind="sgd"):
    torch.manual_seed(2), random.seed(2), np.random.seed(2)  # noqa: NPY002
    model = network()
    optimizer = make(kind, model)
    if observe is None:
        for _ in range(steps):
            step(model, optimizer)
    else:
        with observe.watch(model, optimizer):
            for _ in range(steps):
                observe(loss=step(model, optimizer))
    return model, optimizer


def state_of(model, optimizer):
    """All that a run leaves, in comparable pieces."""
    return [
        *model.state_dict().values(),
        *(p.grad for p in model.parameters()),
        *(
            torch.as_tensor(value)
            for each in optimizer.state.values()
            for value in each.values()
            if value is not None
        ),
        torch.get_rng_state(),
        torch.from_numpy(np.random.get_state()[1].astype(int)),  # noqa: NPY002
        torch.tensor(random.getstate()[1]),
        torch.tensor([m.training for m in model.modules()]),
        torch.tensor([p.requires_grad for p in model.parameters()]),
    ]


# The run -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "every", "steps"), [("sgd", 1, 2), ("adam", 4, 9)]
)
def test_a_run_is_bit_for_bit_the_one_without(kind, every, steps, tmp_path):
    alone = state_of(*trained(None, steps, kind))
    observe = Observe(
        HELD, F.cross_entropy, every=every, overhead=None, trace=6, noise=2,
        folder=tmp_path / "run", sinks=[CSV(tmp_path / "run.csv"), Drawing()],
    )  # fmt: skip
    watched = state_of(*trained(observe, steps, kind))
    assert len(observe.rows) == steps // every
    assert not observe.errors
    assert len(alone) == len(watched)
    for a, b in zip(alone, watched, strict=True):
        assert torch.equal(a, b)


class Drawing:
    """A sink that draws from every generator."""

    def log(self, values, step):
        torch.rand(3), random.random(), np.random.rand(3)  # noqa: NPY002


def dense(model, f):
    like = params.of(model)

    def loss(w):
        point = params.unflatten(w, like)
        return f(torch.func.functional_call(model, point, (HELD[0],)))

    w = params.flatten(like)
    return loss(w), torch.func.jacrev(torch.func.grad(loss))(w)


def test_what_is_measured_is_what_the_kept_weights_have(tmp_path):
    observe = Observe(
        HELD, F.cross_entropy, every=3, overhead=None, tol=1e-4, noise=4,
        folder=tmp_path / "run",
    )  # fmt: skip
    model, optimizer = network(), None
    optimizer = make("sgd", model)
    points = [params.flatten(params.copy(params.of(model)))]
    losses = []
    with observe.watch(model, optimizer):
        for t in range(1, 7):
            loss = step(model, optimizer)
            observe(step=t, loss=loss, epoch=1)
            losses.append(float(loss.detach()))
            points.append(params.flatten(params.copy(params.of(model))))
    run = Trajectory(tmp_path / "run")
    assert run.steps.tolist() == [0, 3, 6]
    assert [row["step"] for row in observe.rows] == [3, 6]
    for number, row in enumerate(observe.rows):
        t = row["step"]
        kept = copy.deepcopy(model).eval()
        weights, buffers = run.state(number + 1)
        kept.load_state_dict(weights | buffers, strict=False)
        assert torch.equal(params.flatten(params.of(kept)), points[t])
        loss, matrix = dense(kept, lambda out: F.cross_entropy(out, HELD[1]))
        top = torch.linalg.eigvalsh(matrix.double())[-1]
        assert row["sharpness"] == pytest.approx(float(top), rel=1e-4)
        assert row["data_loss"] == pytest.approx(float(loss), rel=1e-5)
        assert row["loss"] == losses[t - 1]
        same = trace(kept, F.cross_entropy, HELD, products=12)
        assert row["trace"] == pytest.approx(float(same.value), rel=1e-4)
        far = abs(row["trace"] - float(matrix.trace()))
        assert far < 5 * row["trace_error"] + 1e-3
        move, last = points[t] - points[t - 1], points[t - 1] - points[t - 2]
        angle = F.cosine_similarity(move.double(), last.double(), dim=0)
        assert row["param_change"] == pytest.approx(move.norm().item(), 1e-5)
        assert row["cosine"] == pytest.approx(angle.item(), abs=1e-5)
        assert row["noise_scale"] > 0
    motion = observe.record()
    assert isinstance(motion, Motion)
    assert motion.points.tolist() == motion.steps.tolist() == [3, 6]
    assert motion.sharpness.tolist() == [r["sharpness"] for r in observe.rows]
    kept = Motion.load(motion.save(tmp_path / "motion"))
    assert np.array_equal(kept.trace, motion.trace)
    notes = kept.provenance.notes
    assert (notes["due"], notes["measured"], notes["less_often"]) == (2, 2, "")


# The share -----------------------------------------------------------------


class Clock:
    """A clock that goes only when told to, and a sink that takes its time."""

    def __init__(self, cost=0.0):
        self.now, self.cost = 0.0, cost

    def perf_counter(self):
        return self.now

    def log(self, values, step):
        self.now += self.cost


def simulated(monkeypatch, *, every, overhead, cost, steps, stride=1):
    """Steps of one second each, measurements of ``cost`` seconds."""
    clock = Clock(cost)
    monkeypatch.setattr(shares, "time", clock)
    model = nn.Linear(1, 1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    observe = Observe(every=every, overhead=overhead, sinks=[clock])
    worst = 0.0
    with observe.watch(model, sgd):
        for t in range(stride, steps + 1, stride):
            clock.now += stride
            observe(step=t)
            if len(observe.rows) > 1:  # what the first cost was not known
                worst = max(worst, observe.share.taken)
    return observe, worst


@pytest.mark.parametrize(
    ("every", "overhead", "cost"),
    [
        (1, 0.05, 0.01),
        (1, 0.5, 3.0),
        (2, 0.05, 3.0),
        (3, 0.5, 3.0),
        (7, 0.05, 0.01),
        (7, 0.05, 3.0),
        (50, 0.5, 0.01),
        (50, 0.05, 3.0),
    ],
)
def test_it_takes_its_share_and_no_more(
    monkeypatch, capsys, every, overhead, cost
):
    steps = 300
    observe, worst = simulated(
        monkeypatch, every=every, overhead=overhead, cost=cost, steps=steps
    )
    done, room = len(observe.rows), int(overhead * steps / cost)
    assert observe.due == steps // every
    assert worst <= overhead + 1e-9
    # Nor less than it may: each step that was due, or all that there is
    # room for, but for the wait until the next one is due.
    interval = cost / overhead
    waits = interval + every + 2
    assert done >= min(observe.due, int(steps / waits)) - 1
    assert done <= min(observe.due, room)
    said = capsys.readouterr().out
    notes = observe.record().provenance.notes
    assert notes["measured"] == done
    assert (done < observe.due) == bool(notes["less_often"])
    assert said.count("observe:") == (done < observe.due)
    if said:
        assert f"measured at {done} of {observe.due} steps" in said
    observe.close()
    assert not capsys.readouterr().out


@pytest.mark.parametrize("stride", [3, 10, 25])
def test_calls_may_be_rarer_than_steps(monkeypatch, stride):
    observe, _ = simulated(
        monkeypatch, every=10, overhead=0.5, cost=0.1, steps=300, stride=stride
    )
    assert observe.due == 30
    assert len(observe.rows) == min(30, 300 // stride)
    assert all(np.isnan(row["param_change"]) for row in observe.rows)


def test_where_there_is_no_room_nothing_is_measured(capsys):
    observe = Observe(HELD, F.cross_entropy, every=2, overhead=1e-9)
    model, _ = trained(observe)
    assert observe.rows == []
    assert torch.equal(model[0].weight, trained(None)[0][0].weight)
    motion = observe.record()
    assert len(motion.points) == len(motion.steps) == 0
    assert motion.provenance.notes["less_often"].startswith("measured at 0 of")
    assert "measured at 0 of 4 steps" in capsys.readouterr().out


# What goes wrong -----------------------------------------------------------


def test_bad_input_is_named_before_training_begins(tmp_path):
    model = network()
    sgd = make("sgd", model)
    late = Observe().watch(model, sgd, 5)
    for error, words, call in [
        (ValueError, "every", lambda: Observe(every=0)),
        (ValueError, "overhead", lambda: Observe(overhead=0)),
        (ValueError, "trace", lambda: Observe(HELD, trace=3)),
        (TypeError, "log", lambda: Observe(sinks=[print])),
        (RuntimeError, "watch", Observe()),
        (ValueError, "step must be", lambda: Observe().watch(model, sgd, -1)),
        (ValueError, "after step 5", lambda: late(5)),
        (ValueError, "one number", lambda: late(loss=torch.ones(3))),
    ]:
        with pytest.raises(error, match=words):
            call()
    before = [t.clone() for t in model.state_dict().values()]
    observe = Observe((X, Y.float()), F.cross_entropy, folder=tmp_path / "run")
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        observe.watch(model, sgd)
    assert not (tmp_path / "run").exists()
    after = model.state_dict().values()
    assert all(map(torch.equal, before, after))


def test_a_measurement_that_fails_does_not_stop_the_run(capsys):
    class Full:
        def log(self, values, step):
            raise OSError("no space left")

    observe = Observe(every=3, overhead=None, sinks=[Full()])
    model, _ = trained(observe)
    assert torch.equal(model[0].weight, trained(None)[0][0].weight)
    assert len(observe.rows) == len(observe.errors) == 3
    assert "no space left" in observe.record().provenance.notes["errors"][0]
    assert "no space left" in capsys.readouterr().out


def test_a_run_that_was_interrupted_goes_on_in_its_folder(tmp_path):
    model = network()
    sgd = make("sgd", model)
    for begin, end in [(0, 5), (3, 9)]:
        recorder = Recorder(tmp_path / "run", resume=begin > 0)
        observe = Observe(every=2, overhead=None, folder=recorder)
        with observe.watch(model, sgd, begin):
            for t in range(begin + 1, end + 1):
                observe(step=t, loss=step(model, sgd))
        assert not observe.errors
    found = Trajectory(tmp_path / "run").steps.tolist()
    assert found == [0, 2, 3, 4, 6, 8]
    moves = [row["param_change"] for row in observe.rows]
    angles = [row["cosine"] for row in observe.rows]
    assert np.isfinite(moves).all()
    assert np.isfinite(angles).tolist() == [False, True, True]
    with pytest.raises(FileExistsError, match="resume"):
        Observe(folder=tmp_path / "run")


def test_one_observer_watches_one_run():
    observe = Observe(every=3)
    trained(observe, steps=1)
    with pytest.raises(RuntimeError, match="another"):
        trained(observe)


# Sinks and libraries ---------------------------------------------------------


def test_a_csv_file_holds_the_rows(tmp_path):
    sink = CSV(tmp_path / "run.csv")
    observe = Observe(every=3, overhead=None, sinks=[sink])
    trained(observe)
    table = np.genfromtxt(sink.path, delimiter=",", names=True)
    for name in observe.rows[0]:
        wanted = [row[name] for row in observe.rows]
        np.testing.assert_array_equal(table[name], wanted)
    with pytest.raises(ValueError, match="other columns"):
        sink.log({"loss": 1.0}, 12)
    values = {k: v for k, v in observe.rows[0].items() if k != "step"}
    CSV(sink.path).log(values, 12)
    assert len(sink.path.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("module", "package", "call"),
    [
        ("transformers", "transformers", lambda: Observe().for_trainer()),
        ("lightning.pytorch", "lightning", lambda: Observe().for_lightning()),
        ("tensorboard", "tensorboard", lambda: TensorBoard("runs")),
        ("wandb", "wandb", WandB),
        ("mlflow", "mlflow", MLflow),
    ],
)
def test_a_missing_library_is_named(module, package, call, monkeypatch):
    for name in {module, module.partition(".")[0], "pytorch_lightning"}:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        call()


def test_accumulated_batches_are_one_step_for_accelerate():
    model = network()
    sgd = make("sgd", model)
    accelerator = SimpleNamespace(
        is_main_process=True,
        sync_gradients=False,
        unwrap_model=lambda wrapped: wrapped.module,
    )
    observe = Observe(every=2, overhead=None)
    after_step = observe.for_accelerate(
        accelerator,
        SimpleNamespace(module=model),
        SimpleNamespace(optimizer=sgd),
    )
    for batch in range(1, 9):
        accelerator.sync_gradients = batch % 2 == 0
        after_step(loss=step(model, sgd))
    assert [row["step"] for row in observe.rows] == [2, 4]
    other = Observe(every=1, overhead=None)
    accelerator.is_main_process = False
    other.for_accelerate(accelerator, None, None)(loss=1.0)
    assert other.rows == []
