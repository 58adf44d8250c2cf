"""The MP4 files of the captures: Seatrial's own test clips, and such as ffmpeg makes.

A session with a test clip can be repeated byte by byte without the file. Those of ffmpeg (H.264 at a constant
bitrate, two seconds from one sync sample to the next) show that players ask for a usual clip in the same way.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from golden_session import ClipFacts

from seatrial.media.clip import Clip
from seatrial.media.mp4 import Index, read_index

OWN, FFMPEG = "seatrial", "ffmpeg"
BITRATE_BPS = 4_000_000
MADE_AT_S = 1_704_067_200.0
"""When files were last changed, 2024-01-01: what is old, a browser's cache keeps without asking whether it is
still valid (RFC 9111, 4.2.2: for a tenth of the age, in Chromium). And nginx's ETag is the same each time."""
_FRAMES = 25
_GROUP = 50  # frames from one sync sample to the next
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A clip on disk and its index."""

    path: Path
    facts: ClipFacts
    index: Index


def own(duration_s: int, moov: str) -> Clip:
    """Return the test clip of that length."""
    return Clip(duration_s=float(duration_s), bitrate_bps=BITRATE_BPS, moov=cast("Literal['first', 'last']", moov))


def made(folder: Path, kind: str, duration_s: int, moov: str) -> ClipFile:
    """Return the clip of that length; it is made once in a folder."""
    path = folder / f"{kind}-{duration_s}s-moov-{moov}.mp4"
    clip = own(duration_s, moov) if kind == OWN else None
    if not path.exists():
        partial = path.with_suffix(".part.mp4")
        if clip is None:
            _encode(partial, duration_s, moov)
        else:
            with partial.open("wb") as file:
                file.writelines(clip.pieces())
        os.utime(partial, (MADE_AT_S, MADE_AT_S))
        partial.rename(path)
    return described(path, kind, clip)


def described(path: Path, kind: str, clip: Clip | None) -> ClipFile:
    """Return a clip with what its index tells."""
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        index = read_index(read, size)
    facts = ClipFacts(
        made_by=kind,
        duration_s=index.duration_s,
        bitrate_bps=round(index.bitrate_bps),
        size=size,
        moov="first" if index.moov_first else "last",
        moov_offset=index.moov_offset,
        moov_size=index.moov_size,
        mdat_offset=index.mdat_offset,
        timescale=index.tracks[0].timescale,
        spec=clip.spec() if clip else None,
    )
    return ClipFile(path, facts, index)


def _encode(path: Path, duration_s: int, moov: str) -> None:
    kilobits = BITRATE_BPS // 1000
    x264 = f"nal-hrd=cbr:force-cfr=1:bitrate={kilobits}:vbv-maxrate={kilobits}:vbv-bufsize={kilobits}"
    source = f"testsrc=size=640x360:rate={_FRAMES}:duration={duration_s}"
    coded = f"-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g {_GROUP} -keyint_min {_GROUP}"
    words = f"-hide_banner -loglevel error -y -threads 1 -f lavfi -i {source} {coded} -x264-params {x264}".split()
    words += ["-movflags", "+faststart"] if moov == "first" else []
    subprocess.run(["ffmpeg", *words, str(path)], check=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL)
