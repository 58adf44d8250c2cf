"""Drag through the timeline of MP4 clips: many seeks in a row, of which most are overtaken by the next one.

locust -f media_scrub.py --host http://127.0.0.1:8000 --media-url /clip.mp4 --media-drags 5
"""

from __future__ import annotations

from typing import Any

from locust import events, task

import media_playback
from _options import Option, declare
from _viewer import Drag, scrubbing

_DRAG = Drag()
_OPTIONS: tuple[Option, ...] = (
    ("drags", _DRAG.drags, "how often a viewer drags through the timeline"),
    ("drag-positions", _DRAG.positions, "positions that a browser asks for in one drag"),
    ("drag-every", _DRAG.every_s, "seconds between two of them"),
    ("drag-step", _DRAG.step_s, "mean media seconds between two of them"),
    ("look", _DRAG.look_s, "seconds of playing between two drags"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser class is not public)
    declare(parser, _OPTIONS)


class Scrubber(media_playback.MediaUser):
    """Looks for a place in one clip after the other."""

    options = (*media_playback.OPTIONS, *_OPTIONS)

    @task
    def scrub(self) -> None:
        """Drag through a clip, look, drag on."""
        options: Any = self.environment.parsed_options
        drag = Drag(
            drags=options.media_drags,
            positions=options.media_drag_positions,
            every_s=options.media_drag_every,
            look_s=options.media_look,
            step_s=options.media_drag_step,
        )
        with self.flow("scrub", profile=self.player) as flow:
            self.watch(flow, self.pick(), scrubbing(drag, self.habits.forward, self.random))
