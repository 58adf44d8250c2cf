"""Which cores the load generator and the stack get, so that neither takes the other's time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from seatrial.errors import UsageError

_LEAST_FOR_STACK = 2
"""With `auto` the stack is left at least two cores: on one, its services would queue behind each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinning:
    """The numbers of the cores that may be used, and those that load and stack are held to: none if to none."""

    usable: tuple[int, ...]
    generator: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()


def decide(wanted: str, cores: Collection[int], processes: int) -> Pinning:
    """Give the last `processes` of the `cores` that may be used to the load, the others to the stack.

    `auto` does so if two are left for the stack, `on` if one is; UsageError if there is none then. Else, and with
    `off`, both may run on all.
    """
    usable = tuple(sorted(cores))
    left = len(usable) - processes
    if wanted == "on" and left < 1:
        raise UsageError(
            "there are not enough cores to hold load and stack apart",
            where="load.pinning",
            seen=f"{_counted(len(usable), 'core')}, {processes} of them wanted for the load",
            expected=f"at least {processes + 1}",
            hint="pinning: auto, or fewer processes",
        )
    if wanted == "on" or (wanted == "auto" and left >= _LEAST_FOR_STACK):
        return Pinning(usable=usable, generator=usable[left:], stack=usable[:left])
    return Pinning(usable=usable)


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
