"""What moves is what the caller named, whichever way it is said."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import (
    DIRECTIONS,
    Direction,
    Plane,
    Recorder,
    Trajectory,
    choose_directions,
    line,
    surface,
    top_eigenpairs,
)
from dldna.landscape.space.directions import Given
from dldna.objective import Objective, chosen_names

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(12) % 3
LOSS = nn.CrossEntropyLoss()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5))
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


class Adapted(nn.Module):
    """Eight bits that stay, and two thin matrices that move."""

    def __init__(self):
        super().__init__()
        base = torch.randint(-9, 9, (5, 4), dtype=torch.int8)
        self.base = nn.Parameter(base, requires_grad=False)
        self.lora_a = nn.Parameter(torch.randn(2, 4) / 2)
        self.lora_b = nn.Parameter(torch.randn(5, 2) / 2)
        self.head = nn.Linear(5, 3).requires_grad_(False)

    def forward(self, x):
        weight = self.base.float() / 9 + self.lora_b @ self.lora_a
        return self.head(torch.tanh(F.linear(x, weight)))


def frozen(seed=0):
    torch.manual_seed(seed)
    net = Net()
    net.body.requires_grad_(False)
    return net


HEAD = ["head.weight", "head.bias"]
SAID = {
    "a word": ("trainable", HEAD),
    "a part": ("head", HEAD),
    "a name": ("head.bias", HEAD[1:]),
    "a pattern": ("*.bias", ["body.0.bias", "body.2.bias", "head.bias"]),
    "a list": (["head.bias", "body.0"],
               ["body.0.weight", "body.0.bias", "head.bias"]),
    "all": ("all", [k for k, _ in Net().named_parameters()]),
}  # fmt: skip


@pytest.mark.parametrize("how", SAID)
def test_what_a_word_means(how):
    said, names = SAID[how]
    assert chosen_names(frozen(), said) == names


def test_the_parameters_themselves_are_words_too():
    net = frozen()
    assert chosen_names(net, net.head.parameters()) == HEAD
    assert chosen_names(net, net.head.bias) == HEAD[1:]


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("heat", ValueError, "head"),
        ("*.lora_*", ValueError, "no parameter fits the pattern"),
        ([], ValueError, "names no parameter"),
        ([3], TypeError, "not a int"),
        (3, TypeError, "not a int"),
        ([torch.ones(3)], ValueError, "no parameter of the model"),
    ],
)
def test_a_word_that_means_nothing(said, error, words):
    calls = (
        lambda: chosen_names(frozen(), said),
        lambda: surface(frozen(), LOSS, (X, Y), resolution=3, params=said),
        lambda: top_eigenpairs(frozen(), LOSS, (X, Y), params=said),
    )
    for call in calls:
        with pytest.raises(error, match=words):
            call()


def test_nothing_trainable_is_said():
    net = frozen().requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter is trainable"):
        chosen_names(net, "trainable")


def loss_at(net, directions, coords):
    """By hand: the weights written into a copy, the loss called on it."""
    twin = type(net)()
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        for c, d in zip(coords, directions, strict=True):
            for name, p in twin.named_parameters():
                if p.is_floating_point():
                    p += c * d[name]
        return float(LOSS(twin(X), Y))


WORDS = ["random", "random-layer", "random-entry", "random-raw", "hessian"]


@pytest.mark.parametrize(
    ("way", "said", "vectors"),
    [*((way, "body.0", "copy") for way in WORDS),
     *(("random", "trainable", rule) for rule in ("zero", "normalise")),
     ("random-raw", ["*.bias"], "zero"), ("hessian", ["*.bias"], "zero")],
)  # fmt: skip
def test_only_what_is_named_moves(way, said, vectors):
    net = frozen()
    given = Given(net, LOSS, [(X, Y)], vectors=vectors, params=said, pairs=2)
    found = choose_directions(way, given, 2)
    for direction in found:
        moved = {k for k, v in direction.vector.items() if v.any()}
        assert moved
        assert moved <= set(chosen_names(net, said))
    made = surface(
        net, LOSS, (X, Y), way, resolution=3, params=said, vectors=vectors
    )
    vectors = [d.vector for d in found]
    for i, j in ((0, 2), (2, 2), (1, 0)):
        at = made.alphas[i], made.betas[j]
        true = loss_at(net, vectors, at)
        assert made.losses[i, j] == pytest.approx(true, rel=2e-6)
    assert made.provenance.notes["params"] == chosen_names(net, said)
    assert "all others stand still" in made.report()


def test_a_seed_gives_the_same_filter_whatever_else_moves():
    net = frozen()
    [whole] = choose_directions("random", Given(net, seed=3), 1)
    [part] = choose_directions("random", Given(net, seed=3, params="head"), 1)
    assert torch.equal(whole.vector["head.weight"], part.vector["head.weight"])


def test_the_eigenvector_is_that_of_the_block():
    net = frozen()
    shapes = [p.shape for p in net.head.parameters()]

    def of(flat):
        w = flat[:15].view(shapes[0])
        return LOSS(F.linear(torch.tanh(net.body(X)), w, flat[15:]), Y)

    flat = torch.cat([p.detach().flatten() for p in net.head.parameters()])
    block = torch.autograd.functional.hessian(of, flat)
    top = torch.linalg.eigh(block)[1][:, -1]
    given = Given(net, LOSS, [(X, Y)], params="head", tol=1e-5)
    [found] = choose_directions("hessian", given, 1)
    mine = torch.cat([found.vector[k].flatten() for k in HEAD])
    assert abs(float(mine @ top)) == pytest.approx(1, abs=1e-4)


def test_the_gradient_of_frozen_parameters_on_demand():
    net = frozen()
    given = Given(net, LOSS, [(X, Y)], params="body.0")
    [found] = choose_directions("gradient", given, 1)
    net.requires_grad_(True)
    LOSS(net(X), Y).backward()
    grads = [p.grad.flatten() for p in net.body[0].parameters()]
    true = F.normalize(torch.cat(grads), dim=0)
    mine = [found.vector[f"body.0.{k}"].flatten() for k in ("weight", "bias")]
    torch.testing.assert_close(torch.cat(mine), true)


def test_what_a_dict_lacks_stands_still():
    net, step = frozen(), torch.ones(3)
    made = line(net, Direction({"head.bias": step}), LOSS, (X, Y),
                resolution=3)  # fmt: skip
    whole = {k: torch.zeros_like(v) for k, v in net.named_parameters()}
    whole["head.bias"] = step
    true = [loss_at(net, [whole], [a]) for a in made.alphas]
    np.testing.assert_allclose(made.losses, true, rtol=2e-6)
    other = torch.eye(3, 5)
    plane = surface(net, LOSS, (X, Y), [{"head.bias": step},
                    {"head.weight": other}], resolution=3)  # fmt: skip
    second = {k: torch.zeros_like(v) for k, v in net.named_parameters()}
    second["head.weight"] = other
    true = loss_at(net, [whole, second], (1, -1))
    assert plane.losses[2, 0] == pytest.approx(true, rel=2e-6)


def test_a_direction_beyond_params_is_refused():
    net, other = frozen(), frozen(1)
    with pytest.raises(ValueError, match=r"moves 'body.*not among params"):
        line(net, other, LOSS, (X, Y), params="head")
    other.body.load_state_dict(net.body.state_dict())
    made = line(net, other, LOSS, (X, Y), params="head", resolution=5)
    true = float(LOSS(other(X), Y).detach())
    assert made.losses[made.alphas == 1] == pytest.approx(true, rel=2e-6)


def test_an_objective_s_names_go_along():
    f = Objective(frozen(), LOSS, (X, Y), names="body.2")
    made = surface(f, resolution=3)
    names = ["body.2.weight", "body.2.bias"]
    assert made.provenance.notes["params"] == names
    assert top_eigenpairs(f).provenance.notes["params"] == names


def run_of(net, folder, wrap=lambda m: m, **options):
    opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad],
                          lr=0.5)  # fmt: skip
    with Recorder(folder, **options) as recorder:
        for step in range(5):
            recorder.record(wrap(net), step)
            opt.zero_grad()
            LOSS(net(X), Y).backward()
            opt.step()
    return Trajectory(folder)


@pytest.mark.parametrize(
    ("make", "said"), [(frozen, "head"), (Adapted, "*lora_*")]
)
def test_a_run_that_records_only_what_moves(make, said, tmp_path):
    torch.manual_seed(0)
    start = make()
    net = make()
    net.load_state_dict(start.state_dict())
    run = run_of(net, tmp_path / "run", params=said)
    names = chosen_names(net, said)
    assert list(run[0]) == names
    assert run.n_params == sum(net.get_parameter(k).numel() for k in names)
    end = run.final(start)
    made = surface(end, LOSS, (X, Y), "pca", "path", 5, trajectory=run,
                   params=said)  # fmt: skip
    assert made.path_losses[0] == pytest.approx(
        float(LOSS(start(X), Y).detach()), rel=2e-6
    )
    assert made.path_losses[-1] == pytest.approx(made.centre_loss, rel=2e-6)
    whole = run_of(net, tmp_path / "whole")  # frozen: the same plane
    assert isinstance(whole.plane(), Plane)
    surface(whole.final(net), LOSS, (X, Y), "pca", 1, 3, trajectory=whole,
            params=said)  # fmt: skip


def test_a_plane_of_what_was_not_recorded_is_refused(tmp_path):
    net = frozen()
    run = run_of(net, tmp_path, params="head")
    with pytest.raises(ValueError, match="moves 'body"):
        surface(run.final(net), LOSS, (X, Y), resolution=3, trajectory=run)


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, torch.optim.swa_utils.AveragedModel,
     lambda m: torch.compile(m, backend="eager")],
    ids=["parallel", "averaged", "compiled"],
)  # fmt: skip
def test_names_are_the_networks_own_in_a_wrapper(wrap, tmp_path):
    run = run_of(frozen(), tmp_path, wrap, params="head")
    assert list(run[0]) == HEAD


def test_an_adapter_on_eight_bits_is_one_argument():
    torch.manual_seed(0)
    net = Adapted()
    before = {k: p.clone() for k, p in net.named_parameters()}
    made = surface(net, LOSS, (X, Y), resolution=3, params="trainable")
    given = Given(net, params="trainable")
    vectors = [d.vector for d in choose_directions("random", given, 2)]
    true = loss_at(net, vectors, (1, 1))
    assert made.losses[2, 2] == pytest.approx(true, rel=2e-6)
    assert made.provenance.notes["params"] == ["lora_a", "lora_b"]
    for name, p in net.named_parameters():
        assert torch.equal(p, before[name])
    assert set(DIRECTIONS) >= set(WORDS)
