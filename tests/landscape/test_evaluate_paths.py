"""Every fast way against the slow one, on networks of all kinds."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import params
from dldna.landscape.evaluate import accuracy, buffer_steps, choose


class Block(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(out)
        self.skip = nn.Identity()
        if stride > 1:
            self.skip = nn.Sequential(
                nn.Conv2d(width, out, 1, stride), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.skip(x)
        return F.relu(y)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.deep = nn.Sequential(Block(12, 12, 2), Block(12, 16, 2))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn(self.stem(x))))
        x = self.deep(self.blocks(x))
        x = F.adaptive_avg_pool2d(x, 1)
        return self.head(x.view(x.size(0), -1))


class Attention(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.place = nn.Parameter(torch.randn(5, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        h = self.embed(x) + self.place
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        h = h + self.out(F.scaled_dot_product_attention(q, k, v))
        return self.head(F.gelu(h).mean(1))


class Encoder(nn.Module):
    def __init__(self, norm_first, activation):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            6,
            2,
            10,
            activation=activation,
            batch_first=True,
            norm_first=norm_first,
        )
        norm = nn.LayerNorm(6) if norm_first else None
        self.blocks = nn.TransformerEncoder(
            layer, 2, norm, enable_nested_tensor=False
        )
        self.single = layer
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.single(self.blocks(x))[:, 0])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = torch.tanh(self.a(x.flatten(1)))
        return self.head(x + torch.tanh(self.b(x)))


class Reusing(nn.Module):
    """Values are used again after a ReLU and after a sum of them."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h = self.a(x)
        g = self.b(torch.relu(h))
        s = h + g
        s = s + torch.relu(g) * h
        return self.head(s - g)


class Flattened(nn.Module):
    """Images flattened for one layer, for two, and with a ReLU between."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=4)
        self.one, self.drop = nn.Linear(5 * 16, 4), nn.Dropout(0.5)
        self.two, self.too = nn.Linear(5 * 4, 4), nn.Linear(5 * 4, 4)
        self.after = nn.Linear(5 * 8, 4)

    def forward(self, x):
        h = self.stem(x)
        one = self.one(self.drop(torch.flatten(h, 1)))
        flat = F.max_pool2d(h, 2).flatten(1)
        both = self.two(flat) * self.too(flat)
        across = F.max_pool2d(h, (1, 2)).flatten(start_dim=1)
        return one + both + self.after(torch.relu(across))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Branching(nn.Module):
    """Its forward depends on values, so it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        z = self.head(x)
        return z if float(z.sum()) > 0 else 2 * z


class FromDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x, mask=None, scale=None):
        z = self.head(x * mask)
        return {"logits": z if scale is None else z * scale}


class Coupled(nn.Module):
    """Samples of a batch see each other."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        z = self.head(x)
        return z - z.mean(0)


def mlp(*extra):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 16),
        nn.ReLU(),
        nn.Linear(16, 7, bias=False),
        nn.BatchNorm1d(7),
        nn.PReLU(),
        nn.Dropout(0.5),
        nn.Linear(7, 4),
        *extra,
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, groups=2, padding=1, padding_mode="circular"),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.1),
        nn.Dropout2d(0.3),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(8 * 16, 4),
    )


def tiny_images():
    """Convolutions over one to four pixels, strided and padded."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 1, stride=2),  # 16 -> 8
        nn.Conv2d(6, 6, 1, stride=(2, 4), bias=False),  # 4x2
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.Conv2d(6, 8, 3, stride=(2, 1), padding=1),  # 2x2
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1),  # dense, 2x2
        nn.ReLU(),
        nn.Conv2d(8, 7, (1, 3), stride=2, padding=(0, 1)),  # 1x1
        nn.Conv2d(7, 6, 5, padding=2, bias=False),  # one tap of 25
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 5, 2, padding=1),  # 2x2 out of one pixel
        nn.Conv2d(5, 4, 2),
        nn.Flatten(),
    )


def vgg():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(16),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(72, 9),
        nn.ReLU(),
        nn.Linear(9, 4),
    )


def weight_normed():
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 9))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(9, 4))


NETWORKS = {
    # name: network, shape of a sample, ways that must apply
    "mlp": (mlp, (6,), ["mlp", "layered", "captured"]),
    "mlp, deep tanh": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 4)),
        (6,),
        ["mlp", "layered", "captured"],
    ),
    "cnn": (cnn, (3, 16, 16), ["layered", "captured"]),
    "tiny images": (tiny_images, (3, 16, 16), ["layered", "captured"]),
    "vgg": (vgg, (3, 16, 16), ["layered", "captured"]),
    "flattened": (Flattened, (3, 16, 16), ["layered", "captured"]),
    "residual": (Residual, (3, 16, 16), ["layered", "captured"]),
    "attention": (Attention, (5,), ["layered", "captured"]),
    "encoder": (
        lambda: Encoder(True, "gelu"),
        (5, 6),
        ["layered", "captured"],
    ),
    "encoder, norm last": (
        lambda: Encoder(False, F.relu),
        (5, 6),
        ["layered", "captured"],
    ),
    "tied": (Tied, (6,), ["mlp", "layered", "captured"]),
    "weight norm": (weight_normed, (6,), ["layered", "captured"]),
    "reusing": (Reusing, (6,), ["mlp", "layered", "captured"]),
    "recurrent": (Recurrent, (4, 6), ["layered", "captured"]),
    "branching": (Branching, (6,), []),
}
WAYS = ("mlp", "layered", "captured")
CASES = [(n, p) for n, (_, _, ps) in NETWORKS.items() for p in ps]


def setting(name, k=2, sizes=(9, 13), seed=0):
    """A network in an arbitrary state, data, origin and directions."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        make, shape, _ = NETWORKS[name]
        model = make()
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 2)
    data = []
    for n in sizes:
        if name == "attention":
            x = torch.randint(11, (n, *shape), generator=generator)
        else:
            x = torch.randn(n, *shape, generator=generator)
        data.append((x, torch.randint(4, (n,), generator=generator)))
    origin = params.of(model)
    directions = [
        params.scale(params.randn_like(origin, generator), 0.2)
        for _ in range(k)
    ]
    return model, data, origin, directions


def points(k, n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    coords = torch.randn(n, k, dtype=torch.float64, generator=generator)
    coords[0] = 0
    return coords


def grid(n=4):
    axis = torch.linspace(-1, 1, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


# Some releases of torch, 2.4 and 2.14 among them, map attention point by
# point, by one kernel or another, and say so: slower, and as right.
POINT_BY_POINT = pytest.mark.filterwarnings(
    "ignore:There is a performance drop .*_scaled_dot_product_:UserWarning"
)


@POINT_BY_POINT
@pytest.mark.parametrize(("name", "way"), CASES)
@pytest.mark.parametrize(
    ("dtype", "bound"), [("float64", 1e-12), ("float32", 2e-6)]
)
def test_fast_equals_slow(name, way, dtype, bound):
    model, data, origin, directions = setting(name)
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    metrics = {"accuracy": accuracy}
    fast = choose(*args, metrics=metrics, way=way, dtype=dtype)
    slow = choose(*args, metrics=metrics, way="slow", dtype="float64")
    assert fast.name == way
    for coords in (points(2), grid()):
        got, true = fast(coords), slow(coords)
        assert got["loss"].dtype == np.float64
        assert relative(got["loss"], true["loss"]) < bound
        np.testing.assert_allclose(
            got["accuracy"], true["accuracy"], atol=1e-12
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_auto_agrees_and_says_how(name):
    model, data, origin, directions = setting(name)
    args = (model, F.cross_entropy, data, origin, directions)
    auto, slow = choose(*args), choose(*args, way="slow")
    assert relative(auto(grid())["loss"], slow(grid())["loss"]) < 1e-5
    expected = NETWORKS[name][2]
    assert auto.name in (expected or ["slow"])
    if auto.name != "slow":
        assert auto.notes["checked"] < 1e-5


@POINT_BY_POINT
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("name", "way"), CASES)
def test_one_and_three_directions(name, way, k):
    model, data, origin, directions = setting(name, k=k)
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    fast = choose(*args, way=way, dtype="float64")
    slow = choose(*args, way="slow", dtype="float64")
    assert relative(fast(points(k))["loss"], slow(points(k))["loss"]) < 1e-12


LOSSES = {
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "none": nn.CrossEntropyLoss(reduction="none"),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.2),
    "weighted": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3, 4])),
    "partial": functools.partial(F.cross_entropy, reduction="sum"),
    "of batch": lambda output, batch: F.cross_entropy(output, batch[1]) ** 2,
    "squared": lambda output, target: (output**2).mean() + target.sum(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loss", LOSSES)
def test_any_loss(way, loss):
    model, data, origin, directions = setting("mlp")
    loss_fn = LOSSES[loss]
    if loss == "weighted":
        loss_fn = nn.CrossEntropyLoss(weight=loss_fn.weight.double())
    args = (model, loss_fn, data, origin, directions)
    fast = choose(*args, way=way, dtype="float64")
    slow = choose(*args, way="slow", dtype="float64")
    assert relative(fast(grid())["loss"], slow(grid())["loss"]) < 1e-12


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("way", [*WAYS, "slow"])
def test_squared_error_by_hand(way, reduction):
    model, data, origin, directions = setting("mlp")
    data = [(x, torch.randn(len(x), 4)) for x, _ in data]
    loss = nn.MSELoss(reduction=reduction)
    args = (model, loss, data, origin, directions)
    got = choose(*args, way=way)(torch.zeros(1, 2))["loss"][0]
    model.eval()
    x, y = (torch.cat(t) for t in zip(*data, strict=True))
    with torch.no_grad():
        squares = (model(x) - y).double().square()
    by_hand = squares.mean() if reduction == "mean" else squares.sum() / len(x)
    assert got == pytest.approx(float(by_hand), rel=1e-6)


@pytest.mark.parametrize("way", [*WAYS, "slow"])
def test_how_the_data_are_cut_does_not_matter(way):
    values = []
    for sizes in ((22,), (9, 13), (1, 20, 1)):
        model, _, origin, directions = setting("mlp")
        whole = setting("mlp", sizes=(22,))[1][0]
        data, start = [], 0
        for n in sizes:
            data.append(tuple(t[start : start + n] for t in whole))
            start += n
        args = (model, nn.CrossEntropyLoss(), data, origin, directions)
        fast = choose(*args, way=way, metrics={"accuracy": accuracy})
        values.append(fast(grid()))
    for other in values[1:]:
        assert relative(other["loss"], values[0]["loss"]) < 1e-6
        assert np.allclose(other["accuracy"], values[0]["accuracy"])


@pytest.mark.parametrize(("name", "way"), CASES)
def test_nan_and_inf_are_kept(name, way):
    model, data, origin, directions = setting(name)
    loud = [params.scale(d, 1e30) for d in directions]
    args = (model, nn.CrossEntropyLoss(), data, origin, loud)
    coords = torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.0, 1e12], [-1e12, 1e12]])
    slow = choose(*args, way="slow")(coords)["loss"]
    try:
        fast = choose(*args, way=way)(coords)["loss"]
    except ValueError:
        return  # it says that it cannot, which is no lie either
    assert np.isfinite(fast[0])
    assert (np.isfinite(fast) == np.isfinite(slow)).all()


def test_infinity_is_not_cut_off_by_a_relu():
    """Weights that would turn the largest float into a finite loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 4))
        x, y = torch.rand(256, 6), torch.randint(4, (256,))
    origin = params.of(model)
    up = {k: torch.zeros_like(v) for k, v in origin.items()}
    up["0.weight"] = torch.full((64, 6), 1e30)
    origin["2.weight"] = origin["2.weight"] * 1e-30
    args = (model, nn.CrossEntropyLoss(), [(x, y)], origin, [up])
    coords = torch.tensor([[0.0], [1e20]])
    for way in ("slow", *WAYS):
        loss = choose(*args, way=way)(coords)["loss"]
        assert np.isfinite(loss).tolist() == [True, False], way


def test_auto_keeps_nan():
    model, data, origin, directions = setting("mlp")
    directions[0]["1.weight"][0, 0] = float("nan")
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    coords = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = choose(*args)(coords)["loss"]
    assert np.isnan(loss).tolist() == [False, True, False]


@pytest.mark.parametrize("way", ["slow", "auto"])
@pytest.mark.parametrize(
    "statistics", ["eval", "train", "recalibrate", "interpolate"]
)
@pytest.mark.parametrize("name", ["residual", "mlp"])
def test_the_model_is_untouched(name, statistics, way):
    model, data, origin, directions = setting(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    versions = [t._version for t in model.state_dict().values()]
    state = torch.random.get_rng_state()
    options = {}
    if statistics == "interpolate":
        steps = buffer_steps(model, setting(name, seed=3)[0])
        zero = {k: torch.zeros_like(v) for k, v in steps.items()}
        options = {"buffer_directions": [steps, zero]}
    found = choose(
        model,
        nn.CrossEntropyLoss(),
        data,
        origin,
        directions,
        way=way,
        statistics=statistics,
        **options,
    )
    found(grid())
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items()
    )
    assert [t._version for t in model.state_dict().values()] == versions
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("statistics", ["train", "interpolate"])
@pytest.mark.parametrize("name", ["residual", "mlp", "cnn"])
def test_other_statistics(name, statistics):
    model, data, origin, directions = setting(name)
    options = {"statistics": statistics, "dtype": "float64"}
    if statistics == "interpolate":
        steps = buffer_steps(model, setting(name, seed=3)[0])
        half = {k: v / 2 for k, v in steps.items()}
        options["buffer_directions"] = [steps, half]
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    coords = points(2) / 4
    slow = choose(*args, way="slow", **options)(coords)["loss"]
    ways = WAYS if statistics == "interpolate" else ("layered",)
    for way in ways[1 if name != "mlp" else 0 :] or ways:
        fast = choose(*args, way=way, **options)(coords)["loss"]
        assert relative(fast, slow) < 1e-12


@pytest.mark.parametrize("way", ["layered", "slow"])
def test_bfloat16_is_near(way):
    model, data, origin, directions = setting("residual")
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    half = choose(*args, way=way, dtype="bfloat16")(grid())["loss"]
    exact = choose(*args, way="slow", dtype="float64")(grid())["loss"]
    assert 1e-8 < relative(half, exact) < 0.05


def test_mlp_in_bfloat16():
    model, data, origin, directions = setting("mlp, deep tanh")
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    half = choose(*args, way="mlp", dtype="bfloat16")
    exact = choose(*args, way="slow", dtype="float64")(grid())["loss"]
    assert 1e-8 < relative(half(grid())["loss"], exact) < 0.05
    assert half.notes["checked"] > 1e-8


@pytest.mark.parametrize(
    ("name", "way"),
    [("mlp", "mlp"), ("mlp", "layered"),
     pytest.param("cnn", "layered", marks=pytest.mark.full)],
)  # fmt: skip
def test_many_tiles_and_rows(name, way):
    """More samples and points than fit in one piece."""
    sizes = (700, 3, 350) if name == "mlp" else (400, 3, 350)
    model, data, origin, directions = setting(name, sizes=sizes)
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    coords = grid(9)[torch.randperm(81)][: 81 if name == "mlp" else 9]
    fast = choose(*args, way=way, dtype="float64")
    slow = choose(*args, way="slow", dtype="float64")(coords)["loss"]
    assert relative(fast(coords)["loss"], slow) < 1e-12
    scarce = choose(*args, way=way, dtype="float64", memory=4e5)
    assert relative(scarce(coords)["loss"], slow) < 1e-12


def test_a_loss_of_whole_batches_larger_than_a_tile():
    model, data, origin, directions = setting("mlp", sizes=(600, 40))

    def loss(output, batch):
        return F.cross_entropy(output, batch[1]) + output.std(0).sum()

    args = (model, loss, data, origin, directions)
    slow = choose(*args, way="slow", dtype="float64")(grid())["loss"]
    for way in WAYS:
        fast = choose(*args, way=way, dtype="float64")
        assert relative(fast(grid())["loss"], slow) < 1e-12


def test_dicts_and_records_of_outputs():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FromDict()
        data = [
            {
                "x": torch.randn(n, 6),
                "mask": torch.ones(n, 6),
                "labels": torch.randint(4, (n,)),
            }
            for n in (5, 8)
        ]
    origin = params.of(model)
    directions = [params.scale(origin, 0.3), params.scale(origin, -0.1)]

    def loss(output, batch):
        return F.cross_entropy(output["logits"], batch["labels"])

    args = (model, loss, data, origin, directions)
    metrics = {"accuracy": accuracy}
    slow = choose(*args, metrics=metrics, way="slow")(grid())
    for way in ("layered", "captured", "auto"):
        fast = choose(*args, metrics=metrics, way=way)(grid())
        assert relative(fast["loss"], slow["loss"]) < 1e-6
        assert (fast["accuracy"] == slow["accuracy"]).all()


def test_a_model_that_couples_samples_is_found_out():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Coupled()
    data = setting("branching", sizes=(6, 11))[1]
    origin = params.of(model)
    directions = [params.scale(origin, 0.5), params.scale(origin, 0.7)]
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    auto, slow = choose(*args), choose(*args, way="slow")
    assert relative(auto(grid())["loss"], slow(grid())["loss"]) < 1e-6
    with pytest.raises(ValueError, match=r"layered.*differs from the slow"):
        choose(*args, way="layered")


def test_hooks_are_not_left_out():
    model, data, origin, directions = setting("mlp")
    model[3].register_forward_hook(lambda m, i, o: o * 2)
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    auto, slow = choose(*args), choose(*args, way="slow")
    assert auto.name in ("slow", "captured")
    assert relative(auto(grid())["loss"], slow(grid())["loss"]) < 1e-6
    with pytest.raises(ValueError, match="hooks"):
        choose(*args, way="mlp")


@pytest.mark.parametrize(
    ("name", "way"), [("mlp", "mlp"), ("cnn", "captured")]
)
def test_a_trained_network_keeps_its_fast_way(name, way):
    """Its loss is close to 0, where float32 has few digits of a log."""
    model, [(x, y), _], _, directions = setting(name)
    last = list(model.modules())[-1]
    with torch.no_grad():  # a steep last layer is certain of what it says
        last.weight *= 60
        last.bias *= 60
        y = model.eval()(x).argmax(1)
    args = (model, nn.CrossEntropyLoss(), [(x, y)], params.of(model))
    small = [params.scale(d, 1e-3) for d in directions]
    auto = choose(*args, small)
    assert auto.name == way, auto.notes
    exact = choose(*args, small, way="slow", dtype="float64")
    true = exact(grid())["loss"]
    assert true.min() < 1e-2
    assert relative(auto(grid())["loss"], true) < 1e-5


class Bound(nn.Module):
    """Knows the size of its batches."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.register_buffer("noise", torch.randn(20, 4))

    def forward(self, x):
        return self.head(x) + self.noise


def test_a_model_that_is_bound_to_its_batch_size():
    x, y = torch.randn(40, 6), torch.randint(4, (40,))
    data = [(x[:20], y[:20]), (x[20:], y[20:])]
    model = Bound()
    origin = params.of(model)
    args = (model, nn.CrossEntropyLoss(), data, origin, [origin, origin])
    auto, slow = choose(*args), choose(*args, way="slow")
    np.testing.assert_allclose(
        auto(grid())["loss"], slow(grid())["loss"], rtol=1e-5
    )


class Keeping(nn.Module):
    """Keeps an activation, with its graph."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        self.seen = self.head(x)
        return self.seen


def test_an_activation_that_a_forward_has_kept():
    model, (x, y) = Keeping(), (torch.randn(9, 6), torch.randint(4, (9,)))
    model(x)
    kept = model.seen
    origin = params.of(model)
    args = (model, nn.CrossEntropyLoss(), [(x, y)], origin, [origin])
    got = choose(*args)(torch.zeros(1, 1))["loss"][0]
    assert got == pytest.approx(float(F.cross_entropy(kept, y).detach()))
    assert model.seen is kept
    assert kept.grad_fn is not None


def test_half_precision_weights_keep_a_fast_way():
    model, data, _, directions = setting("mlp")
    model.bfloat16()
    data = [(x.bfloat16(), y) for x, y in data]
    directions = [{k: v.bfloat16() for k, v in d.items()} for d in directions]
    args = (model, nn.CrossEntropyLoss(), data, params.of(model), directions)
    auto, slow = choose(*args), choose(*args, way="slow")
    assert auto.name != "slow", auto.notes
    assert relative(auto(grid())["loss"], slow(grid())["loss"]) < 5e-2
