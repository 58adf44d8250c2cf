"""The MP4 index: against ffprobe on stored files (`data/mp4/make.sh`), fed in pieces, and with damaged files."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import ffprobed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.errors import Mp4Error
from seatrial.media.clip import Clip
from seatrial.media.mp4 import Index, IndexReader, read_index
from seatrial.media.sampling import SampleTable

FOLDER = Path(__file__).parent / "data" / "mp4"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".mp4", ".mov"})
PLAIN = [name for name in FILES if not name.startswith(("fragmented", "segment"))]
DATA = {name: (FOLDER / name).read_bytes() for name in FILES}
BY_REFERENCE = ["segment-index.mp4", "segment-index-each.mp4"]


def _index(data: bytes, asked: list[tuple[int, int]] | None = None) -> Index:
    def read(offset: int, count: int) -> bytes:
        if asked is not None:
            asked.append((offset, count))
        return data[offset : offset + count]

    return read_index(read, len(data))


@pytest.mark.parametrize("name", FILES)
def test_duration_bitrate_and_tracks_are_those_of_ffprobe(name: str) -> None:
    """And the sizes in pixels."""
    ffprobed.check_head(FOLDER / name)
    ffprobed.check_rates(FOLDER / name)


@pytest.mark.parametrize("name", PLAIN)
def test_what_can_be_played_is_what_ffprobe_says_of_the_samples(name: str) -> None:
    """The first sample that is not whole, in any track, ends it."""
    ffprobed.check_playable(FOLDER / name)


@pytest.mark.parametrize("name", PLAIN)
def test_playing_from_a_second_begins_where_ffprobe_says(name: str) -> None:
    """At the sync sample of the video at or before it, or what the audio has then, whichever lies first."""
    ffprobed.check_offsets(FOLDER / name)


@pytest.mark.parametrize("name", FILES)
def test_boxes_stand_where_they_do(name: str) -> None:
    """Place and size of moov and mdat; moov stands last only where it was left there."""
    data, index = DATA[name], _index(DATA[name])

    assert data[index.moov_offset + 4 : index.moov_offset + 8] == b"moov"
    assert struct.unpack_from(">I", data, index.moov_offset) == (index.moov_size,)
    assert data[index.mdat_offset + 4 : index.mdat_offset + 8] == b"mdat"
    assert index.moov_first == (name not in {"last.mp4", "long-times.mp4", "quicktime.mov", "wide.mp4"})
    assert index.fragmented == (name not in PLAIN)
    if name in {"to-the-end.mp4", "first.mp4"}:
        assert index.mdat_offset + index.mdat_size == len(data)


@pytest.mark.parametrize("name", sorted(set(FILES) - set(PLAIN)))
def test_fragments_promise_no_more_than_is_there(name: str) -> None:
    """What is said to be playable is whole, and after an offset to play from lies all that is needed."""
    _, packets = ffprobed.said(FOLDER / name)
    index = _index(DATA[name])

    listed = [one for one in packets if one.stream == 0] if name in BY_REFERENCE else packets
    for offset in range(0, len(DATA[name]), 11):
        reached_s = index.seconds_at(offset)
        assert [one for one in listed if one.seconds < reached_s - 0.01 and one.end > offset] == []
    for second in range(3):
        begin = index.offset_at(second + 0.05)
        assert [one for one in packets if one.stream == 0 and one.seconds >= second and one.begin < begin] == []
        assert DATA[name][begin + 4 : begin + 8] in {b"moof", b"sidx"} or name.startswith("fragmented-after")
    assert index.seconds_at(index.offset_at(2.5)) == pytest.approx(2.0 if name in BY_REFERENCE else 1.0, abs=0.1)
    assert index.seconds_at(len(DATA[name])) == index.duration_s


def test_a_segment_index_saves_reading_the_fragments() -> None:
    """One range each for the headers, moov and two sidx boxes; no moof but the first one's header."""
    asked: list[tuple[int, int]] = []
    _index(DATA["segment-index.mp4"], asked)
    walked: list[tuple[int, int]] = []
    _index(DATA["fragmented.mp4"], walked)

    assert len(asked) == 10
    assert sum(DATA["fragmented.mp4"][at - 12 : at - 8] == b"moof" for at, _ in walked) == 3


@pytest.mark.parametrize("name", ["first.mp4", "last.mp4"])
def test_no_media_data_are_read(name: str) -> None:
    """Headers and moov only."""
    asked: list[tuple[int, int]] = []
    index = _index(DATA[name], asked)

    assert sum(count for _, count in asked) == index.moov_size + 16 * (len(asked) - 2)
    assert len(asked) == 4


@given(st.sampled_from(FILES), st.booleans(), st.lists(st.integers(1, 6000), min_size=1, max_size=9))
def test_a_reader_takes_what_comes(name: str, told: bool, counts: list[int]) -> None:  # noqa: FBT001
    """Pieces of any size, some twice, some of what is not needed; the length of the file is told, or is not."""
    whole = memoryview(DATA[name])
    reader = IndexReader(len(whole) if told or name == "to-the-end.mp4" else None)
    for number in range(len(whole)):
        if reader.missing is None:
            break
        begin, _ = reader.missing
        if begin >= len(whole):
            reader.ended()
            break
        count = counts[number % len(counts)]
        reader.feed(count, whole[count : count + number])
        reader.feed(begin, whole[begin : begin + count])

    expected = _index(DATA[name])
    assert reader.index is not None
    assert (reader.index.duration_s, reader.index.moov_offset) == (expected.duration_s, expected.moov_offset)
    assert reader.index.offset_at(2.5) == expected.offset_at(2.5)


def test_a_response_from_the_beginning_needs_nothing_else_where_moov_is_first() -> None:
    """And where it is last, the box after mdat is asked for, as browsers do."""
    first = IndexReader(len(DATA["first.mp4"]))
    first.feed(0, DATA["first.mp4"][:3000])
    last = IndexReader(len(DATA["last.mp4"]))
    last.feed(0, DATA["last.mp4"][:3000])

    assert first.missing is None
    assert last.missing == (5921, 5936)


def test_compact_sizes_are_read() -> None:
    """Boxes stz2 of 4, 8 and 16 bits in place of stsz (8.7.3.3): no common tool writes them."""
    for bits in (4, 8, 16):
        sizes = [1, 15, 7, 3, 9]
        packed = {
            4: bytes([0x1F, 0x73, 0x90]),
            8: bytes(sizes),
            16: b"".join(struct.pack(">H", one) for one in sizes),
        }[bits]
        index = _index(_tiny(_box(b"stz2", struct.pack(">III", 0, bits, 5), packed), sum(sizes)))
        (track,) = index.tracks
        begin = index.mdat_offset + 8

        assert [track.seconds_at(begin + count) for count in (0, 1, 15, 16, 23, 34)] == [0, 1, 1, 2, 3, 4]
        assert track.seconds_at(begin + 35) is None
        assert index.duration_s == 5


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _tiny(sizes: bytes, media_bytes: int, **replaced: bytes) -> bytes:
    """Return a file of five samples of a second each in one chunk; `replaced` are other boxes by their type."""
    movie = _box(b"mvhd", struct.pack(">5I", 0, 0, 0, 1, 5), bytes(80))
    file_type = _box(b"ftyp", b"isom", bytes(4))
    parts = {
        "stsd": _box(b"stsd", struct.pack(">II", 0, 1), _box(b"avc1", bytes(8))),
        "stts": _box(b"stts", struct.pack(">IIII", 0, 1, 5, 1)),
        "stsc": _box(b"stsc", struct.pack(">5I", 0, 1, 1, 5, 1)),
        "stsz": sizes,
        "stco": _box(b"stco", struct.pack(">III", 0, 1, len(file_type) + 8)),
    } | replaced
    media = (
        _box(b"mdhd", struct.pack(">5I", 0, 0, 0, 1, 5), bytes(4))
        + _box(b"hdlr", bytes(8), b"vide", bytes(12))
        + _box(b"minf", _box(b"stbl", *parts.values()))
    )
    track = _box(b"tkhd", struct.pack(">4I", 0, 0, 0, 1), bytes(68))
    moov = _box(b"moov", movie, _box(b"trak", track, _box(b"mdia", media)))
    return file_type + _box(b"mdat", bytes(media_bytes)) + moov


EQUAL = _box(b"stsz", struct.pack(">III", 0, 3, 5))


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ({}, None),
        ({"stts": _box(b"stts", struct.pack(">IIII", 0, 1, 4, 1))}, "without a time"),
        ({"stts": _box(b"stts", struct.pack(">II", 0, 2), bytes(8))}, "ends early"),
        ({"stts": _box(b"stts", struct.pack(">I", 0))}, "ends early"),
        ({"stts": b""}, "no 'stts'"),
        (
            {"stts": _box(b"stts", struct.pack(">6I", 0, 2, 2**32 - 1, 2**32 - 1, 5, 2**32 - 1))},
            "beyond any clock",
        ),
        ({"stsc": _box(b"stsc", struct.pack(">5I", 0, 1, 2, 5, 1))}, "ascending"),
        ({"stsc": _box(b"stsc", struct.pack(">8I", 0, 2, 1, 5, 1, 1, 5, 1))}, "ascending"),
        ({"stsc": _box(b"stsc", struct.pack(">5I", 0, 1, 1, 4, 1))}, "without a chunk"),
        ({"stco": _box(b"stco", struct.pack(">III", 0, 1, 4000))}, "after the end"),
        ({"stco": _box(b"stco", struct.pack(">III", 0, 1, 60))}, "within the moov"),
        ({"stco": _box(b"co64", struct.pack(">IIQ", 0, 1, 2**64 - 1))}, "can't be"),
        ({"stsz": _box(b"stsz", struct.pack(">III", 0, 2**32 - 1, 2**32 - 1))}, "larger than the file"),
        ({"stsz": _box(b"stz2", struct.pack(">III", 0, 5, 5), bytes(5))}, "field size"),
        ({"stss": _box(b"stss", struct.pack(">4I", 0, 2, 3, 3))}, "sync samples"),
        ({"stss": _box(b"stss", struct.pack(">3I", 0, 1, 6))}, "sync samples"),
        ({"stsd": struct.pack(">I4s", 4, b"stsd")}, "smaller than its header"),
        ({"stsd": struct.pack(">I4s", 4000, b"stsd")}, "cut off"),
        ({"trailing": bytes(3)}, "ends within the header"),
    ],
)
def test_tables_that_contradict_are_named(replaced: dict[str, bytes], expected: str | None) -> None:
    """Each with the byte where its box stands."""
    data = _tiny(replaced.get("stsz", EQUAL), 15, **{k: v for k, v in replaced.items() if k != "stsz"})
    if expected is None:
        assert _index(data).duration_s == 5
        return
    with pytest.raises(Mp4Error, match=expected) as caught:
        _index(data)
    assert caught.value.where.startswith("byte ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "too short"),
        (b"<html><body>404</body></html>", "not an MP4 file"),
        (bytes(64), "not an MP4 file"),
        (DATA["last.mp4"][:5921], "no moov"),
        (DATA["last.mp4"][:-1], "cut off"),
        (DATA["first.mp4"][:4000], "after the end of the file"),
        (DATA["first.mp4"][:2126], "larger than the file"),
        (DATA["first.mp4"][:32] + struct.pack(">I4sQ", 1, b"moov", 2**62), "cut off"),
        (DATA["first.mp4"] + DATA["first.mp4"], None),
        (_box(b"ftyp") + _box(b"moov") * 2, "no 'mvhd'"),
        (_box(b"ftyp") + _box(b"moof") + _box(b"mdat"), "before moov"),
        (_box(b"ftyp") + struct.pack(">I4s", 1, b"mdat"), "within the header"),
        (_box(b"ftyp") + _box(b"free") * 5 + struct.pack(">I4s", 3, b"free"), "smaller than its header"),
    ],
)
def test_files_that_are_none(data: bytes, expected: str | None) -> None:
    """No other exception, whatever it is; what follows after all that is needed is not looked at."""
    with pytest.raises(Mp4Error, match=expected) if expected else contextlib.nullcontext():
        _index(data)


def test_a_moov_larger_than_256_mib_is_refused_before_it_is_read() -> None:
    """By its size alone."""
    reader = IndexReader(1 << 40)

    with pytest.raises(Mp4Error, match="too large"):
        reader.feed(0, _box(b"ftyp") + struct.pack(">I4s", (256 << 20) + 1, b"moov"))


def test_a_file_of_empty_boxes_ends() -> None:
    """A million headers are enough."""
    reader = IndexReader(1 << 40)
    reader._seen.boxes = (1 << 20) - 5

    with pytest.raises(Mp4Error, match="more than 1048576 boxes"):
        reader.feed(0, _box(b"free") * 8)


@pytest.mark.parametrize("name", ["fragmented.mp4", "segment-index.mp4"])
def test_fragments_have_a_bound(name: str) -> None:
    """Read one by one, or listed in a segment index: memory for half a million."""
    data = DATA[name]
    reader = IndexReader(len(data))
    reader._seen.stretches = (1 << 19) - 1

    with pytest.raises(Mp4Error, match="more than 524288 fragments"):
        reader.feed(0, data)


@given(st.sampled_from(FILES), st.data())
def test_damage_is_an_mp4_error_or_another_index(name: str, data: st.DataObject) -> None:
    """Bytes of the boxes replaced, or the file cut: never another exception, never a number that can't be used."""
    whole = bytearray(DATA[name])
    index = _index(DATA[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = index.moov_offset + data.draw(st.integers(0, index.moov_size - 1))
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(whole) - 1))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, bytes(4)])))
        whole[at : at + len(value)] = value[: len(whole) - at]
    cut = data.draw(st.sampled_from([len(whole), len(whole), data.draw(st.integers(0, len(whole)))]))
    try:
        damaged = _index(bytes(whole[:cut]))
    except Mp4Error:
        return
    for seconds in (-1.0, 1.5, damaged.duration_s, 1e300):
        assert damaged.offset_at(seconds) >= 0
    for offset in (0, 3000, cut, 1 << 62):
        assert damaged.seconds_at(offset) >= 0


def test_an_index_of_a_long_clip_takes_little_memory() -> None:
    """Equal sizes are listed in the file, and kept as one."""
    clip = Clip(duration_s=7200, bitrate_bps=2_000_000, moov="last")
    index = read_index(clip.read, clip.size)

    assert index.seconds_at(index.offset_at(7000.04)) == pytest.approx(7000.04)
    (table,) = index.tracks[0].tables
    assert isinstance(table, SampleTable)
    assert (table.samples, table.before, table.sample_size) == (180_000, None, clip.sample_bytes)
