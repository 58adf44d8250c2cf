"""Reads a sealed run through `record`, asks `judge`, and returns what every report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from seatrial.errors import UsageError
from seatrial.judge import budgets, host_share, keeping, latency, measured, memory, turns, validity
from seatrial.judge.columns import Floats, Flows, Generator, Ints, Samples, rows
from seatrial.judge.generator import generator, limit_ns
from seatrial.judge.tally import Tally, gathered
from seatrial.judge.turns import Seen
from seatrial.judge.validity import Sampling
from seatrial.judge.window import Window, window
from seatrial.model import Note
from seatrial.record import pieces, read, windowed
from seatrial.record.document import NO_ENGINE, RunDocument, load
from seatrial.record.folder import TABLES, RunFolder
from seatrial.report.contents import About, Happened, Review, Times
from seatrial.report.placing import placed
from seatrial.units import NS_PER_S

SAMPLE_HZ = 10.0
"""The sampler's rate unless `facts` says another."""

_DEATHS = frozenset({"die"})
"""What the daemon tells when a container has ended; a restart begins with one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Everything that was recorded; of the requests, which can be millions, first and last stamp (`stamps`)."""

    stamps: Ints
    flows: Flows
    details: Mapping[str, Floats]
    samples: Samples
    generator: Generator
    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One run, judged, with all that it was judged from."""

    document: RunDocument
    recorded: Recorded
    tally: Tally
    review: Review


def review(folder: RunFolder) -> Review:
    """Judge the run in `folder`; UsageError if it can't be read or was not sealed."""
    return judge(folder).review


def judge(folder: RunFolder) -> Judged:
    """Judge the run in `folder`, and keep what it was judged from; UsageError as for `review`."""
    document, recorded = load(folder), _recorded(folder)
    judged = window(document.spans, recorded.stamps, recorded.samples.numbers["t_ns"])
    seen = Seen(document.spans)
    tally = _tally(folder, document, recorded, judged, seen)
    found = _review(folder, document, recorded, judged, tally, seen)
    return Judged(document=document, recorded=recorded, tally=tally, review=found)


def _review(
    folder: RunFolder, document: RunDocument, recorded: Recorded, judged: Window, tally: Tally, seen: Seen
) -> Review:
    inside = _inside(recorded, judged)
    total = tally.total()
    served = measured.served(inside.flows)
    used = memory.services(inside.samples, judged.length_ns, total.count, served)
    flows = latency.flows(inside.flows, judged.length_ns)
    seen.take_flows(recorded.flows)
    if seen.turns is not None:
        used = turns.services(used, recorded.samples, seen.turns)
    seconds = judged.seconds(recorded.generator.phase, recorded.generator.t_ns)
    told = turns.while_open(recorded.generator, document.spans)
    load_use = generator(told, seconds, limit_ns(total.latency_ns))
    notes = (*document.notes, *validity.of_services(used, _sampling(document, judged), _deaths(inside.events)))
    notes += (
        *validity.of_work(total.count, served, loaded="load" in document.scenario),
        *(validity.of_generator(load_use) if judged.opened else ()),
        *(validity.of_turns(flows or (total,), document.spans) if seen.turns is not None else ()),
        *_of_host(folder, document, recorded, judged, seen),
    )
    return Review(
        about=_about(folder, document),
        valid=document.status == "complete" and judged.opened and not any(note.invalidates for note in notes),
        saturated=judged.opened and load_use.saturated,
        window=judged,
        total=total,
        endpoints=tally.endpoints(),
        flows=flows,
        details=measured.flow_details(inside.flows, inside.details),
        services=placed(used, document.scenario.get("tiers") or {}),
        generator=load_use,
        events=tuple(_happened(event, judged.from_ns) for event in recorded.events),
        notes=notes,
        times=_times(document.timing, tally),
        budgets=_budgets(folder, document, recorded, judged),
    )


def _of_host(
    folder: RunFolder, document: RunDocument, recorded: Recorded, judged: Window, seen: Seen
) -> tuple[Note, ...]:
    """Return the notes about who else had the processors; none of a run that only watched a stack."""
    cores = ((document.facts.get("environment") or {}).get("host") or {}).get("cores")
    if not cores or not judged.opened or "load" not in document.scenario:
        return ()
    others = [] if seen.turns is None else read.samples_beside(folder, document.block)
    found = host_share.share(recorded.samples, others, host_share.stretches(document.spans), cores)
    return host_share.notes(found, _sampling(document, judged))


def _budgets(
    folder: RunFolder, document: RunDocument, recorded: Recorded, judged: Window
) -> tuple[budgets.Judged, ...]:
    texts = document.scenario.get("budgets") or ()
    if not texts:
        return ()
    try:
        asked = [budgets.parse(text) for text in texts]
    except ValueError as error:
        raise UsageError("a budget can't be read", where=str(folder.document), seen=str(error)) from error
    tables = windowed.tables(
        folder,
        judged,
        flows=recorded.flows,
        samples=recorded.samples,
        details=recorded.details,
        spans=document.spans,
    )
    return keeping.of_run(asked, tables)


def _recorded(folder: RunFolder) -> Recorded:
    return Recorded(
        stamps=pieces.stamps(folder),
        flows=read.flows(folder),
        details=read.flow_details(folder),
        samples=read.samples(folder),
        generator=read.generator(folder),
        events=tuple(read.events(folder)),
    )


def _tally(folder: RunFolder, document: RunDocument, recorded: Recorded, judged: Window, seen: Seen) -> Tally:
    edges = [edge for span in document.spans for edge in (span.from_ns, span.until_ns - 1)]
    stamps = (np.array(edges, dtype=np.int64), recorded.stamps, recorded.samples.numbers["t_ns"])
    asked = seen.passing(pieces.requests(folder))
    return gathered(asked, judged, (*stamps, recorded.generator.t_ns), pieces.count(folder))


def _inside(recorded: Recorded, judged: Window) -> Recorded:
    flows = judged.rows(recorded.flows.phase)
    return Recorded(
        stamps=recorded.stamps,
        flows=rows(recorded.flows, flows),
        details={key: numbers[flows] for key, numbers in recorded.details.items()},
        samples=rows(recorded.samples, judged.rows(recorded.samples.phase)),
        generator=rows(recorded.generator, judged.seconds(recorded.generator.phase, recorded.generator.t_ns)),
        events=tuple(event for event in recorded.events if judged.holds(event["t_ns"])),
    )


def _sampling(document: RunDocument, judged: Window) -> Sampling:
    told = document.facts.get("sampler") or {}
    return Sampling(
        hz=float(told.get("hz", SAMPLE_HZ)),
        window_ns=judged.length_ns,
        expected=document.services or tuple(document.scenario.get("tiers") or ()),
        sources=told.get("sources") or {},
        watched=document.engine != NO_ENGINE,
    )


def _deaths(events: Sequence[Mapping[str, Any]]) -> Counter[str]:
    return Counter(str(event.get("service", "")) for event in events if event.get("event") in _DEATHS)


def _about(folder: RunFolder, document: RunDocument) -> About:
    asked = document.scenario.get("load") or {}
    results = folder.experiment.parent.absolute()
    names = [*(f"{table}.parquet" for table in TABLES), "events.jsonl", "run.json", "catalogue.json", "logs"]
    return About(
        scenario=document.scenario_name,
        question=str(document.scenario.get("question", "")),
        variant=document.variant,
        block=document.block,
        engine=document.engine,
        engine_reason=document.engine_reason,
        url_via=document.url_via,
        status=document.status,
        error=document.error,
        began_utc=_utc(document.clock.get("wall_ns")),
        users=asked.get("users"),
        rate=_rate(asked.get("rate")),
        pinning=(document.facts.get("environment") or {}).get("pinning") or {},
        show=folder.experiment.name if results == Path("results").absolute() else str(folder.root),
        folder=str(folder.root),
        rows=document.rows,
        files=tuple(name for name in names if (folder.root / name).exists()),
    )


def _rate(told: Mapping[str, Any] | None) -> str:
    """Say a schedule of run.json in words; empty in the closed model."""
    if not told:
        return ""
    return f"{told['text']} (at random)" if told["poisson"] else str(told["text"])


def _utc(wall_ns: int | None) -> str:
    if wall_ns is None:
        return ""
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _happened(event: Mapping[str, Any], from_ns: int) -> Happened:
    return Happened(
        after_ns=event["t_ns"] - from_ns,
        service=str(event.get("service", "")),
        event=str(event.get("event", "")),
        detail=event.get("detail") or {},
    )


def _times(timing: Mapping[str, int], tally: Tally) -> Times:
    """Measure what lies around the load; the end is the last stamp that the harness wrote."""
    sent_ns, ended_ns = tally.first_start_ns, tally.last_end_ns
    end_ns = timing.get("exit_ns", timing.get("torn_down_ns"))
    return Times(
        command_to_first_request_ns=sent_ns - timing["command_ns"]
        if sent_ns is not None and "command_ns" in timing
        else None,
        last_request_to_end_ns=end_ns - ended_ns if ended_ns is not None and end_ns is not None else None,
    )
