"""Whether a run can be trusted, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seatrial.measure.arrivals import LEAST_COMPLETED_PERCENT, Arrivals
from seatrial.measure.generator import BUSY_FRACTION, GeneratorUse
from seatrial.measure.latency import Traffic
from seatrial.measure.services import ServiceUse
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


def of_work(requests: int, flows: int, *, loaded: bool) -> tuple[Note, ...]:
    """Return NO_REQUESTS if a load was meant to run and the window holds no work: neither request nor flow."""
    if requests or flows or not loaded:
        return ()
    return (Note(kind=NoteKind.NO_REQUESTS, text="the window holds neither a request nor a flow"),)


def of_services(used: Sequence[ServiceUse], sampling: Sampling, deaths: Mapping[str, int]) -> tuple[Note, ...]:
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


def of_generator(use: GeneratorUse) -> tuple[Note, ...]:
    """Return GENERATOR_BUSY, GENERATOR_LATE, SATURATED and LATE_ARRIVALS, where the load's own numbers say so."""
    found = [*_busy(use), *_late(use)]
    if use.arrivals is not None:
        found += [*_saturated(use.arrivals), *_late_arrivals(use.arrivals)]
    return tuple(found)


def of_turns(work: Sequence[Traffic], spans: Sequence[Span]) -> tuple[Note, ...]:
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


def _saturated(seen: Arrivals) -> list[Note]:
    if not seen.saturated:
        return []
    text = (
        f"{seen.offered:,} arrivals were offered ({_per_s(seen.offered, seen)}) and {seen.completed:,} completed "
        f"({_per_s(seen.completed, seen)}): {seen.completed_share:.1%}, {LEAST_COMPLETED_PERCENT}% is asked; "
        f"{_dropped(seen)}; latency would tell the length of the run, and is not shown"
    )
    return [Note(kind=NoteKind.SATURATED, text=text)]


def _late_arrivals(seen: Arrivals) -> list[Note]:
    if not seen.late and not seen.dropped:
        return []
    text = f"{seen.late:,} of {seen.offered:,} arrivals found no idle user at their moment; {_dropped(seen)}"
    return [Note(kind=NoteKind.LATE_ARRIVALS, text=text)]


def _dropped(seen: Arrivals) -> str:
    return f"{seen.dropped or 'none'} {'was' if seen.dropped == 1 else 'were'} dropped in the window"


def _per_s(count: int, seen: Arrivals) -> str:
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
