"""What differs between two sessions: a player's captured one, and one of its model or a newer capture.

Offsets and counts depend on how fast a machine answers, so requests are compared by their role in the session:

- `start`: the first one, from byte 0 on;
- `index`: it begins within two blocks before the moov at the end; `seek N`: likewise before the target of the
  N-th seek; `media`: at the first sample;
- `on`: it goes on where an earlier one had come to, or within what that had brought: between a browser's processes
  some of it is lost when a request is dropped;
- `elsewhere`: none of these.

A request that its client dropped within two blocks, to ask for the same bytes once more, is left out: browsers do
so when their cache is not ready, now and then. A body of which a 50th or less lacked when the capture ended counts
as complete: its last bytes come a moment before or after the end, as fast as the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cases import SEEK
from golden_session import Asked, Session

BLOCK = 32 * 1024
NEAR = 2 * BLOCK
_BOX_HEADER = 16
_BRIEF_S = 1.0
"""How much a request brings that is dropped sooner depends on how fast the machine is, and is not compared."""
_ALMOST = 0.02
BY_CLIENT, BY_END = "by the client", "by the end of the capture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What may differ: bytes taken by so much, or by that share of what was expected."""

    bytes_: int = 80 * BLOCK
    share: float = 0.25


@dataclass(frozen=True, slots=True)
class Told:
    """What is compared of a request."""

    role: str
    open_ended: bool
    if_range: bool
    reused: bool
    ended: str


def differences(expected: Session, seen: Session, tolerance: Tolerance) -> list[str]:
    """Return what differs, one line each; empty if nothing does."""
    wanted, found = lasting(expected.requests), lasting(seen.requests)
    roles = [list(_told(session, requests)) for session, requests in ((expected, wanted), (seen, found))]
    if roles[0] != roles[1]:
        return [f"expected: {one}" for one in roles[0]] + [f"    seen: {one}" for one in roles[1]]
    return [
        f"request {number} ({told.role}) took {theirs.taken} bytes, expected {ours.taken}"
        for number, (told, ours, theirs) in enumerate(zip(roles[0], wanted, found, strict=True), start=1)
        if ours.ended_s - ours.at_s > _BRIEF_S
        and abs(theirs.taken - ours.taken) > max(tolerance.bytes_, tolerance.share * ours.taken)
    ]


def lasting(requests: Sequence[Asked]) -> list[Asked]:
    """Return the requests without those that were dropped at once and asked again."""
    kept = []
    for number, one in enumerate(requests):
        later = requests[number + 1 :]
        again = any(abs(other.first - one.first) <= one.taken + NEAR for other in later[:1])
        if not (one.ended == BY_CLIENT and one.taken <= NEAR and again):
            kept.append(one)
    return kept


def _told(session: Session, requests: Sequence[Asked]) -> Iterator[Told]:
    names = [{name.lower() for name, _ in one} for one in session.header_sets]
    for number, one in enumerate(requests):
        yield Told(
            role=_role(session, requests[:number], one),
            open_ended=one.range is not None and one.range.endswith("-"),
            if_range="if-range" in names[one.headers],
            reused=one.reused,
            ended="complete" if _is_complete(one) else one.ended,
        )


def _is_complete(one: Asked) -> bool:
    allowed = _ALMOST * one.length if one.ended == BY_END else 0.0
    return one.length - one.taken <= allowed


def _role(session: Session, before: Sequence[Asked], one: Asked) -> str:
    if one.first == 0 and not before:
        return "start"
    if _leads_to(one.first, session.clip.moov_offset) and session.clip.moov == "last":
        return "index"
    seeks = [action for action in session.actions if action.what == SEEK]
    for number, action in reversed([*enumerate(seeks, start=1)]):
        if action.offset is not None and _leads_to(one.first, action.offset):
            return f"seek {number}"
    if abs(one.first - session.clip.mdat_offset) <= _BOX_HEADER:
        return "media"
    if any(other.first < one.first <= other.first + other.arrived + NEAR for other in before):
        return "on"
    return "elsewhere"


def _leads_to(first: int, offset: int) -> bool:
    return offset - NEAR <= first <= offset
