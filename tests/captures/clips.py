"""MP4 files for captures, made by ffmpeg: H.264 at a constant bitrate, filled up to it, the moov first or last."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from golden_session import ClipFacts

TIMESCALE = 12800
BITRATE_BPS = 4_000_000
_FRAMES = 25
_GROUP = 50  # frames from one sync sample to the next: two seconds
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A clip on disk, and where its sync samples are."""

    path: Path
    facts: ClipFacts
    sync: tuple[tuple[float, int], ...]  # (seconds, offset), ascending

    def offset_at(self, seconds: float) -> int:
        """Return the offset of the sync sample at or before a time."""
        return max((at, offset) for at, offset in self.sync if at <= seconds or at == self.sync[0][0])[1]


def made(folder: Path, duration_s: int, moov: str) -> ClipFile:
    """Return the clip of that length; it is made once in a folder."""
    path = folder / f"clip-{duration_s}s-moov-{moov}.mp4"
    if not path.exists():
        _make(path, duration_s, moov)
    return ClipFile(path, facts(path, duration_s, made_by="ffmpeg"), tuple(_sync_samples(path)))


def _make(path: Path, duration_s: int, moov: str) -> None:
    kilobits = BITRATE_BPS // 1000
    x264 = f"nal-hrd=cbr:force-cfr=1:bitrate={kilobits}:vbv-maxrate={kilobits}:vbv-bufsize={kilobits}"
    source = f"testsrc=size=640x360:rate={_FRAMES}:duration={duration_s}"
    coded = f"-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g {_GROUP} -keyint_min {_GROUP}"
    words = f"-hide_banner -loglevel error -y -threads 1 -f lavfi -i {source} {coded} -x264-params {x264}".split()
    words += ["-video_track_timescale", str(TIMESCALE), *(["-movflags", "+faststart"] if moov == "first" else [])]
    partial = path.with_suffix(".part.mp4")
    subprocess.run(["ffmpeg", *words, str(partial)], check=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL)
    partial.rename(path)


def facts(path: Path, duration_s: float, made_by: str) -> ClipFacts:
    """Return what the top-level boxes of a file tell (ISO/IEC 14496-12, 4.2)."""
    boxes = {kind: (offset, size) for kind, offset, size in _boxes(path)}
    moov, mdat, size = boxes["moov"], boxes["mdat"], path.stat().st_size
    return ClipFacts(
        made_by=made_by,
        duration_s=duration_s,
        bitrate_bps=round(mdat[1] * 8 / duration_s),
        size=size,
        moov="first" if moov[0] < mdat[0] else "last",
        moov_offset=moov[0],
        moov_size=moov[1],
        mdat_offset=mdat[0],
    )


def _boxes(path: Path) -> Iterator[tuple[str, int, int]]:
    offset, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while offset < total:
            file.seek(offset)
            size, kind = struct.unpack(">I4s", file.read(8))
            size = struct.unpack(">Q", file.read(8))[0] if size == 1 else size or total - offset
            yield kind.decode("latin-1"), offset, size
            offset += size


def _sync_samples(path: Path) -> Iterator[tuple[float, int]]:
    words = "-v error -select_streams v:0 -show_entries packet=pts_time,pos,flags -of csv=p=0".split()
    done = subprocess.run(
        ["ffprobe", *words, str(path)], capture_output=True, text=True, check=True, timeout=_LIMIT_S
    )
    for line in done.stdout.splitlines():
        seconds, offset, flags = line.split(",")[:3]
        if "K" in flags:
            yield float(seconds), int(offset)
