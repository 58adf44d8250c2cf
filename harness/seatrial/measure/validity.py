"""Notes about what spoils a measurement: restarts, missing samples, foreign CPU use.

Foreign is what the host was busy with, less what the stack, the load and the sampler used, in slices those of the
variants that wait for their turn, and Docker's own processes, which do part of the containers' work (their logs,
for one). What nobody counts by itself stays in it: the harness and the kernel's threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.measure import slices, tables
from seatrial.measure.generator import BUSY_FRACTION, LEAST_COMPLETED_PERCENT, ArrivalSummary, GeneratorUse
from seatrial.measure.requests import Traffic
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import Ints, SampleColumns, where
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.units import NS_PER_S

HELD_BACK = 0.01
"""The share of the window that a CPU quota may hold back what it is set on, before it is worth a word."""
ENOUGH_SAMPLES = 0.9
"""The share of the expected samples below which a peak may have been missed."""
FEW_BUSY_SECONDS = 0.05
"""The share of busy seconds up to which their requests can't move a p95."""
DOCKER_API = "docker api"
"""The source that gives one reading a second, whatever rate was asked for."""
_NS_PER_MS = 1_000_000
RESERVED = frozenset({"generator", "host", "sampler"})
"""What the sampler watches besides the stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the services were to be read: how often, over how long, which of them, and from where (by service).

    `watched` is false where nobody was to read any: a recording of Locust alone.
    """

    hz: float
    window_ns: int
    expected: tuple[str, ...]
    sources: Mapping[str, str]
    watched: bool = True


def work_notes(requests: int, flows: int, *, loaded: bool) -> tuple[Note, ...]:
    """Return NO_REQUESTS if a load was meant to run and the window holds no work: neither request nor flow."""
    if requests or flows or not loaded:
        return ()
    return (Note(kind=NoteKind.NO_REQUESTS, text="the window holds neither a request nor a flow"),)


def service_notes(used: Sequence[ServiceUse], sampling: Sampling, deaths: Mapping[str, int]) -> tuple[Note, ...]:
    """Return the notes about restarts, kills, quotas, and samples that are missing or coarse.

    `deaths` counts, for each service, how often its container ended within the window.
    """
    found = [note for one in used for note in (*_restarted(one, deaths.get(one.service, 0)), *_killed(one))]
    found += [note for one in used for note in _throttled(one, sampling.window_ns)]
    found += _missing(used, sampling)
    coarse = [name for name, source in sampling.sources.items() if source == DOCKER_API]
    if coarse:
        text = f"the Docker API gives one reading a second, without classes, for {', '.join(coarse)}"
        found.append(Note(kind=NoteKind.COARSE_SAMPLES, text=text))
    return tuple(found)


def generator_notes(use: GeneratorUse) -> tuple[Note, ...]:
    """Return GENERATOR_BUSY, GENERATOR_LATE, SATURATED and LATE_ARRIVALS, where the load's own numbers say so."""
    found = [*_busy(use), *_late(use)]
    if use.arrivals is not None:
        found += [*_saturated(use.arrivals), *_late_arrivals(use.arrivals)]
    return tuple(found)


def slice_notes(work: Sequence[Traffic], spans: Sequence[Span]) -> tuple[Note, ...]:
    """Return LONG_FLOWS if one in twenty of some `work`, flows or requests, takes longer than a turn settles."""
    longest = max(((one.service_ns.p95, one.name) for one in work if one.service_ns.p95 is not None), default=None)
    settles = [span.until_ns - span.from_ns for span in spans if span.phase is Phase.SETTLE]
    settle_ns = min(settles, default=0)
    if longest is None or longest[0] <= settle_ns:
        return ()
    text = (
        f"one in twenty of {longest[1]!r} takes longer than {_ms(longest[0])}, and after each change of turns "
        f"{_ms(settle_ns)} are not judged: what one variant began ends in the next one's time, so that they look "
        "more alike than they are"
    )
    return (Note(kind=NoteKind.LONG_FLOWS, text=text),)


def _busy(use: GeneratorUse) -> list[Note]:
    if use.busy_seconds <= use.seconds * FEW_BUSY_SECONDS:
        return []
    text = (
        f"in {use.busy_seconds} of {use.seconds} seconds a load process used more than {BUSY_FRACTION:.0%} "
        f"of what it may, at most {use.cpu_max or 0:.0%}"
    )
    return [Note(kind=NoteKind.GENERATOR_BUSY, text=text)]


def _late(use: GeneratorUse) -> list[Note]:
    """Say what was late: the loop (answers are seen late), or the schedule (questions come late)."""
    late, said = use.lateness, []
    if late.loop:
        said.append(
            f"at least {late.late_ticks} of {late.ticks} ticks of the event loop came late "
            f"(p99 of a second at most {_ms(use.loop_lag_p99_max_ns)})"
        )
    if late.schedule:
        said.append(
            f"{late.slipped} of {late.arrivals} arrivals fell in seconds whose schedule slipped "
            f"(p99 of a second at most {_ms(use.slip_p99_max_ns)})"
        )
    if not said:
        return []
    return [Note(kind=NoteKind.GENERATOR_LATE, text=f"{', and '.join(said)}; {_ms(late.limit_ns)} are allowed")]


def _saturated(seen: ArrivalSummary) -> list[Note]:
    if not seen.saturated:
        return []
    text = (
        f"{seen.offered:,} arrivals were offered ({_per_s(seen.offered, seen)}) and {seen.completed:,} completed "
        f"({_per_s(seen.completed, seen)}): {seen.completed_share:.1%}, {LEAST_COMPLETED_PERCENT}% is asked; "
        f"{_dropped(seen)}; latency would tell the length of the run, and is not shown"
    )
    return [Note(kind=NoteKind.SATURATED, text=text)]


def _late_arrivals(seen: ArrivalSummary) -> list[Note]:
    if not seen.late and not seen.dropped:
        return []
    text = f"{seen.late:,} of {seen.offered:,} arrivals found no idle user at their moment; {_dropped(seen)}"
    return [Note(kind=NoteKind.LATE_ARRIVALS, text=text)]


def _dropped(seen: ArrivalSummary) -> str:
    return f"{seen.dropped or 'none'} {'was' if seen.dropped == 1 else 'were'} dropped in the window"


def _per_s(count: int, seen: ArrivalSummary) -> str:
    return f"{count / max(seen.seconds, 1):,.1f}/s"


def _ms(value_ns: int | None) -> str:
    return "unknown" if value_ns is None else f"{value_ns / _NS_PER_MS:.1f} ms"


def _restarted(service: ServiceUse, deaths: int) -> list[Note]:
    times = max(service.restarts, deaths)
    if not times or service.service in RESERVED:
        return []
    lives = ", ".join(container[:12] for container in service.containers)
    text = f"{service.service}: ended or was replaced {_times(times)} within the window (containers: {lives})"
    return [Note(kind=NoteKind.SERVICE_RESTARTED, text=text)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _killed(service: ServiceUse) -> list[Note]:
    kills = service.gained["oom_kills"]
    if not kills or service.service in RESERVED:
        return []
    return [Note(kind=NoteKind.OOM_KILL, text=f"{service.service}: {kills} killed for want of memory")]


def _throttled(service: ServiceUse, window_ns: int) -> list[Note]:
    """Say that a service's own quota held it back: what its variant does, and no reason to leave it out."""
    held_ns = service.gained["throttled_ns"] or 0
    if service.service in RESERVED or held_ns <= HELD_BACK * window_ns:
        return []
    seconds = f"{held_ns / NS_PER_S:.2f} s, processors added up, in {window_ns / NS_PER_S:.1f} s"
    text = f"{service.service}: its CPU quota held it back for {seconds}"
    return [Note(kind=NoteKind.SERVICE_THROTTLED, text=text)]


def _missing(used: Sequence[ServiceUse], sampling: Sampling) -> list[Note]:
    seen = {service.service: service.ticks for service in used if service.service not in RESERVED}
    if sampling.window_ns == 0 or not sampling.watched:
        return []
    wanted = dict.fromkeys((*sampling.expected, *seen))
    if not wanted:
        return [Note(kind=NoteKind.SAMPLES_MISSING, text="no service was read in the window")]
    found = []
    for name in wanted:
        hz = 1.0 if sampling.sources.get(name) == DOCKER_API else sampling.hz
        expected = hz * sampling.window_ns / NS_PER_S
        if seen.get(name, 0) < max(1, int(expected * ENOUGH_SAMPLES)):
            text = f"{name}: {seen.get(name, 0)} samples of {expected:.0f} expected in the window"
            found.append(Note(kind=NoteKind.SAMPLES_MISSING, text=text))
    return found


FOREIGN = 0.10
"""Of all processors."""
STOLEN = 0.05
"""Of all processors. On virtual machines with neighbours 1 to 2.5 % are common; what both sides of a block have in
common drops out, and identical stacks were not told apart there (docs/explanation/comparing.md)."""
_TICK_NS = 10_000_000
"""`/proc/stat` counts in steps of 10 ms (USER_HZ is 100), so each stretch may show one too many."""
_COUNTED_HERE = frozenset({"cgroup v1", "cgroup v2", "process tree"})
"""Sources that read this host's kernel; the Docker API may tell of a machine elsewhere."""
HostStretch = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """Time of processors within the stretches that were judged; None where nobody could tell.

    `length_ns` is that of the stretches, `all_ns` what `cores` processors had in them. `held_back_ns` is for how
    long a CPU quota held back the cgroups of harness and load.
    """

    stretches: int
    length_ns: int
    all_ns: int
    foreign_ns: float | None
    stolen_ns: float | None
    held_back_ns: float | None


def host_stretches(spans: Sequence[Span]) -> list[HostStretch]:
    """Return from when until when a run is judged: its window, or each of its own turns, settling included."""
    windows = [(span.from_ns, span.until_ns) for span in spans if span.phase is Phase.WINDOW]
    return slices.open_spans(spans) or windows


def host_share(
    samples: SampleColumns, others: Sequence[SampleColumns], judged: Sequence[HostStretch], cores: int
) -> HostShare:
    """Measure who had the processors; `samples` are those of the whole run, `others` of runs at the same time."""
    length_ns = sum(until - begin for begin, until in judged)
    host, stack = _split(samples)
    busy_ns = _growth_ns(host, "cpu_ns", judged)
    ours_ns = [_growth_ns(some, "cpu_ns", judged) or 0.0 for some in (stack, *(_split(one)[1] for one in others))]
    ours_ns.append(_growth_ns(host, "engine_ns", judged) or 0.0)
    sampler = where(samples, samples.service.is_("sampler"))
    return HostShare(
        stretches=len(judged),
        length_ns=length_ns,
        all_ns=length_ns * cores,
        foreign_ns=None if busy_ns is None else max(busy_ns - sum(ours_ns), 0.0),
        stolen_ns=_growth_ns(host, "stolen_ns", judged),
        held_back_ns=_growth_ns(sampler, "throttled_ns", judged),
    )


def host_notes(found: HostShare, sampling: Sampling) -> tuple[Note, ...]:
    """Return FOREIGN_CPU, STOLEN_CPU and LOAD_THROTTLED, where more was taken than is allowed.

    Nothing is said of the processors where services ran elsewhere, or may have: behind a remote engine, or in the
    virtual machine of Docker Desktop. Nor is it of a run that was recorded before stolen time was.
    """
    told = list(_held_back(found))
    if found.stolen_ns is not None and _here(sampling):
        told += [*_foreign(found), *_stolen(found)]
    return tuple(told)


def _foreign(found: HostShare) -> Iterator[Note]:
    if _over(found.foreign_ns, FOREIGN, found):
        text = f"other programs used {_of_all(found.foreign_ns, found)} of the host's processors; "
        yield Note(kind=NoteKind.FOREIGN_CPU, text=f"{text}{FOREIGN:.0%} is allowed")


def _stolen(found: HostShare) -> Iterator[Note]:
    if _over(found.stolen_ns, STOLEN, found):
        text = f"the hypervisor kept {_of_all(found.stolen_ns, found)} of the host's processors for others; "
        yield Note(kind=NoteKind.STOLEN_CPU, text=f"{text}{STOLEN:.0%} is allowed")


def _held_back(found: HostShare) -> Iterator[Note]:
    held_ns = found.held_back_ns
    if held_ns is not None and held_ns > HELD_BACK * found.length_ns:
        seconds = f"{held_ns / NS_PER_S:.2f} s, processors added up, in {found.length_ns / NS_PER_S:.1f} s"
        text = f"a CPU quota held the load and the sampler back for {seconds}; {HELD_BACK:.0%} is allowed"
        yield Note(kind=NoteKind.LOAD_THROTTLED, text=text)


def _over(taken_ns: float | None, limit: float, found: HostShare) -> bool:
    return taken_ns is not None and taken_ns - found.stretches * _TICK_NS > limit * found.all_ns


def _of_all(taken_ns: float | None, found: HostShare) -> str:
    return f"{(taken_ns or 0.0) / found.all_ns:.1%}"


def _here(sampling: Sampling) -> bool:
    services = sampling.expected or tuple(name for name in sampling.sources if name not in RESERVED)
    return all(sampling.sources.get(name) in _COUNTED_HERE for name in services)


def _split(samples: SampleColumns) -> tuple[SampleColumns, SampleColumns]:
    """Return the host's samples, and all others."""
    host = samples.service.is_("host")
    return where(samples, host), where(samples, ~host)


def _growth_ns(samples: SampleColumns, column: str, judged: Sequence[HostStretch]) -> float | None:
    """Add up what the counters of all containers grew by in the stretches; None if none was read twice."""
    readings = tables.counter_readings(samples, column)
    found = [_between(stamps, counted, judged) for stamps, counted in readings if len(stamps) > 1]
    return sum(found) if found else None


def _between(stamps: Ints, counted: Ints, judged: Sequence[HostStretch]) -> float:
    """Return a counter's rise within the stretches, on a straight line from reading to reading.

    A fall is a counter that began anew, and counts as nothing.
    """
    risen = np.concatenate([[0], np.cumsum(np.maximum(np.diff(counted), 0))])
    begin, until = np.array(judged, dtype=np.int64).reshape(-1, 2).T
    return float((np.interp(until, stamps, risen) - np.interp(begin, stamps, risen)).sum())
