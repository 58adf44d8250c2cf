"""Who else had the processors while a run was measured: other programs, a hypervisor's guests, a quota.

Foreign is what the host was busy with, less what the stack, the load and the sampler used, in slices those of the
variants that wait for their turn, and Docker's own processes, which do part of the containers' work (their logs,
for one). What nobody counts by itself stays in it: the harness and the kernel's threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.measure import replicas
from seatrial.measure import slices as turns
from seatrial.measure.tables import Ints, Samples, rows
from seatrial.measure.validity import HELD_BACK, RESERVED, Sampling
from seatrial.model import Note, NoteKind, Phase, Span
from seatrial.units import NS_PER_S

FOREIGN = 0.10
"""Of all processors."""

STOLEN = 0.05
"""Of all processors. On virtual machines with neighbours 1 to 2.5 % are common; what both sides of a block have in
common drops out, and identical stacks were not told apart there (docs/explanation/comparing.md)."""

_TICK_NS = 10_000_000
"""`/proc/stat` counts in steps of 10 ms (USER_HZ is 100), so each stretch may show one too many."""

_COUNTED_HERE = frozenset({"cgroup v1", "cgroup v2", "process tree"})
"""Sources that read this host's kernel; the Docker API may tell of a machine elsewhere."""

Stretch = tuple[int, int]


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


def stretches(spans: Sequence[Span]) -> list[Stretch]:
    """Return from when until when a run is judged: its window, or each of its own turns, settling included."""
    windows = [(span.from_ns, span.until_ns) for span in spans if span.phase is Phase.WINDOW]
    return turns.opened(spans) or windows


def share(samples: Samples, others: Sequence[Samples], judged: Sequence[Stretch], cores: int) -> HostShare:
    """Measure who had the processors; `samples` are those of the whole run, `others` of runs at the same time."""
    length_ns = sum(until - begin for begin, until in judged)
    host, stack = _split(samples)
    busy_ns = _grown(host, "cpu_ns", judged)
    ours_ns = [_grown(some, "cpu_ns", judged) or 0.0 for some in (stack, *(_split(one)[1] for one in others))]
    ours_ns.append(_grown(host, "engine_ns", judged) or 0.0)
    sampler = rows(samples, samples.service.is_("sampler"))
    return HostShare(
        stretches=len(judged),
        length_ns=length_ns,
        all_ns=length_ns * cores,
        foreign_ns=None if busy_ns is None else max(busy_ns - sum(ours_ns), 0.0),
        stolen_ns=_grown(host, "stolen_ns", judged),
        held_back_ns=_grown(sampler, "throttled_ns", judged),
    )


def notes(found: HostShare, sampling: Sampling) -> tuple[Note, ...]:
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


def _split(samples: Samples) -> tuple[Samples, Samples]:
    """Return the host's samples, and all others."""
    host = samples.service.is_("host")
    return rows(samples, host), rows(samples, ~host)


def _grown(samples: Samples, column: str, judged: Sequence[Stretch]) -> float | None:
    """Add up what the counters of all containers grew by in the stretches; None if none was read twice."""
    readings = replicas.counted(samples, column)
    found = [_between(stamps, counted, judged) for stamps, counted in readings if len(stamps) > 1]
    return sum(found) if found else None


def _between(stamps: Ints, counted: Ints, judged: Sequence[Stretch]) -> float:
    """Return a counter's rise within the stretches, on a straight line from reading to reading.

    A fall is a counter that began anew, and counts as nothing.
    """
    risen = np.concatenate([[0], np.cumsum(np.maximum(np.diff(counted), 0))])
    begin, until = np.array(judged, dtype=np.int64).reshape(-1, 2).T
    return float((np.interp(until, stamps, risen) - np.interp(begin, stamps, risen)).sum())
