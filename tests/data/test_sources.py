"""Data sets by name: what they hold, and what they say when they cannot."""

import gzip
import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from dldna.data import (
    Dataset,
    book_dataset,
    clothes,
    download,
    fashion,
    load,
    plays,
)
from dldna.data.digits import split

NAMES = list(fashion.MD5)


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """Fashion-MNIST's four files, of 12 and 6 images, in a data folder."""
    rng = np.random.default_rng(0)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    arrays, sums, shapes = {}, {}, {}
    for name in NAMES:
        n = 12 if name.startswith("train") else 6
        shape = (n, 28, 28) if "images" in name else (n,)
        top = 256 if "images" in name else 10
        arrays[name] = rng.integers(0, top, shape, dtype=np.uint8)
        head = np.array([2048 + len(shape), *shape], dtype=">i4").tobytes()
        data = gzip.compress(head + arrays[name].tobytes())
        (raw / f"{name}.gz").write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
        shapes[name] = shape
    monkeypatch.setattr(fashion, "MD5", sums)
    monkeypatch.setattr(fashion, "SHAPES", shapes)
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path))
    return raw, arrays


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(download, "_probe", lambda _: "no route to host")
    monkeypatch.setattr(download, "_answers", {})


def test_fashion_mnist_equals_torchvisions_own_transforms(small_fashion):
    from dldna._torchvision import torchvision

    _, arrays = small_fashion
    data = load("FashionMNIST")
    t = torchvision().transforms
    usual = t.Compose([t.ToTensor(), t.Normalize((0.5,), (0.5,))])
    images = arrays["train-images-idx3-ubyte"]
    expected = torch.stack([usual(image[:, :, None]) for image in images])
    assert torch.equal(data.train_x, expected)
    assert data.train_y.tolist() == arrays["train-labels-idx1-ubyte"].tolist()
    assert data.test_x.shape == (6, 1, 28, 28)
    assert data.classes[9] == "Ankle boot"
    assert not list(small_fashion[0].glob("*.part"))


def test_uncompressed_files_do_too(small_fashion):
    raw, _ = small_fashion
    before = load("FashionMNIST")
    for path in list(raw.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert torch.equal(load("FashionMNIST").train_x, before.train_x)


def test_a_read_only_folder_that_is_complete_will_do(small_fashion):
    raw, _ = small_fashion
    for path in (*raw.iterdir(), raw, raw.parent, raw.parent.parent):
        path.chmod(0o555)
    assert len(load("FashionMNIST").train_x) == 12
    for path in (raw, raw.parent, raw.parent.parent):
        path.chmod(0o755)


@pytest.mark.parametrize("how", ["truncated", "wrong", "empty"])
def test_a_damaged_file_is_named(small_fashion, how):
    raw, _ = small_fashion
    path = raw / f"{NAMES[0]}.gz"
    data = path.read_bytes()
    bad = {"truncated": data[:-40], "wrong": data[::-1], "empty": b""}[how]
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=f"{path.name} is damaged.*delete"):
        load("FashionMNIST")


def test_a_truncated_uncompressed_file_is_named(small_fashion):
    raw, _ = small_fashion
    path = raw / f"{NAMES[1]}.gz"
    data = gzip.decompress(path.read_bytes())
    path.unlink()
    path.with_suffix("").write_bytes(data[:-1])
    with pytest.raises(ValueError, match=f"{NAMES[1]} is damaged"):
        load("FashionMNIST")


def test_the_book_is_the_same_whatever_is_on_disk(
    small_fashion, offline, capsys, monkeypatch
):
    monkeypatch.delenv("DLDNA_SCALE", raising=False)
    for there in (True, False):
        if not there:
            next(small_fashion[0].iterdir()).unlink()
        assert book_dataset().name == "clothes"
        said = capsys.readouterr().out
        assert said.startswith("data: clothes")
        assert said.count("\n") == 1


def test_full_scale_takes_the_full_set_or_says_why_not(
    small_fashion, offline, monkeypatch
):
    monkeypatch.setenv("DLDNA_SCALE", "full")
    assert book_dataset().name == "FashionMNIST"
    next(small_fashion[0].iterdir()).unlink()
    with pytest.raises(ConnectionError, match="no route"):
        book_dataset()


# How SHA-256 of the published files' first images and labels begins.
FIRST = {
    "train_x": "2929ae1c7b89e0ee6587",
    "train_y": "1022e4632874e71bb84d",
    "test_x": "09bbac78738f0229a68f",
    "test_y": "a86243d2b2400909bc0a",
}


@pytest.mark.parametrize("part", FIRST)
def test_clothes_are_the_published_bytes(part):
    values = getattr(load("clothes"), part)
    if part.endswith("x"):
        values = ((values.double() + 1) * 127.5).round()
    data = values.to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(data).hexdigest()[:20] == FIRST[part]


def test_clothes_are_the_first_of_the_full_set_where_it_is_on_disk():
    if fashion.missing():
        pytest.skip("Fashion-MNIST is not on disk")
    ours, full = load("clothes"), load("FashionMNIST")
    for part in FIRST:
        mine = getattr(ours, part)
        assert torch.equal(mine, getattr(full, part)[: len(mine)])


def test_clothes_need_no_network_come_with_their_licence_and_are_small(
    offline, tmp_path, monkeypatch
):
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path / "none"))
    data = load("clothes")
    assert (len(data.train_x), len(data.test_x)) == (10_000, 2_000)
    assert clothes.FILE.stat().st_size < 6e6
    notice = clothes.FILE.with_suffix(".LICENSE.txt").read_text("utf-8")
    assert "The MIT License" in notice
    assert "2017 Zalando SE" in notice
    assert not list(tmp_path.iterdir())


def test_the_wheel_takes_the_embedded_files_along():
    root = Path(__file__).parents[2]
    with open(root / "pyproject.toml", "rb") as file:
        setup = tomllib.load(file)["tool"]["setuptools"]
    globs = setup["package-data"]["*"]
    for path in (*clothes.FILE.parent.glob("clothes.[nL]*"), plays.FILE):
        assert any(path.match(glob) for glob in globs), path.name


@pytest.mark.parametrize("name", ["clothes", "digits", "moons"])
@pytest.mark.parametrize("n", [1, 50, 200])
def test_a_validation_part_is_fixed_and_of_all_classes(name, n):
    data = load(name)
    part, again = data.hold_out(n), data.hold_out(n)
    assert torch.equal(part.test_x, again.test_x)
    assert len(part.test_x) == n
    assert len(part.train_x) == len(data.train_x) - n
    # Together they are the training set, and nothing of the test set.
    rows = torch.cat([part.train_x, part.test_x]).flatten(1)
    whole = data.train_x.flatten(1)
    assert torch.equal(rows.sum(1).sort()[0], whole.sum(1).sort()[0])
    both = torch.cat([part.train_y, part.test_y]).bincount()
    assert torch.equal(both, data.train_y.bincount())
    share = n * data.train_y.bincount() / len(data.train_y)
    got = part.test_y.bincount(minlength=len(data.classes))
    assert float((got - share).abs().max()) <= 1.5
    if n > 1:
        assert not torch.equal(data.hold_out(n, 1).test_x, part.test_x)
    with pytest.raises(ValueError, match="nothing to train on"):
        data.hold_out(len(data.train_x))


@pytest.mark.parametrize("name", ["FashionMNIST", "CIFAR10", "CIFAR100"])
def test_no_network_names_the_remedies(name, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path / "none"))
    with pytest.raises(ConnectionError) as caught:
        load(name)
    for word in ("no route", "DLDNA_DATA", "clothes", "folder:PATH"):
        assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["FashionMNIST", "CIFAR10"])
def test_a_data_folder_that_cannot_be_written(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path / "file"))
    with pytest.raises(PermissionError, match="DLDNA_DATA"):
        load(name)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'FashionMNIST'"):
        load("fashion-mnist")
    with pytest.raises(ValueError, match="did you mean 'CIFAR10'"):
        load("cifar10")
    with pytest.raises(ValueError, match="unknown data set None"):
        load(None)


def test_digits_are_the_embedded_ones():
    from sklearn.datasets import load_digits

    data = load("digits")
    assert data.shape == (1, 28, 28)
    assert float(data.train_x.min()) == -1
    assert float(data.train_x.max()) == 1
    n = data.train_y.bincount() + data.test_y.bincount()
    assert n.tolist() == np.bincount(load_digits().target).tolist()
    share = data.test_y.bincount() / n
    assert float((share - 0.2).abs().max()) < 0.004
    assert torch.equal(load("digits", seed=9).train_y, data.train_y)


def test_digits_keep_their_corners():
    """Bilinear enlarging without aligned corners keeps corner pixels."""
    from sklearn.datasets import load_digits

    images = torch.tensor(load_digits().images, dtype=torch.float32)
    y = torch.tensor(load_digits().target)
    train, _ = split(y, 0.2, 0)
    corner = load("digits").train_x[:, 0, -1, 0]
    assert torch.equal(corner, images[train][:, -1, 0] / 8 - 1)


@pytest.mark.parametrize("name", ["moons", "blobs", "spirals"])
def test_toys_follow_from_the_seed_and_can_be_told_apart(name):
    from sklearn.neighbors import KNeighborsClassifier

    data, again, other = load(name, 3), load(name, 3), load(name, 4)
    assert torch.equal(data.train_x, again.train_x)
    assert not torch.equal(data.train_x, other.train_x)
    assert (len(data.train_x), len(data.test_x)) == (960, 240)
    assert len(set(data.train_y.bincount().tolist())) == 1
    near = KNeighborsClassifier(7).fit(data.train_x, data.train_y)
    assert near.score(data.test_x, data.test_y) > 0.95
    assert data.train_x.abs().max() < 2


def test_take_is_a_subset_without_repeats():
    data = load("digits")
    small = data.take(100, seed=1, n_test=50)
    rows = {tuple(r) for r in small.train_x.flatten(1).tolist()}
    whole = {tuple(r) for r in data.train_x.flatten(1).tolist()}
    assert len(rows) == 100
    assert rows <= whole
    assert (len(small.train_y), len(small.test_y)) == (100, 50)
    assert not torch.equal(small.train_x, data.take(100, seed=2).train_x)
    with pytest.raises(ValueError, match="there are 1438 samples"):
        data.take(2000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_y": torch.tensor([0, 2])}, "train label 2 is outside the 2"),
        ({"test_y": torch.tensor([-1])}, "test label -1 is outside"),
        ({"train_y": torch.tensor([0])}, "2 train samples, 1 labels"),
        ({"test_x": torch.zeros(0, 3)}, "the test set is empty"),
    ],
)
def test_bad_parts_are_refused(change, message):
    good = {
        "train_x": torch.zeros(2, 3),
        "train_y": torch.tensor([0, 1]),
        "test_x": torch.zeros(1, 3),
        "test_y": torch.tensor([1]),
    }
    Dataset("mine", **good, classes=("a", "b"))
    with pytest.raises(ValueError, match=message):
        Dataset("mine", **{**good, **change}, classes=("a", "b"))
