"""What is written is read by the real packages, and the reverse."""

import numpy as np
import pytest

from dldna.records import Surface


def surface():
    a, b = np.linspace(-1, 1, 7), np.linspace(-2, 2, 5)
    x, y = np.meshgrid(a, b, indexing="ij")
    z = 0.1 + x**2 + 3 * y**2
    z[1, 2] = np.nan
    return Surface(
        alphas=a, betas=b, losses=z, evaluated=np.ones(z.shape, bool),
        centre_loss=0.1, metrics={"accuracy": x - y},
        path_coords=np.array([[1.0, 1.5], [0.0, 0.0]]),
        path_losses=np.array([8.0, 0.1]),
    )  # fmt: skip


def test_vtk_reads_triangles_lines_and_images(tmp_path):
    xml = pytest.importorskip("vtkmodules.vtkIOXML")
    numpy_of = pytest.importorskip("vtkmodules.util.numpy_support")
    s = surface()
    top, line = s.to_vtp(tmp_path / "s.vtp")

    def read(reader, file):
        reader.SetFileName(str(file))
        reader.Update()
        return reader.GetOutput()

    def values(data, name):
        return numpy_of.vtk_to_numpy(data.GetPointData().GetArray(name))

    mesh = read(xml.vtkXMLPolyDataReader(), top)
    assert (mesh.GetNumberOfPoints(), mesh.GetNumberOfPolys()) == (35, 48)
    np.testing.assert_array_equal(values(mesh, "loss").reshape(7, 5), s.losses)
    assert mesh.GetPointData().GetScalars().GetName() == "loss"
    path = read(xml.vtkXMLPolyDataReader(), line)
    assert (path.GetNumberOfPoints(), path.GetNumberOfLines()) == (2, 1)
    (file,) = s.to_vti(tmp_path / "s.vti")
    image = read(xml.vtkXMLImageDataReader(), file)
    assert image.GetDimensions() == (7, 5, 1)
    for i in range(7):
        for j in range(5):
            k = image.ComputePointId((i, j, 0))
            np.testing.assert_allclose(
                image.GetPoint(k)[:2], [s.alphas[i], s.betas[j]], atol=1e-12
            )
            np.testing.assert_array_equal(
                values(image, "loss")[k], s.losses[i, j]
            )


def test_pandas_reads_the_rows(tmp_path):
    pandas = pytest.importorskip("pandas")
    s = surface()
    table = pandas.read_csv(s.to_csv(tmp_path / "s.csv")[0])
    grid = table.pivot(index="alpha", columns="beta", values="loss")
    np.testing.assert_array_equal(grid.to_numpy(), s.losses)


def test_xarray_holds_it():
    pytest.importorskip("xarray")
    s = surface()
    made = s.to_xarray()
    assert dict(made.sizes) == {"alpha": 7, "beta": 5, "checkpoint": 2}
    near = made.loss.sel(alpha=0.0, beta=1.0, method="nearest")
    assert float(near) == s.losses[3, 4 - 1]
    np.testing.assert_array_equal(made.accuracy, s.metrics["accuracy"])
    assert made.attrs["centre_loss"] == 0.1


def test_h5py_files_of_li_et_al(tmp_path):
    h5py = pytest.importorskip("h5py")
    x, y = np.linspace(-1, 1, 5), np.linspace(-2, 2, 3)
    across, along = np.meshgrid(x, y)
    loss = -np.ones((5, 3))
    loss.ravel()[:13] = (1 + across + 10 * along**2).ravel()[:13]
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["dir_file"] = "net_xnorm=filter.h5"
        file["xcoordinates"], file["ycoordinates"] = x, y
        file["train_loss"], file["train_acc"] = loss, 50 * loss
    s = Surface.from_h5(tmp_path / "s.h5")
    assert s.provenance.notes["directions file"] == "net_xnorm=filter.h5"
    assert s.directions[0] == "xdirection, filter-normalized"
    a, b = np.meshgrid(x, y, indexing="ij")
    done = s.evaluated
    assert done.sum() == 13
    assert np.isnan(s.losses[~done]).all()
    np.testing.assert_array_equal(s.losses[done], (1 + a + 10 * b**2)[done])
    np.testing.assert_allclose(s.metrics["accuracy"][done], s.losses[done] / 2)
    (tmp_path / "no.h5").write_bytes(b"none")
    with pytest.raises(ValueError, match="no HDF5 file"):
        Surface.from_h5(tmp_path / "no.h5")
