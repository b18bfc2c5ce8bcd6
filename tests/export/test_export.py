"""Exports read by independent readers; reports that say what is true."""

import csv
import json
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from dldna.export import heights
from dldna.export.reliability import local_minima
from dldna.records import Provenance, Surface


def record(n=7, m=5, **change):
    a, b = np.linspace(-1, 1, n), np.linspace(-2, 2, m)
    x, y = np.meshgrid(a, b, indexing="ij")
    z = 0.1 + x**2 + 3 * y**2
    values = {
        "alphas": a,
        "betas": b,
        "losses": z,
        "evaluated": np.ones(z.shape, dtype=bool),
        "centre_loss": 0.1,
        "metrics": {"accuracy": 1 / (1 + z)},
        "directions": ["one", "two"],
        "path_coords": np.array([[1.0, 1.5], [0.5, 0.2], [0.0, 0.0]]),
        "path_losses": np.array([8.0, 0.5, 0.1]),
        "path_projected": np.array([7.85, 0.47, 0.1]),
        "path_distance": np.array([0.5, 0.1, 0.0]),
        "provenance": Provenance(
            model="Net", data="digits", n_params=1000, n_samples=500
        ),
    }
    return Surface(**(values | change))


# PLY


def test_ply_in_an_independent_reader(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    s = record()
    written = s.to_ply(tmp_path / "s.ply")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reader's own dependencies
        mesh = trimesh.load(written[0], process=False)
    assert len(mesh.vertices) == 35
    assert len(mesh.faces) == 2 * 6 * 4
    assert mesh.euler_number == 1
    assert mesh.is_winding_consistent
    assert (mesh.face_normals[:, 2] > 0).all()  # one side is up
    x, y = np.meshgrid(s.alphas, s.betas, indexing="ij")
    np.testing.assert_allclose(mesh.vertices[:, 0], x.ravel(), atol=1e-6)
    np.testing.assert_allclose(mesh.vertices[:, 1], y.ravel(), atol=1e-6)
    z = (s.losses - 0.1) / 13 * 2  # half of the wider side is 2
    np.testing.assert_allclose(mesh.vertices[:, 2], z.ravel(), atol=1e-6)


def ply_elements(text):
    head, body = text.split("end_header\n")
    sizes = [
        (name, int(size))
        for name, size in re.findall(r"^element (\w+) (\d+)$", head, re.M)
    ]
    rows = body.strip().split("\n")
    found, at = {}, 0
    for name, size in sizes:
        found[name] = [r.split() for r in rows[at : at + size]]
        at += size
    assert at == len(rows)
    return head, found


def test_the_path_is_edges_at_its_true_height(tmp_path):
    s = record()
    _, path = s.to_ply(tmp_path / "s.ply")
    assert path.name == "s_path.ply"
    _, found = ply_elements(path.read_text())
    assert [e[:2] for e in found["edge"]] == [["0", "1"], ["1", "2"]]
    z = [float(v[2]) for v in found["vertex"]]
    want = (s.path_losses - 0.1) / 13 * 2
    np.testing.assert_allclose(z, want, atol=1e-6)


@pytest.mark.parametrize("scale", ["linear", "log", "clip"])
def test_no_point_is_dropped_and_the_scale_is_told(tmp_path, scale):
    z = record().losses.copy()
    z[0, 0], z[1, 1], z[2, 2] = np.nan, np.inf, -np.inf
    s = record(losses=z)
    head, found = ply_elements(s.to_ply(tmp_path / "a", scale)[0].read_text())
    assert len(found["vertex"]) == 35
    assert [v[-1] for v in found["vertex"]].count("0") == 3
    assert found["vertex"][0][3:6] == ["140"] * 3
    assert "3 that are not finite" in head
    words = {"linear": "height 0", "log": "logarithmic", "clip": "clipped"}
    assert words[scale] in head
    assert all(np.isfinite(float(x)) for v in found["vertex"] for x in v)


def test_hostile_names_stay_inside_their_comment(tmp_path):
    evil = "x\nend_header\nelement face 9\r\0 é </script><script>alert(1)"
    s = record(
        directions=[evil, evil],
        metrics={evil: record().losses},
        provenance=Provenance(model=evil),
    )
    text = s.to_ply(tmp_path / "s.ply")[0].read_text()
    assert text.count("\nend_header\n") == 1
    ply_elements(text)
    assert text.isascii()
    for file in (*s.to_vtp(tmp_path / "s.vtp"), *s.to_vti(tmp_path / "s.vti")):
        assert file.read_text().isascii()
        ElementTree.parse(file)
    page = s.to_html(tmp_path / "s.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    embedded = re.search(
        r'<script id="data" type="application/json">(.*?)</script>', page
    )[1]
    assert json.loads(embedded)["axes"] == [evil, evil]


def test_heights_refuse_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="not one loss"):
        heights(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="greater than 0"):
        heights(np.zeros((2, 2)), "log")
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        heights(np.zeros((2, 2)), "linar")
    assert np.isfinite(heights(np.ones((2, 2))).z).all()


def test_clip_keeps_points_at_the_top():
    h = heights(np.arange(101.0), "clip", 0.9)
    assert h.high == 90
    assert (h.z[90:] == 1).all()
    assert "10 losses above" in h.said
    assert h.of(np.array([45.0]))[0] == pytest.approx(0.5)


# The page


def test_page_is_one_small_file(tmp_path):
    page = record(101, 101).to_html(tmp_path / "s.html")
    text = page.read_text()
    assert page.stat().st_size < 6_000_000
    outside = re.findall(r"""(?:src|href)\s*=|https?://|@import|url\(""", text)
    assert not outside
    assert "Content-Security-Policy" in text
    assert "NaN" not in text.split('type="application/json">')[1].split("<")[0]


def test_html_keeps_nan_and_inf(tmp_path):
    z = record().losses.copy()
    z[0, 0], z[0, 1] = np.nan, -np.inf
    text = record(losses=z).to_html(tmp_path / "s.html").read_text()
    data = json.loads(text.split('type="application/json">')[1].split("<")[0])
    assert data["losses"][0][:2] == ["nan", "-inf"]
    assert data["losses"][1][1] == pytest.approx(z[1, 1])


def test_a_metric_takes_no_column_of_the_surface(tmp_path):
    other = np.full((7, 5), 9.0)
    s = record(metrics={"loss": other, "alpha": other, "finite": other})
    [file] = s.to_csv(tmp_path / "s.csv")[:1]
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert float(rows[0]["loss"]) == s.losses[0, 0]
    assert float(rows[0]["alpha"]) == s.alphas[0]
    assert float(rows[0]["metric loss"]) == 9.0
    for made in (s.to_vtp(tmp_path / "s.vtp"), s.to_vti(tmp_path / "s.vti")):
        text = made[0].read_text()
        assert text.count('Name="loss"') == 1
        assert text.count('Name="metric loss"') == 1
        assert text.count('Name="metric finite"') == 1


# Words


def test_report_of_a_bowl():
    said = record().report()
    assert "The centre is the lowest point" in said
    assert "All points are there and finite" in said
    assert "2 of 1,000 directions" in said
    assert "bends down" not in said
    assert "local minima" not in said
    assert "at worst" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda z, x, y: z - 3 * x, "lowest point is not the centre"),
        (lambda z, x, y: 0 * z, "as low are 440"),
        (lambda z, x, y: np.maximum(abs(x - 0.5), 0.5), "as low are"),
        (lambda z, x, y: 1 - x**2 + y**2, "bends down"),
        (lambda z, x, y: 1 + 1e-4 * z, "nearly flat"),
        (lambda z, x, y: np.exp(9 * z), "log or clipped"),
        (lambda z, x, y: 1 + y**2 + 1e-6 * x**2, "reaches the edge"),
        (lambda z, x, y: np.where(x > 0.9, np.nan, z), "are NaN"),
        (lambda z, x, y: 3 + np.sin(9 * x) * np.cos(7 * y), "local minima"),
    ],
)
def test_report_finds(change, says):
    s = record(21, 21)
    x, y = np.meshgrid(s.alphas, s.betas, indexing="ij")
    z = change(s.losses, x, y)
    said = record(21, 21, losses=z, centre_loss=z[10, 10]).report()
    assert says in said


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ({"cosine": 0.5}, "right angles"),
        ({"directions": ["random normal, not normalised"]}, "not filter"),
        ({"batch_norm_layers": 2, "statistics": "eval"}, "frozen"),
        ({"batch_norm_layers": 2, "statistics": "train"}, "batched"),
        ({"probe": ["The data change"]}, "The data change"),
        (
            {
                "explained": {
                    "about the end": [0.8, 0.05],
                    "random walk with these steps": [0.81, 0.09],
                }
            },
            "no more than nothing",
        ),
    ],
)
def test_report_tells_notes(notes, says):
    provenance = Provenance(n_params=10, n_samples=1000, notes=notes)
    assert says in record(provenance=provenance).report()


def test_a_plateau_is_not_lower_than_a_centre_on_it():
    assert "is not the centre" not in record(losses=np.zeros((7, 5))).report()


def test_report_measures_a_path_of_negative_losses_by_their_size():
    true, seen = np.full(3, -4.0), np.array([-4.0, -3.0, -5.0])
    path = np.zeros((3, 2))
    said = record(
        path_coords=path, path_losses=true, path_projected=seen
    ).report()
    assert "off by 25 % in the median, 25 % at worst" in said


def test_report_of_an_unfinished_surface():
    done = np.ones((7, 5), dtype=bool)
    done[0] = False
    z = np.where(done, record().losses, np.nan)
    assert "5 of 35 points" in record(losses=z, evaluated=done).report()
    nothing = record(losses=np.full((7, 5), np.nan), evaluated=done & False)
    assert "not been evaluated on the grid" in nothing.report()


def test_local_minima_ignore_nan_and_plateaus():
    z = np.ones((5, 5))
    assert local_minima(z) == 0
    z[2, 2] = 0
    z[1, 1] = np.nan
    assert local_minima(z) == 1
