"""Recordings of plain Locust (`--record`) as run documents."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.record.documents import NO_ENGINE, RunDocument
from seatrial.record.folder import RunFolder, writing
from seatrial.wire.streams import end_mark

_NO_END_NS = 2**63 - 1
_FROM_EVENTS = "locust events"
_KEYS = ("clock", "locustfile", "locust", "host", "users", "user_classes", "options", "source", "tests", "ended")


def is_recording(folder: RunFolder) -> bool:
    """Return whether this is a recording that was not sealed yet."""
    return folder.recording.exists() and not folder.document.exists()


def check_ended(folder: RunFolder) -> None:
    """Raise UsageError while a process of the recording runs: each holds a shared lock in `streams`."""
    path = folder.streams / "lock"
    if not path.exists():
        return
    with writing(folder.root):
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            "the recording is still going on",
            where=str(folder.root),
            seen="a Locust process that may still write to it",
            hint=f"end Locust first (Ctrl-C seals what it recorded); its processes: fuser {path}",
        ) from error
    finally:
        os.close(lock)


def recording_document(folder: RunFolder) -> RunDocument:
    """Return the run.json of a recording: a window from each start of a test until its stop was requested.

    Its status is `recovered` if Locust was killed: then its last test has no end. UsageError if recording.json
    can't be read.
    """
    try:
        values: dict[str, Any] = json.loads(folder.recording.read_bytes())
        recording = {name: values[name] for name in _KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "recording.json can't be read", where=str(folder.recording), seen=f"{type(error).__name__}: {error}"
        ) from error
    spans = tuple(span for test in recording["tests"] for span in _spans(test))
    clean = recording["ended"] and all(span.until_ns != _NO_END_NS for span in spans)
    return RunDocument(
        status="complete" if clean else "recovered",
        scenario_name=recording["locustfile"],
        scenario={"load": {name: recording[name] for name in ("locustfile", "user_classes", "users", "options")}},
        engine=NO_ENGINE,
        engine_reason="Locust ran by itself; no stack was watched",
        url_via=recording["host"],
        clock=recording["clock"],
        spans=spans,
        facts={"subject": {}, "environment": {"locust": recording["locust"]}},
        notes=tuple(_notes(folder, recording["source"], clean=clean)),
    )


def _spans(test: Mapping[str, int | None]) -> Iterator[Span]:
    from_ns, stopping_ns, until_ns = (test[name] for name in ("from_ns", "stopping_ns", "until_ns"))
    if from_ns is None:
        return
    yield Span(phase=Phase.WINDOW, from_ns=from_ns, until_ns=stopping_ns or until_ns or _NO_END_NS)
    if stopping_ns is not None:
        yield Span(phase=Phase.DRAIN, from_ns=stopping_ns, until_ns=until_ns or _NO_END_NS)


def _notes(folder: RunFolder, source: str, *, clean: bool) -> Iterator[Note]:
    if source == _FROM_EVENTS:
        text = "recorded from Locust's events: no first byte, no connection, no bytes sent"
        yield Note(kind=NoteKind.LOCUST_EVENTS, text=text)
    if not clean:
        yield Note(kind=NoteKind.RECOVERED, text="Locust was ended before it could seal this recording")
    began = {int(path.stem.partition("-")[2]) for path in folder.streams.glob("generator-*.jsonl")}
    lost = sorted(worker for worker in began if not end_mark(folder.streams, worker).exists())
    if lost and clean:
        which = ", ".join(map(str, lost))
        yield Note(kind=NoteKind.WORKER_LOST, text=f"killed before their records ended: load processes {which}")
