"""Who runs on which cores of this host, as facts of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from seatrial.load import pinning
from seatrial.load.pinning import Pinning, Siblings
from seatrial.model import Load, Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Where load and stack ran; `stack` is None if that is not known: its daemon is on another host."""

    generator: tuple[int, ...]
    stack: tuple[int, ...] | None

    def facts(self) -> dict[str, list[int] | None]:
        """Return them as JSON values."""
        return {"generator": list(self.generator), "stack": None if self.stack is None else list(self.stack)}

    def shared(self, processes: int) -> str:
        """Return in words which cores both have; empty if none, or none that is known."""
        return pinning.shared(self.generator, self.stack or (), processes)


def decided(
    load: Load,
    *,
    affinity: Callable[[int], Collection[int]] = os.sched_getaffinity,
    siblings: Siblings = pinning.threads_beside,
) -> Pinning:
    """Decide for the cores that this process may use; UsageError if the load asks for more than there are."""
    return pinning.decide(load.pinning, affinity(0), load.processes, siblings)


def of(plan: Pinning, stack: Stack) -> Cores:
    """Return what became of the plan; `cores` of the stack's facts are those that its engine could hold it to."""
    held = stack.facts.get("cores", ())
    return Cores(
        generator=plan.generator or plan.usable,
        stack=None if held is None else tuple(held) or plan.usable,
    )
