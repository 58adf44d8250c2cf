"""Catalogues of media: which clips a server has, how popular they are, and what their bytes have to be.

    {"clips": [{"path": "/media/0.mp4", "clip": {...}, "etag": null, "size": 1000, "popularity": 2.0}],
     "real": [{"path": "/media/real.mp4", "digests": {...}, "popularity": 1.0}]}

`clip` is `Clip.spec()`, `digests` is `digests.make`. What is not known may be null or left out: without either the
bytes are not proved, without `popularity` the order is that of the ranks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from seatrial.errors import UsageError
from seatrial.media.clip import Clip
from seatrial.media.digests import Checker, Digests

_NO_ENTRY = "a catalogue of media is a JSON object with lists `clips` and `real`"


class ClipProof:
    """Proves the bytes of a test clip."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def wrong(self, offset: int, view: memoryview) -> int | None:
        """Return the offset of the first wrong byte."""
        at = self._clip.matches(offset, view)
        return None if at < 0 else offset + at


class DigestProof:
    """Proves the whole blocks of a file that come in one piece, one stream of bytes at a time."""

    def __init__(self, digests: Digests) -> None:
        self._checker = Checker(digests)

    def wrong(self, offset: int, view: memoryview) -> int | None:
        """Return the offset of the first wrong block that has become complete."""
        at = self._checker.feed(offset, view)
        return None if at < 0 else at


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip of a catalogue; `popularity` None: not told."""

    path: str
    size: int | None = None
    etag: str | None = None
    popularity: float | None = None
    clip: Clip | None = None
    digests: Digests | None = None

    @property
    def name(self) -> str:
        """The path without its query, which may be a signature: what records tell of the clip."""
        return self.path.partition("?")[0]

    def proof(self) -> ClipProof | DigestProof | None:
        """Return what proves the bytes of one session; None: nothing can."""
        if self.clip is not None:
            return ClipProof(self.clip)
        return None if self.digests is None else DigestProof(self.digests)


def entries(text: bytes | str) -> tuple[Entry, ...]:
    """Read a catalogue; UsageError if it is none."""
    try:
        listed = json.loads(text)
        found = [_entry(one) for key in ("clips", "real") for one in listed.get(key, [])]
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(_NO_ENTRY, seen=f"{type(error).__name__}: {error}") from error
    if not found:
        raise UsageError("the catalogue lists no clip", expected=_NO_ENTRY)
    return tuple(found)


def load(path: str) -> tuple[Entry, ...]:
    """Read a catalogue's file, once for all users, and again when it has changed; UsageError if it is none."""
    try:
        return _load(path, Path(path).stat().st_mtime_ns)
    except (OSError, UsageError) as error:
        seen = f"{error.what}: {error.seen}" if isinstance(error, UsageError) else error.strerror or str(error)
        raise UsageError("the catalogue can't be used", where=path or "--media-catalogue", seen=seen) from error


@lru_cache(maxsize=4)
def _load(path: str, _changed_ns: int) -> tuple[Entry, ...]:
    return entries(Path(path).read_bytes())


def _entry(listed: Mapping[str, Any]) -> Entry:
    path, popularity = str(listed["path"]), listed.get("popularity")
    if not path.startswith("/"):
        raise ValueError(f"not a path from the root: {path!r}")
    clip = Clip.from_spec(listed["clip"]) if listed.get("clip") else None
    digests = Digests(listed["digests"]) if listed.get("digests") else None
    size = listed.get("size")
    if size is None and clip is not None:
        size = clip.size
    if size is None and digests is not None:
        size = digests.size
    if popularity is not None and not 0 <= float(popularity) < float("inf"):
        raise ValueError(f"not a popularity: {popularity!r}")
    etag = listed.get("etag")
    return Entry(
        path,
        None if size is None else int(size),
        None if etag is None else str(etag),
        None if popularity is None else float(popularity),
        clip,
        digests,
    )
