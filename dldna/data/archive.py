"""Archives of files, read in memory and trusted in nothing."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_FILE = 64 << 20
MAX_TOTAL = 4 << 30
MAX_COUNT = 2_000_000


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files and folders in a ``.tar`` or ``.tar.gz``, one by one.

    Nothing is written to disk, and no more than one file is in memory.

    Args:
        path: the archive.

    Yields:
        Pairs of name and content; a folder's name ends with ``/``, and
        its content is empty.

    Raises:
        ValueError: the archive is damaged, or does what no archive of
            data does: names outside itself (absolute, or with ``..``),
            links, devices, or more than 64 MiB in a file, 4 GiB in all.
    """
    try:
        with (
            open(path, "rb") as raw,
            _open(raw) as file,
            tarfile.open(fileobj=_Bounded(file), mode="r:") as archive,
        ):
            bounded = archive.fileobj
            for n, member in enumerate(archive):
                _check(member, n)
                if member.isfile():
                    yield member.name, archive.extractfile(member).read()
                else:
                    yield f"{member.name}/", b""
                archive.members.clear()  # or it remembers all of them
            if bounded.last != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends in the middle")
            while bounded.read(tarfile.RECORDSIZE):
                pass  # to the end, where gzip keeps its checksum
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged ({error}); bring it again"
        ) from error
    except _Hostile as error:
        raise ValueError(f"{path} is refused: {error}") from error


def _open(raw):
    start = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if start == b"\x1f\x8b" else raw


def _check(member: tarfile.TarInfo, n: int) -> None:
    name = PurePosixPath(member.name)
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.name
    if outside:
        raise _Hostile(f"{member.name!r} names a place outside the archive")
    if not (member.isfile() or member.isdir()):
        raise _Hostile(f"{member.name!r} is a link or a device, not a file")
    if member.issparse() or member.size > MAX_FILE:
        raise _Hostile(
            f"{member.name!r} would unpack to {member.size} bytes, more than "
            f"{MAX_FILE}"
        )
    if n >= MAX_COUNT:
        raise _Hostile(f"more than {MAX_COUNT} entries")


class _Hostile(Exception):
    pass


class _Bounded:
    """A file that refuses to give too much, at once or in all."""

    def __init__(self, file):
        self.file = file
        self.last = b""

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, position: int, whence: int = 0) -> int:
        if whence != 0 or position > MAX_TOTAL:
            raise _Hostile(f"it unpacks to more than {MAX_TOTAL} bytes")
        return self.file.seek(position)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_FILE + 1024:
            raise _Hostile(f"an entry claims {size} bytes at once")
        if self.file.tell() + size > MAX_TOTAL:
            raise _Hostile(f"it unpacks to more than {MAX_TOTAL} bytes")
        self.last = self.file.read(size)
        return self.last
