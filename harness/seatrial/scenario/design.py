"""The design of an experiment: a fresh stack for each run, or all variants up at once, loaded in turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.measure import metric
from seatrial.measure.metric import Kind
from seatrial.model import Comparing, Design, Load, Variant

SERVICE_BYTES = 256 << 20
"""Planned for a service without a limit; those of the shipped stacks hold 5 to 120 MiB."""

LOAD_BYTES = 200 << 20
"""Planned for one variant's load process and sampler: they hold 90 and 40 MiB."""

SPARE = 0.8
"""The part of the free memory that may be planned for."""

_SIZE = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*(?:([bkmg])b?)?\s*\Z", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The free memory of the host (None: unknown), and what each variant's stack may take."""

    available_bytes: int | None
    stacks_bytes: Mapping[str, int]

    @property
    def needed_bytes(self) -> int:
        """What all variants take together, with their load."""
        return sum(self.stacks_bytes.values()) + LOAD_BYTES * len(self.stacks_bytes)

    @property
    def fits(self) -> bool:
        """Whether all variants may be up at once."""
        return self.available_bytes is not None and self.needed_bytes <= SPARE * self.available_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A design, and the reason for it."""

    design: Design
    reason: str


def choose(
    comparing: Comparing, gate: Sequence[str], memory: Memory, *, load: Load, hindrance: str = ""
) -> Chosen:
    """Return the design that was asked for or, without one, slices where latency gates; runs if slices can't be.

    `gate` are metrics in their language (ValueError if one can't be read), `memory` has one stack for each variant
    that takes part; `hindrance` says in words what else keeps them from being up at once.
    """
    if comparing.design is Design.RUNS:
        return Chosen(design=Design.RUNS, reason="asked for")
    latency_gates = any(metric.parse(one).kind is Kind.LATENCY for one in gate)
    if comparing.design is not Design.SLICES and not latency_gates:
        text = "no latency is gated: memory and CPU are measured best with a fresh stack for each run"
        return Chosen(design=Design.RUNS, reason=text)
    why_not = hindrance or _hindered(load, memory)
    if why_not:
        asked = "slices were asked for, but " if comparing.design is Design.SLICES else "not slices: "
        return Chosen(design=Design.RUNS, reason=asked + why_not)
    if comparing.design is Design.SLICES:
        return Chosen(design=Design.SLICES, reason="asked for")
    text = f"latency is gated, and all {len(memory.stacks_bytes)} variants fit in memory at once"
    return Chosen(design=Design.SLICES, reason=text)


def _hindered(load: Load, memory: Memory) -> str:
    if len(memory.stacks_bytes) < 2:  # noqa: PLR2004  (two, to go from one to the other)
        return "there is only one variant to be up"
    rates = (
        {rate for one in load.rate.stretches for rate in (one.begin_per_s, one.end_per_s)} if load.rate else set()
    )
    if len(rates) > 1:
        return "the rate changes in the window, so that each turn would get another part of it"
    if memory.available_bytes is None:
        return "the free memory of the host that the stacks run on is not known"
    if not memory.fits:
        mib = 1 << 20
        return (
            f"{len(memory.stacks_bytes)} variants may take {memory.needed_bytes // mib} MiB at once, more than "
            f"{SPARE:.0%} of the {memory.available_bytes // mib} MiB that are free"
        )
    return ""


def stack_bytes(services: Mapping[str, Any], variant: Variant) -> int:
    """Return what a stack may take: the limits of its services, SERVICE_BYTES for each that has none.

    `services` are those of the Compose file as it is written; without any, one is assumed.
    """
    changed = variant.compose.get("services") or {}
    merged = {name: (services.get(name) or {}, changed.get(name) or {}) for name in (*services, *changed)}
    limits = [_limit_bytes(here) or _limit_bytes(there) or SERVICE_BYTES for there, here in merged.values()]
    return sum(limits) or SERVICE_BYTES


def _limit_bytes(service: Mapping[str, Any]) -> int | None:
    deployed = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    match = _SIZE.match(str(service.get("mem_limit") or deployed.get("memory")))
    return int(float(match[1]) * float(1024 ** _POWERS[(match[2] or "b").lower()])) if match else None
