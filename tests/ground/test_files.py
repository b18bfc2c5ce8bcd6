"""Files are written whole or not at all."""

import errno
import os

import pytest

from dldna import files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = files.write_atomic(tmp_path / "a", lambda f: f.write(b"old"))

    def fail(f):
        f.write(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_named_and_changes_nothing(tmp_path):
    path = files.write_atomic(tmp_path / "a", lambda f: f.write(b"old"))

    def full(f):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left.*nothing there"):
        files.write_atomic(path, full)
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="cannot write b in"):
        files.write_atomic(tmp_path / "a" / "b", lambda f: f.write(b""))


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv("DLDNA_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "dldna"
