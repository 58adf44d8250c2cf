"""The run.json of a run in progress, and its sealing on success, failure and Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

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
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record import seal as seals
from seatrial.record.documents import RunDocument, Status
from seatrial.record.folder import RunFolder
from seatrial.stack.processes import shielded

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class RunRecord:
    """The run.json of a run folder; it is saved at each step, so that a kill loses nothing."""

    def __init__(self, folder: RunFolder, document: RunDocument) -> None:
        self.folder = folder
        self.document = document
        documents.save_document(folder, document)

    def change(self, **values: Any) -> None:  # noqa: ANN401  (the fields of RunDocument, checked by its constructor)
        """Replace fields of run.json and save it."""
        self.document = replace(self.document, **values)
        documents.save_document(self.folder, self.document)

    def stamp(self, name: str) -> None:
        """Write down when a step happened, in `timing`."""
        self.change(timing={**self.document.timing, name: time.monotonic_ns()})

    def note(self, kind: NoteKind, text: str) -> None:
        """Add one warning."""
        self.change(notes=(*self.document.notes, Note(kind=kind, text=text)))

    def seal(self, status: Status, error: str = "") -> None:
        """Make tables of the streams; after this the run is finished."""
        self.document = replace(self.document, status=status, error=error)
        self.document = seals.seal(self.folder, self.document)


def is_outcome(error: BaseException) -> bool:
    """Tell whether an error is how a variant's run ended, so that it counts and other runs may go on.

    A wrong usage, a full disk, an engine that has gone, or a mistake of ours says nothing of the variant.
    """
    outcomes = (StackFailed, LoadFailed, MeasurementInvalid)
    return isinstance(error, outcomes) and not isinstance(error, EngineUnavailable)


@contextmanager
def sealed(record: RunRecord) -> Iterator[None]:
    """Seal the run at the end of the block: complete, interrupted or failed.

    Only what `is_outcome` is sealed as failed; any other error cuts the run short, as Ctrl-C and SIGTERM do, so
    that a resumed experiment does it again. Raises the error, Interrupted for Ctrl-C and SIGTERM, also where they
    came while a failed run was torn down; ResultsUnwritable where the run folder's disk is full or read-only.
    """
    root = record.folder.root
    try:
        yield
    except KeyboardInterrupt as interrupt:
        failure = (
            None if interrupt.__cause__ is None else _as_unwritable(interrupt.__cause__, root)
        )  # see `shielded`
        with shielded():
            if failure is None:
                record.note(NoteKind.INTERRUPTED, "stopped by the user before its end")
                record.seal("interrupted")
            else:
                failure = _as_unwritable(failure, root)
                with suppress(SeatrialError, OSError):
                    _seal_failed(record, failure)
        raise _interrupted(root, failure) from interrupt
    except BaseException as error:
        failure = _as_unwritable(error, root)
        try:
            with shielded(), suppress(SeatrialError, OSError):  # the first failure is the one to raise
                _seal_failed(record, failure)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(root, failure) from interrupt
        if failure is error:
            raise
        raise failure from error
    with shielded():
        record.seal("complete")
        record.stamp("exit_ns")


def _seal_failed(record: RunRecord, failure: BaseException) -> None:
    """Seal the run as failed, with the parts of its error: `seen` may be a service's log."""
    if isinstance(failure, LoadFailed):
        record.note(NoteKind.LOAD_ENDED_EARLY, failure.what)
    if isinstance(failure, StoppedEarly):
        record.note(NoteKind.STOPPED_EARLY, failure.seen)
    parts = {"type": type(failure).__name__}
    if isinstance(failure, SeatrialError):
        parts |= {"what": failure.what, "where": failure.where, "seen": failure.seen}
    record.change(failure={name: text for name, text in parts.items() if text})
    record.seal("failed" if is_outcome(failure) else "interrupted", str(failure))


def _interrupted(root: Path, failure: BaseException | None) -> Interrupted:
    return Interrupted(
        "stopped; the stack is torn down and the data is kept",
        where=str(root),
        seen="" if failure is None else f"the run had failed before: {failure}",
        hint=f"seatrial show {root}",
    )


def _as_unwritable(error: BaseException, folder: Path) -> BaseException:
    """Return ResultsUnwritable for a full disk or a folder that is read-only; any other error as it is."""
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


@contextmanager
def orderly_interrupts(say: Callable[[str], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt for the first SIGINT or SIGTERM only; later ones can't break the teardown."""
    came = []

    def once(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            say("still tearing down; a moment")
            return
        raise KeyboardInterrupt

    before = {number: signal.signal(number, once) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
