"""Android's player (Media3 ExoPlayer): starts at 1 s, fills to 50 s over one open request, keeps nothing behind.

Sources: Media3's `DefaultLoadControl` (figures), `ProgressiveMediaPeriod` (looks at its buffer after each MiB),
`DefaultHttpDataSource` (no Range from the start, a 200 is skipped through), `Mp4Extractor` (reads on, 256 KiB),
`DefaultLoadErrorHandlingPolicy` (3 retries, 0 to 5 s apart).
"""

from __future__ import annotations

from typing import ClassVar

from _player import Ask, Player, Situation


class Android(Player):
    """The first request has no Range at all; every later one is `bytes=N-`."""

    user_agent = "AndroidXMedia3/1.8.0 (Linux;Android 15)"
    headers: ClassVar = {"Icy-MetaData": "1", "Accept-Encoding": "identity", "Connection": "Keep-Alive"}
    start_s = 1.0
    resume_s = 2.0
    high_s = 50.0
    low_s = 50.0
    least_read_bytes = 1 << 20
    keeps_opening = False
    skip_bytes = 256 * 1024
    discards = True
    retries = 3
    retry_step_s = 1.0
    retry_most_s = 5.0

    def ask(self, situation: Situation, wanted: int) -> Ask:
        """`DataSpec` of position 0 and no length: no Range header."""
        asked = super().ask(situation, wanted)
        return Ask(asked.label, asked.first, ranged=asked.first > 0)

    def reaches(self, situation: Situation, position: int, wanted: int) -> bool:
        """Reopen for each seek out of the buffer; only the extractor that looks for the index reads on."""
        if situation.seeking and wanted != position and not situation.whole:
            return False
        return super().reaches(situation, position, wanted)
