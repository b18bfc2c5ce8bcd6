"""A reader's own images: folders of classes, or archives of them."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from dldna.data.archive import members
from dldna.data.cache import cached
from dldna.data.dataset import Dataset
from dldna.data.fashion import scaled

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
)
CHUNK = 256  # images for each task of the thread pool
SIDE = 32  # of images that differ in size
MAX_SIDE = 8192
MAX_BYTES = 8 << 30
ARCHIVES = ("{}.tar.gz", "{}.tgz", "{}.tar")


def folder(path: str | Path) -> Dataset:
    """Images that lie in ``train/<class>/*`` and ``test/<class>/*``.

    Instead of the two folders there may be two archives ``train.tar.gz``
    and ``test.tar.gz`` of the same; they are read as they are and never
    unpacked onto the disk. Images of one size keep it; others are scaled
    to 32x32. They stay grey where all are grey. They are read as a viewer
    shows them: turned as their camera was held (EXIF), on white where they
    are transparent, the first frame of several. Decoded images are kept in
    the data folder, so that the next process starts at once.

    Args:
        path: the folder.

    Returns:
        Images (C, H, W) in [-1, 1]; the classes are the names of the
        folders, sorted.

    Raises:
        FileNotFoundError: the folder or a part of it is missing.
        ValueError: an image is broken (named), a class has none, an image
            lies elsewhere than in a class's folder, an archive is damaged
            or hostile.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {root}; folder:PATH wants PATH/train/<class>"
            "/*.png and PATH/test/<class>/*.png, or PATH/train.tar.gz and "
            "PATH/test.tar.gz of the same, or a text file"
        )
    sources = {part: _source(root, part) for part in ("train", "test")}
    files = [file for s in sources.values() for file in s.files]
    arrays = cached(f"folder-{root.name[:40]}", files, lambda: _read(sources))
    height, width = arrays["train_x"].shape[-2:]
    return Dataset(
        name=f"folder:{path}",
        train_x=scaled(torch.from_numpy(arrays["train_x"])),
        train_y=torch.from_numpy(arrays["train_y"]),
        test_x=scaled(torch.from_numpy(arrays["test_x"])),
        test_y=torch.from_numpy(arrays["test_y"]),
        classes=tuple(str(c) for c in arrays["classes"]),
        description=f"images in {root.name}, {height}x{width}",
    )


@dataclass(frozen=True)
class _Source:
    """One part of the data: a folder of files, or one archive."""

    part: str
    files: list[Path]
    is_archive: bool

    def images(self) -> Iterator[tuple[str, str, bytes | Path]]:
        """Triples of class, name for messages, and data or path."""
        if not self.is_archive:
            for file in self.files:
                yield file.parent.name, str(file), file
            return
        archive, homes, folders = self.files[0], {}, set()
        for name, data in members(archive):
            inner = PurePosixPath(name)
            if name.endswith("/"):
                folders.add(inner)
            elif _is_image(inner):
                homes.setdefault(inner.parent, inner)
                yield inner.parent.name, f"{archive}:{name}", data
        above = Counter(home.parent for home in homes)
        if len(above) > 1 or PurePosixPath() in homes:
            odd = min(sorted(homes), key=lambda home: above[home.parent])
            raise ValueError(
                f"{archive}:{homes[odd]}: {ELSEWHERE}, all of them side by "
                "side"
            )
        for home in sorted(folders - set(homes)):
            if home.parent in above and not _hidden(home):
                raise ValueError(f"{archive}:{home} {EMPTY}")


ELSEWHERE = "images lie directly in the folder of their class"
EMPTY = "is the folder of a class, and holds no images; fill or remove it"


def _source(root: Path, part: str) -> _Source:
    if (root / part).is_dir():
        labels = [
            label
            for label in sorted((root / part).iterdir())
            if label.is_dir() and not _hidden(label)
        ]
        files = [file for label in labels for file in _images_of(label)]
        for stray in sorted((root / part).iterdir()):
            if _is_image(stray) and stray.is_file():
                raise ValueError(f"{stray}: {ELSEWHERE}, this one in none")
        if not files:
            raise ValueError(
                f"{root / part} holds no images; it wants a folder for each "
                f"class, with files {' '.join(sorted(SUFFIXES))}"
            )
        for label in labels:
            if not _images_of(label):
                raise ValueError(f"{label} {EMPTY}")
        return _Source(part, files, False)
    for pattern in ARCHIVES:
        archive = root / pattern.format(part)
        if archive.is_file():
            return _Source(part, [archive], True)
    raise FileNotFoundError(
        f"{root} has neither a folder {part!r} nor an archive "
        f"{part + '.tar.gz'!r}"
    )


def _images_of(label: Path) -> list[Path]:
    """The images of a class, sorted; none may lie deeper."""
    found = []
    for path in sorted(label.iterdir()):
        if path.is_dir() and not _hidden(path):
            for deep in sorted(path.rglob("*")):
                if _is_image(deep):
                    raise ValueError(f"{deep}: {ELSEWHERE}, this one deeper")
        elif _is_image(path) and path.is_file():
            found.append(path)
    return found


def _is_image(path: Path | PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES and not _hidden(path)


def _hidden(path: Path | PurePosixPath) -> bool:
    """Hidden files, and what macOS puts into archives beside each file."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _read(sources: dict[str, _Source]) -> dict[str, np.ndarray]:
    found = {
        part: sorted(s.images(), key=lambda i: i[:2])
        for part, s in sources.items()
    }
    for part, images in found.items():
        if not images:
            raise ValueError(f"{sources[part].files[0]} holds no images")
    classes = sorted({label for label, _, _ in found["train"]})
    for label, name, _ in found["test"]:
        if label not in classes:
            raise ValueError(
                f"{name}: class {label!r} is in the test set, but not among "
                f"the classes of the training set ({', '.join(classes)})"
            )
    number = {label: k for k, label in enumerate(classes)}
    everything = found["train"] + found["test"]
    pixels = _alike(everything)
    if pixels is None:
        pixels = _decode(everything, *_common(everything))
    train = len(found["train"])
    labels = np.array([number[label] for label, _, _ in everything])
    return {
        "classes": np.array(classes),
        "train_x": pixels[:train],
        "train_y": labels[:train],
        "test_x": pixels[train:],
        "test_y": labels[train:],
    }


class _Differs(Exception):
    pass


def _alike(images: list) -> np.ndarray | None:
    """Decode images in the hope that all have one size and one mode."""
    [(size, mode)] = _each(images[:1], _facts)
    if mode not in ("L", "RGB"):
        return None
    try:
        return _decode(images, size, mode, strict=True)
    except _Differs:
        return None


def _common(images: list) -> tuple[tuple[int, int], str]:
    """The size (width, height) and the mode that all images share."""
    facts = _each(images, _facts)
    sizes = Counter(size for size, _ in facts)
    size = next(iter(sizes)) if len(sizes) == 1 else (SIDE, SIDE)
    grey = all(mode in ("1", "L", "LA", "La") for _, mode in facts)
    return size, "L" if grey else "RGB"


def _decode(
    images: list, size: tuple[int, int], mode: str, strict: bool = False
) -> np.ndarray:
    """(N, C, H, W) bytes of all images, brought to one size and mode."""
    width, height, channels = *size, (3 if mode == "RGB" else 1)
    need = len(images) * width * height * channels
    if need > MAX_BYTES:
        raise ValueError(
            f"{len(images)} images of {width}x{height} need "
            f"{need / 2**30:.0f} GiB in memory; scale them down first"
        )

    def pixels(image: Image.Image) -> np.ndarray:
        turned, clear = _turned(image), _clear(image)
        if turned or clear or image.mode != mode or image.size != size:
            if strict:
                raise _Differs
            if image.mode[0] in "IF":
                raise ValueError(f"mode {image.mode}: wanted are 8-bit pixels")
            image = ImageOps.exif_transpose(image) if turned else image
            image = (_on_white(image) if clear else image).convert(mode)
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(height, width, channels)

    stacked = np.stack(_each(images, pixels))
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def _facts(image: Image.Image) -> tuple[tuple[int, int], str]:
    """Size and mode of an image, as it is shown."""
    sideways = _turned(image) >= SIDEWAYS
    return image.size[:: -1 if sideways else 1], image.mode


ORIENTATION, SIDEWAYS = 0x0112, 5  # EXIF: the tag, the first on its side


def _turned(image: Image.Image) -> int:
    """How an image is to be turned or mirrored, 2 to 8; 0 if not at all."""
    if image.format == "TIFF":
        image.load()  # which turns it
    try:
        told = image.getexif().get(ORIENTATION, 0)
    except Exception:  # notes that cannot be read say nothing
        return 0
    return told if told in range(2, 9) else 0


def _clear(image: Image.Image) -> bool:
    """Whether some of it may be transparent."""
    return "a" in image.mode.lower()[1:] or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image)


def _each(images: list, look: Callable[[Image.Image], Any]) -> list:
    """Apply ``look`` to all opened images, in threads; name broken ones."""
    broken = []

    def some(part: list) -> list:
        return [one(*item) for item in part]

    def one(label: str, name: str, data: bytes | Path) -> Any:
        try:
            file = io.BytesIO(data) if isinstance(data, bytes) else data
            with Image.open(file, formats=FORMATS) as image:
                if max(image.size) > MAX_SIDE:
                    raise ValueError(f"larger than {MAX_SIDE} pixels")
                return look(image)
        except (
            OSError,
            ValueError,
            SyntaxError,
            ArithmeticError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            broken.append((name, error))
            return None

    parts = [images[k : k + CHUNK] for k in range(0, len(images), CHUNK)]
    with ThreadPoolExecutor() as pool:
        results = [r for part in pool.map(some, parts) for r in part]
    if broken:
        listed = "; ".join(f"{name} ({error})" for name, error in broken[:3])
        raise ValueError(
            f"{len(broken)} of {len(images)} images cannot be read: {listed}; "
            "remove or replace them"
        )
    return results
