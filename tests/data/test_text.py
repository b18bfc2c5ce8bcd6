"""Texts: parted by place, cut into windows, a reader's own."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dldna.data import Dataset, Loader, Text, load, plays
from dldna.data.text import text_of

SHORT = "".join(chr(97 + (k * k + k // 3) % 7) for k in range(3000))


@pytest.fixture(scope="module")
def found():
    return load("plays")


def test_plays_are_four_whole_tragedies_in_at_most_250_kB(found):
    assert isinstance(found, Text)
    assert plays.FILE.stat().st_size <= 250_000
    with np.load(plays.FILE) as kept:
        texts = {k: kept[k].tobytes().decode("ascii") for k in kept.files}
    assert {k: len(t) for k, t in texts.items()} == {
        "hamlet": 173_897, "lear": 151_867, "macbeth": 103_371,
        "othello": 154_473,
    }  # fmt: skip
    data = "".join(texts.values()).encode()
    assert hashlib.sha256(data).hexdigest()[:16] == "05e90ba26ce34a8e"
    for text in texts.values():
        assert "copyright" not in text.lower()
        assert "gutenberg" not in text.lower()
    assert found.classes == tuple(sorted(set("".join(texts.values()))))


def test_parts_follow_each_other_in_each_play_and_share_nothing(found):
    with np.load(plays.FILE) as kept:
        texts = [kept[k].tobytes().decode("ascii") for k in kept.files]
    wanted = {part: "" for part in Text.PARTS}
    for text in texts:
        ends = [0, int(0.8 * len(text)), int(0.9 * len(text)), len(text)]
        for part, a, b in zip(Text.PARTS, ends, ends[1:], strict=False):
            wanted[part] += text[a:b]
    for part in Text.PARTS:
        assert found.decode(found.tokens[part]) == wanted[part]
    total = sum(len(t) for t in found.tokens.values())
    assert total == sum(len(t) for t in texts)


@pytest.mark.parametrize("length", [1, 64, 128, 1000])
def test_each_character_but_the_first_is_a_target_once(found, length):
    data = found.windows(length)
    for part in Text.PARTS:
        x, y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        tokens = data.tokens[part]
        n = (len(tokens) - 1) // length
        assert x.shape == y.shape == (n, length)
        assert x.dtype == y.dtype == torch.int64
        for i in (0, 1, n - 1):  # by a plain loop, for the ends
            for j in (0, length - 1):
                assert x[i, j] == tokens[i * length + j]
                assert y[i, j] == tokens[i * length + j + 1]
        assert torch.equal(x.flatten()[1:], y.flatten()[:-1])
        before = y.clone()
        x += 1  # inputs and targets are tensors of their own
        assert torch.equal(y, before)


def test_the_validation_part_is_what_one_chooses_by(found):
    assert torch.equal(found.hold_out().test_x, found.valid_x)
    part, again = found.hold_out(50), found.hold_out(50)
    assert torch.equal(part.test_y, again.test_y)
    assert torch.equal(part.train_x, found.train_x)
    rows = {tuple(r) for r in part.test_x.tolist()}
    assert len(rows) == 50
    assert rows <= {tuple(r) for r in found.valid_x.tolist()}
    with pytest.raises(ValueError, match="there are 455 samples"):
        found.hold_out(456)


def test_a_subset_keeps_the_text_and_the_loaders_take_it(found):
    small = found.take(20, n_test=10)
    assert isinstance(small, Text)
    assert torch.equal(small.tokens["train"], found.tokens["train"])
    assert (len(small.train_x), len(small.test_x)) == (20, 10)
    train, test = small.loaders(batch_size=8)
    assert isinstance(train, Loader)
    x, y = next(iter(train))
    assert x.shape == y.shape == (8, 128)
    assert len(test.x) == 10


def test_text_and_tokens_there_and_back(found):
    line = "Who's there? Nay, answer me.\n"
    assert found.decode(found.encode(line)) == line
    with pytest.raises(ValueError, match="no character '~'"):
        found.encode("a~b")


def test_a_readers_own_file(tmp_path):
    file = tmp_path / "mine.txt"
    own = SHORT + "äß…\U0001f600" + SHORT
    file.write_bytes(b"\xef\xbb\xbf" + own.encode().replace(b"a", b"\r\n"))
    own = own.replace("a", "\n")
    data = load(f"folder:{file}")
    assert data.name == f"folder:{file}"
    assert set(data.classes) == set(own)
    parts = [data.decode(data.tokens[part]) for part in Text.PARTS]
    assert "".join(parts) == own
    assert len(parts[0]) == int(0.8 * len(own))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "mine.txt is too short.*128 characters.*train part.* 0"),
        (SHORT[:1000].encode(), "too short.*valid part, which has 100"),
        (b"\xff\xfe" + b"ab" * 2000, "no text in UTF-8.*byte 0"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(f"folder:{tmp_path / 'mine.txt'}")
    with pytest.raises(FileNotFoundError, match="or a text file"):
        load(f"folder:{tmp_path / 'other.txt'}")


def test_windows_that_do_not_fit_are_refused(found):
    with pytest.raises(ValueError, match="valid part, which has 300"):
        text_of([SHORT], "mine", "").windows(300)
    with pytest.raises(ValueError, match="length"):
        found.windows(0)


def test_a_label_outside_the_characters_is_found_in_every_part(found):
    from dataclasses import replace

    assert issubclass(Text, Dataset)
    for part in Text.PARTS:
        bad = getattr(found, f"{part}_y") + 1
        with pytest.raises(ValueError, match=f"{part} label 70 is outside"):
            replace(found, **{f"{part}_y": bad})


def test_the_file_can_be_written_anew(tmp_path, monkeypatch):
    """From a source that has more plays, in another order."""
    new = tmp_path / "new.npz"
    with np.load(plays.FILE) as kept:
        texts = {k: kept[k].tobytes().decode("ascii") for k in kept.files}
    other = "THE TEMPEST\n\nby William Shakespeare\n\nA storm.\n"
    source = tmp_path / "all.txt"
    source.write_text("\n\n".join([*reversed(texts.values()), other]))
    monkeypatch.setattr(plays, "FILE", new)
    assert plays.embed(source) == Path(new)
    with np.load(new) as kept:
        again = {k: kept[k].tobytes().decode("ascii") for k in kept.files}
    assert again == texts
    source.write_text(other)
    with pytest.raises(ValueError, match="no play 'HAMLET"):
        plays.embed(source)
