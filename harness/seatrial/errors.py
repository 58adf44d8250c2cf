"""Every error that Seatrial raises on purpose, each with its exit code.

    SeatrialError
    ├── UsageError                2   the command line, or a file that it names, is wrong
    │   ├── ScenarioInvalid       2   carries every problem of the file at once
    │   └── Mp4Error              2   a file is no MP4 file, or one that can't be indexed
    ├── StackFailed               3   the services under test did not come up, or fell over
    │   ├── EngineUnavailable     3   no Docker daemon, no Compose v2, or no server programs
    │   ├── ImageMissing          3   an image can neither be found nor be built
    │   ├── PortTaken             3   an address is in use by another program
    │   ├── ServiceExited         3   a service ended while the stack was awaited
    │   ├── NotReady              3   a declared probe did not succeed within its deadline
    │   ├── SeedFailed            3   the stack's seeding command failed
    │   └── PreflightFailed       3   the stack does not answer what the load's clients rely on
    ├── LoadFailed                4   the load generator ended early, or never started
    ├── MeasurementInvalid        5   the measurement can't be trusted
    │   └── StoppedEarly          5   a rule of `stop_when` ended the run
    ├── Incomparable              6   the environment of a stored experiment was another one
    ├── ResultsUnwritable         8   results can't be written (disk full, no permission)
    └── Interrupted             130   Ctrl-C; the stack was torn down and the data kept

A message says what failed, where, what was seen, what was expected, and a hint with a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The exit code of a command; where several apply, the first of this list wins."""

    INTERRUPTED = 130
    OUR_FAULT = 70
    USAGE = 2
    STACK_FAILED = 3
    LOAD_FAILED = 4
    UNWRITABLE = 8
    INVALID = 5
    INCOMPARABLE = 6
    BROKEN = 1
    NOT_DECIDED = 7
    KEPT = 0

    @classmethod
    def gravest(cls, codes: Iterable[ExitCode]) -> ExitCode:
        """Return the one that wins; KEPT if there is none."""
        given = set(codes)
        return next((code for code in cls if code in given), cls.KEPT)


class SeatrialError(Exception):
    """Something failed in a way that the user can act on."""

    exit_code: ClassVar[ExitCode] = ExitCode.OUR_FAULT

    def __init__(self, what: str, *, where: str = "", seen: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.seen = seen
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        parts = {"where": self.where, "seen": self.seen, "expected": self.expected, "hint": self.hint}
        lines = [
            f"  {label + ':':<10}{text}".replace("\n", "\n" + " " * 12) for label, text in parts.items() if text
        ]
        return "\n".join([self.what, *lines])


class UsageError(SeatrialError):
    """The command line, or a file that it names, is wrong."""

    exit_code = ExitCode.USAGE


class ScenarioInvalid(UsageError):
    """A scenario has problems; all of them are reported at once."""


class Mp4Error(UsageError):
    """A file is no MP4 file, or one that can't be indexed; `where` names the byte."""


class StackFailed(SeatrialError):
    """The services under test did not come up, or fell over."""

    exit_code = ExitCode.STACK_FAILED


class EngineUnavailable(StackFailed):
    """No Docker daemon answers, Compose v2 is missing, or the embedded engine lacks programs."""


class ImageMissing(StackFailed):
    """An image can neither be found nor be built."""


class PortTaken(StackFailed):
    """An address that a service wants is in use by another program."""


class ServiceExited(StackFailed):
    """A service ended while the stack was awaited."""


class NotReady(StackFailed):
    """A declared probe did not succeed within its deadline."""


class SeedFailed(StackFailed):
    """The stack's seeding command failed."""


class PreflightFailed(StackFailed):
    """The stack does not answer what the load's clients rely on."""


class LoadFailed(SeatrialError):
    """The load generator ended early, or never started."""

    exit_code = ExitCode.LOAD_FAILED


class MeasurementInvalid(SeatrialError):
    """The measurement can't be trusted."""

    exit_code = ExitCode.INVALID


class StoppedEarly(MeasurementInvalid):
    """A rule of `stop_when` ended the run before its time."""


class Incomparable(SeatrialError):
    """A stored experiment was measured in another environment."""

    exit_code = ExitCode.INCOMPARABLE


class ResultsUnwritable(SeatrialError):
    """The run folder, or another file that was asked for, can't be written."""

    exit_code = ExitCode.UNWRITABLE


class Interrupted(SeatrialError):
    """The user stopped the run; the stack was torn down and the data kept."""

    exit_code = ExitCode.INTERRUPTED
