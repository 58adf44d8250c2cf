"""How a run is sealed: complete, failed or interrupted, by what ended it, or recovered once its owner is dead."""

import errno
import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from seatrial import errors
from seatrial.errors import Interrupted, LoadFailed, NotReady, SeatrialError, UsageError
from seatrial.experiment import maintenance
from seatrial.experiment.run_record import RunRecord, sealed
from seatrial.model import NoteKind
from seatrial.record import documents
from seatrial.record.documents import RunDocument, Status
from seatrial.stack.cleanup import this_owner
from seatrial.stack.processes import shielded

ME = this_owner()
SEEN = "failures > 20%: failures was at 50 % in one second"


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """Begin a run."""
    return RunRecord(factories.run(tmp_path), replace(factories.document(), sealed=False, status="running"))


def _ended(record: RunRecord, status: Status) -> RunDocument:
    document = documents.load_document(record.folder)
    assert (document.status, document.sealed) == (status, True)
    return document


def test_a_run_that_ends_well_is_sealed_as_complete(record: RunRecord) -> None:
    """Its timing has the end."""
    with sealed(record):
        pass

    assert _ended(record, "complete").timing["exit_ns"] <= time.monotonic_ns()


def test_an_interrupt_is_sealed_with_a_note(record: RunRecord) -> None:
    """The data is kept."""
    with pytest.raises(Interrupted), sealed(record):
        raise KeyboardInterrupt

    assert NoteKind.INTERRUPTED in [note.kind for note in _ended(record, "interrupted").notes]


def _fail_and_interrupt(record: RunRecord, error: BaseException) -> None:
    """Fail in a run; Ctrl-C is pressed while its stack is torn down."""
    with sealed(record):
        try:
            raise error
        finally:
            with shielded():
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("error", "status"), [(NotReady("it fell over"), "failed"), (UsageError("it fell over"), "interrupted")]
)
def test_an_interrupt_while_a_failed_run_is_torn_down_is_raised(
    record: RunRecord, error: SeatrialError, status: Status
) -> None:
    """The run is sealed by its own error, which the Interrupted quotes."""
    with pytest.raises(Interrupted) as caught:
        _fail_and_interrupt(record, error)

    assert _ended(record, status).error == "it fell over"
    assert caught.value.seen == "the run had failed before: it fell over"


def test_an_interrupt_while_a_failed_run_is_sealed_is_raised(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing takes seconds after a long run."""
    seal = record.seal

    def interrupted(status: Status, error: str) -> None:
        signal.raise_signal(signal.SIGINT)
        seal(status, error)

    monkeypatch.setattr(record, "seal", interrupted)
    with pytest.raises(Interrupted), sealed(record):
        raise LoadFailed("it fell over")

    assert NoteKind.LOAD_ENDED_EARLY in [note.kind for note in _ended(record, "failed").notes]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *((kind("it fell over"), "failed") for kind in (LoadFailed, NotReady, errors.MeasurementInvalid)),
        *((kind("it fell over"), "interrupted") for kind in (RuntimeError, UsageError, errors.ResultsUnwritable)),
        *((kind("it fell over"), "interrupted") for kind in (errors.EngineUnavailable, errors.Incomparable)),
    ],
)
def test_only_an_outcome_of_the_variant_is_a_failure(record: RunRecord, error: Exception, status: Status) -> None:
    """A run that anything else ended is sealed, too, but a resumed experiment does it again."""
    with pytest.raises(type(error)), sealed(record):
        raise error

    document = _ended(record, status)
    assert document.error == "it fell over"
    assert document.failure == {"type": type(error).__name__} | (
        {"what": "it fell over"} if isinstance(error, SeatrialError) else {}
    )


def test_a_run_that_a_rule_ended_has_what_was_seen_in_its_notes(record: RunRecord) -> None:
    """It is sealed as failed: in a comparison this is its outcome."""
    with pytest.raises(errors.StoppedEarly), sealed(record):
        raise errors.StoppedEarly("the run was stopped early", seen=SEEN)

    assert [note.text for note in _ended(record, "failed").notes if note.kind is NoteKind.STOPPED_EARLY] == [SEEN]


def test_a_full_disk_has_an_error_of_its_own(record: RunRecord) -> None:
    """Whichever file it was; EACCES is about the run folder only if it names a file in it."""
    with pytest.raises(errors.ResultsUnwritable), sealed(record):
        raise OSError(errno.ENOSPC, "no", "/somewhere/override.yaml")
    with pytest.raises(PermissionError), sealed(record):
        raise OSError(errno.EACCES, "no", "/usr/bin/docker")


@pytest.mark.parametrize(
    ("owner", "what"),
    [
        (str(replace(ME, start_ticks=1)), ""),
        (str(ME), "the run is still running"),
        (str(replace(ME, pid_namespace="1")), "it is unknown whether"),
        (str(replace(ME, boot="another", machine="another")), "it is unknown whether"),
        ("42:1:boot", "it is unknown whether"),
    ],
    ids=["dead", "lives", "another namespace", "another machine", "not readable"],
)
def test_a_run_is_recovered_only_if_its_owner_is_dead(tmp_path: Path, owner: str, what: str) -> None:
    """With the removal of its private files; of one that may go on, here or elsewhere, nothing is touched."""
    folder = factories.run(tmp_path, status="running", owner=owner)
    (folder.root / "work").mkdir()
    (folder.root / "work/secret.yaml").touch()
    with pytest.raises(UsageError, match=what) if what else nullcontext():
        maintenance.recover(folder)
    assert (folder.root / "work").exists() == bool(what)
    assert (documents.load_document(folder).status == "recovered") != bool(what)
