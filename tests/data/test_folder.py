"""A reader's own images, whole, broken and hostile."""

import io
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from dldna.data import archive, load
from dldna.data import folder as folder_room


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))


def picture(seed, size=(5, 4), mode="RGB"):
    rng = np.random.default_rng(seed)
    channels = (3,) if mode == "RGB" else ()
    return rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    """train/{cat,dog}/0..2.png, test/{cat,dog}/0.png, and stray files."""
    root = tmp_path / "photos"
    for k, (part, label, n) in enumerate(
        [(p, c, n) for p, n in (("train", 3), ("test", 1)) for c in "ab"]
    ):
        where = root / part / {"a": "cat", "b": "dog"}[label]
        where.mkdir(parents=True)
        for i in range(n):
            image = Image.fromarray(picture(10 * k + i))
            image.save(where / f"{i}.png")
        (where / ".hidden.png").write_bytes(b"no image")
        (where / "notes.txt").write_text("no image either")
    return root


def pack(root, part, path, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        out.add(root / part, arcname=part)


def test_images_arrive_as_they_are(photos):
    data = load(f"folder:{photos}")
    assert data.classes == ("cat", "dog")
    assert data.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_y.tolist() == [0, 1]
    pixels = torch.from_numpy(picture(11)).permute(2, 0, 1)
    expected = (pixels.float() / 255 - 0.5) / 0.5
    assert torch.equal(data.train_x[4], expected)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archives_give_the_same(photos, tmp_path, mode):
    packed = tmp_path / "packed"
    packed.mkdir()
    suffix = "tar.gz" if mode == "w:gz" else "tar"
    for part in ("train", "test"):
        pack(photos, part, packed / f"{part}.{suffix}", mode)
    one, two = load(f"folder:{photos}"), load(f"folder:{packed}")
    assert torch.equal(one.train_x, two.train_x)
    assert torch.equal(one.test_x, two.test_x)
    assert one.classes == two.classes
    assert sorted(p.name for p in packed.iterdir()) == [
        f"test.{suffix}",
        f"train.{suffix}",
    ]


def test_the_cache_is_used_and_notices_changes(photos, monkeypatch):
    first = load(f"folder:{photos}")
    reads = []
    read = folder_room._read
    monkeypatch.setattr(
        folder_room, "_read", lambda s: reads.append(1) or read(s)
    )
    again = load(f"folder:{photos}")
    assert not reads
    assert torch.equal(first.train_x, again.train_x)
    path = photos / "train" / "cat" / "0.png"
    Image.fromarray(picture(77)).save(path)
    os.utime(path, ns=(1, 1))
    changed = load(f"folder:{photos}")
    assert reads
    assert not torch.equal(first.train_x, changed.train_x)


def test_a_damaged_cache_is_made_again(photos, tmp_path):
    first = load(f"folder:{photos}")
    [kept] = (tmp_path / "cache" / "decoded").iterdir()
    kept.write_bytes(kept.read_bytes()[:-60])
    assert torch.equal(load(f"folder:{photos}").train_x, first.train_x)


@pytest.mark.parametrize("shut", ["cache", "both"])
def test_where_the_cache_cannot_be_written(photos, tmp_path, shut):
    (tmp_path / "cache").write_text("a file, no folder")
    if shut == "both":
        (tmp_path / "own").write_text("a file, no folder")
    data = load(f"folder:{photos}")
    assert len(data.train_x) == 6
    assert (tmp_path / "own" / "dldna").exists() == (shut == "cache")


def test_grey_stays_grey_and_sizes_are_brought_together(photos):
    for path in photos.rglob("[0-9].png"):
        Image.fromarray(picture(1, mode="L")).save(path)
    assert load(f"folder:{photos}").shape == (1, 4, 5)
    Image.fromarray(picture(1, (9, 9), "L")).save(
        photos / "test" / "dog" / "0.png"
    )
    assert load(f"folder:{photos}").shape == (1, 32, 32)
    Image.fromarray(picture(1)).save(photos / "test" / "cat" / "0.png")
    data = load(f"folder:{photos}")
    assert data.shape == (3, 32, 32)
    assert torch.equal(data.train_x[:, 0], data.train_x[:, 2])


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n", None]
)
def test_broken_images_are_named(photos, content):
    path = photos / "train" / "dog" / "1.png"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if content is None else content)
    (photos / "test" / "cat" / "0.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="2 of 8 images") as caught:
        load(f"folder:{photos}")
    assert str(path) in str(caught.value)


def test_sixteen_bits_are_refused(photos):
    deep = Image.fromarray(np.full((4, 5), 40000, np.uint16))
    deep.save(photos / "train" / "cat" / "1.png")
    with pytest.raises(ValueError, match="8-bit"):
        load(f"folder:{photos}")


def test_huge_pictures_are_refused(photos, monkeypatch):
    monkeypatch.setattr(folder_room, "MAX_SIDE", 4)
    with pytest.raises(ValueError, match="larger than 4 pixels"):
        load(f"folder:{photos}")
    monkeypatch.setattr(folder_room, "MAX_SIDE", 100)
    monkeypatch.setattr(folder_room, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="GiB in memory"):
        load(f"folder:{photos}")


def test_missing_parts(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load(f"folder:{tmp_path}/nowhere")
    (photos / "test").rename(photos / "hidden")
    with pytest.raises(FileNotFoundError, match="neither a folder 'test'"):
        load(f"folder:{photos}")
    (photos / "test").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        load(f"folder:{photos}")


def test_a_class_only_in_the_test_set(photos):
    (photos / "test" / "dog").rename(photos / "test" / "cow")
    with pytest.raises(ValueError, match="class 'cow' is in the test set"):
        load(f"folder:{photos}")


# Images as people see them -------------------------------------------------

TURNS = {  # by EXIF's own table: what is to be done for a viewer
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}


def fill(root, save):
    """The same image everywhere."""
    for part in ("train", "test"):
        (root / part / "cat").mkdir(parents=True)
        save(root / part / "cat" / "0")
    return root


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("turn", [*TURNS, 0, 9])
def test_images_are_turned_as_the_camera_was_held(tmp_path, turn, suffix):
    flat = np.zeros((16, 24, 3), np.uint8)
    flat[:8, :8], flat[8:, 16:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = turn

    def save(path):
        Image.fromarray(flat).save(
            path.with_suffix(f".{suffix}"), exif=exif,
            **({"lossless": True} if suffix == "webp" else {}),
        )  # fmt: skip

    data = load(f"folder:{fill(tmp_path / 'p', save)}")
    seen = ((data.train_x[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    wanted = TURNS.get(turn, TURNS[1])(flat)
    assert seen.shape == wanted.shape
    assert np.abs(seen - wanted).mean() < 12  # JPEG is not exact


def test_notes_of_a_camera_that_cannot_be_read_say_nothing(tmp_path):
    def save(path):
        image = Image.fromarray(picture(1))
        image.save(path.with_suffix(".jpg"), exif=b"Exif\0\0MM\0\x2a\xff\xff")

    assert load(f"folder:{fill(tmp_path / 'p', save)}").shape == (3, 4, 5)


def transparent(kind):
    """A red or dark image, its left half transparent, by each way there is."""
    red = np.zeros((4, 6, 4), np.uint8)
    red[...] = (255, 0, 0, 255)
    red[:, :3, 3] = 0
    image = Image.fromarray(red)
    if kind == "half":
        red[:, :3, 3] = 128
        return Image.fromarray(red), {}
    if kind == "LA":
        return Image.merge("LA", (image.getchannel("R").point(lambda v: 0),
                                  image.getchannel("A"))), {}  # fmt: skip
    index = Image.fromarray((red[..., 3] > 0).astype(np.uint8))
    if kind == "P":
        index = index.convert("P")
        index.putpalette([0, 255, 0, 255, 0, 0])
        return index, {"transparency": 0}
    if kind == "RGB":
        plain = np.where(red[..., 3:] > 0, red[..., :3], (0, 9, 0))
        return Image.fromarray(plain.astype(np.uint8)), {
            "transparency": (0, 9, 0)
        }
    return image, {}


@pytest.mark.parametrize("kind", ["RGBA", "half", "LA", "P", "RGB"])
def test_what_is_transparent_lies_on_white(tmp_path, kind):
    image, how = transparent(kind)

    def save(path):
        image.save(path.with_suffix(".png"), **how)

    data = load(f"folder:{fill(tmp_path / 'p', save)}")
    x = data.train_x[0]
    left = {"half": (1.0, -0.0, -0.0)}.get(kind, (1.0,) * 3)
    right = (-1.0,) if kind == "LA" else (1.0, -1.0, -1.0)
    assert x.shape[0] == len(right)
    for c, value in enumerate(right):
        assert x[c, :, :3].sub(left[c]).abs().max() < 0.01
        assert x[c, :, 3:].sub(value).abs().max() < 0.01


# Where images lie ------------------------------------------------------------


def empty_class(root):
    (root / "train" / "bird").mkdir()


def stray(root):
    Image.fromarray(picture(3)).save(root / "test" / "stray.png")


def deeper(root):
    (root / "train" / "cat" / "more").mkdir()
    Image.fromarray(picture(3)).save(root / "train" / "cat" / "more" / "1.png")


def all_deeper(root):
    for name in ("cat", "dog"):
        (root / "train" / name / "sub").mkdir()
        for path in (root / "train" / name).glob("[0-9].png"):
            path.rename(path.parent / "sub" / path.name)


def emptied(root):
    for path in (root / "test" / "dog").glob("[0-9].png"):
        path.unlink()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("change", "named", "says"),
    [
        (empty_class, "train/bird", "holds no images"),
        (emptied, "test/dog", "holds no images"),
        (stray, "test/stray.png", "lie directly in the folder"),
        (deeper, "train/cat/more/1.png", "lie directly in the folder"),
        (all_deeper, "train/cat/sub/0.png", "lie directly in the folder"),
    ],
)
def test_images_that_lie_elsewhere_are_no_secret(
    photos, tmp_path, change, named, says, packed
):
    change(photos)
    root = photos
    if packed:
        root = tmp_path / "packed"
        root.mkdir()
        for part in ("train", "test"):
            pack(photos, part, root / f"{part}.tar.gz")
    with pytest.raises(ValueError, match=says) as caught:
        load(f"folder:{root}")
    assert named in str(caught.value)


def test_hidden_folders_and_those_of_macos_are_no_classes(photos):
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (photos / "train" / name).mkdir()
        (photos / "train" / "cat" / name).mkdir()
        Image.fromarray(picture(3)).save(
            photos / "train" / "cat" / name / "0.png"
        )
    assert load(f"folder:{photos}").classes == ("cat", "dog")


# Archives that mean harm ------------------------------------------------


def entry(name, data=b"", **facts):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in facts.items():
        setattr(member, key, value)
    return member, data


def write_tar(path, *entries, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        for member, data in entries:
            out.addfile(member, io.BytesIO(data))
    return path


HARM = {
    "parent": entry("train/../../evil.png", b"x"),
    "absolute": entry("/tmp/evil.png", b"x"),
    "backslash": entry("train\\..\\evil.png", b"x"),
    "symlink": entry("a/b.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hardlink": entry("a/b.png", type=tarfile.LNKTYPE, linkname="../x"),
    "fifo": entry("a/b.png", type=tarfile.FIFOTYPE),
    "device": entry("a/b.png", type=tarfile.CHRTYPE),
}


@pytest.mark.parametrize("harm", HARM)
def test_hostile_members_are_refused(photos, tmp_path, harm):
    packed = tmp_path / "packed"
    packed.mkdir()
    pack(photos, "train", packed / "train.tar.gz")
    write_tar(packed / "test.tar.gz", HARM[harm])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"test.tar.gz is refused"):
        load(f"folder:{packed}")
    assert sorted(tmp_path.rglob("*")) == before
    assert not os.path.exists("/tmp/evil.png")


def test_bombs_are_refused_by_what_they_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE", 1000)
    monkeypatch.setattr(archive, "MAX_TOTAL", 9000)
    big = write_tar(tmp_path / "big.tar.gz", entry("a/b.png", bytes(2000)))
    many = write_tar(
        tmp_path / "many.tar.gz",
        *(entry(f"a/{k}.png", bytes(900)) for k in range(20)),
    )
    extended = write_tar(
        tmp_path / "extended.tar.gz", entry("a" * 30_000 + "/b.png", b"x")
    )
    for path in (big, many, extended):
        with pytest.raises(ValueError, match="is refused"):
            list(archive.members(path))
    monkeypatch.setattr(archive, "MAX_COUNT", 3)
    with pytest.raises(ValueError, match="more than 3 entries"):
        list(archive.members(many))


@pytest.mark.parametrize("suffix", ["tar.gz", "tar"])
def test_cut_archives_are_refused_wherever_they_end(tmp_path, suffix):
    mode = "w:gz" if suffix == "tar.gz" else "w"
    noise = np.random.default_rng(0).bytes(1500)
    path = write_tar(
        tmp_path / f"a.{suffix}",
        *(entry(f"a/{k}.png", noise) for k in range(4)),
        mode=mode,
    )
    whole = path.read_bytes()
    names = [name for name, _ in archive.members(path)]
    assert names == [f"a/{k}.png" for k in range(4)]
    for stop in range(1, 4 * 2048 if suffix == "tar" else len(whole), 256):
        path.write_bytes(whole[:stop])
        with pytest.raises(ValueError, match="damaged"):
            list(archive.members(path))
    if suffix == "tar":  # a header in the middle that is none
        path.write_bytes(whole[:2048] + b"?" * 512 + whole[2560:])
        with pytest.raises(ValueError, match="ends in the middle"):
            list(archive.members(path))
