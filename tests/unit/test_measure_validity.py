"""Which numbers make a run invalid, which only get a note, and who else had the processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import columns
import factories
import numpy as np
import pytest
from factories import at

from seatrial.analysis.results import RunResult
from seatrial.analysis.run import analyse_run
from seatrial.load.slices import Slicing, with_drain
from seatrial.measure import services, validity
from seatrial.measure.generator import LEAST_LATE_NS, ArrivalSummary, GeneratorUse, Lateness, generator_use
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import GeneratorColumns
from seatrial.measure.validity import HostShare, Sampling
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.record import documents, read
from seatrial.record.folder import RunFolder, create_run, other_runs_of_block
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

WINDOW_NS = 42 * NS_PER_S
MS = 1_000_000


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


def test_a_service_without_samples_is_missed(used: tuple[ServiceUse, ...]) -> None:
    """The scenario names it, the sampler never saw it; of the others 10 Hz were asked for, and came."""
    assert _notes(used) == []
    assert _notes(used, expected=("nginx", "registry", "redis")) == [
        (NoteKind.SAMPLES_MISSING, "redis: 0 samples of 420 expected in the window")
    ]


def test_no_samples_are_due_while_a_service_is_down_on_purpose(used: tuple[ServiceUse, ...]) -> None:
    """Half of the window: 420 samples are nine tenths of what is due then, not of what is due without."""
    sampling = Sampling(hz=20, window_ns=WINDOW_NS, expected=("nginx", "registry"), sources={})
    down = replace(sampling, down_ns={"nginx": WINDOW_NS // 2})

    assert [note.text for note in validity.service_notes(used, down, {})] == [
        "registry: 420 samples of 840 expected in the window"
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


def test_nine_tenths_of_the_samples_are_enough(used: tuple[ServiceUse, ...]) -> None:
    """420 of 466 will do, 420 of 470 will not; the Docker API gives one a second, and is measured by that."""
    assert [len(_notes(used, hz=hz)) for hz in (11.1, 11.2)] == [0, 2]
    text = "the Docker API gives one reading a second, without classes, for nginx, registry"
    sources = {"nginx": "docker api", "registry": "docker api"}
    assert _notes(used, hz=100, sources=sources) == [(NoteKind.COARSE_SAMPLES, text)]


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
    """2 of 42 seconds are less than 5 %; a second is busy if any process is; without seconds nothing is known."""
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
    none = _use(columns.generator(0))
    assert (none.seconds, none.cpu_max, none.users_max) == (0, None, None)
    assert validity.generator_notes(none) == ()


def _use(table: GeneratorColumns) -> GeneratorUse:
    return generator_use(table, np.ones(len(table.t_ns), dtype=np.bool_), LEAST_LATE_NS)


def _late(late_ticks: int, slipped: int = 0) -> Lateness:
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
        ({"lateness": _late(10, 50)}, None, ""),
        ({"lateness": _late(11), "loop_lag_p99_max_ns": 31_400_000}, LATE, LOOP.format(11, "31.4 ms") + ALLOWED),
        (
            {"lateness": _late(0, 51), "slip_p99_max_ns": 12_340_000},
            LATE,
            SCHEDULE.format(51, "12.3 ms") + ALLOWED,
        ),
        ({"lateness": _late(600, 900), "loop_lag_p99_max_ns": None}, LATE, BLOCKED),
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


OURS = 0.508
"""Cores that the made-up run's stack, load and sampler use."""

HELD_BACK = "a CPU quota held the load and the sampler back for"
SOURCES = {"nginx": "cgroup v2", "registry": "cgroup v2"}
FOREIGN, STOLEN, THROTTLED = NoteKind.FOREIGN_CPU, NoteKind.STOLEN_CPU, NoteKind.LOAD_THROTTLED


def _facts(*, cores: int | None = 2, sources: Mapping[str, str] = SOURCES) -> dict[str, Any]:
    host = {} if cores is None else {"cores": cores}
    return {"subject": {}, "environment": {"host": host}, "sampler": {"sources": dict(sources)}}


def _host(busy: float, stolen: float | None = 0.0) -> list[dict[str, int]]:
    """Return readings of a host, of whose processors so many are busy and stolen."""
    found = factories.readings(cores=busy)
    if stolen is None:
        return found
    return [one | {"stolen_ns": round(index / 10 * stolen * NS_PER_S)} for index, one in enumerate(found)]


def _sealed(results: Path, samples: Mapping[str, list[dict[str, int]]], **changes: Any) -> RunFolder:  # noqa: ANN401
    """Seal a run of which these samples are known."""
    folder = factories.run(results, **{"facts": _facts(), **changes})
    for service, readings in samples.items():
        container = factories.REGISTRY if service == "registry" else ""
        factories.write_samples(folder.streams, service, readings, container=container)
    seal(folder, documents.load_document(folder))
    return folder


def _reviewed(
    results: Path,
    *,
    foreign: float = 0.0,
    stolen: float | None = 0.0,
    held: float = 0.0,
    **changes: Any,  # noqa: ANN401  (fields of RunDocument)
) -> RunResult:
    """Review a run beside which other programs used so many cores, and a quota held the load back."""
    sampler = factories.readings(cores=0.004)
    for index, one in enumerate(sampler):
        one["throttled_ns"] = round(index / 10 * held * NS_PER_S) if index % 10 == 0 else NULL
    return analyse_run(_sealed(results, {"host": _host(OURS + foreign, stolen), "sampler": sampler}, **changes))


@pytest.mark.parametrize(
    ("taken", "kind", "text"),
    [
        ({"foreign": 0.62}, FOREIGN, "other programs used 31.0% of the host's processors; 10% is allowed"),
        ({"stolen": 0.15}, STOLEN, "the hypervisor kept 7.5% of the host's processors for others; 5% is allowed"),
        ({"held": 0.04}, THROTTLED, f"{HELD_BACK} 1.20 s, processors added up, in 30.0 s; 1% is allowed"),
    ],
)
def test_what_others_took_is_said_and_a_single_run_stays_valid(
    tmp_path: Path, taken: dict[str, float], kind: NoteKind, text: str
) -> None:
    """A browser is always open on a developer's machine; nothing may be set against such a run."""
    found = _reviewed(tmp_path, **taken)

    assert found.notes == (Note(kind=kind, text=text),)
    assert found.valid
    assert (found.notes[0].invalidates, found.notes[0].disqualifies) == (False, True)


def test_what_is_allowed_or_done_by_the_engine_for_the_containers_is_not_foreign(tmp_path: Path) -> None:
    """9 % of two cores, and 4.5 % stolen; or an access log that Docker's own processes write, a variant's cost."""
    assert _reviewed(tmp_path / "little", foreign=0.18, stolen=0.09, held=0.009).notes == ()
    host = [one | {"engine_ns": round(index * 0.06 * NS_PER_S)} for index, one in enumerate(_host(OURS + 0.62))]
    assert analyse_run(_sealed(tmp_path / "log", {"host": host})).notes == ()


def _kinds(found: RunResult) -> set[NoteKind]:
    others = {NoteKind.COARSE_SAMPLES, NoteKind.SAMPLES_MISSING}
    return {note.kind for note in found.notes} - others


@pytest.mark.parametrize("source", ["docker api", "none"])
def test_services_that_may_run_elsewhere_are_not_set_against_this_host(tmp_path: Path, source: str) -> None:
    """Behind a remote engine, or in a virtual machine; but the load always runs here, and its quota counts."""
    facts = _facts(sources={**SOURCES, "registry": source})

    assert _kinds(_reviewed(tmp_path / "taken", foreign=1.0, stolen=0.5, facts=facts)) == set()
    assert _kinds(_reviewed(tmp_path / "held", held=0.5, facts=facts)) == {THROTTLED}


@pytest.mark.parametrize(
    "changes",
    [{"stolen": None}, {"facts": _facts(cores=None)}, {"scenario": {"tiers": factories.TIERS}}, {"spans": ()}],
    ids=["recorded before stolen time was", "cores unknown", "watched without a load", "never opened"],
)
def test_what_can_not_be_told_is_not_said(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Half of the host went to others in all of them."""
    assert _kinds(_reviewed(tmp_path, **{"foreign": 1.0, **changes})) == set()


@pytest.mark.parametrize(
    ("foreign_ms", "stolen_ms", "stretches", "kinds"),
    [
        (0, 310, 1, []),
        (0, 311, 1, [STOLEN]),
        (0, 320, 2, []),
        (610, 0, 1, []),
        (611, 0, 1, [FOREIGN]),
    ],
)
def test_a_step_of_the_kernels_clock_is_no_reason(
    foreign_ms: int, stolen_ms: int, stretches: int, kinds: list[NoteKind]
) -> None:
    """Of two cores over 3 s, 60 ms are 1 %, and each stretch can show 10 ms too many."""
    lengths = {"stretches": stretches, "length_ns": 3 * NS_PER_S, "all_ns": 6 * NS_PER_S}
    share = HostShare(**lengths, foreign_ns=foreign_ms * MS, stolen_ns=stolen_ms * MS, held_back_ns=None)
    sampling = Sampling(hz=10, window_ns=share.length_ns, expected=("nginx",), sources=SOURCES)
    assert [note.kind for note in validity.host_notes(share, sampling)] == kinds


def test_a_service_that_its_own_quota_holds_back_is_an_outcome(tmp_path: Path) -> None:
    """The limit belongs to the variant: it is told, and its block counts."""
    readings = enumerate(factories.readings(cores=0.4, anon_mib=20))
    held = [one | {"throttled_ns": index * 50 * MS} for index, one in readings]
    (note,) = analyse_run(_sealed(tmp_path, {"registry": held})).notes

    assert note.kind is NoteKind.SERVICE_THROTTLED
    assert note.text == ("registry: its CPU quota held it back for 14.95 s, processors added up, in 30.0 s")
    assert not note.disqualifies


SLICING = Slicing(order=("a", "b") * 20, warm=0, slice_s=1.0, settle_s=0.15)


def _turns(name: str) -> tuple[Span, ...]:
    return with_drain(SLICING.turns(name, at(1)).spans(), at(41), at(42))


def _sliced(results: Path, host: list[dict[str, int]], *, other_cores: float | None) -> RunResult:
    """Review variant `a` of two that were up together; `b` has a run of its own if its cores are given."""
    folder = _sealed(results, {"host": host}, spans=_turns("a"))
    if other_cores is not None:
        other = create_run(folder.experiment, "b", 1, factories.WALL_NS)
        factories.write_samples(other.streams, "nginx", factories.readings(cores=other_cores), container="c" * 64)
        factories.write_samples(other.streams, "host", host)
        seal(other, factories.document(variant="b", spans=_turns("b")))
    return analyse_run(folder)


def test_a_variant_that_waits_for_its_turn_is_not_foreign(tmp_path: Path) -> None:
    """Its stack, load and sampler are up and idle; their run has what they use, or none if they never came up."""
    beside_it = _sliced(tmp_path / "both", _host(OURS + 0.6), other_cores=0.6)
    alone = _sliced(tmp_path / "one", _host(OURS + 0.6), other_cores=None)

    assert beside_it.notes == ()
    assert [note.kind for note in alone.notes] == [FOREIGN]
    assert "other programs used 30.0%" in alone.notes[0].text

    folder = _sealed(tmp_path / "failed", {"host": _host(OURS)}, spans=_turns("a"))
    never_up = create_run(folder.experiment, "b", 1, factories.WALL_NS)
    documents.save_document(never_up, factories.document(status="failed"))
    assert analyse_run(folder).notes == ()


@pytest.mark.parametrize(("disturbed", "kinds"), [("own", {FOREIGN}), ("others", set())])
def test_only_the_own_turns_count(tmp_path: Path, disturbed: str, kinds: set[NoteKind]) -> None:
    """What others do while another variant is loaded is that one's to tell."""
    turns = [(span.from_ns, span.until_ns) for span in _turns("a") if span.phase in {Phase.SETTLE, Phase.WINDOW}]
    busy, host = 0.0, []
    for one in _host(0.0):
        host.append(one | {"cpu_ns": round(busy)})
        in_own = any(begin - 50 * MS <= one["t_ns"] < until - 50 * MS for begin, until in turns)
        busy += (OURS + (1.0 if in_own is (disturbed == "own") else 0.0)) * NS_PER_S / 10

    assert _kinds(_sliced(tmp_path, host, other_cores=0.0)) == kinds


def test_runs_of_the_same_block_are_found_by_their_names(tmp_path: Path) -> None:
    """Block 1 is not block 11; a second run of the same second has a number behind."""
    experiment_folder = factories.run(tmp_path).experiment
    for variant, block in (("b", 1), ("b", 1), ("b", 11), ("b1", 2)):
        folder = create_run(experiment_folder, variant, block, factories.WALL_NS)
        documents.save_document(folder, factories.document(variant=variant, block=block))
    (experiment_folder / "runs" / "notes-b1").mkdir()
    first = next(root for root in (experiment_folder / "runs").iterdir() if root.name.endswith("-base-b1"))

    names = [one.root.name.split("-", 1)[1] for one in other_runs_of_block(RunFolder(first), 1)]

    assert names == ["b-b1", "b-b1-2"]


def test_a_run_of_before_has_no_stolen_time() -> None:
    """The columns came later; they read as null."""
    samples = read.samples(RunFolder(Path(__file__).parents[1] / "golden" / "run-v1"))

    assert set(samples.numbers["stolen_ns"].tolist()) == set(samples.numbers["engine_ns"].tolist()) == {NULL}
