"""The run.json of a run in progress (RunRecord), and its sealing on success, failure and Ctrl-C."""

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
from seatrial.record.documents import RunDocument, Status
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.stack.processes import shielded

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class RunRecord:
    """The run.json of a run folder, saved at each step, so that a kill loses nothing."""

    def __init__(self, folder: RunFolder, document: RunDocument) -> None:
        self.folder = folder
        self.document = document
        documents.save_document(folder, document)

    def change(self, **values: Any) -> None:  # noqa: ANN401  (the fields of RunDocument, checked by its constructor)
        """Replace fields of run.json and save it."""
        self.document = replace(self.document, **values)
        documents.save_document(self.folder, self.document)

    def stamp(self, name: str) -> None:
        """Record in `timing` that a step happened now."""
        self.change(timing={**self.document.timing, name: time.monotonic_ns()})

    def note(self, kind: NoteKind, text: str) -> None:
        """Add one warning."""
        self.change(notes=(*self.document.notes, Note(kind=kind, text=text)))

    def seal(self, status: Status, error: str = "") -> None:
        """Make tables of the streams: the run is finished then."""
        self.document = replace(self.document, status=status, error=error)
        self.document = seal(self.folder, self.document)


def is_outcome(error: BaseException) -> bool:
    """Return whether an error is the outcome of a variant's run, which counts, and after which other runs go on.

    Wrong usage, a full disk, a missing engine and bugs are no outcome: they have nothing to do with the variant.
    """
    outcomes = (StackFailed, LoadFailed, MeasurementInvalid)
    return isinstance(error, outcomes) and not isinstance(error, EngineUnavailable)


@contextmanager
def sealed(record: RunRecord) -> Iterator[None]:
    """Seal the run at the end of the block: complete, interrupted or failed.

    Only an outcome (`is_outcome`) is sealed as failed. Any other error, Ctrl-C and SIGTERM interrupt the run, so
    that a resumed experiment does it again. Raises the error; Interrupted for Ctrl-C and SIGTERM, even if they
    come while a failed run is torn down; ResultsUnwritable if the disk of the run folder is full or read-only.
    """
    root = record.folder.root
    try:
        yield
    except KeyboardInterrupt as interrupt:
        cause = interrupt.__cause__  # set by `shielded`: the run had failed before
        failure = None if cause is None else _as_unwritable(cause, root)
        with shielded():
            if failure is None:
                record.note(NoteKind.INTERRUPTED, "stopped by the user before its end")
                record.seal("interrupted")
            else:
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
    """Seal the run with its error: as failed if that is an outcome, else as interrupted."""
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
    """Return ResultsUnwritable for a full disk or a read-only run folder; any other error as it is."""
    if not isinstance(error, OSError):
        return error
    path = Path(os.fsdecode(error.filename)) if error.filename else None
    inside = path is not None and path.is_relative_to(folder)
    if error.errno in _FULL or (inside and error.errno in _FORBIDDEN):
        return ResultsUnwritable(
            "the run folder can't be written",
            where=str(path or folder),
            seen=os.strerror(error.errno),
            hint="make room, or choose another folder: --results DIR",
        )
    return error


@contextmanager
def orderly_interrupts(say: Callable[[str], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt for the first SIGINT or SIGTERM only: later ones must not break the teardown."""
    received = []

    def interrupt_once(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise KeyboardInterrupt
        say("still tearing down; a moment")

    before = {number: signal.signal(number, interrupt_once) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
