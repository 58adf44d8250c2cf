"""libavformat's HTTP reader, as ffmpeg, mpv and Kodi have it: a connection for each seek, next to nothing ahead.

Sources: FFmpeg's `libavformat/http.c` (headers, seeks), `aviobuf.c` (32 KiB; short seeks are read through),
`mov.c` (a moov behind the media is sought). Paced like `ffmpeg -re`, which reads a packet when it is due.
"""

from __future__ import annotations

from collections.abc import Mapping

from _player import Player, Situation

_BUFFER_BYTES = 32 * 1024


class FFmpeg(Player):
    """`Connection: close` on each request, `Range: bytes=0-` too; it does not ask again after a failure."""

    user_agent = "Lavf/61.7.100"
    start_s = 0.0
    resume_s = 0.0
    high_s = 0.5  # ffmpeg's -readrate_initial_burst
    low_s = 0.5
    least_read_bytes = _BUFFER_BYTES
    keeps_opening = False
    skip_bytes = _BUFFER_BYTES
    keeps_ahead = False
    fresh = True

    def request_headers(self) -> Mapping[str, str]:
        """Return them in http.c's order."""
        return {"Accept": "*/*", "Connection": "close", "Icy-MetaData": "1"}

    def kept(self, situation: Situation, cursor: int, frontier: int, target: int) -> tuple[int, int]:
        """Only what is in the reader's one buffer is there after a seek."""
        del situation, target
        return frontier - _BUFFER_BYTES if frontier - cursor < _BUFFER_BYTES else cursor, frontier
