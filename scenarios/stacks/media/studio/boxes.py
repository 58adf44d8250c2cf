"""Where an MP4 file's media data lie and how long it is: as much of ISO/IEC 14496-12 as a thumbnail needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_HEADER_BYTES = 8
_LARGE_BYTES = 16
_MOST_MOOV_BYTES = 64 << 20


class NotMp4(Exception):
    """The file has no media data or no movie header."""


@dataclass(frozen=True)
class Film:
    """The length of a film and the place of its media data."""

    duration_s: float
    data_offset: int
    data_bytes: int


def read_film(file: BinaryIO, size: int) -> Film:
    """Read what is needed; raises NotMp4."""
    found = {kind: (offset, count) for kind, offset, count in _boxes(file, 0, size)}
    if "moov" not in found or "mdat" not in found or found["moov"][1] > _MOST_MOOV_BYTES:
        raise NotMp4(f"has the boxes {', '.join(found) or 'none'}")
    offset, count = found["moov"]
    for kind, inner, _bytes in _boxes(file, offset, offset + count):
        if kind == "mvhd":
            return Film(_duration_s(file, inner), *found["mdat"])
    raise NotMp4("its moov has no mvhd")


def _boxes(file: BinaryIO, offset: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield type, payload offset and payload bytes of each box (section 4.2)."""
    while offset + _HEADER_BYTES <= end:
        file.seek(offset)
        header = file.read(_LARGE_BYTES)
        if len(header) < _HEADER_BYTES:
            return
        size, kind = struct.unpack_from(">I4s", header)
        payload = _HEADER_BYTES
        if size == 1 and len(header) == _LARGE_BYTES:  # a 64-bit size follows
            size, payload = struct.unpack_from(">Q", header, _HEADER_BYTES)[0], _LARGE_BYTES
        elif size == 0:  # to the end of the file
            size = end - offset
        if size < payload or offset + size > end:
            raise NotMp4(f"a box at byte {offset} has {size} bytes")
        yield kind.decode("latin-1"), offset + payload, size - payload
        offset += size


def _duration_s(file: BinaryIO, offset: int) -> float:
    """Read the duration of mvhd (section 8.2.2): version 1 has 64-bit times."""
    file.seek(offset)
    fields = file.read(32)
    try:
        timescale, duration = (
            struct.unpack_from(">IQ", fields, 20) if fields[0] else struct.unpack_from(">II", fields, 12)
        )
    except (struct.error, IndexError) as error:
        raise NotMp4("its mvhd is cut short") from error
    if not timescale:
        raise NotMp4("its mvhd has no time scale")
    return float(duration) / float(timescale)
