"""Slices where latency gates and all variants fit at once; fresh stacks else, and the reason in words."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from seatrial.model import Comparing, Design, Load, Variant
from seatrial.scenario.plan import LOAD_BYTES, SERVICE_BYTES, ChosenDesign, MemoryNeed, choose_design, stack_bytes
from seatrial.wire.rates import Rate, Stretch

MIB = 1 << 20
LOAD = Load(locustfile=Path("x.py"), users=1, warmup_s=1, duration_s=1, drain_s=1)
ROOMY = MemoryNeed(available_bytes=4096 * MIB, stacks_bytes={"base": 500 * MIB, "other": 500 * MIB})
LATENCY = ['p95 of "token"', "cpu per request"]


def _chosen(
    design: Design | None = None,
    gate: Sequence[str] = LATENCY,
    memory: MemoryNeed = ROOMY,
    load: Load = LOAD,
    hindrance: str = "",
) -> ChosenDesign:
    return choose_design(Comparing(design=design), gate, memory, load=load, hindrance=hindrance)


def test_latency_in_the_gate_asks_for_slices() -> None:
    """They see a third of what runs see in the same time."""
    found = _chosen()
    assert (found.design, found.reason) == (
        Design.SLICES,
        "latency is gated, and all 2 variants fit in memory at once",
    )


@pytest.mark.parametrize("gate", [[], ["cpu per request", "unreclaimable memory of auth"]])
def test_without_latency_in_the_gate_each_run_has_a_fresh_stack(gate: list[str]) -> None:
    """Memory is what a stack that has been up for a while would tell falsely."""
    assert _chosen(gate=gate).design is Design.RUNS


@pytest.mark.parametrize("design", [Design.RUNS, Design.SLICES])
def test_what_is_asked_for_is_done(design: Design) -> None:
    """Whatever gates."""
    assert _chosen(design, gate=[]) == ChosenDesign(design=design, reason="asked for")
    assert _chosen(design) == ChosenDesign(design=design, reason="asked for")


def test_variants_that_do_not_fit_are_run_one_by_one_and_it_is_said() -> None:
    """Also if slices were asked for: swapping stacks would be measured, and nothing else."""
    tight = MemoryNeed(available_bytes=1024 * MIB, stacks_bytes=ROOMY.stacks_bytes)

    found = _chosen(Design.SLICES, memory=tight)

    assert found.design is Design.RUNS
    assert found.reason == (
        "slices were asked for, but 2 variants may take 1400 MiB at once, "
        "more than 80% of the 1024 MiB that are free"
    )
    assert _chosen(memory=tight).reason.startswith("not slices: 2 variants may take")


def test_the_edge_of_what_fits() -> None:
    """Four fifths of what is free, and no byte more."""
    needed = 2 * (500 * MIB + LOAD_BYTES)
    assert MemoryNeed(available_bytes=needed * 5 // 4, stacks_bytes=ROOMY.stacks_bytes).fits
    assert not MemoryNeed(available_bytes=needed * 5 // 4 - 2, stacks_bytes=ROOMY.stacks_bytes).fits


def test_what_hinders_slices_is_said() -> None:
    """A host that tells no memory, one variant alone, a rate that changes, an engine that has one stack."""
    unknown = MemoryNeed(available_bytes=None, stacks_bytes=ROOMY.stacks_bytes)
    alone = MemoryNeed(available_bytes=4096 * MIB, stacks_bytes={"base": MIB})
    ramp = Load(
        locustfile=Path("x.py"), users=1, warmup_s=1, duration_s=1, drain_s=1, rate=Rate((Stretch(10, 1, 5),))
    )

    assert "not known" in _chosen(memory=unknown).reason
    assert "only one variant" in _chosen(memory=alone).reason
    assert "rate changes" in _chosen(load=ramp).reason
    assert _chosen(hindrance="one at a time").reason == "not slices: one at a time"


def test_a_stack_may_take_the_limits_of_its_services() -> None:
    """Both spellings of Compose; the variant's stands above the file's; without one an allowance."""
    services = {
        "old": {"mem_limit": "64m"},
        "new": {"deploy": {"resources": {"limits": {"memory": "1.5GB"}}}},
        "free": None,
        "changed": {"mem_limit": 10 * MIB},
        "unread": {"mem_limit": "${LIMIT}"},
    }
    variant = Variant(name="v", compose={"services": {"changed": {"mem_limit": "20M"}, "more": {}}})

    assert stack_bytes(services, variant) == (64 + 1536 + 20) * MIB + 3 * SERVICE_BYTES
    assert stack_bytes({}, Variant(name="v")) == SERVICE_BYTES
