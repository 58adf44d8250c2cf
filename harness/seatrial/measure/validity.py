"""Validity rules: notes about restarts, missing samples, an overloaded generator, and CPU use of other programs.

CPU use of other programs is what the host was busy with, less what the stack, the load and the sampler used, in
slices also those of the variants that wait for their turn, and Docker's own processes, which do part of the
containers' work (their logs, for one). The harness and the kernel's threads are not counted apart, and stay in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seatrial.measure import slices, tables
from seatrial.measure.generator import BUSY_FRACTION, LEAST_COMPLETED_PERCENT, ArrivalSummary, GeneratorUse
from seatrial.measure.requests import Traffic
from seatrial.measure.services import ServiceUse
from seatrial.measure.tables import Ints, SampleColumns, where
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.units import NS_PER_S

HELD_BACK = 0.01
"""The share of the window for which a CPU quota may hold back a service or the load without a note."""
ENOUGH_SAMPLES = 0.9
"""The share of the expected samples below which a peak may have been missed."""
FEW_BUSY_SECONDS = 0.05
"""The share of busy seconds up to which their requests can't move a p95."""
DOCKER_API = "docker api"
"""The source that gives one reading a second, whatever rate was requested."""
RESERVED = frozenset({"generator", "host", "sampler"})
"""What the sampler reads besides the services of the stack."""
_CLOCKS_AGREE_NS = 100_000_000
"""Docker stamps its events with the wall clock, which NTP may move against the other (500 ppm: 30 ms a minute)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A restart that the scenario asked for, from its beginning until the service answered again."""

    service: str
    from_ns: int
    until_ns: int

    def holds(self, service: str, t_ns: int) -> bool:
        """Return whether what happened to a service then belongs to this restart."""
        return (
            service == self.service and self.from_ns - _CLOCKS_AGREE_NS <= t_ns < self.until_ns + _CLOCKS_AGREE_NS
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the services were to be read: how often, over how long, which of them, and from where (by service).

    `down_ns` is for how long in the window a service was down by a restart that was asked for. `watched` is false
    where no stack was to be read: a recording of Locust alone.
    """

    hz: float
    window_ns: int
    expected: tuple[str, ...]
    sources: Mapping[str, str]
    down_ns: Mapping[str, int] = field(default_factory=dict)
    watched: bool = True


def work_notes(requests: int, flows: int, *, loaded: bool) -> tuple[Note, ...]:
    """Return NO_REQUESTS if a load was meant to run and the window holds no work: neither request nor flow."""
    if requests or flows or not loaded:
        return ()
    return (Note(kind=NoteKind.NO_REQUESTS, text="the window holds neither a request nor a flow"),)


def service_notes(used: Sequence[ServiceUse], sampling: Sampling, deaths: Mapping[str, int]) -> tuple[Note, ...]:
    """Return the notes about restarts, kills, quotas, and samples that are missing or coarse.

    `deaths` counts, for each service, how often its container ended within the window without being asked to.
    """
    stack = [use for use in used if use.service not in RESERVED]
    notes = [note for use in stack for note in _lifetime_notes(use, deaths.get(use.service, 0))]
    for use in stack:
        throttled_ns = use.gained["throttled_ns"] or 0
        if throttled_ns > HELD_BACK * sampling.window_ns:  # what its variant does, and no reason to leave it out
            text = (
                f"{use.service}: its CPU quota held it back for {_processor_s(throttled_ns, sampling.window_ns)}"
            )
            notes.append(Note(kind=NoteKind.SERVICE_THROTTLED, text=text))
    notes += _missing_samples({use.service: use.ticks for use in stack}, sampling)
    coarse = [name for name, source in sampling.sources.items() if source == DOCKER_API]
    if coarse:
        text = f"the Docker API gives one reading a second, without classes, for {', '.join(coarse)}"
        notes.append(Note(kind=NoteKind.COARSE_SAMPLES, text=text))
    return tuple(notes)


def _lifetime_notes(use: ServiceUse, deaths: int) -> Iterator[Note]:
    times = max(use.restarts, deaths)
    if times:
        lives = ", ".join(container[:12] for container in use.containers)
        often = "once" if times == 1 else f"{times} times"
        text = f"{use.service}: ended or was replaced {often} within the window (containers: {lives})"
        yield Note(kind=NoteKind.SERVICE_RESTARTED, text=text)
    if kills := use.gained["oom_kills"]:
        yield Note(kind=NoteKind.OOM_KILL, text=f"{use.service}: {kills} killed for want of memory")


def _missing_samples(ticks: Mapping[str, int], sampling: Sampling) -> Iterator[Note]:
    if sampling.window_ns == 0 or not sampling.watched:
        return
    names = dict.fromkeys((*sampling.expected, *ticks))
    if not names:
        yield Note(kind=NoteKind.SAMPLES_MISSING, text="no service was read in the window")
    for name in names:
        hz = 1.0 if sampling.sources.get(name) == DOCKER_API else sampling.hz
        expected = hz * (sampling.window_ns - sampling.down_ns.get(name, 0)) / NS_PER_S
        if ticks.get(name, 0) < max(1, int(expected * ENOUGH_SAMPLES)):
            text = f"{name}: {ticks.get(name, 0)} samples of {expected:.0f} expected in the window"
            yield Note(kind=NoteKind.SAMPLES_MISSING, text=text)


def _processor_s(time_ns: float, length_ns: int) -> str:
    return f"{time_ns / NS_PER_S:.2f} s, processors added up, in {length_ns / NS_PER_S:.1f} s"


def generator_notes(use: GeneratorUse) -> tuple[Note, ...]:
    """Return GENERATOR_BUSY, GENERATOR_LATE, SATURATED and LATE_ARRIVALS, as far as they apply."""
    notes = []
    if use.busy_seconds > use.seconds * FEW_BUSY_SECONDS:
        text = (
            f"in {use.busy_seconds} of {use.seconds} seconds a load process used more than {BUSY_FRACTION:.0%} "
            f"of what it may, at most {use.cpu_max or 0:.0%}"
        )
        notes.append(Note(kind=NoteKind.GENERATOR_BUSY, text=text))
    late, parts = use.lateness, []
    if late.loop:  # answers are read late
        parts.append(
            f"at least {late.late_ticks} of {late.ticks} ticks of the event loop came late "
            f"(p99 of a second at most {_ms(use.loop_lag_p99_max_ns)})"
        )
    if late.schedule:  # requests are sent late
        parts.append(
            f"{late.slipped} of {late.arrivals} arrivals fell in seconds whose schedule slipped "
            f"(p99 of a second at most {_ms(use.slip_p99_max_ns)})"
        )
    if parts:
        text = f"{', and '.join(parts)}; {_ms(late.limit_ns)} are allowed"
        notes.append(Note(kind=NoteKind.GENERATOR_LATE, text=text))
    return (*notes, *(_arrival_notes(use.arrivals) if use.arrivals is not None else ()))


def _arrival_notes(arrivals: ArrivalSummary) -> Iterator[Note]:
    offered, completed, seconds = arrivals.offered, arrivals.completed, max(arrivals.seconds, 1)
    dropped = f"{arrivals.dropped or 'none'} {'was' if arrivals.dropped == 1 else 'were'} dropped in the window"
    if arrivals.saturated:
        text = (
            f"{offered:,} arrivals were offered ({offered / seconds:,.1f}/s) and {completed:,} completed "
            f"({completed / seconds:,.1f}/s): {arrivals.completed_share:.1%}, {LEAST_COMPLETED_PERCENT}% is "
            f"expected; {dropped}; latency would grow with the length of the run, and is not shown"
        )
        yield Note(kind=NoteKind.SATURATED, text=text)
    if arrivals.late or arrivals.dropped:
        text = f"{arrivals.late:,} of {offered:,} arrivals found no idle user at their moment; {dropped}"
        yield Note(kind=NoteKind.LATE_ARRIVALS, text=text)


def slice_notes(work: Sequence[Traffic], spans: Sequence[Span]) -> tuple[Note, ...]:
    """Return LONG_FLOWS if one in twenty of some `work`, flows or requests, takes longer than a slice settles."""
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


def _ms(value_ns: int | None) -> str:
    return "unknown" if value_ns is None else f"{value_ns / 1_000_000:.1f} ms"


FOREIGN = 0.10
"""Of all processors."""
STOLEN = 0.05
"""Of all processors. On virtual machines with neighbours 1 to 2.5 % are common; what both sides of a block have in
common drops out, and identical stacks showed no difference there (docs/explanation/comparing.md)."""
_TICK_NS = 10_000_000
"""`/proc/stat` counts in steps of 10 ms (USER_HZ is 100), so each stretch may show one too many."""
_COUNTED_HERE = frozenset({"cgroup v1", "cgroup v2", "process tree"})
"""Sources that read this host's kernel; the Docker API may read that of another machine."""
HostStretch = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """Processor time within the stretches that were judged; None where it was not measured.

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
    """Return from when until when a run is judged: its window, or each of its slices, settling included."""
    windows = [(span.from_ns, span.until_ns) for span in spans if span.phase is Phase.WINDOW]
    return slices.open_spans(spans) or windows


def host_share(
    samples: SampleColumns, others: Sequence[SampleColumns], judged: Sequence[HostStretch], cores: int
) -> HostShare:
    """Measure who used the processors; `samples` are those of the whole run, `others` of runs at the same time."""
    length_ns = sum(until - begin for begin, until in judged)
    host = where(samples, samples.service.is_("host"))
    sampler = where(samples, samples.service.is_("sampler"))
    busy_ns = _growth_ns(host, "cpu_ns", judged)
    own = [where(run, ~run.service.is_("host")) for run in (samples, *others)]
    own_ns = [
        *(_growth_ns(run, "cpu_ns", judged) or 0.0 for run in own),
        _growth_ns(host, "engine_ns", judged) or 0.0,
    ]
    return HostShare(
        stretches=len(judged),
        length_ns=length_ns,
        all_ns=length_ns * cores,
        foreign_ns=None if busy_ns is None else max(busy_ns - sum(own_ns), 0.0),
        stolen_ns=_growth_ns(host, "stolen_ns", judged),
        held_back_ns=_growth_ns(sampler, "throttled_ns", judged),
    )


def _growth_ns(samples: SampleColumns, column: str, judged: Sequence[HostStretch]) -> float | None:
    """Add up what the counters of all containers grew by in the stretches; None if none was read twice."""
    readings = tables.counter_readings(samples, column)
    rises = [_rise(stamps, values, judged) for stamps, values in readings if len(stamps) > 1]
    return sum(rises) if rises else None


def _rise(stamps: Ints, values: Ints, judged: Sequence[HostStretch]) -> float:
    """Return a counter's rise within the stretches, on a straight line from reading to reading.

    A fall is a counter that began again at zero, and counts as nothing.
    """
    risen = np.concatenate([[0], np.cumsum(np.maximum(np.diff(values), 0))])
    begin, until = np.array(judged, dtype=np.int64).reshape(-1, 2).T
    return float((np.interp(until, stamps, risen) - np.interp(begin, stamps, risen)).sum())


def host_notes(share: HostShare, sampling: Sampling) -> tuple[Note, ...]:
    """Return FOREIGN_CPU, STOLEN_CPU and LOAD_THROTTLED, where more was taken than is allowed.

    There are no notes about the processors where services ran elsewhere, or may have (behind a remote engine, in
    the virtual machine of Docker Desktop), nor of a run that was recorded before stolen time was.
    """
    notes = []
    if share.held_back_ns is not None and share.held_back_ns > HELD_BACK * share.length_ns:
        held_back = _processor_s(share.held_back_ns, share.length_ns)
        text = f"a CPU quota held the load and the sampler back for {held_back}; {HELD_BACK:.0%} is allowed"
        notes.append(Note(kind=NoteKind.LOAD_THROTTLED, text=text))
    services = sampling.expected or tuple(name for name in sampling.sources if name not in RESERVED)
    if share.stolen_ns is None or any(sampling.sources.get(name) not in _COUNTED_HERE for name in services):
        return tuple(notes)
    taken = (
        (NoteKind.FOREIGN_CPU, share.foreign_ns, FOREIGN, "other programs used {} of the host's processors"),
        (
            NoteKind.STOLEN_CPU,
            share.stolen_ns,
            STOLEN,
            "the hypervisor kept {} of the host's processors for others",
        ),
    )
    for kind, taken_ns, limit, text in taken:
        if taken_ns is not None and taken_ns - share.stretches * _TICK_NS > limit * share.all_ns:
            part = text.format(f"{taken_ns / share.all_ns:.1%}")
            notes.append(Note(kind=kind, text=f"{part}; {limit:.0%} is allowed"))
    return tuple(notes)
