"""Why a run failed, in words that are the same in every block: from the error's type where run.json has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from seatrial import errors
from seatrial.errors import SeatrialError, StackFailed, StoppedEarly

KILLED = "killed for memory"
FAILED = "failed"

_OUTCOMES: Mapping[type[SeatrialError], str] = {
    errors.ImageMissing: "could not be built",
    errors.SeedFailed: "could not be seeded",
    errors.NotReady: "never became ready",
    errors.ServiceExited: "a service exited",
}
_ITS_OWN = (StackFailed, StoppedEarly)
_NOT_ITS_OWN = (errors.EngineUnavailable, errors.PortTaken)

_WORDS: tuple[tuple[tuple[str, ...], type[SeatrialError]], ...] = (
    (("images could not be built", "image can't be built", "can't be pulled"), errors.ImageMissing),
    (("is not ready", "are not running after"), errors.NotReady),
    (("seeding",), errors.SeedFailed),
    (("is not running", "exited", "did not end within", "ended with exit code"), errors.ServiceExited),
)
_NOT_ITS_FAULT = (
    "load generator",
    "control socket",
    "docker daemon",
    "no compose",
    "run folder can't be written",
    "dead-man",
    "watchdog",
    "is in use",
    "is taken",
    "server programs",
    "sampler",
    "out of date",
)
"""Both are looked for in the first line, less quoted names, where run.json has no type, or only a general one."""

_KILLED = re.compile(
    r"(?<![\w/.-])(killed for want of memory|out of memory|oom|exit code 137|exited \(137\))(?![\w/-])",
    re.IGNORECASE,
)
"""Looked for in the first line only: paths and logs stand in the others. 137 is 128 and SIGKILL."""

_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)")
_STATUS = re.compile(r"(?<![\w/.-])exited \(137\)", re.IGNORECASE)
"""What Docker says of a container, in any line."""

_NO_SPACE = "no space left on device"
"""ENOSPC in the words of errno(3); a service may write of other space that is left, or of none."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`what` failed, in one line, and what was `seen`; `kind` is the error's class, None if nobody knows it."""

    what: str
    seen: str
    kind: type[SeatrialError] | None


def of(error: str, told: Mapping[str, str]) -> Failure:
    """Return the failure that run.json tells of: by its `failure`, else by the text of `error`."""
    first, _, rest = error.partition("\n")
    what = told.get("what", first).partition("\n")[0]
    named = getattr(errors, told.get("type", ""), None)
    known = isinstance(named, type) and issubclass(named, SeatrialError)
    return Failure(what, told.get("seen", rest), named if known else None)


def is_its_own(failure: Failure) -> bool:
    """Tell whether the stack failed; what befell generator, daemon, disk or sampler is not its fault."""
    if failure.kind is None or failure.kind is StackFailed:
        what = _unquoted(failure.what).lower()
        return not any(word in what for word in _NOT_ITS_FAULT)
    return issubclass(failure.kind, _ITS_OWN) and not issubclass(failure.kind, _NOT_ITS_OWN)


def was_killed(failure: Failure) -> bool:
    """Tell whether a service was killed for want of memory."""
    return _KILLED.search(_unquoted(failure.what)) is not None or _STATUS.search(failure.seen) is not None


def ended(failure: Failure) -> str:
    """Return the outcome of a variant whose stack failed.

    ENOSPC is believed of what ended, whose last words were seen; what a service wrote that runs on is no reason.
    """
    kind = _general(failure) if failure.kind in (None, StackFailed) else failure.kind
    if kind is not errors.NotReady and _NO_SPACE in failure.seen.lower():
        return "ran out of space"
    return _OUTCOMES.get(kind, FAILED) if kind is not None else FAILED


def _general(failure: Failure) -> type[SeatrialError] | None:
    what = _unquoted(failure.what).lower()
    return next((kind for words, kind in _WORDS if any(word in what for word in words)), None)


def _unquoted(text: str) -> str:
    return _QUOTED.sub("", text)
