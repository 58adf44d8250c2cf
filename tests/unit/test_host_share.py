"""Who else had the processors: said of a single run, and why a comparison leaves its block out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import factories
import pytest
from factories import at

from seatrial.analysis.results import RunResult
from seatrial.analysis.run import analyse_run
from seatrial.load.slices import Slicing, with_drain
from seatrial.measure import validity
from seatrial.measure.validity import HostShare, Sampling
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.record import documents, read
from seatrial.record.folder import RunFolder, create_run, other_runs_of_block
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

OURS = 0.508
"""Cores that the made-up run's stack, load and sampler use."""

HELD = "a CPU quota held the load and the sampler back for"
MS = 1_000_000
SOURCES = {"nginx": "cgroup v2", "registry": "cgroup v2"}


def _facts(*, cores: int | None = 2, sources: Mapping[str, str] = SOURCES) -> dict[str, Any]:
    host = {} if cores is None else {"cores": cores}
    return {"subject": {}, "environment": {"host": host}, "sampler": {"sources": dict(sources)}}


def _host(busy: float, stolen: float | None = 0.0) -> list[dict[str, int]]:
    """Return readings of a host, of whose processors so many are busy and stolen."""
    found = factories.readings(cores=busy)
    if stolen is None:
        return found
    return [one | {"stolen_ns": round(index / 10 * stolen * NS_PER_S)} for index, one in enumerate(found)]


def _reviewed(
    results: Path,
    *,
    foreign: float = 0.0,
    stolen: float | None = 0.0,
    held: float = 0.0,
    **changes: Any,  # noqa: ANN401  (fields of RunDocument)
) -> RunResult:
    """Review a run beside which other programs used so many cores, and a quota held the load back."""
    folder = factories.run(results, **{"facts": _facts(), **changes})
    factories.write_samples(folder.streams, "host", _host(OURS + foreign, stolen))
    sampler = factories.readings(cores=0.004)
    for index, one in enumerate(sampler):
        one["throttled_ns"] = round(index / 10 * held * NS_PER_S) if index % 10 == 0 else NULL
    factories.write_samples(folder.streams, "sampler", sampler)
    seal(folder, documents.load_document(folder))
    return analyse_run(folder)


def test_a_host_that_does_nothing_else_is_no_word_worth(tmp_path: Path) -> None:
    """9 % of two cores, and 4.5 % stolen, are allowed."""
    assert _reviewed(tmp_path, foreign=0.18, stolen=0.09, held=0.009).notes == ()


@pytest.mark.parametrize(
    ("taken", "kind", "text"),
    [
        (
            {"foreign": 0.62},
            NoteKind.FOREIGN_CPU,
            "other programs used 31.0% of the host's processors; 10% is allowed",
        ),
        (
            {"stolen": 0.15},
            NoteKind.STOLEN_CPU,
            "the hypervisor kept 7.5% of the host's processors for others; 5% is allowed",
        ),
        (
            {"held": 0.04},
            NoteKind.LOAD_THROTTLED,
            f"{HELD} 1.20 s, processors added up, in 30.0 s; 1% is allowed",
        ),
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


def test_what_the_engine_does_for_the_containers_is_not_foreign(tmp_path: Path) -> None:
    """An access log on standard output is written by Docker's own processes: a cost of the variant."""
    folder = factories.run(tmp_path, facts=_facts())
    host = [one | {"engine_ns": round(index * 0.06 * NS_PER_S)} for index, one in enumerate(_host(OURS + 0.62))]
    factories.write_samples(folder.streams, "host", host)
    seal(folder, documents.load_document(folder))

    assert analyse_run(folder).notes == ()


@pytest.mark.parametrize("source", ["docker api", "none"])
def test_services_that_may_run_elsewhere_are_not_set_against_this_host(tmp_path: Path, source: str) -> None:
    """Behind a remote engine, or in a virtual machine: what they use is not in this host's figures."""
    facts = _facts(sources={**SOURCES, "registry": source})

    assert _kinds(_reviewed(tmp_path, foreign=1.0, stolen=0.5, facts=facts)) == set()


def _kinds(found: RunResult) -> set[NoteKind]:
    others = {NoteKind.COARSE_SAMPLES, NoteKind.SAMPLES_MISSING}
    return {note.kind for note in found.notes} - others


def test_a_quota_of_the_load_counts_wherever_the_services_run(tmp_path: Path) -> None:
    """The load itself always runs here."""
    facts = _facts(sources={**SOURCES, "registry": "docker api"})

    assert _kinds(_reviewed(tmp_path, held=0.5, facts=facts)) == {NoteKind.LOAD_THROTTLED}


@pytest.mark.parametrize(
    "changes",
    [
        {"stolen": None},
        {"facts": _facts(cores=None)},
        {"scenario": {"tiers": factories.TIERS}},
        {"spans": ()},
    ],
    ids=["recorded before stolen time was", "cores unknown", "watched without a load", "never opened"],
)
def test_what_can_not_be_told_is_not_said(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Half of the host went to others in all of them."""
    assert _kinds(_reviewed(tmp_path, **{"foreign": 1.0, **changes})) == set()


def _share(*, foreign_ms: int = 0, stolen_ms: int = 0, stretches: int = 1) -> HostShare:
    length_ns = 3 * NS_PER_S
    return HostShare(
        stretches=stretches,
        length_ns=length_ns,
        all_ns=2 * length_ns,
        foreign_ns=foreign_ms * MS,
        stolen_ns=stolen_ms * MS,
        held_back_ns=None,
    )


@pytest.mark.parametrize(
    ("share", "kinds"),
    [
        (_share(stolen_ms=310), []),
        (_share(stolen_ms=311), [NoteKind.STOLEN_CPU]),
        (_share(stolen_ms=320, stretches=2), []),
        (_share(foreign_ms=610), []),
        (_share(foreign_ms=611), [NoteKind.FOREIGN_CPU]),
    ],
)
def test_a_step_of_the_kernels_clock_is_no_reason(share: HostShare, kinds: list[NoteKind]) -> None:
    """Of two cores over 3 s, 60 ms are 1 %, and each stretch can show 10 ms too many."""
    sampling = Sampling(hz=10, window_ns=share.length_ns, expected=("nginx",), sources=SOURCES)

    assert [note.kind for note in validity.host_notes(share, sampling)] == kinds


def test_a_service_that_its_own_quota_holds_back_is_an_outcome(tmp_path: Path) -> None:
    """The limit belongs to the variant: it is told, and its block counts."""
    folder = factories.run(tmp_path, facts=_facts())
    held = [
        one | {"throttled_ns": index * 50 * MS}
        for index, one in enumerate(factories.readings(cores=0.4, anon_mib=20))
    ]
    factories.write_samples(folder.streams, "registry", held, container=factories.REGISTRY)
    seal(folder, documents.load_document(folder))

    (note,) = analyse_run(folder).notes

    assert note.kind is NoteKind.SERVICE_THROTTLED
    assert note.text == ("registry: its CPU quota held it back for 14.95 s, processors added up, in 30.0 s")
    assert not note.disqualifies


SLICING = Slicing(order=("a", "b") * 20, warm=0, slice_s=1.0, settle_s=0.15)


def _turns(name: str) -> tuple[Span, ...]:
    return with_drain(SLICING.turns(name, at(1)).spans(), at(41), at(42))


def _sliced(results: Path, host: list[dict[str, int]], *, other_cores: float | None) -> RunResult:
    """Review variant `a` of two that were up together; `b` has a run of its own if its cores are given."""
    folder = factories.run(results, spans=_turns("a"), facts=_facts())
    factories.write_samples(folder.streams, "host", host)
    seal(folder, documents.load_document(folder))
    if other_cores is not None:
        other = create_run(folder.experiment, "b", 1, factories.WALL_NS)
        factories.write_samples(other.streams, "nginx", factories.readings(cores=other_cores), container="c" * 64)
        factories.write_samples(other.streams, "host", host)
        seal(other, factories.document(variant="b", spans=_turns("b")))
    return analyse_run(folder)


def test_a_variant_that_waits_for_its_turn_is_not_foreign(tmp_path: Path) -> None:
    """Its stack, load and sampler are up as well, and idle; their run says what they use."""
    beside_it = _sliced(tmp_path / "both", _host(OURS + 0.6), other_cores=0.6)
    alone = _sliced(tmp_path / "one", _host(OURS + 0.6), other_cores=None)

    assert beside_it.notes == ()
    assert [note.kind for note in alone.notes] == [NoteKind.FOREIGN_CPU]
    assert "other programs used 30.0%" in alone.notes[0].text


def test_a_variant_beside_it_that_left_no_samples_is_passed_over(tmp_path: Path) -> None:
    """It never came up, and used nothing."""
    folder = factories.run(tmp_path, spans=_turns("a"), facts=_facts())
    factories.write_samples(folder.streams, "host", _host(OURS))
    seal(folder, documents.load_document(folder))
    documents.save_document(
        create_run(folder.experiment, "b", 1, factories.WALL_NS), factories.document(status="failed")
    )

    assert analyse_run(folder).notes == ()


@pytest.mark.parametrize(("disturbed", "kinds"), [("own", {NoteKind.FOREIGN_CPU}), ("others", set())])
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
