"""What is worked out for several points at once, against a plain loop."""

import pytest
import torch
from torch import nn

from dldna import params
from dldna.landscape.evaluate import choose, front, layered
from tests.landscape.test_evaluate_paths import relative


def pooled(*conv, pool=2, norm=False, relu=False, after=nn.Tanh, **options):
    layers = [nn.Conv2d(*conv, **options)]
    layers += [nn.BatchNorm2d(conv[1])] if norm else []
    layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers, nn.MaxPool2d(pool), after())


class Twice(nn.Module):
    """Two first layers of one shape, both needed at the same time."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (pooled(2, 4, 3, after=nn.ReLU) for _ in "ab")

    def forward(self, x):
        return self.a(x) - 0.5 * self.b(x)


STARTS = {
    "relu before": lambda: pooled(2, 4, 3, padding=1, relu=True),
    "twice": Twice,
    "its own output": lambda: pooled(2, 4, 4, pool=(7, 4), after=nn.Identity),
    "odd window": lambda: pooled(2, 4, 3, pool=(3, 2), bias=False),
    "strided": lambda: pooled(2, 4, 3, stride=(2, 1), padding=2, norm=True),
    "dilated": lambda: pooled(2, 4, 3, dilation=2, after=nn.ReLU),
    "grouped": lambda: pooled(2, 4, 2, groups=2, relu=True, norm=True),
    "mirrored": lambda: pooled(2, 4, 3, padding=1, padding_mode="reflect"),
}
QUICK = ("relu before", "twice", "its own output")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.full)
     for n in STARTS],
)  # fmt: skip
def test_points_together_equal_a_plain_loop(name, monkeypatch):
    """Rows of 19 points, images of 11x9 in pieces of 2, batches of 1 to 5."""
    monkeypatch.setattr(front, "HOT", 5000)
    monkeypatch.setattr(layered, "LOGITS", 700)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(STARTS[name](), nn.Flatten())
        if name != "its own output":
            model.append(nn.LazyLinear(5))
        x = torch.randn(5, 2, 11, 9)
        model(x)
    data = [
        (x[:n], torch.randint(4, (n,), generator=generator)) for n in (5, 1, 4)
    ]
    origin = params.of(model)
    directions = [
        params.scale(params.randn_like(origin, generator), 0.3) for _ in "ab"
    ]
    for d in directions:  # a norm's scale that moves is another way
        d |= {k: 0 * v for k, v in d.items() if k == "0.1.weight"}
    axis = torch.linspace(-1, 1, 19, dtype=torch.float64)
    points = torch.cartesian_prod(torch.tensor([-0.7, 0.4]).double(), axis)
    for loss in (nn.CrossEntropyLoss(), lambda z, y: z.square().mean()):
        args = (model, loss, data, origin, directions)
        true = choose(*args, way="slow", dtype="float64")(points)["loss"]
        for dtype, bound in (("float32", 1e-6), ("float64", 1e-13)):
            fast = choose(*args, way="layered", dtype=dtype)
            assert relative(fast(points)["loss"], true) < bound
