"""Models of many kinds, each with data and a loss that fit it."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations


@dataclass
class Case:
    """A model as a user might hand it over, in the middle of something."""

    model: nn.Module
    data: Any
    loss: Any


class Tied(nn.Module):
    """Two layers of one weight, and one PReLU in two places."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.act = nn.PReLU()
        self.again = self.act
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.again(self.b(self.act(self.a(x)))))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Reader(nn.Module):
    """Attention over words; takes a dict."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 4, padding_idx=0)
        self.layer = nn.TransformerEncoderLayer(
            4, 2, 6, dropout=0.2, batch_first=True
        )
        self.head = nn.Linear(4, 3)

    def forward(self, words, mask=None):
        h = self.layer(self.words(words), src_key_padding_mask=mask)
        return self.head(h.mean(1))


class Siamese(nn.Module):
    """Takes two inputs, as a tuple."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
        self.head = nn.Bilinear(5, 5, 3)

    def forward(self, left, right):
        return self.head(self.body(left), self.body(right))


class Restless(nn.Module):
    """Its forward writes to itself and draws from every generator."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(5), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        h = self.first(x)
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        with torch.no_grad():
            self.head.weight.data.clamp_(-0.1, 0.1)
        noise = random.random() + np.random.rand()  # noqa: NPY002
        return self.head(h + 0 * noise * torch.rand(1))


class Counting(nn.Module):
    """Grows an attribute of plain numbers; one layer is never used."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)
        )
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.scale * self.net(x)


def small():
    return nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(5, 3),
    )  # fmt: skip


def images():
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3),
        nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(0.2),
        nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    return net.to(memory_format=torch.channels_last)


def parametrized():
    net = nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 5),
        nn.Linear(5, 3),
    )  # fmt: skip
    parametrizations.weight_norm(net[0])
    parametrizations.orthogonal(net[2])
    parametrizations.spectral_norm(net[3])
    return net


def hooked():
    net = small()
    net[0].register_forward_hook(lambda m, i, o: o * 1.5)
    net[4].register_forward_pre_hook(lambda m, i: (i[0] + 0.1,))
    net.register_full_backward_hook(lambda m, gi, go: None)
    net[4].weight.register_hook(lambda g: 2 * g)
    return net


def frozen():
    net = small()
    net[0].weight.requires_grad_(False)
    net[4].bias.requires_grad_(False)
    net[1].eval()
    return net


def all_frozen():
    return small().requires_grad_(False).eval()


def compiled():
    return torch.compile(small(), backend="eager")


def in_place_first():
    """Writes into what it is given, unless that is a copy."""
    return nn.Sequential(
        nn.Hardtanh(-0.5, 0.5, inplace=True), nn.Linear(4, 5), nn.Tanh(),
        nn.Dropout(0.2, inplace=True), nn.Linear(5, 3),
    )  # fmt: skip


def wide():
    return small().double()


def half():
    return small().bfloat16()


KINDS = {
    "batch_norm_dropout": small,
    "frozen_parts": frozen,
    "all_frozen": all_frozen,
    "double": wide,
    "half": half,
    "channels_last": images,
    "tied_and_shared": Tied,
    "parametrized": parametrized,
    "hooked": hooked,
    "lstm": Recurrent,
    "attention_dict": Reader,
    "tuple_inputs": Siamese,
    "writes_and_draws": Restless,
    "unused_and_inplace": Counting,
    "in_place_first": in_place_first,
    "compiled": compiled,
}


def data_for(kind, samples=10):
    y = torch.arange(samples) % 3
    if kind == "attention_dict":
        words = torch.randint(1, 7, (samples, 5))
        return {"words": words, "labels": y}
    if kind == "tuple_inputs":
        return (torch.randn(samples, 4), torch.randn(samples, 4)), y
    shape = {"channels_last": (2, 4, 4), "lstm": (5, 4)}.get(kind, (4,))
    x = torch.randn(samples, *shape)
    x = {"double": x.double(), "half": x.bfloat16()}.get(kind, x)
    return x, y


def make(kind):
    """A case with gradients here and there, and mixed modes."""
    torch.manual_seed(1)
    model, data = KINDS[kind](), data_for(kind)
    if kind != "all_frozen":
        for i, module in enumerate(model.modules()):
            if i % 3 == 2:
                module.training = not module.training
        for i, p in enumerate(model.parameters()):
            if i % 2 == 0 and p.requires_grad:
                p.grad = torch.full_like(p, 0.25)
    if kind == "channels_last":
        data = (data[0].to(memory_format=torch.channels_last), data[1])
    return Case(model, data, nn.CrossEntropyLoss())
