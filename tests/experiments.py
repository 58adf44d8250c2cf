"""Makers of stored experiments: blocks of short runs whose true values are known."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import factories
from factories import MIB, Asked, at

from seatrial.model import ExperimentPlan, Look, Note, NoteKind, Phase, Span
from seatrial.record import documents
from seatrial.record.folder import RunFolder, create_experiment, create_run
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S

SPANS = (
    Span(phase=Phase.WARMUP, from_ns=at(0), until_ns=at(1)),
    Span(phase=Phase.WINDOW, from_ns=at(1), until_ns=at(5)),
    Span(phase=Phase.DRAIN, from_ns=at(5), until_ns=at(6)),
)
BUDGETS = ('p95 of "blob" < 150ms', "failures < 5%")
GATE = ('p95 of "blob"', "cpu per request", "unreclaimable memory of nginx")
PINNED = {"generator": [1], "stack": [0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true latency, cores and memory of a variant; `fails` of a hundred requests fail."""

    took_ms: float = 20.0
    cores: float = 0.2
    anon_mib: float = 40.0
    fails: int = 0
    endpoint: str = "blob"
    scatter: float = 0.01
    requests: int = 400
    changes: Mapping[str, Any] = field(default_factory=dict)


SAME: Mapping[str, Truth] = {"base": Truth(), "again": Truth()}
HOSTILE_VARIANT = "a|b</script><b>"
EVERYTHING: Mapping[str, Truth] = {
    "base": Truth(),
    "slow": Truth(took_ms=26),
    "flaky": Truth(fails=3, took_ms=15),
    "killed": Truth(changes={"status": "failed", "error": "service 'app' exited: out of memory", "spans": ()}),
    HOSTILE_VARIANT: Truth(took_ms=20.4, scatter=0.08),
}
"""Variants with every kind of verdict."""


def experiment(
    results: Path,
    truths: Mapping[str, Truth] = SAME,
    *,
    blocks: int = 6,
    spoiled: Sequence[tuple[str, int]] = (),
    crowded: Sequence[tuple[str, int]] = (),
    pinning: Mapping[str, Sequence[int]] = PINNED,
    **plan: Any,  # noqa: ANN401  (fields of ExperimentPlan)
) -> Path:
    """Make a sealed experiment.

    In the `spoiled` runs the generator was too busy; in the `crowded` ones other programs used one of two cores.
    """
    chance = random.Random(1)  # noqa: S311  (made-up figures)
    folder = create_experiment(results, "made-up", factories.WALL_NS)
    documents.save_plan(folder, planned(truths, blocks, **plan))
    for number in range(1, blocks + 1):
        drift = 1 + 0.02 * number
        for name, truth in truths.items():
            busy, foreign = (name, number) in spoiled, float((name, number) in crowded)
            near = _near(truth, drift, chance)
            run(folder, name, number, near, busy=busy, foreign=foreign, pinning=pinning)
    return folder


def planned(truths: Mapping[str, Truth], blocks: int, **changes: Any) -> ExperimentPlan:  # noqa: ANN401  (fields of ExperimentPlan)
    """Return the plan of such an experiment."""
    whole = ExperimentPlan(
        command="compare",
        scenario="made-up",
        question="Which is faster?",
        seed=7,
        blocks=(tuple(truths),) * blocks,
        gate=GATE,
        budgets=BUDGETS,
        looks=(Look(blocks=blocks, alpha=0.05),),
    )
    return replace(whole, **changes)


def run(
    experiment: Path,
    name: str,
    block: int,
    truth: Truth,
    *,
    busy: bool = False,
    foreign: float = 0.0,
    pinning: Mapping[str, Sequence[int]] = PINNED,
) -> RunFolder:
    """Make one sealed run; of a failed one only run.json and empty tables."""
    begin_ns = factories.WALL_NS + block * 60 * NS_PER_S
    folder = create_run(experiment, name, block, begin_ns)
    if truth.changes.get("status") != "failed":
        _record(folder, truth, busy=busy, foreign=foreign)
    environment = {"pinning": dict(pinning), "host": {"boot_id": "b", "cores": 2}, "engine": {}, "seed": 7}
    document = factories.document(
        variant=name,
        block=block,
        spans=SPANS,
        scenario_name="made-up",
        scenario={"question": "Which is faster?", "tiers": {"nginx": "proxy"}, "load": {"users": 8}},
        clock={"wall_ns": begin_ns, "monotonic_ns": factories.BEGIN_NS + block * 60 * NS_PER_S},
        facts={
            "subject": {"git_commit": "c" * 40},
            "environment": environment,
            "sampler": {"sources": {"nginx": "cgroup v1"}},
        },
    )
    seal(folder, replace(document, **truth.changes))
    return folder


def _record(folder: RunFolder, truth: Truth, *, busy: bool, foreign: float) -> None:
    step_s = 5 / max(truth.requests, 1)
    requests = [
        Asked(
            start_s=index * step_s,
            took_ms=truth.took_ms * (0.5 + (index * 37 % 100) / 100),
            endpoint=truth.endpoint,
            outcome="status" if index % 100 < truth.fails else "ok",
            status=503 if index % 100 < truth.fails else 200,
        )
        for index in range(truth.requests)
    ]
    endpoints = tuple(dict.fromkeys((*factories.ENDPOINTS, truth.endpoint)))
    factories.write_requests(folder.streams, requests, endpoints=endpoints)
    readings = factories.readings(seconds=6, cores=truth.cores, anon_mib=truth.anon_mib)
    factories.write_samples(folder.streams, "nginx", readings, container=factories.NGINX)
    for service in ("sampler", "generator"):
        factories.write_samples(folder.streams, service, factories.readings(seconds=6, cores=0.004))
    host = factories.readings(seconds=6, cores=truth.cores + 0.008 + foreign)
    factories.write_samples(folder.streams, "host", [row | {"stolen_ns": 0} for row in host])
    seconds = (factories.second(n, cpu_fraction=0.99 if busy else 0.3) for n in range(7))
    factories.write_lines(folder.streams, "generator", seconds, table="generator")
    factories.write_lines(folder.streams, "flows", (), table="flows")


def _near(truth: Truth, drift: float, chance: random.Random) -> Truth:
    def about(value: float) -> float:
        return value * drift * chance.gauss(1, truth.scatter)

    if not truth.scatter:
        return truth
    anon_mib = round(about(truth.anon_mib) * MIB) / MIB
    return replace(truth, took_ms=about(truth.took_ms), cores=about(truth.cores), anon_mib=anon_mib)


def note(kind: NoteKind, text: str) -> Note:
    """Return a note of a run."""
    return Note(kind=kind, text=text)
