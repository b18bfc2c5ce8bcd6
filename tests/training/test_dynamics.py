"""Learning dynamics beside loops, dense Hessians and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dldna import params
from dldna.data import Loader, load
from dldna.landscape import trace
from dldna.records import Motion, Record
from dldna.training import Dynamics, Live, State, gradient_noise, train
from dldna.training.dynamics.point import Instruments


@pytest.fixture(scope="module")
def blobs():
    toy = load("blobs")
    return toy.train_x[:96].double(), toy.train_y[:96]


def network(seed=0, dropout=0.0, norm=False):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(2, 6),
            nn.BatchNorm1d(6) if norm else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(6, 3),
        ).double()


def watched(data, watch, *, epochs=3, lr=0.1, make=None, model=None, **more):
    model = network() if model is None else model
    make = make or (lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9))
    history = train(
        model,
        make(model.parameters()),
        Loader(*data, 32, True, 3),
        epochs=epochs,
        callbacks=[watch],
        progress=False,
        **more,
    )
    return model, history


def flat(model):
    return params.flatten(params.copy(params.of(model)))


def dense(model, data, loss_fn=F.cross_entropy):
    like = params.of(model)

    def f(w):
        out = torch.func.functional_call(
            model, params.unflatten(w, like), (data[0],)
        )
        return loss_fn(out, data[1])

    w = params.flatten(like)
    grad = torch.func.grad(f)
    return torch.func.jacrev(grad)(w), grad(w), f(w)


# Steps ------------------------------------------------------------------


def test_a_step_is_measured_as_one_would_by_hand(blobs):
    watch = Dynamics()
    watched(blobs, watch)
    found = watch.record()

    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader, moves, row = Loader(*blobs, 32, True, 3), [], 0
    for epoch in range(3):
        for x, y in loader:
            before = flat(model)
            sgd.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            g = torch.cat([p.grad.flatten() for p in model.parameters()])
            sgd.step()
            moves.append(flat(model) - before)
            better = loss - F.cross_entropy(model(x), y)
            wanted = {
                "steps": row + 1,
                "epochs": epoch + 1,
                "loss": loss.item(),
                "grad_norm": g.norm().item(),
                "param_change": moves[-1].norm().item(),
                "weight_norm": flat(model).norm().item(),
                "loss_improvement": better.item(),
            }
            for name, value in wanted.items():
                got = getattr(found, name)[row]
                assert got == pytest.approx(value, rel=1e-9, abs=1e-12), name
            weights = [model[0].weight, model[0].bias]
            assert found.layer_grad_norm[row, 0] == pytest.approx(
                math.hypot(*(p.grad.norm().item() for p in weights))
            )
            assert found.layer_weight_norm[row, 0] == pytest.approx(
                math.hypot(*(p.norm().item() for p in weights))
            )
            if row:
                angle = torch.cosine_similarity(moves[-1], moves[-2], dim=0)
                assert found.cosine[row] == pytest.approx(angle.item())
            row += 1
    assert row == len(found.steps)
    assert np.isnan(found.cosine[0])
    assert found.layers == ["0", "4"]
    for part, whole in (
        (found.layer_change, found.param_change),
        (found.layer_grad_norm, found.grad_norm),
    ):
        np.testing.assert_allclose(np.hypot(*part.T), whole, rtol=1e-12)


@pytest.mark.parametrize("every", [2, 3, 4, 7])
def test_fewer_rows_are_the_same_rows(blobs, every):
    all_rows, some = Dynamics(), Dynamics(every=every, per_layer=False)
    watched(blobs, all_rows, epochs=5)
    watched(blobs, some, epochs=5)
    all_rows, some = all_rows.record(), some.record()
    chosen = all_rows.steps % every == 0
    assert some.steps.tolist() == all_rows.steps[chosen].tolist()
    for name in ("param_change", "cosine", "loss_improvement", "grad_norm"):
        np.testing.assert_array_equal(
            getattr(some, name), getattr(all_rows, name)[chosen]
        )
    assert some.layer_change.size == 0
    assert some.layers == []


def test_a_dropout_mask_is_the_same_before_and_after(blobs):
    """At rate 0 nothing improves, whatever the mask."""
    watch = Dynamics()
    watched(blobs, watch, lr=0.0, model=network(dropout=0.5))
    found = watch.record()
    assert np.ptp(found.loss) > 0.01
    np.testing.assert_allclose(found.loss_improvement, 0, atol=1e-12)


def test_epochs_are_means_over_steps(blobs):
    watch = Dynamics()
    _, history = watched(blobs, watch)
    found, by_epoch = watch.record(), watch.record().by_epoch()
    np.testing.assert_allclose(by_epoch["loss"], history.train_loss)
    assert by_epoch["param_change"][1] == pytest.approx(
        found.param_change[3:6].mean()
    )
    assert by_epoch["weight_norm"] == found.weight_norm[2::3].tolist()


def test_a_smaller_last_batch_counts_less(blobs):
    """In the losses of an epoch, and in what is measured on data."""
    pieces = [
        tuple(t[a:b] for t in blobs) for a, b in ((0, 40), (40, 80), (80, 83))
    ]
    watch = Dynamics(pieces, measure_every=1, k=0)
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    history = train(model, sgd, pieces, epochs=1, callbacks=[watch],
                    progress=False)  # fmt: skip
    found = watch.record()
    assert found.samples.tolist() == [40, 40, 3]
    loss = F.cross_entropy(model(blobs[0][:83]), blobs[1][:83])
    slope = torch.autograd.grad(loss, list(model.parameters()))
    length = torch.cat([g.flatten() for g in slope]).norm().item()
    whole = pytest.approx(loss.item(), rel=1e-6)
    assert found.by_epoch()["loss"] == [whole]
    assert found.by_epoch()["loss"] == pytest.approx(history.train_loss)
    assert found.data_loss[0] == whole
    assert found.data_grad_norm[0] == pytest.approx(length, rel=1e-5)


def test_noise_of_a_batch_along_another_axis_is_refused():
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = torch.nn.RNN(4, 5), torch.nn.Linear(5, 3)

        def forward(self, x):  # (time, batch, 4)
            return self.head(self.body(x)[0][-1])

    data = torch.randn(7, 12, 4), torch.randint(3, (12,))
    with pytest.raises(ValueError, match="put the batch first"):
        gradient_noise(Last(), F.cross_entropy, data, parts=3)
    cut = [(data[0][:, i : i + 4], data[1][i : i + 4]) for i in (0, 4, 8)]
    assert gradient_noise(Last(), F.cross_entropy, cut).value > 0


def test_closed_form_of_a_parabola():
    """w halves its distance, or jumps to the other side, as 1 - eta lambda.

    With x = 2 the loss is (2 w)^2, so lambda = 8.
    """
    data = torch.full((4, 1), 2.0).double(), torch.zeros(4, 1).double()
    for lr, factor in ((0.0625, 0.5), (0.1875, -0.5)):
        model = nn.Linear(1, 1, bias=False).double()
        nn.init.ones_(model.weight)
        watch = Dynamics(data, measure_every=1, k=1)
        train(
            model,
            torch.optim.SGD(model.parameters(), lr=lr),
            [data],
            epochs=4,
            loss_fn=nn.MSELoss(),
            callbacks=[watch],
            progress=False,
        )
        found = watch.record()
        w = factor ** np.arange(5)
        np.testing.assert_allclose(found.loss, 4 * w[:-1] ** 2)
        np.testing.assert_allclose(found.grad_norm, 8 * abs(w[:-1]))
        np.testing.assert_allclose(found.param_change, abs(np.diff(w)))
        np.testing.assert_allclose(found.weight_norm, abs(w[1:]))
        np.testing.assert_allclose(
            found.loss_improvement, -np.diff(4 * w**2), rtol=1e-9
        )
        np.testing.assert_allclose(found.cosine[1:], np.sign(factor))
        np.testing.assert_allclose(found.sharpness, 8)
        np.testing.assert_allclose(found.edge_ratio, 8 * lr / 2)
        np.testing.assert_allclose(found.gradient_share[:, 0], 1)
        np.testing.assert_allclose(found.data_loss, 4 * w**2)


# The run stays as it is -------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_the_run_is_bit_for_bit_the_same(blobs, name):
    def go(watch):
        torch.manual_seed(5)
        generator = torch.Generator().manual_seed(1)
        loader = DataLoader(
            TensorDataset(*blobs), 32, shuffle=True, generator=generator
        )
        callbacks = []
        if watch:
            callbacks = [
                Dynamics(
                    loader, measure_every=2, k=2, noise=4, max_products=30
                )
            ]
        model = network(dropout=0.3, norm=True)
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
        history = train(
            model,
            optimizer,
            loader,
            epochs=3,
            callbacks=callbacks,
            progress=False,
        )
        grads = [p.grad.clone() for p in model.parameters()]
        return (
            model.state_dict(),
            grads,
            history.step_loss,
            torch.random.get_rng_state(),
            generator.get_state(),
            [m.training for m in model.modules()],
        )

    with_it, without = go(True), go(False)
    for key, value in without[0].items():
        assert torch.equal(with_it[0][key], value), key
    assert all(map(torch.equal, with_it[1], without[1]))
    assert with_it[2].tolist() == without[2].tolist()
    assert torch.equal(with_it[3], without[3])
    assert torch.equal(with_it[4], without[4])
    assert with_it[5] == without[5]


def test_an_interrupted_run_measures_the_same(blobs, tmp_path):
    def fresh():
        return Dynamics(blobs, measure_every=2, k=2, noise=4)

    whole = fresh()
    watched(blobs, whole, epochs=4)
    path = tmp_path / "run.pt"
    watched(blobs, fresh(), epochs=2, checkpoint=path)
    second = fresh()
    watched(blobs, second, epochs=4, checkpoint=path)
    a, b = whole.record(), second.record()
    for name, value in vars(a).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(b, name), value, name)


def test_a_second_run_starts_afresh(blobs):
    watch = Dynamics(blobs, measure_every=3)
    watched(blobs, watch, epochs=2)
    first = watch.record()
    watched(blobs, watch, epochs=2)
    np.testing.assert_array_equal(watch.record().loss, first.loss)
    np.testing.assert_array_equal(watch.record().points, [0, 3, 6])


def test_the_record_survives_the_disk(blobs, tmp_path):
    watch = Dynamics(blobs, measure_every=4, k=2, noise=4)
    watched(blobs, watch)
    record = watch.record()
    again = Record.load(record.save(tmp_path / "motion"))
    assert isinstance(again, Motion)
    assert again.layers == record.layers
    assert again.threshold_of == "sharpness"
    for name, value in vars(record).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(again, name), value, name)
    assert again.provenance == record.provenance


# Points -----------------------------------------------------------------


class Keep:
    """Deep copies of the model and the optimizer's squares."""

    def __init__(self):
        self.kept = {}

    def on_start(self, state):
        self.kept[0] = copy.deepcopy(state.model), None

    def on_step(self, state):
        squares = [
            state.optimizer.state[p].get("exp_avg_sq")
            for p in state.model.parameters()
        ]
        if squares[0] is not None:
            squares = torch.cat([v.flatten().clone() for v in squares])
        self.kept[state.step] = copy.deepcopy(state.model), squares


def test_points_agree_with_the_dense_hessian(blobs):
    watch = Dynamics(blobs, measure_every=3, k=3, tol=1e-7)
    keep, model = Keep(), network()
    adam = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.8, 0.99))
    train(
        model,
        adam,
        Loader(*blobs, 32),
        epochs=6,
        callbacks=[watch, keep],
        progress=False,
    )
    found = watch.record()
    assert found.points.tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert found.residuals.max() < 1e-7
    for i, t in enumerate(found.points):
        then, v = keep.kept[t]
        h, g, loss = dense(then, blobs)
        values, vectors = torch.linalg.eigh(h)
        top = values.flip(0)[:3]
        np.testing.assert_allclose(found.eigenvalues[i], top, rtol=1e-9)
        share = (vectors.flip(1)[:, :3].T @ g).square().cumsum(0) / (g @ g)
        np.testing.assert_allclose(found.gradient_share[i], share, rtol=1e-5)
        assert found.data_loss[i] == pytest.approx(loss.item())
        assert found.data_grad_norm[i] == pytest.approx(g.norm().item())
        if t == 0:
            assert np.isnan(found.preconditioned[i])
            continue
        t = int(t)
        p = (1 - 0.8**t) * ((v / (1 - 0.99**t)).sqrt() + 1e-8)
        largest = torch.linalg.eigvals(h / p[:, None]).real.max().item()
        assert found.preconditioned[i] == pytest.approx(largest, rel=1e-6)
    assert found.threshold_of == "preconditioned sharpness"
    np.testing.assert_allclose(found.threshold, 2 * 1.8 / (0.2 * 0.02))
    np.testing.assert_array_equal(
        found.edge_ratio, found.preconditioned / found.threshold
    )


def test_an_eigenvector_that_overtakes_is_found():
    """A warm start at the old eigenvector must not stay with it."""
    n = 300
    bulk = torch.rand(n, generator=torch.Generator().manual_seed(0)) * 0.3

    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(n))

        def forward(self, x):
            return (x.mean(0) * self.w**2).sum()

    tools = Instruments(None, 1, 0, 0, 1e-2, 200, {})
    model = Bowl()
    state = State(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        loss_fn=lambda output, batch: output / 2,
    )
    for seed in range(5):
        warm, values = {}, bulk.clone()
        values[0] = 1.0
        for top in (1.0, 1.02, 1.1, 1.5):
            values[1] = top
            tools.data = values[None]
            state.step += 1 + seed
            row = tools.measure(state, warm)
            assert row["eigenvalues"][0] == pytest.approx(top, rel=2e-3)


def test_a_run_that_diverges_leaves_gaps():
    data = torch.full((4, 1), 2.0), torch.zeros(4, 1)
    model = nn.Linear(1, 1, bias=False)
    watch = Dynamics(data, measure_every=1)
    train(
        model,
        torch.optim.SGD(model.parameters(), lr=1e18),
        [data],
        epochs=5,
        loss_fn=nn.MSELoss(),
        callbacks=[watch],
        progress=False,
        on_divergence="record",
    )
    found = watch.record()
    assert np.isfinite(found.sharpness[0])
    assert np.isnan(found.sharpness[-1])
    assert np.isnan(found.data_loss[-1])
    assert not np.isfinite(found.loss_improvement[-1])


def test_more_eigenpairs_than_parameters_are_nan():
    data = torch.ones(4, 1), torch.zeros(4, 1)
    model, watch = nn.Linear(1, 1), Dynamics(data, k=4, measure_every=1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, sgd, [data], epochs=1, loss_fn=nn.MSELoss(),
          callbacks=[watch], progress=False)  # fmt: skip
    assert np.isnan(watch.record().eigenvalues).sum(1).tolist() == [2, 2]


def test_what_cannot_be_measured_is_refused(blobs):
    with pytest.raises(ValueError, match="nothing was measured"):
        Dynamics().record()
    with pytest.raises(ValueError, match="every"):
        Dynamics(every=0)
    with pytest.raises(ValueError, match="no parameter"):
        watched(blobs, Dynamics(), model=network().requires_grad_(False))


# Noise ------------------------------------------------------------------


def test_noise_of_single_samples_is_the_covariance(blobs):
    """One part for each sample is the sample covariance itself."""
    model = network().eval()
    rows = []
    for x, y in zip(*blobs, strict=True):
        loss = F.cross_entropy(model(x[None]), y[None])
        grads = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(torch.cat([g.flatten() for g in grads]))
    rows = torch.stack(rows)
    trace = rows.var(0).sum().item()
    signal = rows.mean(0).square().sum().item() - trace / len(rows)
    found = gradient_noise(model, F.cross_entropy, blobs, parts=96)
    assert found.provenance.notes["trace"] == pytest.approx(trace)
    assert found.provenance.notes["squared_gradient"] == pytest.approx(signal)
    assert found.value == pytest.approx(trace / signal)


@pytest.mark.parametrize("parts", [5, 24])
def test_noise_of_parts_is_unbiased_and_knows_its_error(blobs, parts):
    """Over many shuffles the mean is the exact one, spread as was said."""
    model = network()
    exact = gradient_noise(model, F.cross_entropy, blobs, parts=96)
    wanted = exact.provenance.notes["trace"]
    notes = [
        gradient_noise(
            model, F.cross_entropy, blobs, parts=parts, seed=s
        ).provenance.notes
        for s in range(60)
    ]
    traces = np.array([n["trace"] for n in notes])
    error = traces.std() / np.sqrt(len(traces))
    assert abs(traces.mean() - wanted) < 4 * error
    said = np.mean([n["trace_error"] for n in notes])
    assert 0.5 < said / traces.std() < 2


def test_parts_of_a_loader_may_differ_in_size(blobs):
    model = network()
    pieces = [
        tuple(t[a:b] for t in blobs)
        for a, b in ((0, 40), (40, 50), (50, 90), (90, 96))
    ]
    found = gradient_noise(model, F.cross_entropy, pieces)
    rows, sizes = [], [40, 10, 40, 6]
    for x, y in pieces:
        loss = F.cross_entropy(model(x), y)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(torch.cat([g.flatten() for g in grads]))
    mean = sum(b / 96 * r for b, r in zip(sizes, rows, strict=True))
    total = sum(
        b * (r - mean).square().sum() for b, r in zip(sizes, rows, strict=True)
    )
    assert found.provenance.notes["trace"] == pytest.approx(total.item() / 3)


def test_noise_alone_has_no_scale():
    """Where the gradient drowns in noise, the quotient is infinite."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    x = torch.ones(4, 1)
    y = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    found = gradient_noise(model, nn.MSELoss(), (x, y), parts=4)
    assert np.isinf(found.value)
    assert np.isinf(found.error)
    same = gradient_noise(model, nn.MSELoss(), (x, x), parts=4)
    assert same.value == 0 == same.error
    with pytest.raises(ValueError, match="two parts"):
        gradient_noise(model, nn.MSELoss(), (x[:1], y[:1]))


# Live -------------------------------------------------------------------


class Screen:
    def __init__(self):
        self.shown = []

    def update(self, data, metadata, raw):
        assert raw
        self.shown.append((data, metadata))


def test_a_live_picture_ends_with_the_last_step(blobs, monkeypatch):
    screen = Screen()
    monkeypatch.setattr("dldna.training.dynamics.live._place", lambda: screen)
    watch = Dynamics()
    live = Live(watch, lambda m: ({"text/plain": len(m.steps)}, {}), 0.0)
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, sgd, Loader(*blobs, 32), epochs=2,
          callbacks=[watch, live], progress=False)  # fmt: skip
    counts = [data["text/plain"] for data, _ in screen.shown]
    assert counts == [1, 2, 3, 3, 4, 5, 6, 6]


def test_nothing_is_drawn_outside_a_notebook(blobs):
    watch = Dynamics()

    def draw(motion):
        raise AssertionError("drawn without a notebook")

    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, sgd, Loader(*blobs, 32), epochs=1,
          callbacks=[watch, Live(watch, draw, 0)], progress=False)  # fmt: skip
    assert len(watch.record().steps) == 3


# What other loops bring -----------------------------------------------------


def test_the_trace_is_the_one_taken_alone(blobs):
    watch = Dynamics(blobs, measure_every=3, k=0, trace=9)
    model, _ = watched(blobs, watch, epochs=1)
    found = watch.record()
    alone = trace(model, F.cross_entropy, blobs, products=9)
    assert found.points.tolist() == [0, 3]
    assert found.trace[-1] == pytest.approx(float(alone.value), rel=1e-9)
    assert found.trace_error[-1] == pytest.approx(float(alone.error), rel=1e-6)
    exact = float(dense(model, blobs)[0].trace())
    assert abs(found.trace[-1] - exact) < 5 * found.trace_error[-1] + 1e-9
    plain = Dynamics(blobs, measure_every=3)
    watched(blobs, plain, epochs=1)
    assert np.isnan(plain.record().trace).all()


def test_gradients_that_were_cleared_are_not_known(blobs):
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    watch, state = Dynamics(), State(model, sgd, loss_fn=F.cross_entropy)
    watch.on_start(state)
    for state.step in (1, 2):
        F.cross_entropy(model(blobs[0]), blobs[1]).backward()
        sgd.step()
        if state.step == 2:
            sgd.zero_grad()
        watch.on_step(state)
    lengths = watch.record().grad_norm
    assert lengths[0] > 0
    assert np.isnan(lengths[1])
