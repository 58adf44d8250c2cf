"""Chrome's player (Blink's MultiBufferDataSource): ranges on blocks, 10 s ahead, above the browser's HTTP cache.

Sources: Chromium's `multi_buffer_data_source.cc` (buffer sizes), `multi_buffer.{h,cc}` (how far a reader waits for
a connection), `multi_buffer_reader.cc` (hysteresis), `resource_multi_buffer_data_provider.cc` (requests, retries).
Captured from Chromium 156: what has a strong ETag is kept by the HTTP cache, which turns a player's open-ended
request into one for the bytes that it has not, with If-Range, up to the next ones that it has.
"""

from __future__ import annotations

from typing import ClassVar

from _player import PARTIAL, Ask, Head, Player, Situation, Stop

BLOCK_BYTES = 32 * 1024
_AHEAD_S = 10.0
_LEAST_BYTES = 2 << 20
_MOST_BYTES = 50 << 20
_PIPES_BYTES = 3 << 20
_HYSTERESIS_BYTES = 2 << 20
"""As captured: what lies in the pipes between network and player comes on top, and is refilled in such steps."""
_BEHIND_S = 2.0
_UNKNOWN_BYTES_PER_S = 200 * 1024
_WAIT_FOR_WRITER_BLOCKS = 5
"""So far ahead of a connection a reader waits for it (kMaxWaitForWriterOffset). One that is up to 50 blocks ahead
of its reader is deferred in Chrome, not dropped; here one that does not lead to the wanted byte is dropped."""


class Chrome(Player):
    """Asks `bytes=N-`, N on a 32 KiB block; through the HTTP cache for what that lacks."""

    user_agent = (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
    )
    headers: ClassVar = {
        "Accept": "*/*",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Dest": "video",
        "Accept-Encoding": "identity",
        "Accept-Language": "en-US,en;q=0.9",
    }
    block_bytes = BLOCK_BYTES
    skip_bytes = _WAIT_FOR_WRITER_BLOCKS * BLOCK_BYTES
    discards = True
    retries = 30
    retry_s = 0.25
    retry_step_s = 0.05
    short_s = 0.025
    resume_s = 0.2
    pause_s = 15.0

    def __init__(self, session: str = "") -> None:
        super().__init__(session)
        self._etag = ""
        self._total: int | None = None

    def ask(self, situation: Situation, wanted: int) -> Ask:
        """Ask for the block; where there is a cache, for the bytes of it and after it that are not there."""
        asked = super().ask(situation, wanted)
        if not self._etag or self._total is None:
            return asked
        first = situation.held.first_missing(asked.first)
        cached = situation.held.next_held(first)
        return Ask(asked.label, first, (cached or self._total) - 1, if_range=self._etag)

    def limits(self, situation: Situation) -> tuple[float, float]:
        """10 s of the bit rate, at least 2 and at most 50 MiB, and what is on its way to the player."""
        rate = situation.bytes_per_s or _UNKNOWN_BYTES_PER_S
        low_bytes = _within(_AHEAD_S * rate) + _PIPES_BYTES
        return (low_bytes + _HYSTERESIS_BYTES) / rate, low_bytes / rate

    def head(self, head: Head) -> Stop | None:
        """Other validators than the first answer's are another resource: the load fails."""
        if head.changed:
            return Stop("changed", "validators or total are not those of the first answer")
        if head.status == PARTIAL and head.etag.startswith('"') and "no-store" not in head.cache_control:
            self._etag, self._total = head.etag, head.total
        return super().head(head)

    def kept(self, situation: Situation, cursor: int, frontier: int, target: int) -> tuple[int, int]:
        """Without the HTTP cache 2 s of what was played (2 to 50 MiB) stay, and what was read ahead."""
        if self._etag:
            return 0, max(frontier, self._total or 0)
        del target
        return cursor - _within(_BEHIND_S * (situation.bytes_per_s or _UNKNOWN_BYTES_PER_S)), frontier


def _within(count: float) -> int:
    return int(min(max(count, _LEAST_BYTES), _MOST_BYTES))
