"""The boxes of a test clip around its media data, all but the two long tables (ISO/IEC 14496-12:2022)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from seatrial.media import avc

TICKS_PER_PICTURE = 100
"""Duration of a picture in units of the time scale, which is 100 times the picture rate."""

_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED_LANGUAGE = 0x55C4
_HANDLER_NAME = b"seatrial test media\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movie:
    """What the boxes have to say; `wide`: chunk offsets of 64 bits."""

    pictures: int
    fps: int
    wide: bool

    @property
    def chunks(self) -> int:
        """How many chunks there are: one a second."""
        return -(-self.pictures // self.fps)

    @property
    def offset_bytes(self) -> int:
        """Bytes of a chunk offset."""
        return 8 if self.wide else 4


def file_type() -> bytes:
    """Return the ftyp box (4.3)."""
    return _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")


def moov_size(movie: Movie) -> int:
    """Return the size of the whole moov box in bytes."""
    before, between = moov_parts(movie)
    return len(before) + len(between) + 4 * movie.pictures + movie.offset_bytes * movie.chunks


def moov_parts(movie: Movie) -> tuple[bytes, bytes]:
    """Return the moov box up to the sample sizes of stsz, and what stands between these and the chunk offsets.

    There is no stss, since every picture is a sync sample (8.6.2). The sizes are listed although all are the same,
    so that a moov is as large as that of other files of this duration.
    """
    sizes = struct.pack(">III", 0, 0, movie.pictures)
    size_box = struct.pack(">I4s", 8 + len(sizes) + 4 * movie.pictures, b"stsz") + sizes
    offsets = struct.pack(">II", 0, movie.chunks)
    kind = b"co64" if movie.wide else b"stco"
    offset_box = struct.pack(">I4s", 8 + len(offsets) + movie.offset_bytes * movie.chunks, kind) + offsets
    left = 4 * movie.pictures + len(offset_box) + movie.offset_bytes * movie.chunks  # after the head of stsz
    fixed = _description() + _times(movie) + _chunk_lengths(movie) + size_box
    table = _head(b"stbl", len(fixed) + left) + fixed
    information = _box(b"vmhd", struct.pack(">I4H", 1, 0, 0, 0, 0)) + _data_reference() + table
    information = _head(b"minf", len(information) + left) + information
    media = _media_header(movie) + _box(b"hdlr", struct.pack(">II4s12x", 0, 0, b"vide"), _HANDLER_NAME)
    media += information
    media = _head(b"mdia", len(media) + left) + media
    track = _track_header(movie) + media
    track = _head(b"trak", len(track) + left) + track
    whole = _movie_header(movie) + track
    return _head(b"moov", len(whole) + left) + whole, offset_box


def media_data_header(media_bytes: int, *, wide: bool) -> bytes:
    """Return the header of the mdat box; `wide`: with its size in 64 bits (4.2.2)."""
    if wide:
        return struct.pack(">I4sQ", 1, b"mdat", 16 + media_bytes)
    return _head(b"mdat", media_bytes)


def _head(kind: bytes, content_bytes: int) -> bytes:
    return struct.pack(">I4s", 8 + content_bytes, kind)


def _box(kind: bytes, *content: bytes) -> bytes:
    content_bytes = sum(map(len, content))
    return _head(kind, content_bytes) + b"".join(content)


def _movie_header(movie: Movie) -> bytes:
    scale, ticks = _clock(movie)
    rest = struct.pack(">IH10x", 0x10000, 0x100) + _UNITY_MATRIX + struct.pack(">24xI", 2)
    return _box(b"mvhd", struct.pack(">5I", 0, 0, 0, scale, ticks), rest)


def _track_header(movie: Movie) -> bytes:
    _, ticks = _clock(movie)
    rest = struct.pack(">8x4H", 0, 0, 0, 0) + _UNITY_MATRIX + struct.pack(">II", avc.WIDTH << 16, avc.HEIGHT << 16)
    return _box(b"tkhd", struct.pack(">6I", 3, 0, 0, 1, 0, ticks), rest)


def _media_header(movie: Movie) -> bytes:
    scale, ticks = _clock(movie)
    return _box(b"mdhd", struct.pack(">5I2H", 0, 0, 0, scale, ticks, _UNDETERMINED_LANGUAGE, 0))


def _clock(movie: Movie) -> tuple[int, int]:
    return movie.fps * TICKS_PER_PICTURE, movie.pictures * TICKS_PER_PICTURE


def _data_reference() -> bytes:
    return _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _box(b"url ", struct.pack(">I", 1))))


def _description() -> bytes:
    """Return stsd with one avc1 entry and its avcC (ISO/IEC 14496-15, 5.3.3.1)."""
    sequence, picture = avc.sequence_parameters(), avc.picture_parameters()
    configuration = _box(
        b"avcC",
        bytes([1]) + sequence[1:4] + bytes([0xFC | avc.LENGTH_BYTES - 1, 0xE0 | 1]),
        struct.pack(">H", len(sequence)) + sequence,
        struct.pack(">BH", 1, len(picture)) + picture,
    )
    resolution_dpi = 72 << 16
    entry = struct.pack(
        ">6xH16xHHIIIH32xHh", 1, avc.WIDTH, avc.HEIGHT, resolution_dpi, resolution_dpi, 0, 1, 24, -1
    )
    return _box(b"stsd", struct.pack(">II", 0, 1), _box(b"avc1", entry, configuration))


def _times(movie: Movie) -> bytes:
    return _box(b"stts", struct.pack(">4I", 0, 1, movie.pictures, TICKS_PER_PICTURE))


def _chunk_lengths(movie: Movie) -> bytes:
    whole, rest = divmod(movie.pictures, movie.fps)
    runs = [(1, movie.fps, 1)] if whole else []
    if rest:
        runs.append((whole + 1, rest, 1))
    return _box(b"stsc", struct.pack(">II", 0, len(runs)), *(struct.pack(">III", *run) for run in runs))
