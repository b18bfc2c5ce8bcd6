"""The in-memory loader: every sample once, and the same order again."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dldna.data import Loader, crop_and_flip, flip_and_rotate


def ramp(n):
    return torch.arange(n, dtype=torch.float32), torch.arange(n)


@settings(max_examples=60)
@given(
    n=st.integers(1, 60),
    size=st.integers(1, 70),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_each_sample_is_seen_once_with_its_label(n, size, shuffle, seed):
    loader = Loader(*ramp(n), size, shuffle, seed)
    parts = list(loader)
    assert len(parts) == len(loader)
    x, y = (torch.cat(p) for p in zip(*parts, strict=True))
    assert torch.equal(x.long(), y)
    assert sorted(y.tolist()) == list(range(n))
    assert all(len(b) == size for b, _ in parts[:-1])


def test_epochs_differ_and_follow_from_the_seed():
    def orders(seed):
        loader = Loader(*ramp(100), 10, True, seed)
        return [torch.cat([y for _, y in loader]) for _ in range(3)]

    first, again, other = orders(5), orders(5), orders(6)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_batches_start_anywhere_also_with_a_transform():
    def noisy(x, generator):
        return x + torch.rand(x.shape, generator=generator)

    loader = Loader(*ramp(50), 8, True, 3, transform=noisy)
    whole = list(loader.batches(4))
    late = list(loader.batches(4, start=5))
    assert len(late) == len(whole) - 5
    for (a, _), (b, _) in zip(whole[5:], late, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(whole[0][0], next(loader.batches(5))[0])


def test_state_goes_on_with_the_next_epoch():
    one, two = (Loader(*ramp(20), 7, True, 1) for _ in range(2))
    list(one)
    two.load_state_dict(one.state_dict())
    for (a, _), (b, _) in zip(one, two, strict=True):
        assert torch.equal(a, b)


def test_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    list(Loader(*ramp(20), 7, True, 1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_drop_last():
    loader = Loader(*ramp(10), 4, drop_last=True)
    assert [len(x) for x, _ in loader] == [4, 4]
    assert len(loader) == 2
    assert len(loader.dataset) == 10
    assert loader.dataset[3] == (3.0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(0), "y": torch.zeros(0)}, "empty"),
        ({"x": torch.zeros(3), "y": torch.zeros(4)}, "3 inputs, but 4"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 9, "drop_last": True}, "do not fill one batch of 9"),
    ],
)
def test_bad_input(arguments, message):
    whole = {"x": torch.zeros(5), "y": torch.zeros(5), **arguments}
    with pytest.raises(ValueError, match=message):
        Loader(**whole)


def test_crop_and_flip_moves_whole_images():
    """Each result is a window of the padded image, mirrored or not."""
    x = torch.rand(40, 2, 6, 5) * 2 - 1
    y = crop_and_flip(x, torch.Generator().manual_seed(0), pad=2)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), value=-1.0)
    flips = 0
    shifts = set()
    for k in range(len(x)):
        found = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            for window in [padded[k, :, top : top + 6, left : left + 5]]
            if torch.equal(window.flip(2) if flip else window, y[k])
        ]
        assert len(found) == 1
        shifts.add(found[0][:2])
        flips += found[0][2]
    assert 8 < flips < 32
    assert len(shifts) > 12


def test_flip_and_rotate_without_a_turn_mirrors_half():
    x = torch.rand(40, 2, 5, 7) * 2 - 1
    y = flip_and_rotate(x, torch.Generator().manual_seed(0), degrees=0)
    same = torch.isclose(y, x, atol=1e-5).flatten(1).all(1)
    mirrored = torch.isclose(y, x.flip(-1), atol=1e-5).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 10 < int(mirrored.sum()) < 30


def test_flip_and_rotate_turns_about_the_centre():
    """A spot keeps its distance from the centre, also in a wide image."""
    h, w = 41, 61
    rows = torch.arange(h).double() - (h - 1) / 2
    columns = torch.arange(w).double() - (w - 1) / 2
    spot = torch.exp(-((rows[:, None] - 8) ** 2 + (columns - 12) ** 2) / 8)
    x = (2 * spot - 1).expand(30, 1, h, w)
    y = flip_and_rotate(x, torch.Generator().manual_seed(1), degrees=30)
    mass = (y[:, 0] + 1) / (y[:, 0] + 1).sum((1, 2), keepdim=True)
    r = (mass.sum(2) * rows).sum(1)
    c = (mass.sum(1) * columns).sum(1)
    torch.testing.assert_close(
        torch.hypot(r, c), torch.full((30,), 208.0).double().sqrt(),
        rtol=0, atol=0.05,
    )  # fmt: skip
    angle = torch.rad2deg(torch.atan2(r, c.abs()) - math.atan2(8, 12))
    assert 20 < angle.abs().max() <= 30.5
    assert (c > 0).any()
    assert (c < 0).any()
    assert y.min() >= -1 - 1e-9


@pytest.mark.parametrize(
    "given",
    [
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]),
         torch.tensor([5.0, 6.0])],
        np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32),
        [np.array([1.0, 2.0], np.float32), [3.0, 4.0], (5.0, 6.0)],
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy")
def test_lists_and_arrays_are_samples_too(given):
    loader = Loader(given, [0, 1, 2], 2, shuffle=True)
    x = torch.cat([x for x, _ in loader.batches(0)])
    y = torch.cat([y for _, y in loader.batches(0)])
    assert y.dtype == torch.int64
    assert torch.equal(x.float(), torch.tensor([[1.0, 2], [3, 4], [5, 6]])[y])
    assert len(loader.dataset) == 3


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        ([[1.0], [1.0, 2.0]], [0, 1], "x"),
        ([torch.ones(1), torch.ones(2)], [0, 1], "x"),
        (["a", "b"], [0, 1], "x"),
        (torch.ones(2), ["cat", "dog"], "y"),
        (torch.ones(2), None, "y"),
        ((torch.ones(2), torch.ones(2)), [0, 1], "x"),
        ({"ids": torch.ones(2)}, [0, 1], "x"),
        (torch.tensor(1.0), torch.tensor(1), "x"),
        (3.0, 4, "x"),
        (iter([1.0]), [1], "x"),
    ],
)
def test_what_makes_no_tensor_is_refused_by_name(x, y, name):
    with pytest.raises(TypeError, match=f"^{name} should be a tensor"):
        Loader(x, y)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_may_be_written_to(shuffle):
    """A transform in place draws the same batch again, from the same data."""

    def noisy(x, generator):
        return x.add_(torch.randn(x.shape, generator=generator))

    x, y = torch.arange(10.0), torch.arange(10)
    loader = Loader(x, y, 4, shuffle, transform=noisy)
    first = [batch for batch, _ in loader.batches(0)]
    for _, targets in loader:
        targets.zero_()
    assert torch.equal(x, torch.arange(10.0))
    assert torch.equal(y, torch.arange(10))
    again = [batch for batch, _ in loader.batches(0)]
    assert all(map(torch.equal, first, again))
