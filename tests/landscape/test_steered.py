"""Numbers that steer a model, and state that it writes, in recorded runs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna.landscape.evaluate import choose
from tests.landscape.test_captured import (
    Block,
    Own,
    points,
    setting,
    small,
    written,
)


def checked(x, w):
    if torch.isnan(x @ w).any():
        raise ValueError("not a number")
    assert (x @ w).abs().max() < 1e6
    assert torch.allclose(x @ w, x @ w + 0.0)
    assert torch.equal(x @ w, x @ w)
    return x @ w


def asked_for_more(x, w):
    """Classes are encoded and counted: only whether they fit is asked."""
    classes = (x @ w).argmax(1)
    counts = torch.bincount(classes, minlength=6)
    weighed = torch.bincount(classes, x[:, 0] * w[0, 0], minlength=6)
    return x + F.one_hot(classes, 6) * w[0] + counts / 9 + weighed


def where_it_is_whole(x, w):
    """Masks that are the same in the whole plane."""
    made, mask = x @ w, (x @ w).square() > -1
    made[mask] = made[mask] * 2
    (rows,) = mask[:, 0].nonzero(as_tuple=True)
    return made[rows] + torch.masked_select(made, mask).mean()


def factored(x, w):
    """A check of LAPACK's whole number."""
    a = w @ w.T + 9 * torch.eye(6).to(w)
    return torch.linalg.solve(a, x.T).T @ torch.linalg.cholesky(a)


REPEATED = {
    f.__name__: f
    for f in (checked, asked_for_more, where_it_is_whole, factored)
}


# the same at the points where ways are compared, not elsewhere
def expert(x, w):
    return x @ w if (w > 1.5).any() else x - w[0]


def by_list(x, w):
    return x * w[0] * sum((w > 1.5).flatten().tolist())


def by_count(x, w):
    return x * w[0] + int((w > 1.5).sum())


def by_masks(x, w):
    mask = w[5] > 1.5
    return x * w[0] + w[1][mask].sum() + len(mask.nonzero())


def by_put(x, w):
    made = x * w[0]
    made[:, w[5] > 1.5] = w[1][w[5] > 1.5]
    return made


def by_pieces(x, w):
    sizes = (w > 1.5).sum().view(1)
    return x * w[0] + torch.tensor_split(w[0], sizes)[0].sum()


def by_new_tensor(x, w):
    return x * w[0] * torch.tensor([(w > 1.5).any(), True]).sum()


def by_old_constructor(x, w):
    return x * w[0] * torch.DoubleTensor([v > 1.5 for v in w.flatten()]).sum()


def by_equality(x, w):
    return x * w[0] + torch.equal(w > 1.5, w > 9)


def by_factors(x, w):
    """LAPACK says no there, and the slow way does something else."""
    eye = torch.eye(6).to(w)
    try:
        return x @ torch.linalg.cholesky((1.5 - w[5, 5]) * eye)
    except torch.linalg.LinAlgError:
        return x * w[0]


def by_guarded_index(x, w):
    """What is not guarded would fail where the guard does not hold."""
    n = (w > 1.5).sum()
    return x * w[0] + (torch.eye(1).to(x)[n].sum() if n < 1 else 2.0)


STEERED = {
    f.__name__: f
    for f in (
        expert, by_list, by_count, by_masks, by_put, by_pieces,
        by_new_tensor, by_equality, by_guarded_index,
        by_factors, by_old_constructor,
    )
}  # fmt: skip


def rare(cases, quick):
    return [
        c if c in quick else pytest.param(c, marks=pytest.mark.full)
        for c in cases
    ]


def flat(below=0.2, n=(9, 7)):
    """Weights in the middle that pass 1.5 in two corners of the plane."""
    given = setting(Block(Own(None)), n=n)
    origin, directions = given[3:]
    origin["middle.w"] = torch.linspace(0.2, 1.2, 36).double().view(6, 6)
    for sign, step in zip((1, below), directions, strict=True):
        step["middle.w"] = (
            sign * torch.linspace(0, 0.29, 36).view(6, 6).double()
        )
    return given


@pytest.mark.parametrize("fewest", [1, 1e9], ids=["mapped", "one by one"])
@pytest.mark.parametrize("does", rare(REPEATED, ["asked_for_more"]))
def test_checks_are_repeated(does, fewest, monkeypatch):
    small(monkeypatch, fewest)
    given = setting(Block(Own(REPEATED[does])))
    true = written(*given)
    found = choose(*given, way="captured")
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    assert not found.asked


@pytest.mark.parametrize("fewest", [1, 1e9], ids=["mapped", "one by one"])
@pytest.mark.parametrize("does", rare(STEERED, ["expert"]))
def test_another_branch_takes_the_slow_way(does, fewest, monkeypatch):
    small(monkeypatch, fewest)
    given = flat()
    given[0].middle.does = STEERED[does]
    true = written(*given)
    found = choose(*given, way="captured")
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    assert 0 < found.asked < len(points()) / 2


class Keeping(nn.Module):
    """A middle that writes into its own state."""

    def __init__(self, does):
        super().__init__()
        self.w, self.does = nn.Parameter(torch.rand(6, 6)), does
        self.register_buffer("mean", torch.rand(6))
        self.register_buffer("steps", torch.zeros(()))
        self.anew()

    def anew(self):
        self.plain = torch.ones(6).double()
        self.mean.data = torch.linspace(0.2, 0.7, 6).double()
        self.steps.zero_()

    def forward(self, x):
        return self.does(self, x, x @ self.w)


def averaged(self, x, y):
    self.mean.mul_(0.9).add_(0.1 * y.mean(0))
    return y


def measured(self, x, y):
    """What torch's metrics do: sums from batch to batch."""
    self.plain = self.plain + (y > 0).sum(0)
    self.share = self.plain / self.plain.sum()
    return y


def added_to(self, x, y):
    self.plain.add_(y.mean(0))
    return y


def counted(self, x, y):
    self.steps += 1
    return y * self.steps


def read_and_counted(self, x, y):
    made = y * (1 + self.steps)
    self.steps += 1
    return made + self.steps


def read_first(self, x, y):
    made = y - self.mean
    self.mean[:3] = 0.5 * y.mean()
    return made


def read_last(self, x, y):
    self.mean.mul_(0.9).add_(0.1 * y.mean(0))
    return y - self.mean


def kept_by_parts(self, x, y):
    made = y * self.plain
    self.plain = torch.zeros(6).to(y)
    self.plain[2:] = y[0, 2:]
    return made


ONE, TWO = (9,), (9, 7)
STATES = [
    pytest.param(does, n, way, marks=marks, id=f"{does.__name__}-{len(n)}")
    for does, n, way, marks in [
        (averaged, TWO, "captured", ()),
        (measured, TWO, "captured", ()),
        (added_to, TWO, "captured", pytest.mark.full),
        (counted, TWO, "captured", pytest.mark.full),
        (read_and_counted, TWO, "captured", pytest.mark.full),
        (read_first, ONE, "slow", pytest.mark.full),
        (read_last, ONE, "slow", pytest.mark.full),
        (kept_by_parts, ONE, "slow", pytest.mark.full),
        (read_first, TWO, "slow", pytest.mark.full),
        (read_last, TWO, "slow", ()),
        (kept_by_parts, TWO, "slow", pytest.mark.full),
    ]
]


@pytest.mark.parametrize(("does", "n", "way"), STATES)
def test_state_that_a_forward_writes(does, n, way):
    model, *rest = setting(Block(Keeping(does)), n=n)
    true = written(model, *rest, anew=model.middle.anew)
    model.middle.anew()
    found = choose(model, *rest)
    assert found.name == way
    for _ in "ab":
        values = found(points())["loss"]
        np.testing.assert_allclose(values, true, rtol=1e-12)
