"""Proof of every answer of a session: what the first one promised, all later ones have to keep.

Rules of RFC 9110: 14.4 (Content-Range), 15.3.7 (a 206 has the validators that a 200 would have), 8.8 (a changed
validator is another representation), 12.5.3 (no coding that the request excludes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_WHOLE = 200
_VALIDATORS = ("etag", "last-modified")
_LEFT_OUT = frozenset({"last-modified"})
"""What an answer to an If-Range should leave out, since the first one had it (15.3.7)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an answer: a word of the outcomes, and why."""

    outcome: str
    reason: str


class ByteProof(Protocol):
    """Knows what the bytes of a clip have to be."""

    def wrong(self, offset: int, view: memoryview) -> int | None:
        """Return the offset of the first byte, or block, that is wrong; None: none is known to be."""


class Proof:
    """One clip in one session."""

    def __init__(self, content: ByteProof | None = None, size: int | None = None, etag: str | None = None) -> None:
        self._content = content
        self._total = size
        self._validators: dict[str, str | None] | None = None
        self._etag = etag

    def head(self, headers: Mapping[str, str], status: int, total: int | None, *, ranged: bool) -> Finding | None:
        """Judge the head of an answer that is 206, or 200; None: nothing is wrong with it."""
        coding = headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            return Finding("rejected", f"a Content-Encoding that no player accepts: {coding[:40]}")
        changed = self._changed(headers, total)
        if changed:
            return Finding("changed", changed)
        if ranged and status == _WHOLE:
            return Finding("whole", "a 200 with the whole where a range was asked for")
        return None

    def body(self, offset: int, view: memoryview) -> Finding | None:
        """Judge the next bytes of a body, which stand at `offset` of the clip."""
        if self._content is None:
            return None
        wrong = self._content.wrong(offset, view)
        return None if wrong is None else Finding("digest", f"wrong bytes from offset {wrong} on")

    def end(self, offset: int) -> Finding | None:
        """Judge the end of a body whose head told no length, where the length of the clip is known."""
        if self._total is None or offset == self._total:
            return None
        return Finding("truncated", f"the body ended at byte {offset}, the clip has {self._total}")

    def _changed(self, headers: Mapping[str, str], total: int | None) -> str:
        if self._validators is None:
            self._validators = {name: headers.get(name) for name in _VALIDATORS}
            if self._etag is not None and headers.get("etag") != self._etag:
                return f"the ETag is not the catalogue's: {headers.get('etag', 'none')[:80]}"
        for name in _VALIDATORS:
            before, now = self._validators[name], headers.get(name)
            if before != now and not (name in _LEFT_OUT and now is None):
                return f"{name} was {(before or 'none')[:80]}, and now is {(now or 'none')[:80]}"
        if total is not None and self._total is not None and total != self._total:
            return f"the length was {self._total}, and now is {total}"
        self._total = self._total if total is None else total
        return ""
