"""Checks of an MP4 index against what ffprobe says of the file (`tests/unit/data/mp4/make.sh`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seatrial.media import files


@dataclass(frozen=True)
class Packet:
    """What ffprobe says of a sample; times from the beginning of its track, which edit lists shift."""

    stream: int
    seconds: float
    begin: int
    end: int
    sync: bool


def is_plain(file: Path) -> bool:
    """Whether all its samples are in moov."""
    return not file.name.startswith(("fragmented", "segment"))


def said(file: Path) -> tuple[dict[str, Any], list[Packet]]:
    """Return what ffprobe said, and the packets in it."""
    values = json.loads(file.with_name(f"{file.name}.json").read_text(encoding="utf-8"))
    firsts: dict[int, float] = {}
    packets = []
    for one in values["packets"]:
        stream, begin = one["stream_index"], int(one["pos"])
        seconds = float(one["dts_time"]) - firsts.setdefault(stream, float(one["dts_time"]))
        packets.append(Packet(stream, seconds, begin, begin + int(one["size"]), one["flags"].startswith("K")))
    return values, packets


def check_head(file: Path) -> None:
    """Check duration, bitrate, codecs and sizes in pixels.

    A fragmented file's last fragments may end after the duration that ffprobe takes from its first track.
    """
    values, _ = said(file)
    index = files.index(file)
    tolerance = 0.001 if is_plain(file) else 0.25
    tracks = [(track.codec, track.width or None, track.height or None) for track in index.tracks]

    assert index.duration_s == pytest.approx(float(values["format"]["duration"]), abs=tolerance)
    assert index.bitrate_bps == pytest.approx(float(values["format"]["bit_rate"]), rel=tolerance)
    assert index.size == file.stat().st_size
    assert tracks == [(one["codec_tag_string"], one.get("width"), one.get("height")) for one in values["streams"]]


def check_rates(file: Path) -> None:
    """Check the samples a second of each track whose samples are all in moov."""
    _, packets = said(file)
    for number, track in enumerate(files.index(file).tracks):
        samples = sum(packet.stream == number for packet in packets)
        assert track.samples_per_s == (pytest.approx(samples / track.duration_s) if is_plain(file) else None)


def check_playable(file: Path) -> None:
    """Check what can be played, after each seventh byte of a plain file."""
    _, packets = said(file)
    index = files.index(file)

    for offset in range(0, index.size + 1, 7):
        reached = [one.seconds for one in packets if one.end > offset]
        assert index.seconds_at(offset) == pytest.approx(min([*reached, index.duration_s]), abs=1e-4)
    assert index.seconds_at(index.size) == index.duration_s


def check_offsets(file: Path) -> None:
    """Check where playing begins, from each tenth of a second of a plain file of three seconds."""
    values, packets = said(file)
    index = files.index(file)
    streams = range(len(values["streams"]))
    videos = [number for number in streams if "width" in values["streams"][number]]

    for tenth in range(32):
        common_s = min(_sync_before(packets, stream, tenth / 10).seconds for stream in videos)
        first = min(_sync_before(packets, stream, common_s).begin for stream in streams)
        assert index.offset_at(tenth / 10) == first


def _sync_before(packets: list[Packet], stream: int, seconds: float) -> Packet:
    return [one for one in packets if one.stream == stream and one.sync and one.seconds <= seconds + 1e-6][-1]
