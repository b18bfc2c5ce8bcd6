"""A sweep gives the numbers of its runs one by one, by torch's optimizers."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import graph, optim
from dldna.data import Loader, load
from dldna.training import evaluate, sweep

SEEDS = [3, 5]


pytestmark = pytest.mark.usefixtures("float64")


def net(seed, act=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(2, 6),
            act or nn.PReLU(),
            nn.Linear(6, 5),
            nn.Tanh(),
            nn.Linear(5, 2),
        ).double()


def normed(seed):
    """A network that is no plain perceptron."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(2, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)
        ).double()


@pytest.fixture
def moons():
    d = load("moons")
    return d.train_x.double()[:100], d.train_y[:100]


def one_by_one(make, data, optimizer, hyper, seed, steps, batch_size=16):
    model = make(seed)
    opt = optimizer(model.parameters(), **hyper)
    loader = Loader(*data, batch_size, shuffle=True, seed=seed)
    losses = []
    while len(losses) < steps:
        for x, y in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.item())
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    return np.array(losses[:steps]), flat.numpy()


CASES = [
    ("sgd", torch.optim.SGD, [{"lr": 0.1}, {"lr": 0.5}]),
    (
        "sgd",
        torch.optim.SGD,
        [
            {"lr": 0.1},
            {"lr": 0.1, "momentum": 0.9},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.9},
        ],
    ),
    (
        "adam",
        torch.optim.Adam,
        [{"lr": 0.01, "betas": (0.7, 0.9)}, {"lr": 0.1, "betas": (0.9, 0.99)}],
    ),
    (
        "adamw",
        torch.optim.AdamW,
        [{"lr": 0.01, "weight_decay": 0.1}, {"lr": 0.01, "weight_decay": 0.0}],
    ),
    ("nadam", torch.optim.NAdam, [{"lr": 0.01}, {"lr": 0.05}]),
    ("rmsprop", torch.optim.RMSprop, [{"lr": 0.01}]),
]


@pytest.mark.parametrize("make", [net, normed], ids=["perceptron", "any"])
@pytest.mark.parametrize(("rule", "optimizer", "settings"), CASES)
def test_the_numbers_are_those_of_the_runs_one_by_one(
    rule, optimizer, settings, make, moons
):
    steps = 14  # two epochs of seven batches, the last one smaller
    got = sweep(make, moons, rule, settings, SEEDS, batch_size=16, steps=steps)
    wanted = "perceptron" if make is net else "vmap"
    assert got.provenance.notes["way"] == wanted
    for i, hyper in enumerate(settings):
        for k, seed in enumerate(SEEDS):
            losses, flat = one_by_one(
                make, moons, optimizer, hyper, seed, steps
            )
            np.testing.assert_allclose(got.step_loss[i, k], losses, rtol=1e-9)
            np.testing.assert_allclose(
                got.weights[i, k], flat, rtol=1e-8, atol=1e-10
            )


def test_a_single_layer_without_bias_takes_the_fast_path(moons):
    def make(seed):
        return nn.Linear(2, 2, bias=False)

    got = sweep(make, moons, "sgd", [{"lr": 0.1}], [0], epochs=1)
    assert got.provenance.notes["way"] == "perceptron"


def test_a_model_that_only_looks_like_a_perceptron_is_found_out(moons):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(self.layer(x))

    def make(seed):
        return Twice().double()

    got = sweep(make, moons, "sgd", [{"lr": 0.1}], [0], epochs=1)
    assert got.provenance.notes["way"] == "vmap"


def test_the_test_set_is_scored_after_each_epoch(moons):
    got = sweep(
        net, moons, "sgd", [{"lr": 0.1}], [4], batch_size=16, epochs=2,
        test=moons,
    )  # fmt: skip
    _, flat = one_by_one(net, moons, torch.optim.SGD, {"lr": 0.1}, 4, 14)
    model = net(4)
    nn.utils.vector_to_parameters(torch.tensor(flat), model.parameters())
    x, y = moons
    with torch.no_grad():
        out = model(x)
    assert got.epochs.tolist() == [1, 2]
    assert got.test_loss[0, 0, -1] == pytest.approx(
        F.cross_entropy(out, y).item(), rel=1e-9
    )
    right = (out.argmax(1) == y).double().mean().item()
    assert got.test_accuracy[0, 0, -1] == pytest.approx(right)
    history = got.history(0, 0)
    assert history.test_loss[-1] == got.test_loss[0, 0, -1]
    sizes = [16] * 6 + [len(x) - 96]  # the last batch is smaller
    assert sizes[-1] != 16
    assert history.train_loss[0] == pytest.approx(
        np.average(got.step_loss[0, 0, :7], weights=sizes)
    )


@pytest.mark.parametrize("make", [net, normed])
def test_runs_are_judged_on_other_data_as_a_loop_would(make, moons):
    settings = [{"lr": 0.1}, {"lr": 1.0}]
    got = sweep(make, moons, "sgd", settings, SEEDS, steps=5)
    x, y = moons[0][60:], moons[1][60:]
    loss, right = got.judge(make(0), (x, y))
    for s, k in itertools.product(range(2), range(2)):
        model, flat = make(9), torch.from_numpy(got.weights[s, k])
        nn.utils.vector_to_parameters(flat, model.parameters())
        with torch.no_grad():
            out = model(x)
        assert loss[s, k] == pytest.approx(F.cross_entropy(out, y).item())
        assert right[s, k] == (out.argmax(1) == y).double().mean().item()
    with pytest.raises(ValueError, match="parameters each, the model 6"):
        got.judge(nn.Linear(2, 2), (x, y))


def test_a_schedule_scales_every_rate(moons):
    settings = [{"lr": 0.1}, {"lr": 0.2}]
    still = sweep(net, moons, "sgd", settings, [0], steps=5,
                  schedule=lambda step: 0.0)  # fmt: skip
    start = torch.cat([p.detach().flatten() for p in net(0).parameters()])
    np.testing.assert_array_equal(still.weights[1, 0], start.numpy())
    half = sweep(net, moons, "sgd", settings, [0], steps=5,
                 schedule=lambda step: 0.5)  # fmt: skip
    full = sweep(net, moons, "sgd", [{"lr": 0.1}], [0], steps=5)
    np.testing.assert_allclose(half.weights[1], full.weights[0], rtol=1e-12)


def test_a_graph_is_swept_by_hand_as_autograd_would():
    g = graph.build(["xw=ap*xp+aq*xq", "xz=bp*xp+bq*xq", "xo=cp*xw+cq*xz"])
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=gen)
    y = (x[:, 0] * x[:, 1] > 0).double()
    settings = [{"lr": 0.1, "betas": (0.7, b)} for b in (0.7, 0.99)]
    got = sweep(g, (x, y), "adam", settings, SEEDS, batch_size=8, steps=20)
    for i, hyper in enumerate(settings):
        for k, seed in enumerate(SEEDS):
            start = torch.rand(
                len(g.weights), generator=torch.Generator().manual_seed(seed),
                dtype=torch.float64,
            )  # fmt: skip
            w = [v.clone().requires_grad_() for v in start]
            opt = torch.optim.Adam(w, **hyper)
            losses = []
            loader = Loader(x, y, 8, shuffle=True, seed=seed)
            while len(losses) < 20:
                for a, b in loader:
                    opt.zero_grad()
                    named = dict(zip(g.weights, w, strict=True))
                    cols = dict(zip(g.inputs, a.unbind(1), strict=True))
                    out = g.forward(named, cols)["xo"]
                    loss = (out - b).square().mean()
                    loss.backward()
                    opt.step()
                    losses.append(loss.item())
            np.testing.assert_allclose(
                got.step_loss[i, k], losses[:20], rtol=1e-9
            )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "adm"}, "did you mean 'Adam'"),
        ({"settings": []}, "at least one"),
        ({"settings": [{"lr": 0.1}, {"learning_rate": 1}]}, "keyword of sgd"),
        ({"settings": [{"nesterov": True}, {"nesterov": False}]},
         "not a number"),
        ({"steps": None}, "either epochs or steps"),
        ({"epochs": 1}, "either epochs or steps"),
        ({"steps": 0}, "at least 1"),
        ({"data": (torch.zeros(0, 2), torch.zeros(0))}, "empty"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, message, moons):
    call = {
        "data": moons,
        "rule": "sgd",
        "settings": [{"lr": 0.1}],
        "steps": 3,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        sweep(net, seeds=[0], **call)


@pytest.mark.parametrize("rates", [[0.01], [0.01, 0.1]])
def test_factors_scale_the_rates_tensor_by_tensor(rates, moons):
    factors = {"1.weight": 0.25, "5.bias": 0.0}
    got = sweep(
        net, moons, "adam", [{"lr": r} for r in rates], SEEDS, steps=7,
        batch_size=16, lr_factors=factors,
    )  # fmt: skip
    for i, rate in enumerate(rates):
        for k, seed in enumerate(SEEDS):
            model = net(seed)
            groups = [
                {"params": [p], "lr": rate * factors.get(name, 1.0)}
                for name, p in model.named_parameters()
            ]
            _, flat = one_by_one(
                lambda _, m=model: m, moons,
                lambda _, g=groups: torch.optim.Adam(g), {}, seed, 7,
            )  # fmt: skip
            np.testing.assert_allclose(got.weights[i, k], flat, rtol=1e-9)


def test_factors_need_a_known_name_and_an_elementwise_rule(moons):
    settings = [{"lr": 0.1}]
    with pytest.raises(ValueError, match=r"did you mean '1\.weight'"):
        sweep(
            net, moons, "sgd", settings, SEEDS, steps=1,
            lr_factors={"1.weigth": 2.0},
        )  # fmt: skip
    with pytest.raises(ValueError, match="number by number"):
        sweep(
            net, moons, "muon", settings, SEEDS, steps=1,
            lr_factors={"1.weight": 2.0},
        )  # fmt: skip


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_schedule_free_runs_are_judged_where_they_average(name, moons):
    package = pytest.importorskip("schedulefree")
    cls = {
        "ScheduleFreeSGD": package.SGDScheduleFree,
        "ScheduleFreeAdamW": package.AdamWScheduleFree,
    }[name]
    made = []

    def theirs(groups, **hyper):
        made.append(cls(groups, **hyper))
        made[-1].train()
        return made[-1]

    got = sweep(
        net, moons, name, [{"lr": 0.1}, {"lr": 0.05}], [4], batch_size=16,
        epochs=2, test=moons,
    )  # fmt: skip
    for i, lr in enumerate((0.1, 0.05)):
        model = net(4)
        one_by_one(lambda _, m=model: m, moons, theirs, {"lr": lr}, 4, 14)
        made[-1].eval()
        flat = nn.utils.parameters_to_vector(model.parameters())
        np.testing.assert_allclose(
            got.weights[i, 0], flat.detach(), rtol=1e-8, atol=1e-10
        )
        x, y = moons
        loss = F.cross_entropy(model(x), y).item()
        assert got.test_loss[i, 0, -1] == pytest.approx(loss, rel=1e-8)


@pytest.mark.parametrize(
    ("name", "rule", "more"),
    [
        ("Adam", "adam", {}),
        ("SGD+", "sgd", {"momentum": 0.9}),
        ("Nesterov", "sgd", {"momentum": 0.9, "nesterov": True}),
        ("AMSGrad", "adam", {"amsgrad": True}),
        ("D-Adaptation", "dadapt_adam", {}),
    ],
)
def test_names_in_any_spelling(name, rule, more, moons):
    a = sweep(net, moons, name, [{"lr": 0.1}], [4], steps=3)
    b = sweep(net, moons, rule, [{"lr": 0.1, **more}], [4], steps=3)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.settings == [{"lr": 0.1}]


@pytest.mark.parametrize("name", ["SAM", "PAL", "EntropySGD", "sophia"])
def test_what_needs_more_than_gradients_is_refused(name, moons):
    with pytest.raises(ValueError, match="gradients"):
        sweep(net, moons, name, [{"lr": 0.1}], [4], steps=1)


def frozen(seed):
    model = normed(seed)
    model[0].weight.requires_grad_(False)
    model[3].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("rule", "hyper"),
    [
        ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
        ("adamw", {"lr": 0.05, "weight_decay": 0.5}),
        ("lamb", {"lr": 0.02, "weight_decay": 0.1}),
        ("prodigy", {"lr": 1.0}),
        ("schedule_free_adamw", {"lr": 0.05, "weight_decay": 0.1}),
    ],
)
def test_what_is_frozen_stands_still(rule, hyper, moons):
    got = sweep(frozen, moons, rule, [hyper], SEEDS, batch_size=16, steps=14)
    for k, seed in enumerate(SEEDS):
        model = frozen(seed)
        free = [p for p in model.parameters() if p.requires_grad]
        optimizer = optim.make(rule, free, **hyper)
        losses, batches = [], Loader(*moons, 16, shuffle=True, seed=seed)
        for x, y in itertools.islice(itertools.chain(batches, batches), 14):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        getattr(optimizer, "eval", lambda: None)()
        flat = nn.utils.parameters_to_vector(model.parameters()).detach()
        np.testing.assert_allclose(got.step_loss[0, k], losses, rtol=1e-7)
        np.testing.assert_allclose(got.weights[0, k], flat, rtol=1e-6)


def dropping(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(2, 30), nn.Dropout(0.5), nn.Linear(30, 2)
        ).double()


LOSSES = {
    "plain": F.cross_entropy,
    "ignored": nn.CrossEntropyLoss(ignore_index=1),
    "weighted": nn.CrossEntropyLoss(torch.tensor([1.0, 5.0]).double()),
    "summed": nn.CrossEntropyLoss(reduction="sum"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_score_is_that_of_evaluate(name, moons):
    loss_fn = LOSSES[name]
    more = load("moons")
    test = more.train_x.double().repeat(3, 1), more.train_y.repeat(3)
    got = sweep(
        dropping, moons, "sgd", [{"lr": 1e-3}], SEEDS, epochs=1,
        batch_size=50, loss_fn=loss_fn, test=test,
    )  # fmt: skip
    model = dropping(0)
    judged, right = got.judge(model, test, loss_fn)
    assert all(module.training for module in model.modules())
    for k, weights in enumerate(torch.from_numpy(got.weights[0])):
        nn.utils.vector_to_parameters(weights, model.parameters())
        wanted = evaluate(model, test, loss_fn)
        assert (judged[0, k], right[0, k]) == pytest.approx(wanted)
        assert got.test_loss[0, k, -1] == pytest.approx(wanted[0])
        assert got.test_accuracy[0, k, -1] == pytest.approx(wanted[1])


def test_dropout_is_the_same_twice_and_leaves_the_random_state(moons):
    before = torch.get_rng_state()
    one, two = (
        sweep(dropping, moons, "sgd", [{"lr": 0.1}], SEEDS, steps=5)
        for _ in range(2)
    )
    assert np.array_equal(one.step_loss, two.step_loss)
    assert torch.equal(before, torch.get_rng_state())


def scaled(seed):
    model = normed(seed)
    model.register_buffer("scale", torch.full((), float(seed)))
    return model


def running(seed):
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (scaled, "'scale' differs from seed to seed"),
        (running, "one by one, with dldna.training.train"),
    ],
)
def test_what_cannot_run_side_by_side_says_so(make, says, moons):
    data = moons[0].to(next(make(0).parameters()).dtype), moons[1]
    with pytest.raises(ValueError, match=says):
        sweep(make, data, "sgd", [{"lr": 0.1}], SEEDS, steps=2)
