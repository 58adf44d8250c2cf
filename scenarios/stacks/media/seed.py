"""Fills the stack with test clips, each of whose bytes is known, and writes what is there to the catalogue.

Environment: SEATRIAL_FRONT_DOOR (URL), SEATRIAL_CATALOGUE (file to write; catalogue.json), MEDIA_INGEST_TOKEN.
What is there already is not sent again. Exit code 1 and one line on stderr when it fails. Needs `seatrial` itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from seatrial.errors import SeatrialError
from seatrial.media.clip import Clip

_ZIPF = 0.9  # of video popularity 0.8 to 1.2 is reported, of the web 0.6 to 1.0
_TIMEOUT_S = (5, 120)
_PROBE_BYTES = 65_536
_MOST_CLIPS = 1000
_UNITS = {"": 1, "k": 1000, "M": 1_000_000}


class SeedFailed(Exception):
    """The front door did not take a clip, or does not give it back as it was."""


class ClipBody:
    """A clip as a file-like body of known length: sent with a Content-Length, and never whole in memory."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._offset = 0

    def __len__(self) -> int:
        """Return the bytes that are left."""
        return int(self._clip.size) - self._offset

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes; empty at the end."""
        wanted = len(self) if count < 0 else min(max(count, 1 << 20), len(self))
        piece = bytes(self._clip.read(self._offset, wanted)) if wanted else b""
        self._offset += len(piece)
        return piece


class Seeder:
    """Sends clips through the front door, and proves that they are there unless they are to stay unread."""

    def __init__(self, front_door: str, token: str, *, unread: bool = False) -> None:
        self._unread = unread
        self._front_door = front_door.rstrip("/")
        self._session = requests.Session()
        self._authorization = {"Authorization": f"Bearer {token}"}
        self.sent = 0
        self.present = 0

    def put(self, name: str, clip: Clip, *, gid: int | None = None) -> None:
        """Send a clip, unless it is there; raises SeedFailed, or OSError when nothing answers."""
        if not self._unread and self._is_there(name, clip):
            self.present += 1
            return
        headers = self._authorization | ({} if gid is None else {"X-Asset-Gid": str(gid)})
        url = f"{self._front_door}/ingest/{name}"
        answer = self._session.put(url, data=ClipBody(clip), headers=headers, timeout=_TIMEOUT_S)
        if answer.status_code not in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            raise SeedFailed(f"PUT {url}: {answer.status_code} {answer.text[:200]}")
        self.sent += 1
        if gid is None and not self._unread and not self._is_there(name, clip):
            raise SeedFailed(f"{name} was sent, and does not come back as it was")

    def _is_there(self, name: str, clip: Clip) -> bool:
        """Return whether three stretches of the clip are served as they ought to be: its begin, middle and end."""
        for offset in (0, clip.size // 2, max(0, clip.size - _PROBE_BYTES)):
            last = min(clip.size, offset + _PROBE_BYTES) - 1
            answer = self._session.get(
                f"{self._front_door}/media/{name}",
                headers={"Range": f"bytes={offset}-{last}"},
                timeout=_TIMEOUT_S,
                stream=True,
            )
            with answer:
                if answer.headers.get("Content-Range") != f"bytes {offset}-{last}/{clip.size}":
                    return self._is_whole(answer, clip)
                if clip.matches(offset, memoryview(answer.content)) != -1:
                    return False
        return True

    def _is_whole(self, answer: requests.Response, clip: Clip) -> bool:
        """Return whether a service without ranges sends the clip from its begin."""
        if answer.status_code != HTTPStatus.OK:
            return False
        piece = next(answer.iter_content(_PROBE_BYTES), b"")
        return bool(piece) and clip.matches(0, memoryview(piece)) == -1


def clips(arguments: argparse.Namespace) -> list[tuple[str, Clip]]:
    """Return the planned clips by name: the same for the same arguments."""
    moov = ("first", "last") if arguments.moov == "both" else (arguments.moov,)
    planned = [
        (
            f"clip-{number}.mp4",
            Clip(
                duration_s=arguments.duration,
                bitrate_bps=arguments.bitrate,
                moov=moov[number % len(moov)],
                seed=arguments.seed + number,
            ),
        )
        for number in range(arguments.clips)
    ]
    if arguments.no_newlines:
        one_line = Clip(
            duration_s=arguments.duration,
            bitrate_bps=arguments.bitrate,
            moov=moov[0],
            seed=arguments.seed + arguments.clips,
            newlines=False,
        )
        planned.append(("clip-no-newlines.mp4", one_line))
    return planned


def main(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Seed as asked; raises SeedFailed, SeatrialError for a clip that can't be, or OSError."""
    arguments = _parser().parse_args(argv)
    front_door = environment.get("SEATRIAL_FRONT_DOOR")
    if not front_door:
        raise SeedFailed("SEATRIAL_FRONT_DOOR is not set; for example http://127.0.0.1:8080")
    seeder = Seeder(front_door, environment.get("MEDIA_INGEST_TOKEN", "throw-away"), unread=arguments.unread)
    entries = []
    for rank, (name, clip) in enumerate(clips(arguments), start=1):
        seeder.put(name, clip)
        entries.append(_entry(f"/media/{name}", clip, popularity=rank**-_ZIPF))
    if arguments.vault:
        vault = Clip(duration_s=5, bitrate_bps=arguments.bitrate, moov="first", seed=arguments.seed)
        seeder.put("vault-0.mp4", vault, gid=6000)
    catalogue = {"schema": 1, "clips": entries, "real": [], "sent": seeder.sent, "present": seeder.present}
    _write(Path(environment.get("SEATRIAL_CATALOGUE", "catalogue.json")), catalogue)


def _entry(path: str, clip: Clip, *, popularity: float) -> dict[str, Any]:
    # No ETag: nginx and Flask make theirs by rules of their own, and each variant has its server.
    return {"path": path, "clip": clip.spec(), "etag": None, "size": clip.size, "popularity": round(popularity, 4)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seed.py", description="Fills the media stack with test clips.")
    parser.add_argument("--clips", type=_count, default=4)
    parser.add_argument("--duration", type=float, default=60.0, help="seconds of each clip")
    parser.add_argument("--bitrate", type=_bitrate, default="4M", help="bits a second: 800k, 4M")
    parser.add_argument(
        "--moov", choices=("first", "last", "both"), default="both", help="where the index is; both: by turns"
    )
    parser.add_argument("--no-newlines", action="store_true", help="one clip more, without any newline byte")
    parser.add_argument(
        "--vault", action="store_true", help="one clip more, vault-0.mp4, of a group that only `guest` has"
    )
    parser.add_argument(
        "--unread",
        action="store_true",
        help="send without reading anything back, so that a cache stays empty",
    )
    parser.add_argument("--seed", type=int, default=7)
    return parser


def _count(text: str) -> int:
    if not 1 <= int(text) <= _MOST_CLIPS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_CLIPS}")
    return int(text)


def _bitrate(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a bit rate such as 800k or 4M")
    return int(float(match[1]) * _UNITS[match[2]])


def _write(path: Path, catalogue: Mapping[str, Any]) -> None:
    """Write the whole catalogue or none."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps(catalogue, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except (SeedFailed, SeatrialError, OSError) as error:
        raise SystemExit(f"seed.py: {error}") from None
