"""The player models ask as the captured players did: the same requests in the same order, at the same places.

Not compared are requests that took no byte and were asked anew at once, and those that only go on where the one
before broke off: both are the browser's own restarts. Offsets of an index and of seeks have to be equal; how far
a player had come when it asked for more depends on the machine's speed: 4 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from media_sessions import Media, Server, played

import _players
from _viewer import Act, Step

FOLDER = Path(__file__).parent / "data" / "players"
MODEL = {"chromium": "chrome", "ffmpeg": "ffmpeg"}
FILES = [
    path
    for player in MODEL
    for path in sorted((FOLDER / player).glob("*-unlimited.json"))
    if not path.name.startswith("metadata")
]
SLACK_BYTES = 4 << 20
BYTES_PER_S = 20e6
AT_ONCE_S = 1.0
Place = tuple[int, bool, bool]
"""First byte; whether the last one was named; whether If-Range was sent."""


@dataclass(frozen=True)
class Captured(Media):
    """The clip of a capture, which knows the sync samples that were sought."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    sought: Mapping[float, int] = field(default_factory=dict)

    @property
    def mdat(self) -> int:
        """Behind the header of the box."""
        return int(self.facts["mdat_offset"]) + 8

    @property
    def size(self) -> int:
        """The file's."""
        return int(self.facts["size"])

    @property
    def moov(self) -> tuple[int, int]:
        """Where the index was."""
        first = int(self.facts["moov_offset"])
        return first, first + int(self.facts["moov_size"]) - 1

    def offset_at(self, seconds: float) -> int:
        """Return the captured offset for what was sought."""
        near = [offset for target, offset in self.sought.items() if abs(target - seconds) < 1.0]
        return near[0] if near else super().offset_at(seconds)


def _acts(actions: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Return what the player was told, as acts of a viewer."""
    acts: list[Step] = []
    begin_s, position_s = actions[0]["at_s"], 0.0
    for action in actions[1:]:
        after_s = action["at_s"] - begin_s
        begin_s, position_s = action["at_s"], position_s + after_s
        if action["what"] == "seek":
            acts.append(Step(Act.SEEK, after_s, action["media_s"] - position_s, by_clock=True))
            position_s = action["media_s"]
        elif action["what"] == "pause":
            acts.append(Step(Act.PAUSE, after_s, 20.0, by_clock=True))
        elif action["what"] == "stop":
            acts.append(Step(Act.LEAVE, after_s, by_clock=True))
    return acts


def _captured(document: Mapping[str, Any]) -> list[Place]:
    places: list[Place] = []
    before: Mapping[str, Any] = {}
    for asked in document["requests"]:
        first, _, last = asked["range"].removeprefix("bytes=").partition("-")
        fields = {name for name, _ in document["header_sets"][asked["headers"]]}
        place = (int(first), bool(last), "If-Range" in fields)
        if before and asked["at_s"] - before["ended_s"] < AT_ONCE_S:
            gone_on = 0 <= place[0] - places[-1][0] - before["taken"] < 1 << 20
            if places[-1][0] > 0 and (gone_on or place[0] == places[-1][0]):
                before = asked
                continue
        places.append(place)
        before = asked
    return places


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_model_asks_as_the_player_did(path: Path) -> None:
    """In each session; what Chromium asks after a seek back depends on locks of its cache: not compared."""
    document = json.loads(path.read_text())
    facts, actions = document["clip"], document["actions"]
    sought = {action["media_s"]: action["offset"] for action in actions if action["what"] == "seek"}
    rate = int(facts["bitrate_bps"] / 8)
    media = Captured(facts["duration_s"], facts["moov"] == "first", rate, facts=facts, sought=sought)
    fields = {name: value for name, value in document["validators"].items() if value is not None}
    server = Server(media, BYTES_PER_S, fields=fields)
    _, stop = played(server, _players.MODELS[MODEL[document["player"]]](), _acts(actions))
    assert stop.outcome == ""
    model = [(ask.first, ask.last is not None, bool(ask.if_range)) for ask in server.asked]
    captured = _captured(document)
    if document["case"] == "seek-back" and document["player"] == "chromium":
        captured = captured[: len(model)]
        assert len(captured) >= 2 + (facts["moov"] == "last")
    assert [place[1:] for place in model] == [place[1:] for place in captured]
    exact = {facts["moov_offset"], *sought.values(), media.mdat}
    for (first, *_), (seen, *_) in zip(model, captured, strict=True):
        at_place = any(0 <= offset - seen < 32_768 for offset in exact) and seen > media.mdat
        assert first == pytest.approx(seen, abs=0 if at_place or not seen else SLACK_BYTES)
