"""Clips on a server, and real Locust children that watch them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from process import plain_locust
from process.locust_child import Child, locust_child

from seatrial.media.clip import Clip

LOCUSTFILES = plain_locust.ROOT / "locustfiles"
CALM = "--media-seeks 0 --media-pauses 0 --media-patience 0 --media-completes 0 --media-watch 1000".split()
"""Viewers who just watch."""


def write(clip: Clip, path: Path) -> None:
    """Write a clip as a file."""
    with path.open("wb") as file:
        for piece in clip.pieces():
            file.write(piece)


def catalogue(folder: Path, clips: Iterable[tuple[str, Clip]], **more: Any) -> str:  # noqa: ANN401  (fields)
    """Write a catalogue of these clips; return its path."""
    path = folder / "catalogue.json"
    path.write_text(json.dumps({"clips": [{"path": at, "clip": clip.spec(), **more} for at, clip in clips]}))
    return str(path)


class Watched:
    """What a child has recorded: its requests in their order, and its flows."""

    def __init__(self, child: Child) -> None:
        self.requests = child.requests()
        self.flows = child.lines("flows")

    @property
    def labels(self) -> list[str]:
        """The endpoints."""
        return [row["endpoint"] for row in self.requests]

    @property
    def outcomes(self) -> set[str]:
        """The different outcomes of the requests."""
        return {row["outcome"] for row in self.requests}


def watched(url: str, *options: str, load: str = "media_playback", flows: int = 1, users: int = 1) -> Watched:
    """Run a child until so many flows have ended, then stop it."""
    words = (*options,) if "--media-wait" in options else ("--media-wait", "30", *options)
    with locust_child(url, *words, locustfile=LOCUSTFILES / f"{load}.py", users=users) as child:
        child.open_gate()
        child.until(lambda: _flows(child) >= flows)
        assert child.stop(2.0) == 0, child.log
        assert "Traceback" not in child.log, child.log
        return Watched(child)


def _flows(child: Child) -> int:
    path = child.records / "flows-0.jsonl"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0  # the first line is the header
