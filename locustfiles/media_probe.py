"""Watch MP4 clips, and beside it ask for something small, which shows whether a worker of the server is free.

    locust -f media_probe.py --host http://127.0.0.1:8000 --media-url /clip.mp4 --media-probe-url /ping

One user asks, whatever the number of users; the others are the viewers of media_playback.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from locust import events, task

from _options import Option, declare, wrong_number
from media_playback import Viewer
from seatrial.user import LeanUser

__all__ = ["Probe", "Viewer"]
_OPTIONS: tuple[Option, ...] = (
    ("probe-url", "/ping", "the path that is asked for beside the viewers"),
    ("probe-every", 0.25, "seconds between an answer and the next question"),
    ("probe-within", 2.0, "seconds after which a question without an answer has failed"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, _OPTIONS)


class Probe(LeanUser):
    """Asks for one small thing again and again, as a balancer does to see whether a server is up."""

    fixed_count = 1
    endpoints = ("ping",)

    def prepare(self) -> None:
        """Read the options."""
        options: Any = self.environment.parsed_options
        if wrong := wrong_number(options, _OPTIONS):
            self.refuse("there is no such time", where=wrong[0], seen=wrong[1])
        self._path: str = options.media_probe_url
        self._every_s: float = options.media_probe_every
        within_s: float = options.media_probe_within
        if not within_s:
            self.refuse("a question needs some time", where="--media-probe-within", seen="0")
        self._timeouts = replace(self.timeouts, first_byte_s=within_s, total_s=within_s)

    def wait_time(self) -> float:
        """Seconds between an answer and the next question."""
        return self._every_s

    @task
    def ping(self) -> None:
        """Ask once."""
        self.client.get(self._path, endpoint="ping", timeouts=self._timeouts)
