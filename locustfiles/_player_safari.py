"""Safari's player (AppleCoreMedia): asks for two bytes first, then for closed ranges up to the last byte.

Source: Apple's guide "Creating Video for Safari on iPhone" (the probe has to be a 206), and server logs in public
issues (rqbit 501, Overdrive-release 257, androidx/media 2641: closed ranges). How far it reads ahead is not
published: 50 s, and again from 30 s, are guesses.
"""

from __future__ import annotations

from collections.abc import Mapping

from _player import PARTIAL, Action, Ask, Head, Player, Situation, Stop

_PROBE_LAST = 1


class Safari(Player):
    """Refuses to play where the probe is not answered by a 206 with a total."""

    user_agent = "AppleCoreMedia/1.0.0.21G93 (iPhone; U; CPU OS 17_6 like Mac OS X; en_us)"
    high_s = 50.0
    low_s = 30.0
    block_bytes = 64 * 1024
    skip_bytes = 64 * 1024
    keeps_ahead = True
    retries = 2
    retry_s = 1.0

    def __init__(self, session: str = "") -> None:
        super().__init__(session)
        self._probed = False
        self._total: int | None = None

    def request_headers(self) -> Mapping[str, str]:
        """Return them with the id that all requests of a session share."""
        return {
            "Accept": "*/*",
            "Accept-Language": "en-US,en;q=0.9",
            "Accept-Encoding": "identity",
            "X-Playback-Session-Id": self.session,
        }

    def ask(self, situation: Situation, wanted: int) -> Ask:
        """Probe first; then everything from a 64 KiB boundary to the last byte."""
        if not self._probed:
            return Ask("probe", 0, _PROBE_LAST)
        asked = super().ask(situation, wanted)
        return Ask(asked.label, asked.first, None if self._total is None else self._total - 1)

    def head(self, head: Head) -> Stop | None:
        """Take the total from the probe."""
        if not self._probed:
            if head.status != PARTIAL:
                return Stop("whole", "no 206 to the probe of two bytes")
            if head.total is None:
                return Stop("rejected", "the probe's answer has no total")
            self._total = head.total
        return super().head(head)

    def ended(self, situation: Situation) -> Action:
        """Go on after the probe, too."""
        self._probed = True
        return super().ended(situation)
