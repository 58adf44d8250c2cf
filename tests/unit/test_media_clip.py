"""Test clips: layout, bytes of any range, and the place of every wrong byte."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.errors import UsageError
from seatrial.media import avc
from seatrial.media.clip import Clip
from seatrial.media.mp4 import read_index

SMALL: dict[str, Any] = {"duration_s": 3.2, "bitrate_bps": 100_000}
FORMS = [
    Clip(**SMALL),
    Clip(**SMALL, moov="last"),
    Clip(**SMALL, newlines=False, seed=7),
    Clip(**SMALL, wide=True, fps=24),
    Clip(duration_s=0.2, bitrate_bps=60_000_000),
]
WHOLE = {clip: b"".join(clip.pieces()) for clip in FORMS}
forms = st.sampled_from(FORMS)


@given(forms, st.data())
def test_a_range_has_the_bytes_of_the_file(clip: Clip, data: st.DataObject) -> None:
    """Also a range that ends after the file, or lies behind it."""
    offset = data.draw(st.integers(0, clip.size + 9))
    count = data.draw(st.integers(0, clip.size))
    stored = io.BytesIO(WHOLE[clip])
    stored.seek(offset)

    expected = stored.read(count)

    assert clip.read(offset, count) == expected
    assert clip.matches(offset, memoryview(expected)) == -1


@given(forms, st.data())
def test_one_wrong_byte_is_found_where_it_is(clip: Clip, data: st.DataObject) -> None:
    """In the boxes, the tables, the filling and the slices alike."""
    wrong = data.draw(st.integers(0, clip.size - 1))
    offset = data.draw(st.integers(max(0, wrong - 70_000), wrong))
    other = data.draw(st.integers(1, 255))
    piece = bytearray(WHOLE[clip][offset : wrong + 5])
    piece[wrong - offset] ^= other

    assert clip.matches(offset, memoryview(piece)) == wrong - offset


def test_bytes_after_the_end_are_wrong() -> None:
    """The first of them is named."""
    clip = FORMS[0]

    assert clip.matches(clip.size - 3, WHOLE[clip][-3:] + b"x") == 3
    assert clip.matches(clip.size, b"x") == 0


@pytest.mark.parametrize("shift", [1, 2, 256, 1999, -1, 65_536])
def test_a_shifted_range_is_wrong_from_its_beginning(shift: int) -> None:
    """Pictures differ in their numbers and their filling: no other offset has the same bytes."""
    clip = Clip(duration_s=20, bitrate_bps=4_000_000)
    offset = clip.size // 2

    assert 0 <= clip.matches(offset, clip.read(offset + shift, 4096)) < 512


def test_another_picture_and_another_seed_have_other_bytes() -> None:
    """Whole pictures apart, the layout is the same, and the identity or the number still differ."""
    clip, other = Clip(**SMALL), Clip(**SMALL, seed=2)
    offset = clip.size // 2

    assert clip.size == other.size
    assert clip.matches(offset, other.read(offset, clip.sample_bytes)) >= 0
    assert clip.matches(offset, clip.read(offset + clip.sample_bytes, clip.sample_bytes)) >= 0
    assert clip.read(0, clip.size) == Clip(**SMALL).read(0, clip.size)


def test_a_description_makes_the_same_bytes_in_every_version() -> None:
    """Catalogues and stored media outlive a version; a number may come as a float, as some JSON writers do."""
    digests = [hashlib.sha256(WHOLE[FORMS[number]]).hexdigest() for number in (0, 2)]
    floats = Clip(**SMALL | {"bitrate_bps": 100_000.0})

    assert digests == [
        "24cd1a5c796af3fa44afea946c63433c2a1cbb9288bdb758928fbd76968ca649",
        "6de7ac8fad6ff4e41b669106b67e1e31979742c805f5db87b94ec34ec2f757d0",
    ]
    assert floats.matches(0, WHOLE[FORMS[0]]) == -1


@pytest.mark.parametrize("bitrate_bps", [60_000, 250_000, 520_000, 540_000, 4_000_000, 135_000_000])
def test_media_data_without_newlines(bitrate_bps: int) -> None:
    """No byte 0x0A from the header of mdat on, at bitrates too whose sizes would have one (520 kbit/s: 0x0A28)."""
    clip = Clip(duration_s=1, bitrate_bps=bitrate_bps, newlines=False)
    index = read_index(clip.read, clip.size)

    assert b"\n" not in clip.read(index.mdat_offset, index.mdat_size)
    assert clip.sample_bytes * 8 * clip.fps == pytest.approx(bitrate_bps, rel=0.1)
    assert b"\n" in Clip(duration_s=1, bitrate_bps=bitrate_bps).read(index.mdat_offset, index.mdat_size)


@given(st.sampled_from([100_000, 777_777, 8_000_000]), st.integers(1, 240), st.integers(1, 4000), st.booleans())
def test_the_index_says_what_was_asked(bitrate_bps: int, fps: int, pictures: int, wide: bool) -> None:  # noqa: FBT001
    """Duration, bitrate, place of moov, and the offset of every second."""
    if bitrate_bps < 2000 * fps:
        return
    clip = Clip(duration_s=pictures / fps, bitrate_bps=bitrate_bps, fps=fps, wide=wide, moov="last")
    index = read_index(clip.read, clip.size)

    assert (index.duration_s, index.moov_first, index.size) == (pictures / fps, False, clip.size)
    assert index.mdat_size == clip.sample_bytes * pictures + (16 if wide else 8)
    assert clip.sample_bytes * 8 * fps == pytest.approx(bitrate_bps, abs=16 * fps)
    number = pictures // 2
    assert index.offset_at(number / fps) == index.mdat_offset + (16 if wide else 8) + number * clip.sample_bytes


def test_beyond_four_gib_sizes_and_offsets_have_64_bits() -> None:
    """No file and no memory is needed to know where its last picture lies."""
    clip = Clip(duration_s=36_000, bitrate_bps=5_000_000)
    asked: list[int] = []

    def read(offset: int, count: int) -> bytes:
        asked.append(count)
        return clip.read(offset, count)

    index = read_index(read, clip.size)

    assert clip.size > 20 << 30
    assert sum(asked) < 5 << 20
    last = index.offset_at(clip.media_s)
    assert last == clip.size - clip.sample_bytes
    assert clip.read(last + 4, 2) == b"\x06\x05"


def test_a_clip_by_its_size_is_the_longest_that_is_no_larger() -> None:
    """One picture more would be too large."""
    clip = Clip.of_size(10 << 30, 8_000_000, moov="last")
    longer = Clip(duration_s=clip.media_s + 1 / clip.fps, bitrate_bps=8_000_000, moov="last")

    assert clip.size <= 10 << 30 < longer.size


@pytest.mark.parametrize("newlines", [True, False])
@pytest.mark.parametrize("size", [500_000, 4_000_000, 16_393_000, 1_000_000_000])
def test_a_clip_by_its_size_and_duration_is_no_larger(size: int, newlines: bool) -> None:  # noqa: FBT001
    """And smaller by some bytes a picture; by more where a length would have the byte 0x0A."""
    clip = Clip.of_size_and_duration(size, 60.0, newlines=newlines)

    assert clip.media_s == 60
    assert size - 6 * clip.pictures <= clip.size <= size or (not newlines and size * 0.9 <= clip.size <= size)


@given(forms)
def test_a_catalogue_keeps_a_clip(clip: Clip) -> None:
    """Its description survives JSON."""
    assert Clip.from_spec(json.loads(json.dumps(clip.spec()))) == clip


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": 0},
        {"duration_s": float("nan")},
        {"duration_s": 1e9},
        {"bitrate_bps": 1000},
        {"bitrate_bps": 10**10},
        {"fps": 0},
        {"moov": "middle"},
        {"colour": "red"},
        {"duration_s": "long"},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """With what was seen, and what is expected."""
    with pytest.raises(UsageError):
        Clip.from_spec(SMALL | wrong)


def test_no_clip_is_as_small_as_that() -> None:
    """A size below that of one picture."""
    with pytest.raises(UsageError, match="small"):
        Clip.of_size(1000, 4_000_000)


def test_every_picture_has_one_size_and_another_grey_each_second() -> None:
    """Sixteen greys, then again from the beginning."""
    assert len({len(picture) for picture in avc.pictures()}) == 1
    assert len({avc.grey(25 * second, 25) for second in range(16)}) == 16
    assert avc.grey(0, 25) == avc.grey(24, 25) == avc.grey(16 * 25, 25) == 173
