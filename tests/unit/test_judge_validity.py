"""Which numbers make a run one that can't be trusted, and which are only worth a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest

from seatrial.measure import services, validity
from seatrial.measure.generator import LEAST_LATE_NS, ArrivalSummary, GeneratorUse, Lateness, generator_use
from seatrial.measure.services import ServiceUse
from seatrial.measure.validity import Sampling
from seatrial.model import Note, NoteKind
from seatrial.record import read
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S

WINDOW_NS = 42 * NS_PER_S


@pytest.fixture
def used(tmp_path: Path) -> tuple[ServiceUse, ...]:
    """Two services and the reserved ones, 420 samples each."""
    return services.service_use(read.samples(factories.sealed_run(tmp_path)), WINDOW_NS, 1000)


def _notes(
    used: tuple[ServiceUse, ...],
    *,
    hz: float = 10,
    expected: tuple[str, ...] = ("nginx", "registry"),
    sources: Mapping[str, str] | None = None,
    deaths: Mapping[str, int] | None = None,
) -> list[tuple[NoteKind, str]]:
    sampling = Sampling(hz=hz, window_ns=WINDOW_NS, expected=expected, sources=sources or {})
    return [(note.kind, note.text) for note in validity.service_notes(used, sampling, deaths or {})]


def test_a_good_run_has_no_notes(used: tuple[ServiceUse, ...]) -> None:
    """10 Hz were asked for, and 10 Hz came."""
    assert _notes(used) == []


def test_a_service_without_samples_is_missed(used: tuple[ServiceUse, ...]) -> None:
    """The scenario names it, the sampler never saw it."""
    assert _notes(used, expected=("nginx", "registry", "redis")) == [
        (NoteKind.SAMPLES_MISSING, "redis: 0 samples of 420 expected in the window")
    ]


def test_a_run_that_watches_nothing_misses_no_samples() -> None:
    """A recording of Locust alone has no sampler."""
    sampling = Sampling(hz=10, window_ns=WINDOW_NS, expected=(), sources={}, watched=False)
    assert validity.service_notes((), sampling, {}) == ()


def test_a_window_without_any_samples_is_missed() -> None:
    """Nobody said which services to expect, and none came; the generator's own samples are not the stack's."""
    assert _notes((), expected=()) == [(NoteKind.SAMPLES_MISSING, "no service was read in the window")]


def test_one_sample_at_least_is_expected_however_short_the_window() -> None:
    """The Docker API gives one reading a second; none at all in one second is missed."""
    sampling = Sampling(hz=10, window_ns=NS_PER_S, expected=("web",), sources={"web": "docker api"})
    assert [note.kind for note in validity.service_notes((), sampling, {})] == [
        NoteKind.SAMPLES_MISSING,
        NoteKind.COARSE_SAMPLES,
    ]


def test_a_run_without_a_window_misses_no_samples() -> None:
    """A stack that never came up has another reason to be invalid."""
    sampling = Sampling(hz=10, window_ns=0, expected=("web",), sources={})
    assert validity.service_notes((), sampling, {}) == ()


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


def test_no_work_in_a_window_under_load_invalidates() -> None:
    """Watching without load needs none; flows that make no request are work, too."""
    assert [note.kind for note in validity.work_notes(0, 0, loaded=True)] == [NoteKind.NO_REQUESTS]
    assert validity.work_notes(0, 0, loaded=False) == ()
    assert validity.work_notes(1, 0, loaded=True) == ()
    assert validity.work_notes(0, 1, loaded=True) == ()


def _busy(folder: RunFolder, seconds: range, *, workers: int = 1) -> tuple[Note, ...]:
    """Seal a run whose first process was busy in `seconds` of 42, each further one in the second after."""
    for worker in range(workers):
        busy = [second + worker for second in seconds]
        rows = [factories.second(n, cpu_fraction=0.93 if n in busy else 0.3) for n in range(42)]
        factories.write_lines(folder.streams, "generator", rows, table="generator", worker=worker)
    seal(folder, factories.document())
    return validity.generator_notes(_use(folder))


def _use(folder: RunFolder) -> GeneratorUse:
    table = read.generator(folder)
    return generator_use(table, np.ones(len(table.t_ns), dtype=np.bool_), LEAST_LATE_NS)


def test_a_busy_generator_invalidates(tmp_path: Path) -> None:
    """3 of 42 seconds are more than 5 %; told with their number and the highest."""
    (note,) = _busy(factories.run(tmp_path), range(7, 10))
    text = "in 3 of 42 seconds a load process used more than 80% of what it may, at most 93%"
    assert note == Note(kind=NoteKind.GENERATOR_BUSY, text=text)
    assert note.invalidates


def test_one_second_in_twenty_may_be_busy(tmp_path: Path) -> None:
    """2 of 40 are exactly 5 %."""
    use = replace(_use(factories.sealed_run(tmp_path)), seconds=40, busy_seconds=2, cpu_max=0.9)
    assert validity.generator_notes(use) == ()
    assert [note.kind for note in validity.generator_notes(replace(use, busy_seconds=3))] == [
        NoteKind.GENERATOR_BUSY
    ]


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
    use = _use(folder)
    assert (use.seconds, use.cpu_max, use.users_max) == (0, None, None)
    assert validity.generator_notes(use) == ()


def _with(tmp_path: Path, **changes: Any) -> tuple[Note, ...]:  # noqa: ANN401  (fields of GeneratorUse)
    return validity.generator_notes(replace(_use(factories.sealed_run(tmp_path)), **changes))


def _late(*, late_ticks: int = 0, slipped: int = 0) -> Lateness:
    return Lateness(limit_ns=LEAST_LATE_NS, late_ticks=late_ticks, ticks=600, slipped=slipped, arrivals=1000)


def _arrivals(*, offered: int = 1500, completed: int, late: int = 0, dropped: int = 0) -> ArrivalSummary:
    return ArrivalSummary(
        seconds=30, offered=offered, completed=completed, late=late, dropped=dropped, in_flight=2, rise=0
    )


def test_a_late_loop_invalidates(tmp_path: Path) -> None:
    """Told with how often, how much, and what is allowed."""
    (note,) = _with(tmp_path, lateness=_late(late_ticks=11), loop_lag_p99_max_ns=31_400_000)
    text = "at least 11 of 600 ticks of the event loop came late (p99 of a second at most 31.4 ms)"
    assert note == Note(kind=NoteKind.GENERATOR_LATE, text=f"{text}; 10.0 ms are allowed")
    assert note.invalidates


def test_a_schedule_that_slipped_invalidates(tmp_path: Path) -> None:
    """The same note: the generator was late, not the server."""
    (note,) = _with(tmp_path, lateness=_late(slipped=51), slip_p99_max_ns=12_340_000)
    assert note.kind is NoteKind.GENERATOR_LATE
    assert note.text == (
        "51 of 1000 arrivals fell in seconds whose schedule slipped (p99 of a second at most 12.3 ms); "
        "10.0 ms are allowed"
    )


def test_a_loop_without_a_single_tick_is_told_without_a_figure(tmp_path: Path) -> None:
    """Nobody could measure how late it was; both reasons stand in one note."""
    (note,) = _with(tmp_path, lateness=_late(late_ticks=600, slipped=900), loop_lag_p99_max_ns=None)
    assert "600 of 600 ticks of the event loop came late (p99 of a second at most unknown), and 900" in note.text


def test_a_generator_in_time_has_no_note(tmp_path: Path) -> None:
    """1 % of the ticks, give or take chance, and 5 % of the arrivals are allowed."""
    assert _with(tmp_path, lateness=_late(late_ticks=10, slipped=50)) == ()


def test_a_backlog_invalidates(tmp_path: Path) -> None:
    """Offered and completed, in numbers and rates."""
    (note,) = _with(tmp_path, arrivals=_arrivals(completed=1200))
    assert note.invalidates
    assert note == Note(
        kind=NoteKind.SATURATED,
        text="1,500 arrivals were offered (50.0/s) and 1,200 completed (40.0/s): 80.0%, 99% is expected; "
        "none were dropped in the window; latency would grow with the length of the run, and is not shown",
    )


@pytest.mark.parametrize(
    ("late", "dropped", "text"),
    [
        (3, 0, "3 of 1,500 arrivals found no idle user at their moment; none were dropped in the window"),
        (0, 1, "0 of 1,500 arrivals found no idle user at their moment; 1 was dropped in the window"),
        (9, 2, "9 of 1,500 arrivals found no idle user at their moment; 2 were dropped in the window"),
    ],
)
def test_late_arrivals_are_told_and_do_not_invalidate(tmp_path: Path, late: int, dropped: int, text: str) -> None:
    """Their wait is in the latency: it counts from the intended start."""
    (note,) = _with(tmp_path, arrivals=_arrivals(completed=1500 - dropped, late=late, dropped=dropped))
    assert note == Note(kind=NoteKind.LATE_ARRIVALS, text=text)
    assert not note.invalidates


def test_an_open_load_that_was_kept_has_no_note(tmp_path: Path) -> None:
    """Every arrival found its user at its moment."""
    assert _with(tmp_path, arrivals=_arrivals(completed=1500)) == ()
