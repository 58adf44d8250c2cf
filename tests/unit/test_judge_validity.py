"""Which numbers make a run one that can't be trusted, and which are only worth a word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import factories
import pytest

from seatrial.judge import memory, validity
from seatrial.judge.generator import generator
from seatrial.judge.memory import ServiceUse
from seatrial.judge.validity import Sampling
from seatrial.model import Note, NoteKind
from seatrial.record import read
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S

WINDOW_NS = 42 * NS_PER_S


@pytest.fixture
def used(tmp_path: Path) -> tuple[ServiceUse, ...]:
    """Two services and the reserved ones, 420 samples each."""
    return memory.services(read.samples(factories.sealed_run(tmp_path)), WINDOW_NS, 1000)


def _notes(
    used: tuple[ServiceUse, ...],
    *,
    hz: float = 10,
    expected: tuple[str, ...] = ("nginx", "registry"),
    sources: Mapping[str, str] | None = None,
    deaths: Mapping[str, int] | None = None,
) -> list[tuple[NoteKind, str]]:
    sampling = Sampling(hz=hz, window_ns=WINDOW_NS, expected=expected, sources=sources or {})
    return [(note.kind, note.text) for note in validity.of_services(used, sampling, deaths or {})]


def test_a_good_run_has_no_notes(used: tuple[ServiceUse, ...]) -> None:
    """10 Hz were asked for, and 10 Hz came."""
    assert _notes(used) == []


def test_a_service_without_samples_is_missed(used: tuple[ServiceUse, ...]) -> None:
    """The scenario names it, the sampler never saw it."""
    assert _notes(used, expected=("nginx", "registry", "redis")) == [
        (NoteKind.SAMPLES_MISSING, "redis: 0 samples of 420 expected in the window")
    ]


def test_a_window_without_any_samples_is_missed() -> None:
    """Nobody said which services to expect, and none came; the generator's own samples are not the stack's."""
    assert _notes((), expected=()) == [(NoteKind.SAMPLES_MISSING, "no service was read in the window")]


def test_one_sample_at_least_is_expected_however_short_the_window() -> None:
    """The Docker API gives one reading a second; none at all in one second is missed."""
    sampling = Sampling(hz=10, window_ns=NS_PER_S, expected=("web",), sources={"web": "docker api"})
    assert [note.kind for note in validity.of_services((), sampling, {})] == [
        NoteKind.SAMPLES_MISSING,
        NoteKind.COARSE_SAMPLES,
    ]


def test_a_run_without_a_window_misses_no_samples() -> None:
    """A stack that never came up has another reason to be invalid."""
    sampling = Sampling(hz=10, window_ns=0, expected=("web",), sources={})
    assert validity.of_services((), sampling, {}) == ()


@pytest.mark.parametrize(("hz", "missing"), [(11.1, 0), (11.2, 2)])
def test_nine_tenths_of_the_samples_are_enough(used: tuple[ServiceUse, ...], hz: float, missing: int) -> None:
    """420 of 466 will do, 420 of 470 will not; what is watched beside the stack does not count."""
    assert len(_notes(used, hz=hz)) == missing


def test_the_docker_api_is_coarse_and_not_missed(used: tuple[ServiceUse, ...]) -> None:
    """It gives one reading a second, and is measured by that."""
    found = _notes(used, hz=100, sources={"nginx": "docker api", "registry": "docker api"})
    assert found == [
        (
            NoteKind.COARSE_SAMPLES,
            "the Docker API gives one reading a second, without classes, for nginx, registry",
        )
    ]


def test_a_container_that_died_in_the_window_invalidates(used: tuple[ServiceUse, ...]) -> None:
    """Docker restarts a container under the same id: only its events tell."""
    ((kind, text),) = _notes(used, deaths={"registry": 1})
    assert kind is NoteKind.SERVICE_RESTARTED
    assert text.startswith("registry: ended or was replaced once within the window")


def test_no_request_in_a_window_under_load_invalidates() -> None:
    """Watching without load needs no request."""
    assert [note.kind for note in validity.of_requests(0, loaded=True)] == [NoteKind.NO_REQUESTS]
    assert validity.of_requests(0, loaded=False) == ()
    assert validity.of_requests(1, loaded=True) == ()


def _busy(folder: RunFolder, seconds: range, *, workers: int = 1) -> tuple[Note, ...]:
    """Seal a run whose first process was busy in `seconds` of 42, each further one in the second after."""
    for worker in range(workers):
        busy = [second + worker for second in seconds]
        rows = [factories.second(n, cpu_fraction=0.93 if n in busy else 0.3) for n in range(42)]
        factories.write_lines(folder.streams, "generator", rows, table="generator", worker=worker)
    seal(folder, factories.document())
    return validity.of_generator(generator(read.generator(folder)))


def test_a_busy_generator_invalidates(tmp_path: Path) -> None:
    """3 of 42 seconds are more than 5 %; told with their number and the highest."""
    (note,) = _busy(factories.run(tmp_path), range(7, 10))
    text = "in 3 of 42 seconds a load process used more than 80% of a core, at most 93%"
    assert note == Note(kind=NoteKind.GENERATOR_BUSY, text=text)
    assert note.invalidates


def test_a_few_busy_seconds_are_no_note(tmp_path: Path) -> None:
    """2 of 42 seconds are less than 5 %."""
    assert _busy(factories.run(tmp_path), range(7, 9)) == ()


def test_a_second_counts_as_busy_if_any_process_is(tmp_path: Path) -> None:
    """Two processes, each busy in 2 of the same 42 seconds, one second apart: 3 seconds."""
    (note,) = _busy(factories.run(tmp_path), range(7, 9), workers=2)
    assert note.text.startswith("in 3 of 42 seconds")


def test_a_generator_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    """No row is no figure, and no note."""
    folder = factories.run(tmp_path)
    (folder.streams / "generator-0.jsonl").unlink()
    seal(folder, factories.document())
    use = generator(read.generator(folder))
    assert (use.seconds, use.cpu_max, use.users_max) == (0, None, None)
    assert validity.of_generator(use) == ()
