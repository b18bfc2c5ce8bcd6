"""CIFAR's archives, and pickles that want more than data."""

import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch

from dldna.data import cifar, load


def archive(path, files):
    with tarfile.open(path, "w:gz") as out:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """CIFAR-10 and CIFAR-100 with four images in each batch."""
    rng = np.random.default_rng(0)
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path))
    images = {}
    for name, source in cifar.SOURCES.items():
        files = {}
        for part in (*source.train, source.test):
            x = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
            images[name, part] = x
            batch = {b"data": x, source.labels: [3, 1, 0, 2]}
            files[f"{source.inside}/{part}"] = pickle.dumps(batch, 2)
        words = [b"one", b"two", b"three", b"four"]
        meta = pickle.dumps({source.names: words}, 2)
        files[f"{source.inside}/{source.meta}"] = meta
        md5 = archive(tmp_path / source.file, files)
        monkeypatch.setitem(cifar.SOURCES, name, source._replace(md5=md5))
    return images


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_images_and_labels(small, name):
    source = cifar.SOURCES[name]
    for _ in range(2):  # decoded, then from the cache
        data = load(name)
        assert data.train_x.shape == (4 * len(source.train), 3, 32, 32)
        assert data.classes == ("one", "two", "three", "four")
        assert data.test_y.tolist() == [3, 1, 0, 2]
        last = torch.from_numpy(small[name, source.train[-1]][-1])
        expected = (last.reshape(3, 32, 32).float() / 255 - 0.5) / 0.5
        assert torch.equal(data.train_x[-1], expected)


def test_a_damaged_archive_is_named(small, tmp_path):
    path = tmp_path / cifar.SOURCES["CIFAR10"].file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        load("CIFAR10")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    "value", [Evil(), {b"data": [Evil()]}, os.system, np.random.default_rng(0)]
)
def test_pickles_that_want_more_are_refused(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="must not ask for"):
        cifar.plain_pickle(pickle.dumps(value, 2))
    assert not (tmp_path / "evil").exists()


def test_arrays_of_objects_are_refused():
    data = pickle.dumps(np.array([Evil(), 1], dtype=object), 2)
    with pytest.raises(pickle.UnpicklingError):
        cifar.plain_pickle(data)


def test_plain_pickles_of_arrays_come_back():
    x = np.arange(12, dtype=np.int16).reshape(3, 4)
    for protocol in (0, 1, 2):
        back = cifar.plain_pickle(pickle.dumps({b"x": x}, protocol))
        assert np.array_equal(back[b"x"], x)
