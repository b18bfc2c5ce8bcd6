"""VTK's XML, CSV, xarray and HDF5, by readers that are none of ours."""

import base64
import csv
import json
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from dldna.export import path_vtk, path_vtp, surface_vtk, surface_vtp
from dldna.export.vtk_xml import surface_vti
from dldna.records import Provenance, Surface

NUMPY = {"Float64": "f8", "Int64": "i8", "UInt8": "u1"}


def record(n=7, m=5, **change):
    a, b = np.linspace(-1, 1, n), np.linspace(-2, 2, m)
    x, y = np.meshgrid(a, b, indexing="ij")
    z = 0.1 + x**2 + 3 * y**2
    values = {
        "alphas": a, "betas": b, "losses": z, "centre_loss": 0.1,
        "evaluated": np.ones(z.shape, bool), "metrics": {"accuracy": x - y},
        "path_coords": np.array([[1.0, 1.5], [0.5, 0.2], [0.0, 0.0]]),
        "path_losses": np.array([8.0, 0.5, 0.1]),
        "path_distance": np.array([0.5, 0.1, 0.0]),
        "provenance": Provenance(model="Net"),
    }  # fmt: skip
    return Surface(**(values | change))


def arrays(file):
    """The kind of a VTK file, its pieces and its arrays, by the format."""
    root = ElementTree.parse(file).getroot()
    assert root.get("header_type") == "UInt64"
    found = {}
    for array in root.iter("DataArray"):
        raw = base64.b64decode(array.text)
        size = int(np.frombuffer(raw[:8], "u8")[0])
        assert len(raw) == size + 8
        values = np.frombuffer(raw[8:], NUMPY[array.get("type")])
        width = int(array.get("NumberOfComponents"))
        found[array.get("Name")] = (
            values.reshape(-1, width).squeeze(1)
            if (width == 1)
            else values.reshape(-1, width)
        )
    return root.get("type"), root[0], found


def holed(**change):
    z = record().losses.copy()
    z[0, 1], z[2, 2] = np.nan, np.inf
    return record(losses=z, **change)


def test_triangles_hold_the_losses_as_they_are(tmp_path):
    s = holed()
    written = s.to_vtp(tmp_path / "s.vtp", "log")
    assert [p.name for p in written] == ["s.vtp", "s_path.vtp"]
    kind, data, found = arrays(written[0])
    assert (kind, data.tag) == ("PolyData", "PolyData")
    np.testing.assert_array_equal(found["loss"].reshape(7, 5), s.losses)
    assert found["finite"].sum() == 33
    x, y = np.meshgrid(s.alphas, s.betas, indexing="ij")
    np.testing.assert_array_equal(found["Points"][:, 0], x.ravel())
    np.testing.assert_array_equal(found["Points"][:, 1], y.ravel())
    assert np.isfinite(found["Points"]).all()
    cells = found["connectivity"].reshape(-1, 3)
    assert len(cells) == 2 * 6 * 4
    np.testing.assert_array_equal(found["offsets"], 3 * np.arange(1, 49))
    a, b, c = (found["Points"][cells[:, i], :2] for i in range(3))
    twice = np.linalg.det(np.stack([b - a, c - a], 1))
    np.testing.assert_allclose(twice, 1 / 3)  # one side up, none missing
    _, _, line = arrays(written[1])
    np.testing.assert_array_equal(line["connectivity"], [0, 1, 2])
    np.testing.assert_array_equal(line["loss"], s.path_losses)


@pytest.mark.parametrize("shape", [(7, 5), (1, 3), (4, 1)])
def test_an_image_has_the_first_coordinate_fastest(tmp_path, shape):
    s = record(*shape)
    (file,) = s.to_vti(tmp_path / "s.vti")
    kind, data, found = arrays(file)
    assert kind == "ImageData"
    extent = [int(v) for v in data.get("WholeExtent").split()]
    assert extent == [0, shape[0] - 1, 0, shape[1] - 1, 0, 0]
    origin, step = (
        np.array(data.get(k).split(), float) for k in ("Origin", "Spacing")
    )
    for k, loss in enumerate(found["loss"]):
        i, j = k % shape[0], k // shape[0]
        assert loss == s.losses[i, j]
        assert found["accuracy"][k] == s.metrics["accuracy"][i, j]
        at = origin[:2] + step[:2] * [i, j]
        np.testing.assert_allclose(at, [s.alphas[i], s.betas[j]])
    with pytest.raises(ValueError, match=r"betas are not evenly.*\.vtp"):
        record(betas=np.array([-2, -1, 0, 1, 5.0])).to_vti(file)


def test_former_names_write_the_same(tmp_path):
    assert (surface_vtk, path_vtk) == (surface_vtp, path_vtp)
    old = record().to_vtk(tmp_path / "s.vtk")
    new = record().to_vtp(tmp_path / "t.vtp")
    assert [p.name for p in old] == ["s.vtp", "s_path.vtp"]
    assert old[0].read_bytes() == new[0].read_bytes()
    from dldna.export import vtk

    assert vtk.surface_vti is surface_vti


def test_rows_of_numbers(tmp_path):
    s = holed()
    written = s.to_csv(tmp_path / "s.csv")
    with open(written[0], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 35
    for k, row in enumerate(rows):
        i, j = divmod(k, 5)
        got = [float(row[c]) for c in ("alpha", "beta", "loss", "accuracy")]
        np.testing.assert_array_equal(got, [
            s.alphas[i], s.betas[j], s.losses[i, j],
            s.metrics["accuracy"][i, j],
        ])  # fmt: skip
        assert row["evaluated"] == "True"
    with open(written[1], newline="") as file:
        path = list(csv.DictReader(file))
    assert [float(r["distance"]) for r in path] == [0.5, 0.1, 0.0]


def test_a_dataset_is_made_of_named_axes(monkeypatch):
    def dataset(data, coords, attrs):
        return SimpleNamespace(data=data, coords=coords, attrs=attrs)

    monkeypatch.setitem(
        sys.modules, "xarray", SimpleNamespace(Dataset=dataset)
    )
    s = holed()
    made = s.to_xarray()
    for name in ("loss", "evaluated", "accuracy"):
        assert made.data[name][0] == ("alpha", "beta")
    assert made.data["path_loss"][0] == "checkpoint"
    assert made.data["loss"][1] is s.losses
    assert made.coords["beta"] is s.betas
    assert json.loads(made.attrs["provenance"])["model"] == "Net"
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"'xarray'.*dldna\[formats\]"):
        s.to_xarray()


def mesh_file(nx=5, ny=3, **more):
    """What the code of Li et al. leaves: filled by a mesh's flat order."""
    x, y = np.linspace(-1, 1, nx), np.linspace(-2, 2, ny)
    across, along = np.meshgrid(x, y)
    loss, acc = -np.ones((nx, ny)), -np.ones((nx, ny))
    for k in range(nx * ny - 2):  # it was stopped two points early
        a, b = across.ravel()[k], along.ravel()[k]
        loss.ravel()[k] = 1 + a + 10 * b**2
        acc.ravel()[k] = 50 - 10 * a
    return {
        "dir_file": b"net_weights_xignore=biasbn_xnorm=filter_ynorm=layer.h5",
        "xcoordinates": x, "ycoordinates": y,
        "train_loss": loss, "train_acc": acc, **more,
    }  # fmt: skip


@pytest.fixture
def h5(monkeypatch, tmp_path):
    """A stand-in for h5py, whose files are dictionaries."""

    class Data:
        def __init__(self, value):
            self.value, self.shape = value, np.shape(value)

        def __getitem__(self, key):
            return self.value[key] if np.ndim(self.value) else self.value

    class File(dict):
        def __init__(self, path, mode):
            if made is None:
                raise OSError("file signature not found")
            super().__init__({k: Data(v) for k, v in made.items()})

        __enter__, __exit__ = lambda f: f, lambda f, *error: None

    made = None

    def write(content):
        nonlocal made
        made = content
        path = tmp_path / "surface.h5"
        path.touch()
        return path

    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=File))
    return write


def check_mesh(s):
    x, y = np.meshgrid(s.alphas, s.betas, indexing="ij")
    right = 1 + x + 10 * y**2
    assert s.evaluated.sum() == 13
    assert not s.evaluated[3:, -1].any()
    np.testing.assert_array_equal(np.isnan(s.losses), ~s.evaluated)
    np.testing.assert_allclose(s.losses[s.evaluated], right[s.evaluated])
    acc = s.metrics["accuracy"]
    np.testing.assert_allclose(acc[s.evaluated], (0.5 - 0.1 * x)[s.evaluated])
    assert s.centre_loss == 1.0
    assert s.directions == [
        "xdirection, filter-normalized, biases and batch norm still",
        "ydirection, layer-normalized",
    ]


def test_surfaces_of_li_et_al_are_read(h5, tmp_path):
    s = Surface.from_h5(h5(mesh_file()))
    check_mesh(s)
    assert "Read from surface.h5" in s.report()
    assert "2 of 15 points" in s.report()
    s.save(tmp_path / "s.npz")
    check_mesh(Surface.load(tmp_path / "s.npz"))
    test = np.full((5, 3), 7.0)
    both = h5(mesh_file(test_loss=test, test_acc=10 * test))
    s = Surface.from_h5(both, "test_loss")
    assert (s.losses == 7).all()
    assert (s.metrics["accuracy"] == 0.7).all()
    assert {"train_loss", "train_accuracy"} <= set(s.metrics)


def test_other_h5_files_are_refused(h5, monkeypatch, tmp_path):
    content = mesh_file()
    with pytest.raises(ValueError, match="unknown data set 'tain_loss'"):
        Surface.from_h5(h5(content), "tain_loss")
    line = {k: v for k, v in content.items() if k != "ycoordinates"}
    with pytest.raises(ValueError, match="is a line, not a surface"):
        Surface.from_h5(h5(line))
    with pytest.raises(ValueError, match=r"no xcoordinates.*it holds weights"):
        Surface.from_h5(h5({"weights": np.zeros(3)}))
    with pytest.raises(ValueError, match="is no HDF5 file"):
        Surface.from_h5(h5(None))
    with pytest.raises(FileNotFoundError, match="no file"):
        Surface.from_h5(tmp_path / "none.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"'h5py'.*dldna\[formats\]"):
        Surface.from_h5(h5(content))
