"""Processor cores for the load and for the stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from seatrial.errors import UsageError
from seatrial.model import Load, Stack

_LEAST_FOR_STACK = 2
"""With `auto` the stack is left at least two cores: on one, its services would queue behind each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinning:
    """The cores that may be used, and those that load and stack are pinned to (empty: to none)."""

    usable: tuple[int, ...]
    generator: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()


def siblings_of(core: int) -> frozenset[int]:
    """Return the numbers that share a physical core with this one, itself among them: what Linux calls siblings.

    Only itself where the kernel does not say (https://docs.kernel.org/admin-guide/cputopology.html).
    """
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        return frozenset({core}).union(*(_span(part) for part in text.strip().split(",")))
    except (OSError, ValueError):
        return frozenset({core})


Siblings = Callable[[int], frozenset[int]]


def decide(wanted: str, cores: Collection[int], processes: int, siblings: Siblings = siblings_of) -> Pinning:
    """Give the last `processes` of the `cores` that may be used to the load, the others to the stack.

    Where a physical core has two numbers, the load gets both: threads of one core take each other's time. `auto`
    does so if two are left for the stack, `on` if one is; UsageError if there is none then. Else, and with `off`,
    both may run on all.
    """
    usable = tuple(sorted(cores))
    generator = _last_whole(usable, processes, siblings)
    stack = tuple(core for core in usable if core not in generator)
    left = len(stack)
    if wanted == "on" and left < 1:
        raise UsageError(
            "there are not enough cores to hold load and stack apart",
            where="load.pinning",
            seen=f"{_counted(len(usable), 'core')}, {processes} of them wanted for the load",
            expected=f"at least {processes + 1}, of which the stack's share no physical core with the load's",
            hint="pinning: auto, or fewer processes",
        )
    if wanted == "on" or (wanted == "auto" and left >= _LEAST_FOR_STACK):
        return Pinning(usable=usable, generator=generator, stack=stack)
    return Pinning(usable=usable)


def _last_whole(usable: Sequence[int], count: int, siblings: Siblings) -> tuple[int, ...]:
    """Return at least `count` of the cores, from the last one on, none without its siblings."""
    taken: set[int] = set()
    for core in reversed(usable):
        if len(taken) < count:
            taken |= siblings(core) & set(usable)
    return tuple(sorted(taken))


def _span(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def shared(generator: Collection[int], stack: Collection[int], processes: int) -> str:
    """Return in words which cores load and stack have in common; empty if none."""
    common = set(generator) & set(stack)
    if not common:
        return ""
    carry = "carries" if len(common) == 1 else "carry"
    return f"{_counted(len(common), 'core')} {carry} {_counted(processes, 'load process')} and the stack"


def _counted(count: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{count} {what}{'' if count == 1 else plural}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoresInUse:
    """Where load and stack ran; `stack` is None if that is not known: its daemon is on another host."""

    generator: tuple[int, ...]
    stack: tuple[int, ...] | None

    def facts(self) -> dict[str, list[int] | None]:
        """Return them as JSON values."""
        return {"generator": list(self.generator), "stack": None if self.stack is None else list(self.stack)}

    def shared(self, processes: int) -> str:
        """Return in words which cores both have; empty if none, or none that is known."""
        return shared(self.generator, self.stack or (), processes)


def decide_pinning(
    load: Load,
    *,
    affinity: Callable[[int], Collection[int]] = os.sched_getaffinity,
    siblings: Siblings = siblings_of,
) -> Pinning:
    """Decide for the cores that this process may use; UsageError if the load asks for more than there are."""
    return decide(load.pinning, affinity(0), load.processes, siblings)


def cores_in_use(plan: Pinning, stack: Stack) -> CoresInUse:
    """Return what became of the plan; `cores` of the stack's facts are those that its engine could hold it to."""
    held = stack.facts.get("cores", ())
    return CoresInUse(
        generator=plan.generator or plan.usable,
        stack=None if held is None else tuple(held) or plan.usable,
    )
