"""Downloads from a server that cuts, stalls, lies and is not there."""

import contextlib
import errno
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from dldna.data import download

BODY = bytes(range(256)) * 400
SUM = hashlib.md5(BODY).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Each path is one way to go wrong."""

    fallen = threading.Event()

    def do_HEAD(self):
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()

    def do_GET(self):
        how = self.path.strip("/")
        length = len(BODY) + {"long": 99, "short": -99}.get(how, 0)
        self.send_response(404 if how == "gone" else 200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if how == "garbage":
            self.wfile.write(BODY[::-1])
        elif how in ("cut", "stall"):
            self.wfile.write(BODY[: len(BODY) // 2])
            self.wfile.flush()
            if how == "stall":  # until no test needs it any more
                self.fallen.wait()
                with contextlib.suppress(OSError):
                    self.wfile.write(BODY[len(BODY) // 2 :])
        else:
            self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """No answer of before, and time enough on a machine that others use."""
    monkeypatch.setattr(download, "STALL_S", 300.0)
    monkeypatch.setattr(download, "PROBE_S", 300.0)
    monkeypatch.setattr(download, "_answers", {})


@pytest.fixture(scope="module")
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    Server.fallen.set()
    server.shutdown()
    server.server_close()


def test_a_good_file_arrives(url, tmp_path):
    path = download.fetch(tmp_path / "deep" / "file", [url + "good"], SUM)
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("how", ["cut", "stall", "garbage", "short", "gone"])
def test_a_bad_one_leaves_nothing(url, tmp_path, how, monkeypatch):
    if how == "stall":
        monkeypatch.setattr(download, "STALL_S", 0.5)
    with pytest.raises(ConnectionError) as caught:
        download.fetch(tmp_path / "file", [url + how], SUM)
    message = str(caught.value)
    assert url + how in message
    assert "DLDNA_DATA" in message
    assert "clothes" in message
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_is_tried(url, tmp_path):
    urls = [url + "garbage", url + "cut", url + "good"]
    path = download.fetch(tmp_path / "file", urls, SUM)
    assert path.read_bytes() == BODY


def test_an_old_file_stands_when_the_new_one_fails(url, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ConnectionError):
        download.fetch(path, [url + "cut"], SUM)
    assert path.read_bytes() == b"old"


def test_the_checksum_decides_not_the_length(url, tmp_path):
    path = download.fetch(tmp_path / "file", [url + "long"], SUM)
    assert path.read_bytes() == BODY


def test_no_server_fails_fast_and_is_asked_once(tmp_path, monkeypatch):
    calls = []
    probe = download._probe
    monkeypatch.setattr(
        download, "_probe", lambda u: calls.append(u) or probe(u)
    )
    for _ in range(2):
        with pytest.raises(ConnectionError):
            download.fetch(tmp_path / "file", ["http://127.0.0.1:9/x"], SUM)
    assert len(calls) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch):
    release = threading.Event()

    def hang(*_, **__):
        release.wait()
        raise OSError("released")

    monkeypatch.setattr(download, "PROBE_S", 0.5)
    monkeypatch.setattr(download.urllib.request, "urlopen", hang)
    assert "no answer" in download.why_offline("http://example.invalid/x")
    release.set()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file" / "sub", tmp_path / "file"):
        with pytest.raises(PermissionError, match="DLDNA_DATA"):
            download.fetch(folder / "x", ["http://127.0.0.1:9/x"], SUM)
    shut = tmp_path / "shut"
    shut.mkdir()
    shut.chmod(0o555)
    assert not download.writable(shut)
    assert not download.writable(shut / "new")
    assert download.writable(tmp_path / "new" / "newer")


def test_a_full_disk(tmp_path, url, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_download", full)
    with pytest.raises(OSError, match="the disk is full: file does not fit"):
        download.fetch(tmp_path / "file", [url + "good"], SUM)
    assert list(tmp_path.iterdir()) == []


def test_check_names_the_file_and_the_remedy(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BODY)
    download.check(path, SUM)
    path.write_bytes(BODY[:-1])
    with pytest.raises(ValueError, match=r"file is damaged.*delete"):
        download.check(path, SUM)


def test_killed_while_downloading(url, tmp_path):
    """Kill -9 half way: no file; then it can be had as if nothing was."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dldna.data import download\n"
        "download.PROBE_S = download.STALL_S = 600.0\n"
        "download.fetch(Path(sys.argv[1]), [sys.argv[2]], sys.argv[3])\n"
    )
    path = tmp_path / "file"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), url + "stall", SUM],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not list(tmp_path.glob(".download-*/file")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    [left] = tmp_path.glob(".download-*")
    os.utime(left, (0, 0))  # a day later
    download.fetch(path, [url + "good"], SUM)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == BODY
