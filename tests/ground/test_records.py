"""Records come back as they went, and run nothing on the way."""

import os
import pickle

import numpy as np
import pytest

from dldna.records import Line, Provenance, Record, Surface


def a_surface():
    return Surface(
        alphas=np.linspace(-1, 1, 3),
        betas=np.linspace(-1, 1, 5),
        losses=np.array([[np.nan, np.inf, 1, 2, 3]] * 3, dtype=float),
        evaluated=np.ones((3, 5), dtype=bool),
        centre_loss=1.0,
        metrics={"accuracy": np.full((3, 5), 0.5)},
        directions=["random", "<script>"],
        provenance=Provenance(seed=3, model="Net", notes={"a": [1, 2]}),
    )


def test_a_record_survives_saving(tmp_path):
    record = a_surface()
    back = Record.load(record.save(tmp_path / "s"))
    assert isinstance(back, Surface)
    np.testing.assert_array_equal(back.losses, record.losses)
    np.testing.assert_array_equal(
        back.metrics["accuracy"], record.metrics["accuracy"]
    )
    assert back.provenance == record.provenance
    assert back.directions == record.directions


def test_a_record_of_another_kind_is_refused(tmp_path):
    path = a_surface().save(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="holds a Surface, not a Line"):
        Line.load(path)


def test_a_missing_record_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no record at"):
        Surface.load(tmp_path / "none.npz")


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_truncated_record_says_so(tmp_path, keep):
    path = a_surface().save(tmp_path / "s")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        Surface.load(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("boom",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "a.npz", alphas=objects, __record__=objects)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    for name in "ab":
        with pytest.raises(ValueError, match="damaged"):
            Record.load(tmp_path / f"{name}.npz")
    assert not (tmp_path / "boom").exists()


def test_what_json_cannot_hold_is_refused_before_writing(tmp_path):
    record = Line(
        np.zeros(1), np.zeros(1), provenance=Provenance(notes={"f": len})
    )
    with pytest.raises(TypeError, match="cannot hold"):
        record.save(tmp_path / "l")
    assert list(tmp_path.iterdir()) == []
