"""Specs found by tracing: the oracle is the network's own output."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import models, params
from dldna.landscape.curves import match_weights, mlp_spec, permute, spec_of
from dldna.landscape.curves.permuting import shuffle
from dldna.landscape.curves.specs import group_sizes


class Grouped(nn.Module):
    """Group norm, grouped and depthwise convolutions, a flattened image."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.GroupNorm(2, 8),
            nn.PReLU(8),
            nn.Conv2d(8, 8, 3, groups=4),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ConvTranspose2d(8, 6, 2, groups=2),
            nn.Flatten(),
            nn.Linear(54, 3),
        )

    def forward(self, x):
        return self.body(x)


class Joined(nn.Module):
    """Channels of two layers, one after the other."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 6, 3, padding=1)
        self.c = nn.Linear(160, 3)

    def forward(self, x):
        y = torch.relu(self.a(x))
        return self.c(torch.cat([y, torch.tanh(self.b(y))], 1).flatten(1))


class Language(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 12)
        self.place = nn.Parameter(torch.randn(1, 5, 12))
        self.block = nn.TransformerEncoderLayer(
            12, 3, 20, batch_first=True, norm_first=True
        )
        self.head = nn.Linear(12, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        x = self.embed(x) + self.place
        return self.head(self.block(x, src_mask=mask))


class Unbound(nn.Module):
    """Attention written by hand, its three parts unbound."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        x = self.first(x)
        b, n, c = x.shape
        parts = self.qkv(x).reshape(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*parts.unbind(0))
        return self.last(x + self.out(y.transpose(1, 2).reshape(b, n, c)))


class Recurrent(nn.Module):
    """Two recurrent layers, read at every step."""

    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(3, 5, 2, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def _images(channels, side):
    return torch.randn(2, channels, side, side, dtype=torch.float64)


def _vectors(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def _mlp():
    return nn.Sequential(
        *(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU()),
        *(nn.Linear(5, 6), nn.GLU(), nn.LayerNorm(3), nn.Linear(3, 2)),
    )


# name: network, inputs, number of groups
NETWORKS = {
    "perceptron": (_mlp, lambda: _vectors(4, 3), 2),
    "batch norm, flattened": (
        lambda: models.ArenaCNN((3, 8, 8), 5),
        lambda: _images(3, 8),
        4,
    ),
    "grouped": (Grouped, lambda: _images(1, 8), None),
    "joined": (Joined, lambda: _images(1, 4), 2),
    "residual": (lambda: models.SmallResNet(8), lambda: _images(3, 8), None),
    "tied": (Language, lambda: torch.randint(0, 11, (2, 5)), 5),
    "unbound": (Unbound, lambda: _vectors(2, 4, 3), 4),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True),
        lambda: _vectors(2, 5, 8),
        4,
    ),
    "patches": (
        lambda: models.PatchTransformer((1, 8, 8), 3, width=8, heads=2),
        lambda: _images(1, 8),
        9,
    ),
    "lstm": (
        lambda: Recurrent(nn.LSTM),
        lambda: _vectors(2, 4, 3),
        2,
    ),
    "gru": (lambda: Recurrent(nn.GRU), lambda: _vectors(2, 4, 3), 2),
}
LARGE = {
    "residual 20": (
        lambda: models.SmallResNet(20),
        lambda: _images(3, 8),
        None,
    ),
    "plain 20": (
        lambda: models.SmallResNet(20, skip=False),
        lambda: _images(3, 8),
        19,
    ),
    "resnet50": (models.resnet50, lambda: _images(3, 32), None),
    "vgg11": (models.vgg11, lambda: _images(3, 32), 10),
}


def _made(make, inputs):
    """A network in eval mode with nothing left at 0 or 1, and its inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().double().eval()
        with torch.no_grad():
            for p in (*model.parameters(), *model.buffers()):
                if p.is_floating_point():
                    p.add_(0.1 * torch.rand_like(p))
        return model, inputs()


def _state(model):
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    return {k: v.detach() for k, v in state.items()}


def _holds(make, inputs, groups, draws=2):
    """Random orders leave the outputs; and are found again."""
    model, x = _made(make, inputs)
    spec, state = spec_of(model, x), _state(model)
    sizes = group_sizes(spec, state)
    assert groups is None or len(sizes) == groups
    with torch.no_grad():
        out = model(x)
        for seed in range(draws):
            orders = shuffle(sizes, torch.Generator().manual_seed(seed))
            moved = permute(state, spec, orders)
            assert any(not torch.equal(moved[k], state[k]) for k in state)
            there = params.call(model, moved, (x,))
            assert (there - out).abs().max() <= 1e-10 * out.abs().max()
            if sum(v.numel() for v in state.values()) < 3e5:
                found = match_weights(state, moved, spec)
                back = found.apply(moved)
                assert all(torch.equal(back[k], state[k]) for k in state)
                assert found.after == pytest.approx(
                    sum(float((state[k] ** 2).sum()) for k in spec)
                )


@pytest.mark.parametrize("name", NETWORKS)
def test_orders_after_a_traced_spec_leave_the_outputs(name):
    _holds(*NETWORKS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", LARGE)
def test_orders_after_the_traced_spec_of_a_large_network(name):
    _holds(*LARGE[name], draws=1)


def test_heads_change_places_and_their_units_by_themselves():
    spec = spec_of(*_made(*NETWORKS["tied"][:2]))
    heads, queries, values = "hidden2", "hidden2/units1", "hidden2/units2"
    query = (((heads, 3), (queries, 4)), 12)
    value = (((heads, 3), (values, 4)), 12)
    joined = [query, query, value]
    assert spec["block.self_attn.in_proj_weight"] == (joined, "hidden1")
    assert spec["block.self_attn.in_proj_bias"] == (joined,)
    assert spec["block.self_attn.out_proj.weight"] == ("hidden1", value[0])
    assert spec["block.linear1.weight"] == ("hidden3", "hidden1")
    assert spec["embed.weight"] == (None, "hidden1")  # tied: words stay
    assert spec["place"] == (None, None, "hidden1")


def test_a_skip_connection_ties_and_without_it_all_are_free():
    skips = spec_of(*_made(*NETWORKS["residual"][:2]))
    first, inner = skips["conv.weight"][0], skips["blocks.0.conv1.weight"][0]
    assert skips["blocks.0.conv2.weight"] == (first, inner, None, None)
    make = lambda: models.SmallResNet(8, skip=False)  # noqa: E731
    plain = spec_of(*_made(make, NETWORKS["residual"][1]))
    assert len(group_sizes(plain, _state(make()))) == 7  # all but the last


def test_channels_keep_their_pixels_together():
    spec = spec_of(*_made(*NETWORKS["joined"][:2]))
    assert spec["c.weight"] == (
        None,
        (([("hidden1", 4), ("hidden2", 6)], 10), (None, 16)),
    )


class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(dim=-1).values


@pytest.mark.parametrize(
    ("layer", "text"), [(Sorted, "layer '1' calls 'sort'")]
)
def test_what_is_not_understood_is_named(layer, text):
    model = nn.Sequential(nn.Linear(3, 4), layer(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=text):
        mlp_spec(model)


def test_an_operation_that_needs_an_order_fixes_it():
    """A cumulative sum over units: theirs stays, the next is free."""

    class Cumulative(nn.Module):
        def forward(self, x):
            return x.cumsum(-1)

    spec = mlp_spec(
        nn.Sequential(
            *(nn.Linear(3, 4), Cumulative(), nn.Linear(4, 5)),
            *(nn.Tanh(), nn.Linear(5, 2)),
        )
    )
    assert spec["0.weight"] == (None, None)
    assert spec["2.weight"] == ("hidden1", None)


def test_a_nested_spec_that_does_not_fit_is_named():
    w = {"w": torch.ones(6)}
    with pytest.raises(ValueError, match="makes 4 units"):
        group_sizes({"w": ((("h", 2), (None, 2)),)}, w)
    with pytest.raises(ValueError, match="but not 'h' on one axis"):
        group_sizes({"w": ("h/u",)}, w)
