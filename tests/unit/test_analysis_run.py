"""Analysis of one run folder: window, validity, services and notes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import factories
import pytest
from factories import Asked, at

from seatrial.analysis.results import RunResult
from seatrial.analysis.run import analyse_run
from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.documents import NO_ENGINE
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S


def sealed(folder: RunFolder) -> RunResult:
    """Seal a run and analyse it."""
    seal(folder, documents.load_document(folder))
    return analyse_run(folder)


def with_seconds(folder: RunFolder, rows: Iterable[Mapping[str, Any]]) -> RunResult:
    """Analyse a run whose load process reported these seconds."""
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    return sealed(folder)


def without_samples(folder: RunFolder) -> RunFolder:
    """Take the samples away."""
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    return folder


def kinds(result: RunResult) -> list[NoteKind]:
    """Return the kinds of the notes."""
    return [note.kind for note in result.notes]


def test_only_the_window_is_counted(tmp_path: Path) -> None:
    """Warm-up and drain are recorded, but not part of the result."""
    asked = [Asked(start_s=5, took_ms=900), Asked(start_s=20, took_ms=10), Asked(start_s=41, took_ms=900)]
    result = analyse_run(factories.sealed_run(tmp_path, asked))

    assert (result.total.count, result.total.latency_ns.max) == (1, 10_000_000)
    assert result.window.length_ns == 30_000_000_000


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"notes": (Note(kind=NoteKind.SHARED_CORES, text="2 cores"),)}, True),
        ({"notes": (Note(kind=NoteKind.SERVICE_RESTARTED, text="nginx"),)}, False),
        ({"status": "interrupted"}, False),
        ({"status": "failed"}, False),
        ({"status": "recovered"}, False),
    ],
)
def test_a_run_is_valid_if_it_is_complete_and_no_note_invalidates_it(
    tmp_path: Path,
    changes: dict[str, Any],
    valid: bool,  # noqa: FBT001  (a parameter of the table above)
) -> None:
    """A note that only informs leaves the run valid."""
    assert analyse_run(factories.sealed_run(tmp_path, **changes)).valid is valid


def test_a_run_without_a_window_shows_everything_and_is_invalid(tmp_path: Path) -> None:
    """No phase was closed before a kill: all recorded requests are counted."""
    result = analyse_run(factories.sealed_run(tmp_path, spans=(), status="recovered"))

    assert (result.window.opened, result.valid, result.total.count) == (False, False, 1000)


def test_services_are_in_the_order_of_a_request(tmp_path: Path) -> None:
    """Proxy, app, store, other services of the stack, then generator, host and sampler."""
    tiers = {"registry": {"place": "app"}, "redis": {"place": "store"}, "nginx": "proxy"}
    folder = factories.run(tmp_path, scenario={"tiers": tiers})
    for service in ("redis", "auth"):
        factories.write_samples(folder.streams, service, factories.readings())

    assert [(service.use.service, service.place) for service in sealed(folder).services] == [
        ("nginx", "proxy"),
        ("registry", "app"),
        ("redis", "store"),
        ("auth", ""),
        ("generator", ""),
        ("host", ""),
        ("sampler", ""),
    ]


@pytest.mark.parametrize(("second", "expected"), [(43, []), (20, [NoteKind.SERVICE_RESTARTED])])
def test_a_container_that_ends_counts_only_within_the_window(
    tmp_path: Path, second: float, expected: list[NoteKind]
) -> None:
    """The teardown ends every container."""
    folder = factories.sealed_run(tmp_path)
    folder.events.write_text(json.dumps({"t_ns": at(second), "service": "nginx", "event": "die"}) + "\n")

    assert kinds(analyse_run(folder)) == expected


@pytest.mark.parametrize(
    ("died", "action", "expected"),
    [
        (("nginx", 12.2), {"action": "restart", "answered_after_ns": 3 * NS_PER_S}, []),
        (("nginx", 12.2), {"action": "restart", "answered_after_ns": None}, []),
        (("nginx", 15.5), {"action": "restart", "answered_after_ns": 3 * NS_PER_S}, [NoteKind.SERVICE_RESTARTED]),
        (("nginx", 11.5), {"action": "restart", "answered_after_ns": 3 * NS_PER_S}, [NoteKind.SERVICE_RESTARTED]),
        (("registry", 12.2), {"action": "restart", "answered_after_ns": None}, [NoteKind.SERVICE_RESTARTED]),
        (("nginx", 12.2), {"action": "signal HUP", "answered_after_ns": None}, [NoteKind.SERVICE_RESTARTED]),
    ],
)
def test_a_restart_that_was_asked_for_is_none_of_the_services_own(
    tmp_path: Path, died: tuple[str, float], action: dict[str, Any], expected: list[NoteKind]
) -> None:
    """Of that service alone, from the action until the service answers again; a signal asks for no end."""
    folder = factories.sealed_run(tmp_path)
    events = (
        {"t_ns": at(12), "service": "nginx", "event": "action", "detail": action},
        {"t_ns": at(died[1]), "service": died[0], "event": "die"},
    )
    folder.events.write_text("".join(json.dumps(event) + "\n" for event in events))

    assert kinds(analyse_run(folder)) == expected


def test_the_time_around_the_load_is_measured(tmp_path: Path) -> None:
    """From the command to the first request, and from the last request to the end of the teardown."""
    overheads = analyse_run(factories.sealed_run(tmp_path, [Asked(start_s=1), Asked(start_s=30)])).overheads

    assert overheads.command_to_first_request_ns == 21_000_000_000
    assert overheads.last_request_to_end_ns == 15_990_000_000


def test_a_run_without_load_needs_no_requests(tmp_path: Path) -> None:
    """A stack that was only observed is valid."""
    result = analyse_run(factories.sealed_run(tmp_path, [], scenario={}, timing={}))

    assert (result.valid, result.info.users, result.overheads.last_request_to_end_ns) == (True, None, None)


def test_an_observed_service_needs_samples(tmp_path: Path) -> None:
    """Also one without a tier in the scenario."""
    folder = without_samples(factories.run(tmp_path, [], scenario={}, timing={}, services=("web",)))
    result = sealed(folder)

    assert not result.valid
    assert [note.text for note in result.notes] == ["web: 0 samples of 300 expected in the window"]


def test_a_recording_of_locust_alone_needs_no_samples(tmp_path: Path) -> None:
    """No stack was observed; the requests are counted as usual."""
    changes: dict[str, Any] = {"engine": NO_ENGINE, "scenario": {"load": {"users": 3}}, "timing": {}, "facts": {}}
    result = sealed(without_samples(factories.run(tmp_path, **changes)))

    assert (result.valid, result.notes, result.services, result.total.count) == (True, (), (), 714)


@pytest.mark.parametrize("changes", [{}, {"engine": NO_ENGINE, "scenario": {"load": {"users": 3}}}])
def test_a_load_without_requests_in_the_window_is_invalid(tmp_path: Path, changes: dict[str, Any]) -> None:
    """With a stack, and in a recording of Locust alone."""
    result = analyse_run(factories.sealed_run(tmp_path, [Asked(start_s=5)], [], **changes))

    assert (result.valid, kinds(result)) == (False, [NoteKind.NO_REQUESTS])


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, ""),
        ({"text": "5/s for 10s, 7.5/s", "poisson": False}, "5/s for 10s, 7.5/s"),
        ({"text": "50/s", "poisson": True}, "50/s (at random)"),
    ],
)
def test_the_schedule_is_text(tmp_path: Path, rate: object, text: str) -> None:
    """As a scenario would have it; empty in the closed model."""
    folder = factories.sealed_run(tmp_path, scenario={"load": {"users": 8, "rate": rate}})

    assert analyse_run(folder).info.rate == text


@pytest.mark.parametrize(("took_ms", "expected"), [(10, [NoteKind.GENERATOR_LATE]), (3000, [])])
def test_a_late_event_loop_is_compared_with_the_latency(
    tmp_path: Path, took_ms: float, expected: list[NoteKind]
) -> None:
    """20 ms are more than the least limit of 10 ms, and less than 1 % of a p95 of 3 s."""
    folder = factories.run(tmp_path, [Asked(start_s=11 + n * 0.1, took_ms=took_ms) for n in range(100)])
    result = with_seconds(folder, [{**factories.second(n), "loop_lag_p99_ns": 20_000_000} for n in range(42)])

    assert (kinds(result), result.valid) == (expected, not expected)


def test_the_generator_is_judged_in_a_window_only(tmp_path: Path) -> None:
    """Without a window neither a backlog nor a busy start is noted."""
    folder = factories.run(tmp_path, spans=(), status="failed")
    counts = {"arrivals": 50, "arrivals_completed": 10, "arrivals_late": 40, "arrivals_dropped": 0}
    rows = [{**factories.second(n, cpu_fraction=0.99), **counts} for n in range(42)]
    result = with_seconds(folder, rows)

    assert (result.saturated, result.generator.saturated, result.notes) == (False, True, ())


def test_a_second_that_began_before_the_window_does_not_count(tmp_path: Path) -> None:
    """A second is stamped at its end: the one that ends at 10.5 s was half in the warm-up."""
    rows = [factories.second(n + 0.5, cpu_fraction=0.99 if n == 10 else 0.3) for n in range(42)]
    use = with_seconds(factories.run(tmp_path), rows).generator

    assert (use.seconds, use.busy_seconds, use.cpu_max) == (29, 0, 0.3)


def test_rates_of_a_killed_run_refer_to_the_time_until_the_kill(tmp_path: Path) -> None:
    """5 requests in the 10 s of the window until the kill, not in the planned 30 s."""
    asked = [Asked(start_s=10 + 2 * n, took_ms=1) for n in range(5)]
    folder = without_samples(factories.run(tmp_path, asked, status="recovered"))
    factories.write_samples(folder.streams, "nginx", [{"t_ns": at(20)}])
    result = sealed(folder)

    assert (result.window.length_ns, round(result.total.per_s, 6)) == (10_000_000_001, 0.5)


def test_an_unsealed_run_is_refused(tmp_path: Path) -> None:
    """It has streams, but no tables."""
    with pytest.raises(UsageError, match="no requests"):
        analyse_run(factories.run(tmp_path))
