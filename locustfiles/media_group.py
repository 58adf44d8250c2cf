"""Screenings: a group opens one clip within seconds, as a team does for its dailies.

    locust -f media_group.py --host http://127.0.0.1:8000 --media-url /clip.mp4 --media-group-size 12

A user is a group; a flow `screening` holds one flow `play` for each of its viewers, who have one kind of player.
"""

from __future__ import annotations

from typing import Any

import gevent
from locust import events, task

import media_playback
from _options import Option, declare
from _viewer import watching
from seatrial.media.catalogue import Entry

_OPTIONS: tuple[Option, ...] = (
    ("group-size", 12, "viewers of one screening"),
    ("group-within", 3.0, "seconds within which all of them begin"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, _OPTIONS)


class Group(media_playback.MediaUser):
    """A team that watches one clip after the other."""

    options = (*media_playback.OPTIONS, *_OPTIONS)

    def prepare(self) -> None:
        """Read the options."""
        super().prepare()
        options: Any = self.environment.parsed_options
        self._size: int = options.media_group_size
        self._within_s: float = options.media_group_within
        if self._size < 1:
            self.refuse("there is no such group", where="--media-group-size", seen=str(self._size))

    @task
    def screening(self) -> None:
        """Watch one clip together."""
        clip = self.pick()
        starts_s: list[float] = []
        with self.flow("screening", profile=self.player) as flow:
            flow.detail.update(clip=clip.name, viewers_count=self._size)
            with self.parallel(self._size) as viewers:
                for _ in range(self._size):
                    viewers.spawn(self._one, clip, self.random.uniform(0.0, self._within_s), starts_s)
            if starts_s:
                flow.detail["slowest_startup_s"] = max(starts_s)

    def _one(self, clip: Entry, wait_s: float, starts_s: list[float]) -> None:
        gevent.sleep(wait_s)
        with self.flow("play", profile=self.player) as flow:
            session = self.watch(flow, clip, watching(self.habits, self.random))
            if session.buffer.started:
                starts_s.append(session.buffer.startup_s)
