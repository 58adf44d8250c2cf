"""Whatever becomes of a run, its data up to that moment is sealed before the error goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seatrial.campaign.journal import Journal
from seatrial.errors import (
    EngineUnavailable,
    Interrupted,
    LoadFailed,
    MeasurementInvalid,
    ResultsUnwritable,
    SeatrialError,
    StackFailed,
    StoppedEarly,
)
from seatrial.model import NoteKind
from seatrial.stack.guard import shielded

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def is_outcome(error: BaseException) -> bool:
    """Tell whether an error is how a variant's run ended, so that it counts and other runs may go on.

    A wrong usage, a full disk, an engine that has gone, or a mistake of ours says nothing of the variant.
    """
    outcomes = (StackFailed, LoadFailed, MeasurementInvalid)
    return isinstance(error, outcomes) and not isinstance(error, EngineUnavailable)


@contextmanager
def sealed(journal: Journal) -> Iterator[None]:
    """Seal the run at the end of the block: complete, interrupted or failed.

    Only what `is_outcome` is sealed as failed; any other error cuts the run short, as Ctrl-C and SIGTERM do, so
    that a resumed experiment does it again. Raises the error, Interrupted for Ctrl-C and SIGTERM, also where they
    came while a failed run was torn down; ResultsUnwritable where the run folder's disk is full or read-only.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        with shielded():
            failure = _seal_interrupted(journal, error)
        raise _interrupted(journal, failure) from error
    except BaseException as error:
        failure = _told(error, journal.folder.root)
        try:
            with shielded(), suppress(SeatrialError, OSError):  # the first failure is the one to tell
                _seal_failed(journal, failure)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(journal, failure) from interrupt
        if failure is error:
            raise
        raise failure from error
    with shielded():
        journal.seal("complete")
        journal.stamp("exit_ns")


def _seal_interrupted(journal: Journal, interrupt: KeyboardInterrupt) -> BaseException | None:
    """Seal the run as what it was when the signal came; return the failure that it was torn down for, if any."""
    failure = interrupt.__cause__  # see `shielded`
    if failure is None:
        journal.note(NoteKind.INTERRUPTED, "stopped by the user before its end")
        journal.seal("interrupted")
        return None
    failure = _told(failure, journal.folder.root)
    with suppress(SeatrialError, OSError):
        _seal_failed(journal, failure)
    return failure


def _seal_failed(journal: Journal, failure: BaseException) -> None:
    if isinstance(failure, LoadFailed):
        journal.note(NoteKind.LOAD_ENDED_EARLY, failure.what)
    if isinstance(failure, StoppedEarly):
        journal.note(NoteKind.STOPPED_EARLY, failure.seen)
    journal.change(failure=_parts(failure))
    journal.seal("failed" if is_outcome(failure) else "interrupted", str(failure))


def _parts(failure: BaseException) -> dict[str, str]:
    """Return what weighing tells apart: the words of a service's log from those of the error."""
    told = {"type": type(failure).__name__}
    if isinstance(failure, SeatrialError):
        told |= {"what": failure.what, "where": failure.where, "seen": failure.seen}
    return {name: text for name, text in told.items() if text}


def _interrupted(journal: Journal, failure: BaseException | None) -> Interrupted:
    root = journal.folder.root
    return Interrupted(
        "stopped; the stack is torn down and the data is kept",
        where=str(root),
        seen="" if failure is None else f"the run had failed before: {failure}",
        hint=f"seatrial show {root}",
    )


def _told(error: BaseException, folder: Path) -> BaseException:
    """Say a full or read-only disk as such, whoever ran into it."""
    if not isinstance(error, OSError):
        return error
    ours = error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(folder)
    if error.errno in _FULL or (ours and error.errno in _FORBIDDEN):
        return ResultsUnwritable(
            "the run folder can't be written",
            where=os.fsdecode(error.filename) if error.filename else str(folder),
            seen=os.strerror(error.errno),
            hint="make room, or choose another folder: --results DIR",
        )
    return error
