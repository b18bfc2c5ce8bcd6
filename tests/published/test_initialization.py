"""Chapter 5's initialization table: each column means what it says."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from dldna import init, training
from dldna.data import load
from dldna.models import SimpleNetwork
from dldna.published.init_analysis import (
    COLUMNS,
    analyze_initialization,
    create_detailed_analysis_table,
    steps_to,
)
from dldna.published.init_schemes import (
    init_methods,
    init_weights_lecun,
    init_weights_lmomentum,
    init_weights_scaled_orthogonal,
)

KEYS = {
    "loss",
    "time",
    "weight_stats",
    "gradient_norm",
    "layer_wise_stats",
    "convergence_speed",
}


def make_net():
    return SimpleNetwork(act_func=nn.PReLU(), hidden_shape=[32, 16])


@pytest.fixture(scope="module")
def loaders():
    return load("digits").take(600, n_test=200).loaders(32)


@pytest.fixture(scope="module")
def results(loaders):
    return analyze_initialization(
        make_net, init_methods, *loaders, epochs=2, device="cpu", lr=0.02
    )


def test_the_published_names_are_there():
    assert list(init_methods) == [
        "lecun",
        "xavier_normal",
        "kaiming_normal",
        "orthogonal",
        "scaled_orthogonal",
        "l-momentum",
    ]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("lecun", "lecun_normal"),
        ("xavier_normal", "xavier_normal"),
        ("kaiming_normal", "kaiming_normal"),
        ("orthogonal", "orthogonal"),
        ("scaled_orthogonal", "double_counted_orthogonal"),
        ("l-momentum", "constant_variance"),
    ],
)
def test_each_is_the_rooms_scheme(name, scheme):
    torch.manual_seed(5)
    mine = torch.empty(20, 30)
    init_methods[name](mine)
    twin = torch.Generator().manual_seed(5)
    theirs = init.SCHEMES[scheme](torch.empty(20, 30), generator=twin)
    assert torch.equal(mine, theirs)


def test_the_functions_fill_in_place():
    for fill in (
        init_weights_lecun,
        init_weights_scaled_orthogonal,
        init_weights_lmomentum,
    ):
        w = torch.zeros(6, 5)
        assert fill(w) is w
        assert w.abs().max() > 0


def test_the_keys_are_there(results):
    assert set(results) == set(init_methods)
    for r in results.values():
        assert set(r) >= KEYS
        assert r["time"] > 0


def test_the_run_is_that_of_the_training_room(results, loaders):
    torch.manual_seed(7)
    model = make_net()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                init.SCHEMES["kaiming_normal"](
                    p, generator=torch.default_generator
                )
            elif "bias" in name:
                p.zero_()
    table, start = init.spectral_table(model), copy.deepcopy(model)
    steps = Steps()
    history = training.train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
        *loaders,
        epochs=2,
        callbacks=[steps],
    )
    r = results["kaiming_normal"]
    assert r["loss"] == history.test_loss[-1]
    assert r["error_rate"] == 100 * (1 - history.test_accuracy[-1])
    assert r["history"].step_loss.tolist() == history.step_loss.tolist()
    mean = table.mean()
    assert r["spectral_norm"] == mean["spectral_norm"]
    assert r["condition_number"] == mean["condition_number"]
    assert r["effective_rank_ratio"] == mean["effective_rank_share"]
    first = r["measures"]["layers.0.weight"]
    assert first["spectral_norm"] == table.columns["spectral_norm"][0]
    stats = r["weight_stats"]["layers.0.weight"]
    weight = start.layers[0].weight.detach()
    assert stats["std"] == pytest.approx(float(weight.std(correction=0)))
    norm = torch.linalg.matrix_norm(weight, 2).item()
    assert stats["spectral_norm"] == pytest.approx(norm, rel=1e-5)
    assert set(r["weight_stats"]["layers.1.weight"]) == {"mean", "std"}
    norms = np.reshape(steps.norms, (2, -1)).mean(1)
    assert r["gradient_norm"]["layers.0.weight"] == pytest.approx(
        norms.tolist(), rel=1e-5
    )


class Steps:
    """Gradient norms of one weight, by hand."""

    def __init__(self):
        self.norms = []

    def on_step(self, state):
        self.norms.append(state.model.layers[0].weight.grad.norm().item())


def test_tables_of_weights_have_the_published_form(results):
    """By weight and by epoch from 0, as cells of version 0.1 read them."""
    for r in results.values():
        weights = [f"layers.{i}.weight" for i in (0, 1, 2, 4)]
        assert list(r["gradient_norm"]) == weights
        epochs = 2 if np.isfinite(r["loss"]) else 1  # it diverged in the first
        assert all(len(v) == epochs for v in r["gradient_norm"].values())
        assert list(r["layer_wise_stats"]) == [*range(epochs)]
        for epoch in r["layer_wise_stats"].values():
            assert list(epoch) == weights
            for numbers in epoch.values():
                assert set(numbers) == {"mean", "std", "norm"}
        keys = {"mean", "std", "spectral_norm", "condition_number",
                "rank_ratio"}  # fmt: skip
        assert set(r["weight_stats"]["layers.4.weight"]) == keys


def test_the_methods_are_named_as_they_are_tried(loaders, capsys):
    analyze_initialization(
        make_net, {"mine": init_weights_lecun}, *loaders, 1, device="cpu"
    )
    assert "\nInitialization method: mine\n" in capsys.readouterr().out


def test_results_of_version_01_are_not_taken_for_ours():
    old = {"lecun": {"loss": 0.48, "convergence_speed": 0.33,
                     "weight_stats": {}, "time": 23.3}}  # fmt: skip
    with pytest.raises(ValueError, match="no error rate"):
        create_detailed_analysis_table(old)


@pytest.mark.parametrize(
    "fill",
    [init_weights_lecun, init_weights_scaled_orthogonal,
     init_weights_lmomentum],
)  # fmt: skip
def test_a_bias_becomes_zero(fill):
    assert fill(torch.ones(4)).tolist() == [0.0] * 4


@pytest.mark.parametrize("alpha", [0.25, 0.81, 4.0])
def test_l_momentum_has_its_alpha(alpha):
    one = init_weights_lmomentum(torch.empty(40, 30), alpha)
    two = init_weights_lmomentum(torch.empty(9, 70), alpha=alpha)
    for w in (one, two):
        assert w.square().mean().item() == pytest.approx(alpha, rel=0.02)


def test_error_rate_is_an_error_and_not_a_loss(results):
    for r in results.values():
        if np.isfinite(r["error_rate"]):
            assert r["error_rate"] == pytest.approx(100 * (1 - r["accuracy"]))


def test_never_learning_is_no_speed(results, loaders):
    found = analyze_initialization(
        lambda: SimpleNetwork(act_func=nn.PReLU()),
        {"scaled_orthogonal": init_weights_scaled_orthogonal},
        *loaders,
        epochs=1,
        device="cpu",
    )["scaled_orthogonal"]
    assert found["loss"] == pytest.approx(math.log(10), abs=0.05)
    assert found["error_rate"] > 70  # not 2.3
    assert found["convergence_speed"] == math.inf
    fast = results["kaiming_normal"]["convergence_speed"]
    assert 20 <= fast <= 38


def test_one_number_is_no_matrix(results):
    """The PReLU slope, 0.25, enters no mean: orthogonal is 1, not less."""
    r = results["orthogonal"]
    assert r["spectral_norm"] == pytest.approx(1, abs=1e-5)
    assert r["effective_rank_ratio"] == pytest.approx(1, abs=1e-6)
    assert r["condition_number"] == pytest.approx(1, abs=1e-4)


def test_divergence_is_recorded(loaders):
    found = analyze_initialization(
        make_net,
        {"l-momentum": init_weights_lmomentum},
        *loaders,
        epochs=1,
        device="cpu",
        lr=100.0,
    )["l-momentum"]
    assert math.isnan(found["loss"])
    assert math.isnan(found["error_rate"])
    assert found["convergence_speed"] == math.inf


def test_the_callers_functions_are_used(loaders):
    seen = []

    def zeros(tensor):
        seen.append(tuple(tensor.shape))
        return nn.init.zeros_(tensor)

    found = analyze_initialization(
        make_net, {"mine": zeros}, *loaders, epochs=1, device="cpu"
    )
    assert seen == [(32, 784), (16, 32), (10, 16)]
    assert found["mine"]["spectral_norm"] == 0


@pytest.mark.parametrize(
    ("maker", "methods", "says"),
    [(make_net(), {"lecun": init_weights_lecun}, r"lambda: SimpleNetwork\("),
     (make_net, ["lecun"], "dict of functions by name")],
    ids=["a network", "a list"],
)  # fmt: skip
def test_what_makes_no_network_is_named(maker, methods, says, loaders):
    with pytest.raises(TypeError, match=says):
        analyze_initialization(maker, methods, *loaders, 1, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_default_device_falls_back(loaders):
    with pytest.warns(UserWarning, match="using the CPU"):
        analyze_initialization(
            make_net, {"lecun": init_weights_lecun}, *loaders, epochs=1
        )


def test_the_table_has_the_published_columns(results, capsys):
    create_detailed_analysis_table(results)
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[0] == (
        "Initialization Method | Error Rate (%) | Convergence Speed | "
        "Average Condition Number | Spectral Norm | Effective Rank Ratio | "
        "Execution Time (s)"
    )
    assert set(lines[1]) == {"-", "|"}
    assert len(lines) == 2 + len(init_methods)
    row = lines[2 + list(init_methods).index("orthogonal")].split(" | ")
    assert row[0] == "orthogonal"
    assert len(row) == len(COLUMNS)
    assert float(row[1]) == round(results["orthogonal"]["error_rate"], 2)
    assert row[4] == "1.00"


def test_steps_to_waits_for_the_mean():
    losses = [3.0] * 10 + [0.5] * 10
    assert steps_to(losses, 1.0, window=4) == 14.0
    assert steps_to(losses, 0.4, window=4) == math.inf
    assert steps_to([], 1.0) == math.inf
