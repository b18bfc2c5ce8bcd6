"""The tournament is fair, repeatable, and its statistics are right."""

import csv
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from dldna import data, models, optim, training
from dldna.training import tournament
from dldna.training.tournament import contestants, costs

NAMES = ["SGD", "Sophia", "Muon"]
SMALL = {"budget": 3, "seeds": 2, "epochs": 1, "marks": 4}


@pytest.fixture(scope="module")
def small():
    return data.load("digits").take(200, n_test=100)


def net(seed):
    return models.make("mlp", seed=seed, hidden=[12, 8])


@pytest.fixture(scope="module")
def found(small):
    return training.arena(net, small, NAMES, **SMALL)


# Statistics ---------------------------------------------------------------


@pytest.mark.parametrize("replacing", [True, False])
def test_best_of_k_is_the_mean_over_all_choices(replacing):
    scores, worth = [0.3, 0.9, 0.9, 0.1], [5.0, 7.0, 2.0, 1.0]
    got = training.expected_best(scores, worth, replacing)
    for k in range(1, 5):
        if replacing:
            ways = itertools.product(range(4), repeat=k)
        else:
            ways = itertools.combinations(range(4), k)
        each = [worth[max(w, key=lambda i: (scores[i], -i))] for w in ways]
        assert got[k - 1] == pytest.approx(np.mean(each), abs=1e-12)


def test_best_of_k_refuses_what_has_no_best():
    for scores, of in (([], None), ([1.0, math.nan], None), ([1.0], [1, 2])):
        with pytest.raises(ValueError, match="one score for each trial"):
            training.expected_best(scores, of)


@pytest.mark.parametrize("paired", [True, False])
def test_permutation_test_is_scipys(paired):
    draw = np.random.default_rng(3)
    kind = "samples" if paired else "independent"
    for shift in (0.0, 0.5, 2.0):
        a, b = draw.normal(size=6), draw.normal(size=6) + shift
        exact = stats.permutation_test(
            (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis),
            permutation_type=kind, vectorized=True, n_resamples=np.inf,
        ).pvalue  # fmt: skip
        got = training.permutation_test(a, b, paired)
        assert got == pytest.approx(exact, abs=1e-12)


def test_permutation_test_of_unequal_sides_by_hand():
    a, b = [0.0, 0.0, 9.0], [1.0, 10.0]
    pool, hits = np.array(a + b), 0
    ways = list(itertools.combinations(range(5), 3))
    for way in ways:
        rest = [i for i in range(5) if i not in way]
        gap = pool[list(way)].mean() - pool[rest].mean()
        hits += abs(gap) >= abs(np.mean(a) - np.mean(b)) - 1e-12
    got = training.permutation_test(a, b)
    assert got == pytest.approx(hits / len(ways))


@pytest.mark.parametrize("paired", [True, False])
def test_many_scores_are_drawn_and_stay_near_the_exact_test(paired):
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=40), draw.normal(size=40) + 0.45
    got = training.permutation_test(a, b, paired)
    t = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b)
    assert got == pytest.approx(t.pvalue, abs=0.015)
    assert got == training.permutation_test(a, b, paired)


def test_welch_is_scipys():
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=5), 3 * draw.normal(size=7) + 1
    exact = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert training.welch_test(a, b) == pytest.approx(exact, rel=1e-10)
    assert training.welch_test([2, 2], [2, 2]) == 1
    assert training.welch_test([2, 2], [3, 3]) == 0


def test_holm_by_its_definition():
    p = [0.04, 0.001, 0.03, 0.5]
    assert training.holm(p) == pytest.approx([0.09, 0.004, 0.09, 0.5])
    for alpha in (0.01, 0.05, 0.095, 0.6):
        rejected, left = set(), sorted(range(4), key=lambda i: p[i])
        while left and p[left[0]] < alpha / len(left):
            rejected.add(left.pop(0))
        mine = {i for i, q in enumerate(training.holm(p)) if q < alpha}
        assert mine == rejected


def test_letters_are_shared_exactly_by_those_alike():
    draw = np.random.default_rng(0)
    for n in (1, 2, 5, 7):
        for _ in range(20):
            alike = draw.random((n, n)) < 0.6
            alike = alike | alike.T | np.eye(n, dtype=bool)
            words = [set(w) for w in training.letter_groups(alike)]
            shared = [[bool(a & b) for b in words] for a in words]
            assert shared == alike.tolist()


# The tournament -----------------------------------------------------------


def test_budgets_are_equal_and_so_are_the_factors(found):
    usual = [training.CONTESTANTS[n].lr for n in NAMES]
    factors = found.rates / np.array(usual)[:, None]
    assert factors.shape == (3, 3)
    assert factors[1:] == pytest.approx(factors[:1].repeat(2, 0))
    assert factors[0, 0] == 1
    for o in range(3):
        assert found.chosen[o] == found.valid[o].argmax()


def test_factors_spread_evenly_whatever_their_number():
    for n in (4, 8, 32):
        made = np.log10(contestants.factors(n, 2.0))
        assert abs(made).max() <= 1
        gaps = np.diff(np.sort(made))
        assert gaps.max() < 2.7 * 2 / n


@pytest.mark.full
def test_a_rerun_writes_the_same_table(found, small, tmp_path):
    again = training.arena(net, small, NAMES, **SMALL)
    one = found.to_csv(tmp_path / "one.csv").read_text()
    assert again.to_csv(tmp_path / "two.csv").read_text() == one
    rows = list(csv.DictReader(one.splitlines()))
    assert len(rows) == 3 * (3 + 2)
    assert again.ranking() == found.ranking()
    other = training.arena(net, small, NAMES, **SMALL, seed=9)
    assert other.to_csv(tmp_path / "three.csv").read_text() != one


def test_final_runs_are_plain_training_on_the_rest(found, small):
    """The SGD of seed 2 again, with nothing of the tournament's code."""
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    keep, away = order[40:], order[:40]
    lr = float(found.rates[0, found.chosen[0]])
    model = net(2)
    opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    x, y = small.train_x[keep], small.train_y[keep]
    norms = []
    for a, b in data.Loader(x, y, 128, shuffle=True, seed=2):
        opt.zero_grad()
        F.cross_entropy(model(a), b).backward()
        grads = [p.grad.flatten() for p in model.parameters()]
        norms.append(torch.cat(grads).norm().item())
        opt.step()
    with torch.no_grad():
        right = (model(small.test_x).argmax(1) == small.test_y).double()
        valid = model(small.train_x[away]).argmax(1) == small.train_y[away]
    assert found.marks.tolist() == [1, 2]
    assert found.accuracy[0, 1] == pytest.approx(right.mean().item())
    assert found.curve[0, 1, -1] == pytest.approx(valid.double().mean())
    assert found.grad_norm[0, 1] == pytest.approx(norms, rel=1e-4)


@pytest.mark.full
def test_trials_side_by_side_are_those_one_by_one(small, monkeypatch):
    names = ["SGD", "Lion", "AdaFactor"]
    fast = training.arena(net, small, names, **SMALL)
    monkeypatch.setattr(tournament.Contestant, "rule", None)
    slow = training.arena(net, small, names, **SMALL)
    assert fast.valid == pytest.approx(slow.valid, abs=1 / 40 + 1e-9)
    assert fast.tested == pytest.approx(slow.tested, abs=1 / 100 + 1e-9)


def test_it_goes_on_where_it_was_interrupted(found, small, tmp_path):
    made = []

    def counted(seed):
        made.append(seed)
        if len(made) == 9:
            raise KeyboardInterrupt
        return net(seed)

    folder = tmp_path / "arena"
    with pytest.raises(KeyboardInterrupt):
        training.arena(counted, small, NAMES, **SMALL, out=folder)
    pieces = {p: p.stat().st_mtime_ns for p in folder.glob("*-*.json")}
    assert pieces
    again = training.arena(net, small, NAMES, **SMALL, out=folder)
    assert all(p.stat().st_mtime_ns == t for p, t in pieces.items())
    assert again.accuracy.tolist() == found.accuracy.tolist()
    assert again.curve.tolist() == found.curve.tolist()
    assert not list(folder.glob("*.pt"))
    with pytest.raises(ValueError, match=r"other settings \(weights"):
        training.arena(net, small, NAMES, **SMALL, out=folder, seed=1)


def test_a_diverged_run_scores_nothing(small):
    wild = training.Contestant("wild", "SGD", 1e12)
    fine = training.CONTESTANTS["Adam"]
    got = training.arena(net, small, [wild, fine], **SMALL)
    assert (got.valid[0] == 0).all()
    assert (got.accuracy[0] == 0).all()
    assert got.diverged.tolist() == [[True, True], [False, False]]
    assert np.isinf(got.loss[0]).all()
    assert np.isnan(got.steps_to(0.01)[0]).all()
    assert got.ranking()[0].optimizer == "Adam"


def test_records_survive_files_and_dicts(found, tmp_path):
    kept = training.Arena.load(found.save(tmp_path / "a.npz"))
    plain = {
        k: v.tolist() if hasattr(v, "tolist") else v
        for k, v in found.to_dict().items()
    }
    told = training.Arena.from_dict(plain)
    for other in (kept, told):
        assert other.ranking() == found.ranking()
        assert other.optimizers == found.optimizers
        assert np.array_equal(other.steps_to(0.1), found.steps_to(0.1),
                              equal_nan=True)  # fmt: skip


def test_pairs_and_letters_of_known_scores(found):
    accuracy = np.array([[0.50, 0.52, 0.51, 0.49, 0.50, 0.51, 0.50]] * 3)
    accuracy = accuracy + np.array([[0.0], [0.001], [0.2]])
    sure = replace(found, accuracy=accuracy)
    for test in ("welch", "permutation"):
        pairs = sure.pairs(test)
        told = {(p.a, p.b): p.distinguishable for p in pairs}
        assert told == {
            ("Muon", "SGD"): True,
            ("Muon", "Sophia"): True,
            ("Sophia", "SGD"): False,
        }
        assert [r.letters for r in sure.ranking(test)] == ["a", "b", "b"]
    assert sure.pairs("paired")[0].p == 2 / 2**7
    with pytest.raises(ValueError, match="did you mean 'paired'"):
        sure.pairs("pair")


def test_steps_to_a_target(found):
    curve = np.array([[[0.1, 0.6, 0.4], [0.1, 0.2, 0.3]]])
    few = replace(
        found, curve=curve, marks=np.array([5, 10, 15]),
        step_seconds=np.array([0.5]), diverged=np.zeros((1, 2), dtype=bool),
    )  # fmt: skip
    assert few.steps_to(0.4)[0, 0] == 10
    assert math.isnan(few.steps_to(0.4)[0, 1])
    assert few.seconds_to(0.3).tolist() == [[5.0, 7.5]]
    lost = replace(few, diverged=np.array([[True, False]]))
    assert np.isnan(lost.steps_to(0.3)).tolist() == [[True, False]]


def test_what_cannot_be_compared_is_refused(small):
    for wrong, message in (
        ({"optimizers": ["Adan"]}, "did you mean 'Adam'"),
        ({"optimizers": ["SGD", "SGD"]}, "different names"),
        ({"seeds": 1}, "seeds must be a whole number of at least 2"),
        ({"budget": 0}, "budget"),
        ({"held": 0.0}, "nothing to validate"),
    ):
        with pytest.raises(ValueError, match=message):
            training.arena(net, small, **{**SMALL, **wrong})
    with pytest.raises(ValueError, match="needs a hidden matrix"):
        training.CONTESTANTS["Muon"].build(nn.Linear(3, 2), 0.1)


@pytest.mark.full
def test_networks_with_dropout_and_batch_norm_play_too():
    d = data.load("digits").take(60, n_test=30)
    got = training.arena(
        "arena-cnn",
        replace(
            d, train_x=d.train_x[..., 6:22, 6:22].repeat(1, 3, 1, 1),
            test_x=d.test_x[..., 6:22, 6:22].repeat(1, 3, 1, 1),
        ),
        ["Muon"], budget=1, seeds=2, epochs=1, batch_size=24, marks=1,
    )  # fmt: skip
    assert got.provenance.model == "arena-cnn"
    assert np.isfinite(got.loss).all()


# Sophia in the loop, Muon's partner, costs -----------------------------


def test_train_hands_sophia_its_curvature(small):
    torch.manual_seed(0)
    mine, theirs = net(0), net(0)
    loader = data.Loader(small.train_x, small.train_y, 50)
    opt = optim.SophiaG(theirs.parameters(), lr=1e-3, k=2)
    training.train(theirs, opt, loader, epochs=1, progress=False)
    opt = optim.SophiaG(mine.parameters(), lr=1e-3, k=2)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(mine(x), y).backward()
        opt.step(curvature=lambda x=x: mine(x))
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    hutch = optim.SophiaH(mine.parameters(), lr=1e-3)
    training.train(mine, hutch, loader, epochs=1, progress=False)
    assert any((s["h"] != 0).any() for s in hutch.state.values())


def test_muon_moves_hidden_matrices_and_adamw_the_rest():
    model = net(0)
    mixed = training.CONTESTANTS["Muon"].build(model, 0.01)
    muon, _ = mixed.parts
    (hidden,) = muon.param_groups[0]["params"]
    assert hidden is model.layers[2].weight
    everything = {id(p) for g in mixed.param_groups for p in g["params"]}
    assert everything == {id(p) for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(4, 784)).square().sum().backward()
    mixed.step()
    for p, old in zip(model.parameters(), before, strict=True):
        moved = (p - old).abs().max()
        assert 0 < moved < 0.03
    mixed.zero_grad()
    assert hidden.grad is None
    other = training.CONTESTANTS["Muon"].build(model, 0.01)
    other.load_state_dict(mixed.state_dict())
    kept = other.state[hidden]["B"]
    assert torch.equal(kept, mixed.state[hidden]["B"])


def test_steps_cost_what_theory_says():
    batch = torch.randn(8, 784), torch.arange(8)
    weights = sum(p.numel() for p in net(0).parameters()) * 4
    for name, tensors in (("SGD", 1), ("Adam", 2), ("Lion", 1)):
        cost = training.step_cost(lambda: net(0), batch, name, steps=2)
        assert cost.weights == weights
        assert (cost.state == tensors * weights).all()
        assert (cost.seconds > 0).all()


def test_the_peak_holds_at_least_weights_gradients_and_state():
    if math.isnan(costs._resident("VmHWM")):
        pytest.skip("the system does not tell")

    def wide():
        return nn.Sequential(nn.Linear(3000, 3000), nn.Linear(3000, 10))

    batch = torch.randn(2, 3000), torch.arange(2)
    # Freed below what is still in use, it stays with the process.
    large = 30 * 2**20 // 4
    torch.ones(large)
    freed = [torch.ones(large) for _ in range(6)]
    kept = [torch.ones(20_000) for _ in range(20)]
    del freed
    for _ in range(3):  # the system may take a page of code away meanwhile
        cost = training.step_cost(wide, batch, "Adam", steps=2)
        if cost.peak[1] > 3.9 * cost.weights:
            break
    assert len(kept) == 20
    assert cost.peak[1] > 3.9 * cost.weights


def test_costs_leave_the_random_state_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    batch = torch.zeros(2, 784), torch.arange(2)
    training.step_cost(lambda: net(0), batch, "SGD", steps=1)
    assert torch.equal(torch.rand(3), wanted)
