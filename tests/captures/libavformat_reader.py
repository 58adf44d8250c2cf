"""Reads a URL through FFmpeg's libavformat at real time and seeks in it, as a program of its own.

`libavformat_reader.py URL TIMESCALE '[["play", 5.0, null], ["seek", 5.0, 42.0]]'`. TIMESCALE: ticks a second of
the video track, in which its packets are stamped. Each step: what, for how many seconds, to which second. Prints
a JSON line for each thing it did: {"at_s", "what", "media_s"}, at_s of time.monotonic. Packets are read when they
are due (as `ffmpeg -re` does), the first one of a step at once.
https://ffmpeg.org/doxygen/5.1/group__lavf__decoding.html
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
import time

_AV_TIME_BASE = 1_000_000
_BACKWARD = 1  # AVSEEK_FLAG_BACKWARD: the sync sample at or before


class _Packet(ctypes.Structure):
    """The first members of AVPacket; it is allocated and freed by the library."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("pts", ctypes.c_int64),
        ("dts", ctypes.c_int64),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int),
        ("stream_index", ctypes.c_int),
    )


def _told(what: str, media_s: float | None = None) -> None:
    line = {"at_s": time.monotonic(), "what": what, "media_s": media_s}
    sys.stdout.write(json.dumps(line) + "\n")


class _Input:
    """An open input."""

    def __init__(self, url: str, timescale: int) -> None:
        self._timescale = timescale
        format_, codec = ctypes.util.find_library("avformat"), ctypes.util.find_library("avcodec")
        if format_ is None or codec is None:
            raise FileNotFoundError("libavformat and libavcodec, which Debian's package ffmpeg depends on")
        self._format, self._codec = ctypes.CDLL(format_), ctypes.CDLL(codec)
        self._codec.av_packet_alloc.restype = ctypes.POINTER(_Packet)
        self._format.av_seek_frame.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int)
        self._context = ctypes.c_void_p()
        self._packet = self._codec.av_packet_alloc()
        self._checked(
            self._format.avformat_open_input(ctypes.byref(self._context), url.encode(), None, None), "open"
        )
        self._checked(self._format.avformat_find_stream_info(self._context, None), "find_stream_info")

    def seek(self, seconds: float) -> None:
        """Go to the sync sample at or before a time."""
        target = int(seconds * _AV_TIME_BASE)
        self._checked(self._format.av_seek_frame(self._context, -1, target, _BACKWARD), "seek")

    def packet_s(self) -> float:
        """Read a packet and return its decoding time in seconds."""
        self._checked(self._format.av_read_frame(self._context, self._packet), "read")
        seconds = float(self._packet.contents.dts / self._timescale)
        self._codec.av_packet_unref(self._packet)
        return seconds

    @staticmethod
    def _checked(code: int, what: str) -> None:
        if code < 0:
            raise OSError(f"libavformat: {what}: error {code}")


def _read(opened: _Input, for_s: float) -> None:
    begin_s = time.monotonic()
    first_s = opened.packet_s()
    _told("packet", first_s)
    media_s = first_s
    while time.monotonic() < begin_s + for_s:
        due_s = begin_s + media_s - first_s
        time.sleep(max(0.0, min(due_s, begin_s + for_s) - time.monotonic()))
        media_s = opened.packet_s()


def main() -> None:
    """Follow the plan."""
    url, timescale, plan = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    _told("play")
    opened = _Input(url, timescale)
    _told("opened")
    for what, wait_s, media_s in plan:
        if what == "seek":
            _told("seek", media_s)
            opened.seek(media_s)
        elif what != "play":
            _told(what)
        if what == "pause":
            time.sleep(wait_s)
        else:
            _read(opened, wait_s)
    _told("stop")


if __name__ == "__main__":
    main()
