"""The slow way, the oracle of the others, against values by hand."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import params
from dldna.landscape.evaluate import accuracy, buffer_steps, choose


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x)))
        return self.head(self.drop(h.flatten(1)))


@pytest.fixture
def case():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net().train()
        data = [
            (torch.randn(n, 1, 8, 8), torch.randint(3, (n,))) for n in (7, 5)
        ]
        for x, _ in data:
            model(x * 2 + 1)
        generator = torch.Generator().manual_seed(1)
        origin = params.of(model)
        directions = [
            params.scale(params.randn_like(origin, generator), 0.1)
            for _ in range(2)
        ]
    return model, data, origin, directions


COORDS = torch.tensor([[0.0, 0.0], [0.7, -0.4], [-1.0, 1.0]])


def by_hand(model, data, origin, directions, point, prepare):
    """Copy the model, write the parameters, evaluate."""
    moved = copy.deepcopy(model)
    for name, p in moved.named_parameters():
        step = sum(c * d[name] for c, d in zip(point, directions, strict=True))
        p.data = origin[name] + step
    prepare(moved)
    total = right = 0.0
    for x, y in data:
        with torch.no_grad():
            out = moved(x)
        total += F.cross_entropy(out, y, reduction="sum").item()
        right += (out.argmax(1) == y).sum().item()
    n = sum(len(y) for _, y in data)
    return total / n, right / n


def all_by_hand(case, prepare):
    model, data, origin, directions = case
    values = [
        by_hand(model, data, origin, directions, p, prepare)
        for p in COORDS.tolist()
    ]
    return np.array(values).T


def evaluate(case, **options):
    model, data, origin, directions = case
    found = choose(
        model,
        nn.CrossEntropyLoss(),
        data,
        origin,
        directions,
        way="slow",
        metrics={"accuracy": accuracy},
        **options,
    )
    values = found(COORDS)
    return np.array([values["loss"], values["accuracy"]])


def test_eval(case):
    true = all_by_hand(case, lambda m: m.eval())
    np.testing.assert_allclose(evaluate(case), true, rtol=1e-6)


def test_train_takes_each_batch_own_statistics(case):
    def prepare(m):
        m.eval()
        m.norm.train()

    true = all_by_hand(case, prepare)
    got = evaluate(case, statistics="train")
    np.testing.assert_allclose(got, true, rtol=1e-6)
    assert abs(got[0] - evaluate(case)[0]).max() > 1e-3


@pytest.mark.parametrize("sizes", [None, (1, 11), (5, 5, 2), (12,)])
def test_recalibrate_takes_the_statistics_of_all_data(case, sizes):
    model, data, origin, directions = case
    x, y = (torch.cat(t) for t in zip(*data, strict=True))

    def prepare(m):
        m.eval()
        m.norm.train()
        m.norm.momentum = 1.0
        with torch.no_grad():
            m(x)
        m.eval()

    true = all_by_hand(case, prepare)
    if sizes:
        sizes = (*sizes[:-1], len(x) - sum(sizes[:-1]))
        data = [*zip(x.split(sizes), y.split(sizes), strict=True)]
    got = evaluate((model, data, origin, directions), statistics="recalibrate")
    np.testing.assert_allclose(got, true, rtol=2e-6)


@pytest.mark.full
def test_recalibrate_passes_layers_without_running_statistics(case):
    model, data, origin, directions = case
    whole = [tuple(map(torch.cat, zip(*data, strict=True)))]
    norm = nn.BatchNorm2d(model.norm.num_features, track_running_stats=False)
    norm.load_state_dict({k: origin[f"norm.{k}"] for k in ("weight", "bias")})
    model.norm = norm
    case = model, whole, origin, directions
    true = all_by_hand(case, lambda m: m.eval())
    got = evaluate(case, statistics="recalibrate")
    np.testing.assert_allclose(got, true, rtol=1e-6)


def test_recalibrate_leaves_other_momenta_alone(case):
    evaluate(case, statistics="recalibrate")
    assert case[0].norm.momentum == 0.1


@pytest.mark.parametrize("way", ["slow", "layered", "captured"])
def test_interpolate_reaches_the_other_model(case, way):
    model, data, origin, _ = case
    other = copy.deepcopy(model)
    for p in other.parameters():
        p.data *= 1.3
    other(data[0][0] * 3)
    step = params.sub(params.of(other), origin)
    line = choose(
        model,
        nn.CrossEntropyLoss(),
        data,
        origin,
        [step],
        way=way,
        statistics="interpolate",
        buffer_directions=[buffer_steps(model, other)],
    )
    got = line(torch.tensor([[0.0], [1.0]]))["loss"]
    for value, end in zip(got, (model, other), strict=True):
        zero = [params.scale(origin, 0.0)]
        own = choose(
            end,
            nn.CrossEntropyLoss(),
            data,
            params.of(end),
            zero,
            way="slow",
        )
        true = own(torch.zeros(1, 1))["loss"][0]
        assert value == pytest.approx(true, rel=1e-5)


def test_float64_is_finer(case):
    exact = evaluate(case, dtype="float64")[0]
    double = copy.deepcopy(case[0]).double()
    data = [(x.double(), y) for x, y in case[1]]
    origin = params.of(double)
    directions = [{k: v.double() for k, v in d.items()} for d in case[3]]
    again = (double, data, origin, directions)
    true = all_by_hand(again, lambda m: m.eval())[0]
    np.testing.assert_allclose(exact, true, rtol=1e-13)
    single = evaluate(case)[0]
    assert 0 < abs(single - exact).max() < 1e-5


def test_centre_is_the_direct_loss_to_the_bit(case):
    model, data, _, _ = case
    model.eval()
    with torch.no_grad():
        direct = sum(
            F.cross_entropy(model(x), y).item() * len(y) for x, y in data
        ) / sum(len(y) for _, y in data)
    assert evaluate(case)[0][0] == direct


def test_untouched_when_the_loss_fails(case):
    model, data, origin, directions = case
    before = copy.deepcopy(model.state_dict())

    def broken(output, batch):
        raise RuntimeError("broken loss")

    found = choose(model, broken, data, origin, directions, way="slow")
    with pytest.raises(RuntimeError, match="broken loss"):
        found(COORDS)
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items()
    )
    assert model.training


def test_gradients_are_left(case):
    model, data, _, _ = case
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    grads = [p.grad.clone() for p in model.parameters()]
    evaluate(case)
    assert all(
        torch.equal(p.grad, g)
        for p, g in zip(model.parameters(), grads, strict=True)
    )


def test_accuracy_of_all_shapes():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    target = torch.tensor([0, 1, 1])
    third = pytest.approx(2 / 3)
    assert accuracy(logits, (None, target)).item() == third
    soft = F.one_hot(target).float()
    assert accuracy(logits, (None, soft)).item() == third
    words = torch.stack([logits, logits])  # (2, 3, 2), classes last
    assert accuracy(words, (None, torch.stack([target] * 2))).item() == third
    pixels = words.transpose(1, 2)  # classes along dimension 1
    assert accuracy(pixels, (None, torch.stack([target] * 2))).item() == third
    binary = torch.tensor([[1.0], [-1.0], [1.0]])
    answer = torch.tensor([1.0, 0.0, 0.0])
    assert accuracy(binary, (None, answer)).item() == third
    assert accuracy((logits,), (None, target)).item() == third
    with pytest.raises(ValueError, match="do not fit"):
        accuracy(logits, (None, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="needs targets"):
        accuracy(logits, logits)
    with pytest.raises(TypeError, match="no logits"):
        accuracy(3, (None, target))


def test_numbers_of_a_regression_have_no_accuracy():
    out, numbers = torch.tensor([0.2, 3.0]), torch.tensor([0.1, 2.5])
    for shape in ((2,), (2, 1), (1, 2)):
        with pytest.raises(ValueError, match=r"classes.*from 0.1 to 2.5"):
            accuracy(out.view(shape), (None, numbers.view(shape)))
    signs = torch.tensor([-1.0, 1.0])  # of a margin: classes
    assert accuracy(out, (None, signs)).item() == 0.5
    one = torch.tensor([[-1.0, 1.0, -1.0], [1.0, -1.0, -1.0]])
    assert accuracy(torch.eye(3)[:2], (None, one)).item() == 0.0
    for many in ([[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]):
        with pytest.raises(ValueError, match="several labels or none"):
            accuracy(torch.zeros(1, 3), (None, torch.tensor(many)))
    smooth = torch.tensor([0.05, 0.95])
    assert accuracy(out, (None, smooth)).item() == 0.5


def bad(case, match, error=ValueError, **options):
    model, data, origin, directions = case
    given = {"origin": origin, "directions": directions} | options
    with pytest.raises(error, match=match):
        choose(model, nn.CrossEntropyLoss(), data, **given)


def test_bad_input_is_named(case):
    bad(case, "did you mean 'slow'", way="slwo")
    bad(case, "did you mean 'float32'", dtype="float23")
    bad(case, "did you mean 'recalibrate'", statistics="recalibrated")
    bad(case, "at least one direction", directions=[])
    bad(case, "go together", statistics="interpolate")
    bad(case, "go together", buffer_directions=[{}, {}])
    bad(case, "missing", directions=[{}])
    for name in ("loss", "alpha", "length", "low"):
        bad(case, f"cannot be named '{name}'", metrics={name: accuracy})
    bad(case, "memory must be greater than 0", memory=-1)
    wrong = {k: v[:1] for k, v in case[2].items()}
    bad(case, "shape", directions=[wrong])
    bad(case, "way='mlp' does not fit", way="mlp")
    model, data, origin, directions = case
    found = choose(model, nn.CrossEntropyLoss(), data, origin, directions)
    with pytest.raises(ValueError, match="one column for each direction"):
        found(torch.zeros(3, 1))


def test_no_points_is_no_error(case):
    model, data, origin, directions = case
    for way in ("slow", "layered", "captured"):
        found = choose(
            model,
            nn.CrossEntropyLoss(),
            data,
            origin,
            directions,
            way=way,
        )
        assert found(torch.zeros(0, 2))["loss"].shape == (0,)
