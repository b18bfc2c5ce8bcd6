"""Networks: their sizes, their layers by another road, their seeds."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.models import (
    MODELS,
    ArenaCNN,
    LeNet,
    PatchTransformer,
    SimpleNetwork,
    SmallCNN,
    SmallResNet,
    make,
)

COLOUR = ((3, 32, 32), 10)
GREY = ((1, 28, 28), 10)
ARENA = ((3, 32, 32), 100)
TEXT = ((128,), 70)
SIZES = {
    "mlp": (GREY, 283_914),
    "cnn": (GREY, 52_138),
    "lenet": (GREY, 61_706),
    "resnet20": (COLOUR, 269_722),
    "resnet20-noskip": (COLOUR, 269_722),
    "resnet56": (COLOUR, 853_018),
    "resnet56-noskip": (COLOUR, 853_018),
    "resnet50": (COLOUR, 23_528_522),
    "vgg11": (COLOUR, 128_807_306),
    "transformer": (GREY, 104_970),
    "decoder": (TEXT, 212_736),
    "arena-cnn": (ARENA, 1_194_084),
    "arena-transformer": (ARENA, 62_099_818),
}
SMALL = [name for name in SIZES if name not in ("vgg11", "arena-transformer")]


def inputs(name, n):
    """Random samples of a network, and their targets."""
    shape, classes = SIZES[name][0]
    generator = torch.Generator().manual_seed(0)
    if name == "decoder":
        both = torch.randint(classes, (2, n, *shape), generator=generator)
        return both[0], both[1]
    return torch.randn(n, *shape, generator=generator), torch.arange(n)


def size(model):
    return sum(p.numel() for p in model.parameters())


def test_all_are_counted():
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_shapes(name):
    (shape, classes), expected = SIZES[name]
    net = make(name, in_shape=shape, num_classes=classes)
    assert size(net) == expected
    assert net.training
    with torch.no_grad():
        x, y = inputs(name, 2)
        assert net(x).shape == (2, classes, *y.shape[1:])


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_decides_and_global_state_stays(name):
    shape, classes = SIZES[name][0]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    nets = [
        make(name, seed=s, in_shape=shape, num_classes=classes)
        for s in (1, 1, 2)
    ]
    assert torch.equal(state, torch.get_rng_state())
    vectors = [nn.utils.parameters_to_vector(n.parameters()) for n in nets]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name):
    shape, classes = SIZES[name][0]
    net = make(name, in_shape=shape, num_classes=classes)
    x, y = inputs(name, 4)
    F.cross_entropy(net(x), y).backward()
    for key, p in net.named_parameters():
        assert p.grad is not None, key
        assert torch.isfinite(p.grad).all(), key
        # a key's bias falls out of softmax
        if "in_proj_bias" not in key and "key.bias" not in key:
            assert p.grad.abs().max() > 0, key


def test_simple_network_is_the_published_one():
    act = nn.PReLU()
    net = SimpleNetwork(act)
    assert size(net) == 283_915  # one shared slope
    layers = list(net.layers)
    assert [type(k).__name__ for k in layers] == ["Linear", "PReLU"] * 4 + [
        "Linear"
    ]
    assert all(k is act for k in layers[1::2])
    assert isinstance(net.flatten, nn.Flatten)
    assert net.config == {
        "model_name": "SimpleNetwork-PReLU",
        "act_func": "PReLU",
        "input_shape": 784,
        "num_labels": 10,
        "hidden_shape": [256, 192, 128, 64],
    }
    x = torch.randn(3, 1, 28, 28)
    expected = x.flatten(1)
    for k, layer in enumerate(layers[::2]):
        expected = F.linear(expected, layer.weight, layer.bias)
        if k < 4:
            expected = F.prelu(expected, act.weight)
    assert torch.equal(net(x), expected)


def test_simple_network_without_activations_is_linear():
    net = SimpleNetwork(nn.ReLU(), 6, 2, [5, 4], no_act=True).double()
    x, y = torch.randn(2, 3, 6, dtype=torch.float64)
    zero = net(torch.zeros_like(x))
    torch.testing.assert_close(net(x + y) + zero, net(x) + net(y))
    assert net.config["act_func"] == "No Activation"
    with pytest.raises(TypeError, match="an instance such as"):
        SimpleNetwork(nn.ReLU)


def test_option_a_shortcut():
    """Every second pixel, and zeros for the new channels."""
    net = SmallResNet(8)
    block = net.blocks[1]
    x = torch.randn(2, 16, 8, 8)
    around = block.around(x)
    assert around.shape == (2, 32, 4, 4)
    assert torch.equal(around[:, 8:24], x[:, :, ::2, ::2])
    assert around[:, :8].abs().sum() == 0
    assert around[:, 24:].abs().sum() == 0


def test_skips_add_the_input_and_nothing_else():
    with_skip = SmallResNet(8).double().eval()
    without = SmallResNet(8, skip=False).double().eval()
    without.load_state_dict(copy.deepcopy(with_skip.state_dict()))
    x = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    for a, b in zip(with_skip.blocks, without.blocks, strict=True):
        inner = a.bn2(a.conv2(F.relu(a.bn1(a.conv1(x)))))
        torch.testing.assert_close(a(x), F.relu(inner + a.around(x)))
        torch.testing.assert_close(b(x), F.relu(inner))
        x = a(x)


def test_patches_are_cut_whole():
    """With one pixel of one patch changed, one patch vector changes."""
    net = PatchTransformer(patch=7, width=8, heads=2, depth=1).eval()
    x = torch.zeros(1, 1, 28, 28)
    y = x.clone()
    y[0, 0, 8, 15] = 1.0  # row 1, column 2 of a 4x4 grid of patches
    seen = []
    net.embed.register_forward_hook(lambda m, i, o: seen.append(o))
    net(x)
    net(y)
    a, b = seen
    changed = (a != b).any(2).squeeze(0).nonzero().flatten().tolist()
    assert changed == [1 * 4 + 2]


def test_patches_attend_to_each_other():
    """The published network's attention had a single token to look at."""
    net = make("transformer").eval()
    x = torch.randn(1, 1, 28, 28)
    y = x.clone()
    y[0, 0, 0, 0] += 1
    tokens = []
    net.blocks.register_forward_hook(lambda m, i, o: tokens.append(o))
    with torch.no_grad():
        net(x)
        net(y)
    moved = (tokens[0] - tokens[1]).abs().amax(2)
    assert (moved > 0).all()


def test_lenet_on_both_sizes():
    assert size(LeNet((3, 32, 32))) == 62_006
    assert LeNet((1, 32, 32))(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make("resnet21"), "did you mean 'resnet20'"),
        (lambda: SmallResNet(21), "6n \\+ 2"),
        (lambda: LeNet((1, 30, 30)), "28x28 or 32x32, not 30x30"),
        (lambda: SmallCNN((784,)), r"images \(C, H, W\)"),
        (lambda: ArenaCNN((3, 4, 4)), "at least 8x8"),
        (lambda: PatchTransformer(patch=5), "do not tile"),
        (lambda: PatchTransformer(heads=3), "3 heads do not divide"),
        (lambda: make("decoder"), r"in_shape is \(T,\)"),
        (lambda: make("resnet50"), "at least 32x32"),
        (
            lambda: make("resnet50", in_shape=(3, 32, 32), stem="small"),
            "unknown stem 'small'",
        ),
    ],
)
def test_what_does_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.full
def test_the_stem_for_small_images():
    net = make("resnet50", in_shape=(3, 32, 32), stem="cifar")
    assert size(net) == 23_520_842
    sides = []
    net.layer1.register_forward_hook(lambda m, i, o: sides.append(o.shape[-1]))
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 32, 32))
    assert sides == [32]
    grey = make("vgg11", in_shape=(1, 32, 32))
    assert grey.features[0].in_channels == 1
