"""A run folder alone suffices for the whole report."""

from __future__ import annotations

import json
from pathlib import Path

import factories
import pytest
from factories import Asked, at

from seatrial.analysis.run import analyse_run
from seatrial.errors import UsageError
from seatrial.model import Note, NoteKind
from seatrial.record import documents
from seatrial.record.documents import NO_ENGINE
from seatrial.record.seal import seal


def test_only_the_window_is_judged(tmp_path: Path) -> None:
    """Warm-up and drain are recorded, and not counted."""
    asked = [Asked(start_s=5, took_ms=900), Asked(start_s=20, took_ms=10), Asked(start_s=41, took_ms=900)]
    found = analyse_run(factories.sealed_run(tmp_path, asked))
    assert (found.total.count, found.total.latency_ns.max, found.window.length_ns) == (
        1,
        10_000_000,
        30_000_000_000,
    )


def test_a_complete_run_without_serious_notes_is_valid(tmp_path: Path) -> None:
    """A note that only informs leaves the verdict alone."""
    note = Note(kind=NoteKind.SHARED_CORES, text="2 cores")
    assert analyse_run(factories.sealed_run(tmp_path, notes=(note,))).valid


@pytest.mark.parametrize("status", ["interrupted", "failed", "recovered"])
def test_a_run_that_did_not_end_well_is_invalid(tmp_path: Path, status: str) -> None:
    """Even when its numbers look fine."""
    assert not analyse_run(factories.sealed_run(tmp_path, status=status)).valid


def test_an_invalidating_note_decides(tmp_path: Path) -> None:
    """A restart that was noted while it ran makes the run invalid."""
    note = Note(kind=NoteKind.SERVICE_RESTARTED, text="nginx")
    assert not analyse_run(factories.sealed_run(tmp_path, notes=(note,))).valid


def test_a_window_without_requests_is_invalid(tmp_path: Path) -> None:
    """The load never got through to anything."""
    found = analyse_run(factories.sealed_run(tmp_path, [Asked(start_s=5)], []))
    assert not found.valid
    assert [note.kind for note in found.notes] == [NoteKind.NO_REQUESTS]


def test_after_a_kill_before_the_window_everything_is_shown(tmp_path: Path) -> None:
    """No span was closed: the figures are of all that was recorded, and the run is invalid."""
    found = analyse_run(factories.sealed_run(tmp_path, spans=(), status="recovered"))
    assert (found.window.opened, found.valid, found.total.count) == (False, False, 1000)


def test_services_stand_in_the_order_of_the_way(tmp_path: Path) -> None:
    """Proxy, app, store, the others, and last what is not the stack."""
    folder = factories.run(
        tmp_path, scenario={"tiers": {"registry": {"place": "app"}, "redis": {"place": "store"}, "nginx": "proxy"}}
    )
    for service in ("redis", "auth"):
        factories.write_samples(folder.streams, service, factories.readings())
    seal(folder, documents.load_document(folder))
    found = [(placed.use.service, placed.place) for placed in analyse_run(folder).services]
    assert found == [
        ("nginx", "proxy"),
        ("registry", "app"),
        ("redis", "store"),
        ("auth", ""),
        ("generator", ""),
        ("host", ""),
        ("sampler", ""),
    ]


def test_a_death_counts_only_within_the_window(tmp_path: Path) -> None:
    """The teardown ends every container; that is no restart."""
    folder = factories.sealed_run(tmp_path)
    folder.events.write_text(json.dumps({"t_ns": at(43), "service": "nginx", "event": "die"}) + "\n")
    assert analyse_run(folder).valid
    folder.events.write_text(json.dumps({"t_ns": at(20), "service": "nginx", "event": "die"}) + "\n")
    assert [note.kind for note in analyse_run(folder).notes] == [NoteKind.SERVICE_RESTARTED]


def test_the_time_around_the_load_is_told(tmp_path: Path) -> None:
    """From the command to the first request, from the last one to the end of the teardown."""
    times = analyse_run(factories.sealed_run(tmp_path, [Asked(start_s=1), Asked(start_s=30)])).overheads
    assert times.command_to_first_request_ns == 21_000_000_000
    assert times.last_request_to_end_ns == 15_990_000_000


def test_a_run_that_was_watched_without_load_is_valid(tmp_path: Path) -> None:
    """No scenario, no load: no request is missed."""
    found = analyse_run(factories.sealed_run(tmp_path, [], scenario={}, timing={}))
    assert (found.valid, found.info.users, found.overheads.last_request_to_end_ns) == (True, None, None)


def test_a_run_that_was_watched_without_any_sample_is_invalid(tmp_path: Path) -> None:
    """Whether or not it is known which services were to be watched."""
    folder = factories.run(tmp_path, [], scenario={}, timing={}, services=("web",))
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    seal(folder, documents.load_document(folder))
    found = analyse_run(folder)
    assert not found.valid
    assert [note.text for note in found.notes] == ["web: 0 samples of 300 expected in the window"]


def test_a_recording_of_locust_alone_needs_no_samples(tmp_path: Path) -> None:
    """Nobody watched a stack, so nothing of it is missing; its requests are judged like any other's."""
    folder = factories.run(tmp_path, engine=NO_ENGINE, scenario={"load": {"users": 3}}, timing={}, facts={})
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    seal(folder, documents.load_document(folder))
    found = analyse_run(folder)
    assert (found.valid, found.notes, found.services, found.total.count) == (True, (), (), 714)


def test_a_recording_without_requests_is_invalid(tmp_path: Path) -> None:
    """Not even the sampler's absence excuses that."""
    folder = factories.sealed_run(tmp_path, [], [], engine=NO_ENGINE, scenario={"load": {"users": 3}})
    assert [note.kind for note in analyse_run(folder).notes] == [NoteKind.NO_REQUESTS]


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, ""),
        ({"text": "5/s for 10s, 7.5/s", "poisson": False}, "5/s for 10s, 7.5/s"),
        ({"text": "50/s", "poisson": True}, "50/s (at random)"),
    ],
)
def test_the_schedule_is_told_in_words(tmp_path: Path, rate: object, said: str) -> None:
    """As the scenario could have written it; the closed model has none."""
    folder = factories.sealed_run(tmp_path, scenario={"load": {"users": 8, "rate": rate}})
    assert analyse_run(folder).info.rate == said


def test_a_late_loop_makes_a_run_invalid(tmp_path: Path) -> None:
    """11 of the 30 whole seconds held a tick that came 20 ms late; the p95 of 50 ms allows no more than 10 ms."""
    folder = factories.run(tmp_path)
    rows = [
        {**factories.second(n), "loop_lag_p99_ns": 20_000_000 if 11 <= n <= 21 else 900_000} for n in range(42)
    ]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    seal(folder, documents.load_document(folder))
    found = analyse_run(folder)
    assert [note.kind for note in found.notes] == [NoteKind.GENERATOR_LATE]
    assert not found.valid


def test_a_slow_stack_may_be_measured_by_a_later_loop(tmp_path: Path) -> None:
    """The same lag is less than 1 % of a p95 of 3 s."""
    folder = factories.run(tmp_path, [Asked(start_s=11 + n * 0.1, took_ms=3000) for n in range(100)])
    rows = [{**factories.second(n), "loop_lag_p99_ns": 20_000_000} for n in range(42)]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    seal(folder, documents.load_document(folder))
    assert analyse_run(folder).valid


def test_a_backlog_outside_of_the_window_is_none(tmp_path: Path) -> None:
    """A run that never came to its window has nothing to judge."""
    folder = factories.run(tmp_path, spans=(), status="failed")
    counts = {"arrivals": 50, "arrivals_completed": 10, "arrivals_late": 40, "arrivals_dropped": 0}
    rows = [{**factories.second(n), **counts} for n in range(42)]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    seal(folder, documents.load_document(folder))
    found = analyse_run(folder)
    assert (found.saturated, found.generator.saturated) == (False, True)
    assert found.notes == ()


def test_every_watched_service_is_expected(tmp_path: Path) -> None:
    """Not only those with a place in the scenario."""
    found = analyse_run(factories.sealed_run(tmp_path, services=("nginx", "registry", "auth")))
    assert [note.text for note in found.notes] == ["auth: 0 samples of 300 expected in the window"]


def test_rates_of_a_killed_run_are_those_of_its_own_time(tmp_path: Path) -> None:
    """5 requests in the 10 s of the window until the kill, not in the 30 s that were planned."""
    folder = factories.run(tmp_path, [Asked(start_s=10 + 2 * n, took_ms=1) for n in range(5)], status="recovered")
    for path in folder.streams.glob("samples-*"):
        path.unlink()
    factories.write_samples(folder.streams, "nginx", [{"t_ns": at(20)}])
    seal(folder, documents.load_document(folder))
    found = analyse_run(folder)
    assert (found.window.length_ns, round(found.total.per_s, 6)) == (10_000_000_001, 0.5)


def test_a_second_that_began_before_the_window_is_not_of_the_window(tmp_path: Path) -> None:
    """The generator stamps a second at its end: the one that ends at 10.5 s lay half in the warm-up."""
    folder = factories.run(tmp_path)
    rows = [factories.second(n + 0.5, cpu_fraction=0.99 if n == 10 else 0.3) for n in range(42)]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    seal(folder, documents.load_document(folder))
    use = analyse_run(folder).generator
    assert (use.seconds, use.busy_seconds, use.cpu_max) == (29, 0, 0.3)


def test_a_generator_is_judged_in_a_window_only(tmp_path: Path) -> None:
    """Its start, with all its imports, makes any process busy."""
    folder = factories.run(tmp_path, spans=(), status="failed")
    rows = [factories.second(n, cpu_fraction=0.99) for n in range(3)]
    factories.write_lines(folder.streams, "generator", rows, table="generator")
    seal(folder, documents.load_document(folder))
    assert NoteKind.GENERATOR_BUSY not in [note.kind for note in analyse_run(folder).notes]


def test_an_unsealed_run_can_not_be_judged(tmp_path: Path) -> None:
    """It is told how to recover it."""
    with pytest.raises(UsageError, match="no requests"):
        analyse_run(factories.run(tmp_path))
