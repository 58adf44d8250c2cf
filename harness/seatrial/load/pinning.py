"""CPU pinning: which processor cores the load and the stack run on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.errors import UsageError

_LEAST_FOR_STACK = 2
"""With `auto` the stack keeps at least two cores: on one its services would queue behind each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinning:
    """The cores that may be used, and those that load and stack are pinned to; empty if they are not pinned."""

    usable: tuple[int, ...]
    generator: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()


def siblings_of(core: int) -> frozenset[int]:
    """Return the thread siblings of a core, itself among them: the numbers that share its physical core.

    Only itself if the kernel does not report them (https://docs.kernel.org/admin-guide/cputopology.html).
    """
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        return frozenset({core}).union(*(_span(part) for part in text.strip().split(",")))
    except (OSError, ValueError):
        return frozenset({core})


Siblings = Callable[[int], frozenset[int]]


def decide(mode: str, cores: Collection[int], processes: int, siblings: Siblings = siblings_of) -> Pinning:
    """Give the last `processes` of the `cores` that may be used to the load, the others to the stack.

    The load gets whole physical cores: threads of one core take each other's time. `auto` pins if two cores are
    left for the stack, `on` if one is, and raises UsageError if none is. Otherwise, and with `off`, both may run
    on all cores.
    """
    usable = tuple(sorted(cores))
    generator = _last_whole(usable, processes, siblings)
    stack = tuple(core for core in usable if core not in generator)
    if mode == "on" and not stack:
        raise UsageError(
            "there are not enough cores to keep load and stack apart",
            where="load.pinning",
            seen=f"{_counted(len(usable), 'core')}, {processes} of them for the load",
            expected=f"at least {processes + 1}, of which the stack's share no physical core with the load's",
            hint="pinning: auto, or fewer processes",
        )
    if mode == "on" or (mode == "auto" and len(stack) >= _LEAST_FOR_STACK):
        return Pinning(usable=usable, generator=generator, stack=stack)
    return Pinning(usable=usable)


def _last_whole(usable: Sequence[int], count: int, siblings: Siblings) -> tuple[int, ...]:
    """Return at least `count` of the cores, the last ones, each with its siblings."""
    taken: set[int] = set()
    for core in reversed(usable):
        if len(taken) < count:
            taken |= siblings(core) & set(usable)
    return tuple(sorted(taken))


def _span(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _counted(count: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{count} {what}{'' if count == 1 else plural}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoresInUse:
    """The cores that load and stack ran on; `stack` is None if unknown, with a Docker daemon on another host."""

    generator: tuple[int, ...]
    stack: tuple[int, ...] | None

    def facts(self) -> dict[str, list[int] | None]:
        """Return them as JSON values."""
        return {"generator": list(self.generator), "stack": None if self.stack is None else list(self.stack)}

    def shared(self, processes: int) -> str:
        """Return in words how many cores are known to be used by both; empty if none."""
        common = set(self.generator) & set(self.stack or ())
        if not common:
            return ""
        carry = "carries" if len(common) == 1 else "carry"
        return f"{_counted(len(common), 'core')} {carry} {_counted(processes, 'load process')} and the stack"


def cores_in_use(plan: Pinning, stack_facts: Mapping[str, Any]) -> CoresInUse:
    """Return the cores after a stack came up; `cores` of its facts are those that its engine pinned it to."""
    cores = stack_facts.get("cores", ())
    return CoresInUse(
        generator=plan.generator or plan.usable,
        stack=None if cores is None else tuple(cores) or plan.usable,
    )
