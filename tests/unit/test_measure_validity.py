"""Which numbers make a run invalid, and which only get a note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import columns
import factories
import numpy as np
import pytest

from seatrial.measure import services, validity
from seatrial.measure.generator import LEAST_LATE_NS, ArrivalSummary, GeneratorUse, Lateness, generator_use
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import GeneratorColumns
from seatrial.measure.validity import Sampling
from seatrial.model import Note, NoteKind
from seatrial.record import read
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


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"watched": False}, []),
        ({"window_ns": 0, "expected": ("web",)}, []),
        ({}, [NoteKind.SAMPLES_MISSING]),
        (
            {"window_ns": NS_PER_S, "expected": ("web",), "sources": {"web": "docker api"}},
            [NoteKind.SAMPLES_MISSING, NoteKind.COARSE_SAMPLES],
        ),
    ],
)
def test_samples_are_missed_where_some_were_due(changes: dict[str, Any], kinds: list[NoteKind]) -> None:
    """Not of Locust alone, nor without a window; one sample at least is due, however short the window is."""
    sampling = replace(Sampling(hz=10, window_ns=WINDOW_NS, expected=(), sources={}), **changes)
    assert [note.kind for note in validity.service_notes((), sampling, {})] == kinds


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


@pytest.mark.parametrize(
    ("busy", "text"),
    [
        ([range(7, 9)], ""),
        ([range(7, 10)], "in 3 of 42 seconds a load process used more than 80% of what it may, at most 93%"),
        ([range(7, 9), range(8, 10)], "in 3 of 42 seconds"),
    ],
)
def test_a_generator_that_is_busy_in_one_second_of_twenty_invalidates(busy: list[range], text: str) -> None:
    """2 of 42 seconds are less than 5 %; a second is busy if any process is."""
    cpu = [[0.93 if second in own else 0.3 for second in range(42)] for own in busy]
    table = columns.generator(
        42 * len(busy),
        worker=np.repeat(np.arange(len(busy)), 42),
        cpu_fraction=np.concatenate(cpu),
        loop_lag_p50_ns=0,
        loop_lag_p99_ns=0,
    )
    notes = validity.generator_notes(_use(table))
    assert [(note.kind, note.invalidates) for note in notes] == ([(NoteKind.GENERATOR_BUSY, True)] if text else [])
    assert all(note.text.startswith(text) for note in notes)


def _use(table: GeneratorColumns) -> GeneratorUse:
    return generator_use(table, np.ones(len(table.t_ns), dtype=np.bool_), LEAST_LATE_NS)


def test_without_seconds_nothing_is_known() -> None:
    """No row is no figure, and no note."""
    use = _use(columns.generator(0))
    assert (use.seconds, use.cpu_max, use.users_max) == (0, None, None)
    assert validity.generator_notes(use) == ()


def _late(*, late_ticks: int = 0, slipped: int = 0) -> Lateness:
    return Lateness(limit_ns=LEAST_LATE_NS, late_ticks=late_ticks, ticks=600, slipped=slipped, arrivals=1000)


def _arrivals(*, offered: int = 1500, completed: int, late: int = 0, dropped: int = 0) -> ArrivalSummary:
    return ArrivalSummary(
        seconds=30, offered=offered, completed=completed, late=late, dropped=dropped, in_flight=2, rise=0
    )


LATE, SATURATED, LATE_ARRIVALS = NoteKind.GENERATOR_LATE, NoteKind.SATURATED, NoteKind.LATE_ARRIVALS
LOOP = "at least {} of 600 ticks of the event loop came late (p99 of a second at most {})"
SCHEDULE = "{} of 1000 arrivals fell in seconds whose schedule slipped (p99 of a second at most {})"
ALLOWED = "; 10.0 ms are allowed"
BACKLOG = (
    "1,500 arrivals were offered (50.0/s) and 1,200 completed (40.0/s): 80.0%, 99% is expected; "
    "none were dropped in the window; latency would grow with the length of the run, and is not shown"
)
NO_USER = "{} of 1,500 arrivals found no idle user at their moment; {} dropped in the window"
BLOCKED = f"{LOOP.format(600, 'unknown')}, and {SCHEDULE.format(900, 'unknown')}{ALLOWED}"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"lateness": _late(late_ticks=10, slipped=50)}, None, ""),
        (
            {"lateness": _late(late_ticks=11), "loop_lag_p99_max_ns": 31_400_000},
            LATE,
            LOOP.format(11, "31.4 ms") + ALLOWED,
        ),
        (
            {"lateness": _late(slipped=51), "slip_p99_max_ns": 12_340_000},
            LATE,
            SCHEDULE.format(51, "12.3 ms") + ALLOWED,
        ),
        ({"lateness": _late(late_ticks=600, slipped=900), "loop_lag_p99_max_ns": None}, LATE, BLOCKED),
        ({"arrivals": _arrivals(completed=1500)}, None, ""),
        ({"arrivals": _arrivals(completed=1200)}, SATURATED, BACKLOG),
        ({"arrivals": _arrivals(completed=1500, late=3)}, LATE_ARRIVALS, NO_USER.format(3, "none were")),
        ({"arrivals": _arrivals(completed=1499, dropped=1)}, LATE_ARRIVALS, NO_USER.format(0, "1 was")),
        ({"arrivals": _arrivals(completed=1498, late=9, dropped=2)}, LATE_ARRIVALS, NO_USER.format(9, "2 were")),
    ],
)
def test_a_late_generator_and_a_backlog_invalidate(
    changes: dict[str, Any], kind: NoteKind | None, text: str
) -> None:
    """With figures and limits. That arrivals waited for a user is in their latency, and does not invalidate."""
    use = replace(_use(columns.generator(30, loop_lag_p50_ns=0, loop_lag_p99_ns=0)), **changes)
    expected = () if kind is None else (Note(kind=kind, text=text),)
    assert validity.generator_notes(use) == expected
    assert [note.invalidates for note in expected] == ([] if kind is None else [kind is not LATE_ARRIVALS])
