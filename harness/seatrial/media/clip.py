"""Test clips: valid MP4 files of any length whose every byte is a function of its offset.

A clip is played by what plays H.264 in MP4: one video track of flat grey pictures (`media.avc`). Each sample is

    length | SEI: identity of the clip (16 bytes), number of the picture (8 digits), filling | length | IDR slice

The filling is a stretch of one table of pseudo-random bytes, made with SHAKE-256 (FIPS 202) and shared by all
clips: picture i begins at place (i * odd + start) mod 2^20, which is another one for each of 2^20 pictures, and
identity and number tell the rest apart. So the bytes of any range cost a copy, and no keystream has to be
computed.

The table has no zero byte: then no NAL unit needs emulation prevention (ITU-T H.264, 7.4.1), and all samples have
one size. With `newlines=False` the whole media data is also without the byte 0x0A: servers that iterate over a
file "by line" (PEP 3333's optional file wrapper without sendfile) then read it into memory as one line.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import accumulate, count
from typing import Any, Literal

import numpy as np

from seatrial.errors import UsageError
from seatrial.media import avc, movie

Part = bytes | memoryview

PIECE_BYTES = 1 << 20
"""What `pieces` yields at once."""

_PLACES = 1 << 20
_MOST_FILLING = 1 << 20
_PLACE_STEP = 0x9E3779B1 % _PLACES
"""Odd, so that i * step mod 2^20 meets every place once."""

_MOST_PICTURES = 1 << 25
"""15 days at 25 a second; the eight digits of a number and the 32 bits of a duration suffice."""

_DIGITS = 8
_LEVELS = len(avc.LEVELS)
_MOST_FPS = 240


@cache
def _table(*, newlines: bool) -> memoryview:
    """Return 2 MiB without zero bytes; without newlines on demand."""
    wanted = _PLACES + _MOST_FILLING
    raw = hashlib.shake_256(b"seatrial test media 1").digest(wanted + wanted // 64)  # 2 of 256 values are left out
    return memoryview(raw.translate(None, b"\0" if newlines else b"\0\n"))[:wanted]


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Bytes as they are."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def parts(self, at: int, size: int) -> list[Part]:
        return [self.content[at : at + size]]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A table of big-endian numbers: first, first + step, ..."""

    first: int
    step: int
    entries: int
    width: int

    @property
    def size(self) -> int:
        return self.entries * self.width

    def parts(self, at: int, size: int) -> list[Part]:
        begin, end = at // self.width, -(-(at + size) // self.width)
        numbers = np.arange(begin, end, dtype=np.int64) * self.step + self.first
        skipped = at - begin * self.width
        return [numbers.astype(f">u{self.width}").tobytes()[skipped : skipped + size]]


class _Samples:
    """The media data: access units of one size."""

    def __init__(self, clip: Clip, filling_bytes: int) -> None:
        self._fps = clip.fps
        self._filling_bytes = filling_bytes
        self._start = avc.message_start(clip.identity, _DIGITS + filling_bytes)
        self._tails = [avc.message_end() + picture for picture in avc.pictures()]
        self.sample_bytes = len(self._start) + _DIGITS + filling_bytes + len(self._tails[0])
        self.size = self.sample_bytes * clip.pictures
        self._place = int.from_bytes(hashlib.sha256(clip.identity).digest()[:4], "big")
        self._table = _table(newlines=clip.newlines)

    def parts(self, at: int, size: int) -> list[Part]:
        number, skipped = divmod(at, self.sample_bytes)
        found: list[Part] = []
        if skipped:
            taken = min(size, self.sample_bytes - skipped)
            found += _cut(self._samples(number, 1), skipped, skipped + taken)
            number, size = number + 1, size - taken
        whole, rest = divmod(size, self.sample_bytes)
        found += self._samples(number, whole)
        if rest:
            found += _cut(self._samples(number + whole, 1), 0, rest)
        return found

    def _samples(self, number: int, wanted: int) -> list[Part]:
        """Return four parts a sample; the loop takes most of the time that a check takes."""
        start, table, filling_bytes = self._start, self._table, self._filling_bytes
        tails, fps = self._tails, self._fps
        found: list[Part] = []
        for one in range(number, number + wanted):
            place = (one * _PLACE_STEP + self._place) % _PLACES
            found += (
                start,
                b"%08d" % one,
                table[place : place + filling_bytes],
                tails[one // fps % _LEVELS * 2 + one % 2],
            )
        return found


def _cut(parts: list[Part], first: int, end: int) -> list[Part]:
    """Return the bytes from first to before end of what the parts are together."""
    found, at = [], 0
    for part in parts:
        after = at + len(part)
        if first < after:
            found.append(part[first - at if first > at else 0 : end - at])
            if end <= after:
                break
        at = after
    return found


_Part = _Fixed | _Numbers | _Samples


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A test clip; UsageError if a value is out of its range.

    `bitrate_bps` is that of the media data, met within a few bytes a picture (without newlines: within a tenth,
    since no length may have a byte 0x0A). `seed` makes other bytes of the same layout. `wide` has sizes and
    offsets in 64 bits also where 32 suffice.
    """

    duration_s: float
    bitrate_bps: int
    moov: Literal["first", "last"] = "first"
    seed: int = 1
    newlines: bool = True
    fps: int = 25
    wide: bool = False

    def __post_init__(self) -> None:
        if self.moov not in {"first", "last"}:
            raise UsageError("no such place of the moov box", seen=repr(self.moov), expected="first or last")
        if not 1 <= self.fps <= _MOST_FPS:
            raise UsageError("the picture rate is out of range", seen=str(self.fps), expected=f"1 to {_MOST_FPS}")
        if not math.isfinite(self.duration_s) or not 1 <= self.pictures <= _MOST_PICTURES:
            expected = f"{1 / self.fps:g} s to {_MOST_PICTURES // self.fps} s (1 to {_MOST_PICTURES} pictures)"
            raise UsageError("the duration is out of range", seen=f"{self.duration_s} s", expected=expected)
        fewest, most = _size(1), _size(_MOST_FILLING)
        if not fewest <= self.bitrate_bps / 8 / self.fps <= most:
            expected = f"{fewest * 8 * self.fps} to {most * 8 * self.fps} bit/s at {self.fps} pictures a second"
            raise UsageError("the bitrate is out of range", seen=f"{self.bitrate_bps} bit/s", expected=expected)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Clip:
        """Make the clip of which `spec()` was written; UsageError if that is not one."""
        try:
            return cls(**spec)
        except TypeError as error:
            raise UsageError("this is not the description of a clip", seen=str(error)) from error

    @classmethod
    def of_size(cls, size_bytes: int, bitrate_bps: int, *, fps: int = 25, **others: Any) -> Clip:  # noqa: ANN401
        """Make the longest clip that is no larger; `others` as in the class. UsageError if there is none."""
        pictures = size_bytes * 8 * fps // max(bitrate_bps, 1) + 1
        while pictures > 0:
            clip = cls(duration_s=pictures / fps, bitrate_bps=bitrate_bps, fps=fps, **others)
            if clip.size <= size_bytes:
                return clip
            pictures -= -(-(clip.size - size_bytes) // (clip.sample_bytes + 8))
        raise UsageError("a clip can't be that small", seen=f"{size_bytes} bytes at {bitrate_bps} bit/s")

    @classmethod
    def of_size_and_duration(cls, size_bytes: int, duration_s: float, *, fps: int = 25, **others: Any) -> Clip:  # noqa: ANN401
        """Make a clip of that duration that is about as large, but no larger; UsageError if there is none."""
        bitrate_bps = round(size_bytes * 8 / max(duration_s, 1 / fps))
        while True:  # a few times: the bitrate is lowered by what is too much, and by a byte a picture
            clip = cls(duration_s=duration_s, bitrate_bps=bitrate_bps, fps=fps, **others)
            if clip.size <= size_bytes:
                return clip
            bitrate_bps -= 8 * fps * (1 + (clip.size - size_bytes) // clip.pictures)

    def spec(self) -> dict[str, Any]:
        """Return the values that make the clip, for a catalogue."""
        return asdict(self)

    @property
    def pictures(self) -> int:
        """How many pictures there are; each is a sync sample."""
        return round(self.duration_s * self.fps)

    @property
    def media_s(self) -> float:
        """The duration as a whole number of pictures."""
        return self.pictures / self.fps

    @cached_property
    def identity(self) -> bytes:
        """16 bytes that are in each sample: a hash of all that makes the clip."""
        parts = (self.pictures, round(self.bitrate_bps), self.fps, self.moov, self.seed, self.newlines, self._wide)
        return hashlib.shake_256(repr(parts).encode()).digest(64).translate(None, b"\0\n")[:16]

    @cached_property
    def _filling_bytes(self) -> int:
        return _filling_bytes(round(self.bitrate_bps / 8 / self.fps), newlines=self.newlines)

    @cached_property
    def _wide(self) -> bool:
        tables_bytes = 9 * self.pictures + 4096  # more than there are
        return self.wide or self.pictures * self.sample_bytes + tables_bytes >= 1 << 32

    @cached_property
    def _layout(self) -> list[tuple[int, int, _Part]]:
        """Return (first offset, offset after it, part) in the order of the file."""
        samples = _Samples(self, self._filling_bytes)
        form = movie.Movie(pictures=self.pictures, fps=self.fps, wide=self._wide)
        kind = _Fixed(movie.file_type())
        header = _Fixed(movie.media_data_header(samples.size, wide=self._wide))
        before, between = movie.moov_parts(form)
        media_at = kind.size + header.size + (movie.moov_size(form) if self.moov == "first" else 0)
        moov: list[_Part] = [
            _Fixed(before),
            _Numbers(samples.sample_bytes, 0, self.pictures, 4),
            _Fixed(between),
            _Numbers(media_at, self.fps * samples.sample_bytes, form.chunks, form.offset_bytes),
        ]
        media: list[_Part] = [header, samples]
        order = [kind, *moov, *media] if self.moov == "first" else [kind, *media, *moov]
        ends = list(accumulate(part.size for part in order))
        return list(zip([0, *ends], ends, order, strict=False))

    @cached_property
    def sample_bytes(self) -> int:
        """The size of every sample."""
        return _size(self._filling_bytes)

    @cached_property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._layout[-1][1]

    def read(self, offset: int, count: int) -> bytes:
        """Return the bytes of a file that begin at an offset; fewer at its end, as a file's own read does."""
        return bytes(self._expected(offset, count))

    def matches(self, offset: int, view: memoryview | bytes) -> int:
        """Compare bytes with those that the clip has at an offset; return the index of the first wrong one, or -1.

        Bytes after the end of the clip are wrong.
        """
        expected = self._expected(offset, len(view))
        if operator.eq(expected, view):  # bytearray compares with any buffer by memcmp, memoryview byte by byte
            return -1
        common = np.frombuffer(view, np.uint8)[: len(expected)] == np.frombuffer(expected, np.uint8)
        return len(expected) if common.all() else int(common.argmin())

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole file, a piece of PIECE_BYTES at a time."""
        for offset in range(0, self.size, PIECE_BYTES):
            yield self.read(offset, PIECE_BYTES)

    def _expected(self, offset: int, size: int) -> bytearray:
        if offset < 0 or size < 0:
            raise ValueError(f"no range of bytes: {size} from {offset}")
        found: list[Part] = []
        stop = offset + size
        for begin, end, part in self._layout:
            if offset < end and begin < stop:
                first = max(begin, offset)
                found += part.parts(first - begin, min(end, stop) - first)
        return bytearray().join(found)


def _size(filling_bytes: int) -> int:
    """Return the size of a sample with so much filling."""
    start = avc.message_start(bytes(16), _DIGITS + filling_bytes)
    return len(start) + _DIGITS + filling_bytes + len(avc.message_end()) + len(avc.pictures()[0])


def _filling_bytes(sample_bytes: int, *, newlines: bool) -> int:
    """Return the filling with which a sample has nearly that size; without newlines no length has 0x0A."""
    near = max(1, (sample_bytes - _size(0)) * 255 // 256)
    for distance in count():
        for filling_bytes in (near - distance, near + distance):
            if not 1 <= filling_bytes <= _MOST_FILLING:
                continue
            if newlines or b"\n" not in avc.message_start(bytes(16), _DIGITS + filling_bytes):
                return filling_bytes
    raise AssertionError("unreachable")
