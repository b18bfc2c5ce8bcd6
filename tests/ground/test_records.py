"""Records come back as they went, and run nothing on the way."""

import dataclasses
import importlib
import json
import os
import pickle
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import dldna.landscape
import dldna.training
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


def test_a_record_shows_what_it_holds_in_a_few_lines():
    words = repr(a_surface())
    assert words.startswith("Surface(alphas=array([-1.,  0.,  1.])")
    assert "losses=<3 x 5, 1 to 3, 6 not finite>" in words
    assert "evaluated=<3 x 5, bool>" in words
    assert "{'accuracy': <3 x 5, 0.5 to 0.5>}" in words
    assert words.endswith("provenance=<Net>)")
    large = dataclasses.replace(a_surface(), losses=np.ones((500, 500)))
    assert len(str(large)) < 500


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


def test_a_record_with_a_wrong_byte_says_so_or_is_whole(tmp_path):
    first = a_surface()
    path = first.save(tmp_path / "s.npz")
    whole, told = path.read_bytes(), 0
    for i in range(0, len(whole), 3):
        wrong = bytearray(whole)
        wrong[i] ^= 255
        path.write_bytes(wrong)
        try:
            found = Surface.load(path)
        except ValueError as error:
            assert "damaged" in str(error)
            told += 1
        else:
            np.testing.assert_array_equal(found.losses, first.losses)
    assert told > len(whole) / 6


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


# Module names in the headers of files: today's, that of the time when all
# records were one file, none at all, and one that is gone.
HOMES = ("today's", "dldna.records", None, "dldna.gone.away")
for room in (dldna.landscape, dldna.training):  # which hold further kinds
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
KINDS = sorted(
    (k for k in Record.__subclasses__() if k.__module__.startswith("dldna.")),
    key=lambda kind: kind.__name__,
)
LOAD = """
import sys
from dldna.records import Record
for path in sys.argv[1:]:
    print(type(Record.load(path)).__name__)
"""


def with_header(path, home):
    """The same file, as a time that named its class's module so wrote it."""
    with np.load(path) as file:
        arrays = dict(file)
    head = json.loads(arrays["__record__"].tobytes())
    named = {} if home is None else {"module": home}
    head = {k: v for k, v in head.items() if k != "module"} | named
    text = json.dumps(head).encode()
    arrays["__record__"] = np.frombuffer(text, dtype=np.uint8)
    np.savez(path, **arrays)
    return path


def filled(kind):
    """A record of this kind, an array in each field that has no default."""
    return kind(**{
        f.name: np.ones(2)
        for f in dataclasses.fields(kind)
        if f.default is f.default_factory is dataclasses.MISSING
    })  # fmt: skip


@pytest.mark.parametrize(
    "home",
    [HOMES[0], *(pytest.param(h, marks=pytest.mark.full) for h in HOMES[1:])],
)
def test_a_fresh_process_reads_what_any_time_wrote(tmp_path, home):
    assert {"Surface", "Motion", "Arena", "MergeTree"} < {
        kind.__name__ for kind in KINDS
    }
    files = []
    for kind in KINDS:
        path = filled(kind).save(tmp_path / kind.__name__)
        files.append(path if home == "today's" else with_header(path, home))
    out = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.stdout.split() == [k.__name__ for k in KINDS], out.stderr
