"""What the media commands print: a clip that was made, the index of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seatrial.media.clip import Clip
from seatrial.media.mp4 import Index
from seatrial.report import numbers
from seatrial.units import NS_PER_S

_MBIT = 1_000_000


def clip(path: Path, made: Clip) -> str:
    """Return one line about a clip that was written."""
    form = f"moov {made.moov}, seed {made.seed}{'' if made.newlines else ', no newlines'}"
    rate = made.sample_bytes * 8 * made.fps
    return f"{path}: {_duration(made.media_s)}, {_mbit(rate)}, {numbers.size(made.size)}, {form}"


def index_values(found: Index) -> dict[str, Any]:
    """Return an index as JSON values: offsets and sizes in bytes, times in seconds."""
    return {
        "size": found.size,
        "duration_s": found.duration_s,
        "bitrate_bps": found.bitrate_bps,
        "moov": "first" if found.moov_first else "last",
        "moov_offset": found.moov_offset,
        "moov_size": found.moov_size,
        "mdat_offset": found.mdat_offset,
        "mdat_size": found.mdat_size,
        "fragmented": found.fragmented,
        "tracks": [
            {
                "number": track.number,
                "handler": track.handler,
                "codec": track.codec,
                "width": track.width,
                "height": track.height,
                "duration_s": track.duration_s,
                "sync_samples": track.sync_samples,
            }
            for track in found.tracks
        ],
    }


def index(path: Path, found: Mapping[str, Any]) -> str:
    """Return the lines about the values of an index."""
    form = "fragmented" if found["fragmented"] else f"moov {found['moov']}"
    size = numbers.size(found["size"])
    lines = [
        f"{path}: {_duration(found['duration_s'])}, {_mbit(found['bitrate_bps'])}, {size}, {form}",
        f"  moov  {numbers.size(found['moov_size'])} at byte {found['moov_offset']}",
        f"  mdat  {numbers.size(found['mdat_size'])} at byte {found['mdat_offset']}",
    ]
    for track in found["tracks"]:
        pixels = f", {track['width']} x {track['height']}" if track["width"] else ""
        starts = numbers.counted(track["sync_samples"], "sync sample")
        lines.append(
            f"  track {track['number']}: {track['handler']} {track['codec']}{pixels}, "
            f"{_duration(track['duration_s'])}, {starts}"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return numbers.duration(round(seconds * NS_PER_S))


def _mbit(bits_per_s: float) -> str:
    return f"{numbers.rate(bits_per_s / _MBIT)} Mbit/s"
