"""Downloads: whole and checked, or not at all; refused quickly offline."""

import errno
import hashlib
import http.client
import os
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from dldna.progress import Bar

CHUNK = 1 << 16
WHO = {"User-Agent": "dldna"}  # some servers refuse Python's own name
PROBE_S = 4.0  # how long a server may take to answer at all
STALL_S = 15.0  # how long a download may stand still
_answers: dict[str, str] = {}

REMEDY = (
    "set DLDNA_DATA to a folder that holds it, or use 'clothes', which "
    "needs no network, or your own images with 'folder:PATH'"
)


def md5(path: Path) -> str:
    """MD5 of a file, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check(path: Path, expected: str) -> None:
    """Refuse a file whose checksum is wrong.

    Raises:
        ValueError: damaged; the message names the file and the remedy.
    """
    found = md5(path)
    if found != expected:
        raise ValueError(
            f"{path} is damaged: {path.stat().st_size} bytes with md5 "
            f"{found}, expected {expected}; delete this file and load the "
            f"data set again, or {REMEDY}"
        )


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which may not exist yet.

    A folder whose mode lets nobody write is left alone, even by a
    superuser who could.
    """
    while not folder.exists():
        folder = folder.parent
    shut = not folder.stat().st_mode & 0o222
    return folder.is_dir() and not shut and os.access(folder, os.W_OK)


def why_offline(url: str) -> str:
    """Ask once per process whether a server answers.

    Args:
        url: any address on it.

    Returns:
        "" if it answers, else what was wrong.
    """
    host = urllib.request.urlparse(url).netloc
    if host not in _answers:
        _answers[host] = _probe(url)
    return _answers[host]


def _probe(url: str) -> str:
    said = [f"no answer within {PROBE_S:g} s"]

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD", headers=WHO)
        try:
            urllib.request.urlopen(request, timeout=PROBE_S).close()
            said.append("")
        except (OSError, http.client.HTTPException) as error:
            said.append(str(error))

    # A name server that does not answer knows no timeout: hence a thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_S + 0.5)
    return said[-1]


def fetch(path: Path, urls: Sequence[str], checksum: str) -> Path:
    """Bring a file from the network; it appears whole and checked.

    It is downloaded into a folder beside ``path``, and takes its name
    only when the checksum is right.

    Args:
        path: where it shall lie.
        urls: where it can be had, tried in turn.
        checksum: its MD5.

    Returns:
        ``path``.

    Raises:
        PermissionError: the folder cannot be written.
        ConnectionError: no server gave the right file.
        OSError: the disk is full.
    """
    folder = path.parent
    if not writable(folder):
        raise PermissionError(
            f"{path.name} must be downloaded, but {folder} cannot be "
            "written; set DLDNA_DATA to a folder that can, or "
            "use 'clothes', which needs no file"
        )
    reasons = []
    for url in urls:
        reason = why_offline(url) or _fetch(path, url, checksum)
        if not reason:
            return path
        reasons.append(f"{url}: {reason}")
    raise ConnectionError(
        f"{path.name} could not be downloaded ({'; '.join(reasons)}); {REMEDY}"
    )


def _fetch(path: Path, url: str, checksum: str) -> str:
    """Bring it from one server; what went wrong, or ""."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    temporary = tempfile.mkdtemp(prefix=".download-", dir=path.parent)
    arrived = Path(temporary) / path.name
    try:
        _download(url, arrived)
        if (found := md5(arrived)) != checksum:
            return (
                f"{arrived.stat().st_size} bytes came, with md5 {found} "
                f"instead of {checksum}"
            )
        os.replace(arrived, path)
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC,
                f"the disk is full: {path.name} does not fit in {path.parent}",
            ) from error
        return str(error) or type(error).__name__
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ""


def _download(url: str, path: Path) -> None:
    """Write down what a server gives, whatever it is."""
    request = urllib.request.Request(url, headers=WHO)
    with (
        urllib.request.urlopen(request, timeout=STALL_S) as answer,
        open(path, "wb") as file,
        Bar(
            None, path.name, _length(answer), unit="B", unit_scale=True
        ) as bar,
    ):
        # read1: what is there already, so that a stall is seen as one
        while chunk := answer.read1(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _length(answer) -> int | None:
    """How many bytes the server says it will give, if it does."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() else None


def _sweep(folder: Path) -> None:
    """Remove what downloads that were killed a day ago left behind."""
    for old in folder.glob(".download-*"):
        if old.is_dir() and time.time() - old.stat().st_mtime > 86400:
            shutil.rmtree(old, ignore_errors=True)
