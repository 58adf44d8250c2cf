"""Whether a run can be trusted, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seatrial.judge.generator import BUSY_FRACTION, GeneratorUse
from seatrial.judge.memory import ServiceUse
from seatrial.model import Note, NoteKind
from seatrial.units import NS_PER_S

ENOUGH_SAMPLES = 0.9
"""The share of the expected samples below which a peak may have been missed."""

FEW_BUSY_SECONDS = 0.05
"""The share of busy seconds up to which their requests can't move a p95."""

DOCKER_API = "docker api"
"""The source that gives one reading a second, whatever rate was asked for."""

RESERVED = frozenset({"generator", "host", "sampler"})
"""What the sampler watches besides the stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the services were to be read: how often, over how long, which of them, and from where (by service)."""

    hz: float
    window_ns: int
    expected: tuple[str, ...]
    sources: Mapping[str, str]


def of_requests(count: int, *, loaded: bool) -> tuple[Note, ...]:
    """Return NO_REQUESTS if a load was meant to run and the window holds no request."""
    if count or not loaded:
        return ()
    return (Note(kind=NoteKind.NO_REQUESTS, text="the window holds no request"),)


def of_services(used: Sequence[ServiceUse], sampling: Sampling, deaths: Mapping[str, int]) -> tuple[Note, ...]:
    """Return the notes about restarts, kills, and samples that are missing or coarse.

    `deaths` counts, for each service, how often its container ended within the window.
    """
    found = [note for one in used for note in (*_restarted(one, deaths.get(one.service, 0)), *_killed(one))]
    found += _missing(used, sampling)
    coarse = [name for name, source in sampling.sources.items() if source == DOCKER_API]
    if coarse:
        text = f"the Docker API gives one reading a second, without classes, for {', '.join(coarse)}"
        found.append(Note(kind=NoteKind.COARSE_SAMPLES, text=text))
    return tuple(found)


def of_generator(use: GeneratorUse) -> tuple[Note, ...]:
    """Return GENERATOR_BUSY if a process was near the limit of its core in more than a few of the seconds."""
    if use.busy_seconds <= use.seconds * FEW_BUSY_SECONDS:
        return ()
    text = (
        f"in {use.busy_seconds} of {use.seconds} seconds a load process used more than {BUSY_FRACTION:.0%} "
        f"of a core, at most {use.cpu_max or 0:.0%}"
    )
    return (Note(kind=NoteKind.GENERATOR_BUSY, text=text),)


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


def _missing(used: Sequence[ServiceUse], sampling: Sampling) -> list[Note]:
    seen = {service.service: service.ticks for service in used if service.service not in RESERVED}
    if sampling.window_ns == 0:
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
