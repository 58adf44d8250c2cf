"""What the order of things rests on: secrets, parameters, sealing, the clock."""

import errno
import signal
import time
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from seatrial.errors import (
    EngineUnavailable,
    Incomparable,
    Interrupted,
    LoadFailed,
    MeasurementInvalid,
    NotReady,
    ResultsUnwritable,
    SeatrialError,
    StoppedEarly,
    UsageError,
)
from seatrial.experiment import trial
from seatrial.experiment.request import Request, command_began_ns, stack_secrets, variant_request
from seatrial.experiment.run_record import RunRecord, sealed
from seatrial.experiment.trial import RunContext
from seatrial.load.pinning import Pinning
from seatrial.model import EngineName, Load, NoteKind, Variant
from seatrial.record import documents
from seatrial.record.documents import Status
from seatrial.scenario import reading
from seatrial.stack.engine import Choice
from seatrial.stack.processes import shielded
from seatrial.wire import rates
from seatrial.wire.rates import Rate


def _journal(tmp_path: Path) -> RunRecord:
    return RunRecord(factories.run(tmp_path), replace(factories.document(), sealed=False, status="running"))


def test_secrets_are_new_words_for_each_run() -> None:
    """Nobody can guess them, and none is used twice."""
    scenario = reading.read("registry-pull")

    first, second = (stack_secrets(scenario, EngineName.COMPOSE, {}) for _ in range(2))

    assert len(first["REGISTRY_PASSWORD"]) >= 24
    assert first != second


def test_secrets_that_the_user_has_set_are_kept() -> None:
    """A stack that is up has its own words; without them the run can't log in."""
    scenario = reading.read("registry-pull")

    assert stack_secrets(scenario, EngineName.ATTACH, {"REGISTRY_PASSWORD": "w"}) == {"REGISTRY_PASSWORD": "w"}
    with pytest.raises(UsageError, match="was not given"):
        stack_secrets(scenario, EngineName.ATTACH, {})


def test_a_variant_has_its_parameters_above_those_of_the_load(tmp_path: Path) -> None:
    """The load of the run that is recorded is the one that was driven."""
    scenario = reading.read("known-cpu")
    changed = {"other": Variant(name="other", parameters={"known-wait": "0.5", "known-action": "wait"})}
    scenario = replace(scenario, variants={**scenario.variants, **changed})
    request = Request(scenario=scenario, results=tmp_path, command_ns=1)

    found = variant_request(request, "other")

    assert found.variant == "other"
    assert found.scenario.load.parameters == {"known-wait": "0.5", "known-action": "wait"}
    assert variant_request(request, "base").scenario.load == scenario.load
    with pytest.raises(UsageError, match="no variant 'othr'"):
        variant_request(request, "othr")


def test_a_trial_is_prepared_before_anything_is_made(tmp_path: Path) -> None:
    """What is written down is the variant's own load; secrets that a stack has of its own must be given."""
    scenario = reading.read("known-cpu")
    other = Variant(name="other", parameters={"known-action": "wait"})
    scenario = replace(scenario, variants={**scenario.variants, "other": other}, secrets=("WORD",))
    request = Request(scenario=scenario, results=tmp_path / "results", command_ns=1)
    choice = Choice(engine=EngineName.COMPOSE, reason="made up")
    context = RunContext(request=request, choice=choice, pinning=Pinning(usable=(0, 1)))

    prepared = trial.Trial.prepare(context, "other", block=2)

    assert (prepared.variant, prepared.block, prepared.request.variant) == ("other", 2, "other")
    assert prepared.resolved["load"]["parameters"]["known-action"] == "wait"
    assert list(prepared.secrets) == ["WORD"]
    attached = replace(context, choice=replace(choice, engine=EngineName.ATTACH))
    with pytest.raises(UsageError, match="was not given"):
        trial.Trial.prepare(attached, "other", block=2)
    assert not request.results.exists()


def test_the_catalogue_stands_in_the_parameters() -> None:
    """Where nothing was seeded, the option is left out rather than wrong."""
    wanted = {"file": "${catalogue}", "depth": "2"}

    assert trial.parameters(wanted, Path("/run/c.json")) == {"file": "/run/c.json", "depth": "2"}
    assert trial.parameters(wanted, None) == {"depth": "2"}


def test_a_run_that_ends_well_is_sealed_as_complete(tmp_path: Path) -> None:
    """run.json says so, and when it was over."""
    journal = _journal(tmp_path)

    with sealed(journal):
        pass

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed) == ("complete", True)
    assert document.timing["exit_ns"] <= time.monotonic_ns()


def test_an_interrupt_is_sealed_and_told(tmp_path: Path) -> None:
    """The data is kept, with a note that it is not a whole run."""
    journal = _journal(tmp_path)

    with pytest.raises(Interrupted), sealed(journal):
        raise KeyboardInterrupt

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed) == ("interrupted", True)
    assert NoteKind.INTERRUPTED in [note.kind for note in document.notes]


def _torn_down_after(journal: RunRecord, error: BaseException) -> None:
    """Fail in a run; Ctrl-C is pressed while its stack is torn down."""
    with sealed(journal):
        try:
            raise error
        finally:
            with shielded():
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("error", "status"), [(NotReady("it fell over"), "failed"), (UsageError("it fell over"), "interrupted")]
)
def test_an_interrupt_while_a_failed_run_is_torn_down_is_told(
    tmp_path: Path, error: SeatrialError, status: str
) -> None:
    """The run is sealed as what it was, and nothing goes on after it."""
    journal = _journal(tmp_path)

    with pytest.raises(Interrupted) as caught:
        _torn_down_after(journal, error)

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed, document.error) == (status, True, "it fell over")
    assert caught.value.seen == "the run had failed before: it fell over"


def test_an_interrupt_while_a_failed_run_is_sealed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing takes seconds after a long run."""
    journal = _journal(tmp_path)
    sealing = journal.seal

    def interrupted(status: Status, error: str) -> None:
        signal.raise_signal(signal.SIGINT)
        sealing(status, error)

    monkeypatch.setattr(journal, "seal", interrupted)
    with pytest.raises(Interrupted), sealed(journal):
        raise LoadFailed("it fell over")

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed) == ("failed", True)
    assert NoteKind.LOAD_ENDED_EARLY in [note.kind for note in document.notes]


@pytest.mark.parametrize(
    "error", [LoadFailed("it fell over"), NotReady("it fell over"), MeasurementInvalid("it fell over")]
)
def test_every_failure_is_sealed_and_goes_on(tmp_path: Path, error: Exception) -> None:
    """Whatever the variant did is how its run ended."""
    journal = _journal(tmp_path)

    with pytest.raises(type(error)), sealed(journal):
        raise error

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed, document.error) == ("failed", True, "it fell over")
    assert document.failure == {"type": type(error).__name__, "what": "it fell over"}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("it fell over"),
        UsageError("it fell over"),
        ResultsUnwritable("it fell over"),
        EngineUnavailable("it fell over"),
        Incomparable("it fell over"),
    ],
)
def test_what_is_not_the_variants_doing_cuts_its_run_short(tmp_path: Path, error: Exception) -> None:
    """No data is lost, and yet no ending counts: a resumed experiment has to do this run again."""
    journal = _journal(tmp_path)

    with pytest.raises(type(error)), sealed(journal):
        raise error

    document = documents.load_document(journal.folder)
    assert (document.status, document.sealed, document.error) == ("interrupted", True, "it fell over")


def test_a_run_that_a_rule_ended_says_what_was_seen(tmp_path: Path) -> None:
    """In its notes; sealed as failed, because in a comparison this is how it ended."""
    journal = _journal(tmp_path)

    with pytest.raises(StoppedEarly), sealed(journal):
        raise StoppedEarly("the run was stopped early", seen="failures > 20%: failures was at 50 % in one second")

    document = documents.load_document(journal.folder)
    assert document.status == "failed"
    assert [note.text for note in document.notes if note.kind is NoteKind.STOPPED_EARLY] == [
        "failures > 20%: failures was at 50 % in one second"
    ]


def test_a_full_disk_is_told_as_such_whoever_ran_into_it(tmp_path: Path) -> None:
    """An OSError of any writer becomes the error that has a hint and its exit code."""
    with pytest.raises(ResultsUnwritable, match="can't be written"), sealed(_journal(tmp_path)):
        raise OSError(errno.ENOSPC, "full", "/somewhere/override.yaml")


def test_a_program_that_can_not_be_run_is_not_a_full_disk(tmp_path: Path) -> None:
    """EACCES means the run folder only where it names a file of it."""
    with pytest.raises(PermissionError), sealed(_journal(tmp_path)):
        raise PermissionError(errno.EACCES, "denied", "/usr/bin/docker")


def test_the_command_began_before_now(tmp_path: Path) -> None:
    """The start of this process, to a hundredth of a second, on the clock of all stamps."""
    stat = tmp_path / "stat"
    boot_ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 10_000_000
    stat.write_text(f"7 (a (name) b) S {' '.join(['0'] * 18)} {boot_ticks - 250} 0\n")

    ago_s = (time.monotonic_ns() - command_began_ns(stat)) / 1e9

    assert 2.4 < ago_s < 4.0


def test_what_is_about_to_be_done_is_told_in_one_line() -> None:
    """Users or arrivals, and how long a warm-up may last."""
    load = Load(locustfile=Path("x.py"), users=8, warmup_s=5, duration_s=30, drain_s=5)
    rate = Rate(rates.parse("10/s for 5s, 20/s"), poisson=True)

    assert trial.load_in_words(load) == "8 users; warm-up 5 s; window 30 s"
    assert trial.load_in_words(replace(load, rate=rate, processes=2, stable=True, warmup_s=60)) == (
        "arrivals at 10/s for 5s, 20/s, at random, served by 8 users in 2 processes; "
        "warm-up until stable, at most 60 s; window 30 s"
    )
