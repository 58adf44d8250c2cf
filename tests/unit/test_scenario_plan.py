"""The plan of an experiment: order of blocks and slices, looks, the choice of a design, resolved values."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scenario_files
from hypothesis import given
from hypothesis import strategies as st
from scenario_files import FULL, SHORT

from seatrial.errors import UsageError
from seatrial.model import Comparing, Design, ExperimentPlan, Load, Scenario, Variant
from seatrial.record import documents
from seatrial.scenario import plan
from seatrial.scenario.plan import (
    LOAD_BYTES,
    SERVICE_BYTES,
    BaselinePlan,
    ChosenDesign,
    MemoryNeed,
    block_orders,
    choose_design,
    slice_turns,
    stack_bytes,
)
from seatrial.wire.rates import Rate, Stretch

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)
TWO = "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\n"
MIB = 1 << 20
LOAD = Load(locustfile=Path("x.py"), users=1, warmup_s=1, duration_s=1, drain_s=1)
ROOMY = MemoryNeed(available_bytes=4096 * MIB, stacks_bytes={"base": 500 * MIB, "other": 500 * MIB})
LATENCY = ['p95 of "token"', "cpu per request"]


def _read(file: Path, more: str, *settings: str) -> Scenario:
    return scenario_files.read(file, SHORT + more, *settings)


def _plan(
    scenario: Scenario, against: BaselinePlan | None = None, *, design: Design = Design.RUNS
) -> ExperimentPlan:
    return plan.comparison_plan(scenario, seed=1, shared_cores=True, design=design, against=against)


@given(NAMES, st.integers(0, 25), st.integers(0, 1000))
def test_every_block_has_every_variant_once(names: list[str], blocks: int, seed: int) -> None:
    """A block that lacks a variant could not be judged."""
    orders = block_orders(names, blocks, seed)
    assert len(orders) == blocks
    assert all(sorted(order) == sorted(names) for order in orders)
    assert block_orders(names, blocks + 13, seed)[:blocks] == orders, "a prolonged experiment keeps its order"


@given(NAMES, st.integers(1, 4), st.integers(0, 1000))
def test_every_variant_is_in_every_position_equally_often(names: list[str], groups: int, seed: int) -> None:
    """The effect of a position is the same for all variants."""
    orders = block_orders(names, groups * len(names), seed)
    for position in range(len(names)):
        assert set(Counter(order[position] for order in orders).values()) == {groups}


def test_the_order_is_random() -> None:
    """In a fixed order the first variant would meet every cold cache."""
    assert len({block_orders(("base", "b", "c"), 3, seed)[0] for seed in range(40)}) == 6


@given(NAMES, st.integers(1, 30), st.integers(0, 1000))
def test_every_round_of_slices_has_each_variant_once(names: list[str], count: int, seed: int) -> None:
    """Slices alternate within seconds, so that a slow minute affects all variants."""
    turns = slice_turns(names, count, seed)
    rounds = [turns[begin : begin + len(names)] for begin in range(0, len(turns), len(names))]
    assert len(rounds) == count
    assert all(sorted(round_) == sorted(names) for round_ in rounds)


def test_a_resolved_scenario_has_every_value_with_its_unit(file: Path) -> None:
    """run.json and plan.json hold it: a schedule as people write it and as numbers; null has no end."""
    load = "  rate: 10/s for 10s, 20/s\n  arrivals: poisson\n  processes: 2\n  pinning: off"
    text = FULL.replace("  users: 3", load) + "gate: [throughput]\nstop_when: [failures > 5%]\ncompare: {time: 2m}"

    values = plan.resolved(scenario_files.read(file, text))

    rate = {"text": "10/s for 10s, 20/s", "poisson": True, "stretches": [[10.0, 10.0, 10.0], [None, 20.0, 20.0]]}
    expected = {"rate": rate, "users": 50, "processes": 2, "pinning": "off", "stable": False, "duration_s": 60.0}
    assert expected.items() <= values["load"].items()
    assert values["ready"] == [{"path": "/", "expect": 200, "within_s": 10.0}]
    assert values["variants"]["big"] == {"compose": {}, "files": {"web.conf": "big.conf"}}
    assert (values["gate"], values["stop_when"], values["budgets"]) == (["throughput"], ["failures > 5%"], [])
    sizes = {"blocks": 10, "time_s": 120.0, "slice_s": 1.0, "settle_s": 0.15, "slices": 20}
    assert values["compare"] == {"design": None, "base": "base", "variants": [], "varies": [], **sizes}


def test_a_resolved_scenario_has_no_signature(file: Path) -> None:
    """A signed URL among the load's options reaches the load, and no run folder."""
    scenario = scenario_files.read(file, FULL.replace("depth: 2", 'url: "/signed/a.mp4?user=me&signature=c0ffee"'))

    assert dict(scenario.load.parameters)["url"].endswith("c0ffee")
    stored = plan.resolved(scenario)
    assert stored["load"]["parameters"]["url"] == "/signed/a.mp4?user=me&signature=..."
    assert "c0ffee" not in str(stored)


def test_a_plan_has_everything_before_anything_starts(file: Path) -> None:
    """Order, looks, seed and budget of time; and it is the same after it was written and read."""
    made = _plan(_read(file, f"{TWO}compare: {{time: 2m, blocks: 20}}"))
    documents.save_plan(file.parent, made)
    assert made.variants == ("base", "a", "b")
    assert [sorted(block) for block in made.blocks] == [["a", "b", "base"]] * 20
    assert [look.blocks for look in made.looks] == [6, 10, 20]
    assert [look.alpha for look in made.looks] == pytest.approx([0.01, 0.015, 0.025])
    assert (made.time_s, made.seed, made.shared_cores) == (120, 1, True)
    assert documents.load_plan(file.parent) == made
    older = {**made.resolved, "path": "elsewhere", "files": {"compose.yaml": "0"}}
    assert plan.differing_values(older, made.resolved) == []


def test_only_the_named_variants_are_compared(file: Path) -> None:
    """With their own base, which is not compared with itself."""
    made = _plan(_read(file, f"{TWO}compare: {{base: a, variants: [a, b], blocks: 1}}"))
    assert made.variants == ("a", "b")
    assert [look.blocks for look in made.looks] == [1]


@pytest.mark.parametrize(
    "more", ["variants: {same: {}}", "variants: {same: {load: {parameters: {depth: 1.10}}}}", "variants: {a: {}}"]
)
def test_variants_that_differ_in_nothing_are_refused(file: Path, more: str) -> None:
    """The hint is the check of the machine, and names another base too."""
    with pytest.raises(UsageError, match="differ in nothing") as caught:
        _plan(_read(file, more, *(["compare.base=a"] if "a:" in more else [])))
    base = ["--base", "a"] if "a:" in more else []
    assert shlex.split(caught.value.hint) == ["seatrial", "selfcheck", str(file), *base]


def test_the_base_alone_is_no_comparison(file: Path) -> None:
    """The others are named; the command of the hint can be pasted, though the path has a space."""
    with pytest.raises(UsageError, match="there is nothing to compare") as caught:
        _plan(_read(file, TWO, "compare.variants=[base]"))
    assert (caught.value.seen, caught.value.expected) == ("only the base, 'base'", "another variant: a, b")
    assert shlex.split(caught.value.hint) == ["seatrial", "compare", str(file), "--variants", "a,b"]
    with pytest.raises(UsageError, match="there is nothing to compare") as caught:
        _plan(_read(file, ""))
    assert shlex.split(caught.value.hint) == ["seatrial", "selfcheck", str(file)]


@pytest.mark.parametrize(
    ("design", "more", "least_s"),
    [
        (Design.RUNS, (), 75),
        (Design.RUNS, ("load.warmup={until: stable}",), 90),
        (Design.SLICES, ("compare.slices=10",), 45),
        (Design.SLICES, ("compare.slices=10", "load.warmup={until: stable}"), 60),
    ],
)
def test_a_budget_of_time_has_room_for_one_block(
    file: Path, design: Design, more: tuple[str, ...], least_s: int
) -> None:
    """Three variants with 5 s of warm-up and 20 s of window, or 10 slices of 1 s; stable: not before 10 s."""
    assert _plan(_read(file, TWO, f"compare.time={least_s}s", *more), design=design).time_s == least_s
    with pytest.raises(UsageError, match="too short for one block") as caught:
        _plan(_read(file, TWO, f"compare.time={least_s - 1}s", *more), design=design)
    assert caught.value.seen == f"{least_s - 1} s"
    assert caught.value.expected.startswith(f"at least {least_s} s, for warm-up and window of 3 variants")


def test_a_stored_base_is_in_no_block(file: Path) -> None:
    """The stack as it is now runs in as many blocks as are stored."""
    made = _plan(_read(file, ""), BaselinePlan(folder="/r/old", variant="base", blocks=4))
    assert (made.base, made.stored, made.against) == ("stored", "base", "/r/old")
    assert made.blocks == (("base",),) * 4


def test_a_selfcheck_is_the_base_under_two_names(file: Path) -> None:
    """One look, at the end: nothing is to be decided early."""
    scenario = plan.with_again(_read(file, f"{TWO}compare: {{blocks: 8}}"))
    made = plan.selfcheck_plan(scenario, seed=3, shared_cores=False)
    assert set(scenario.variants) == {"base", "again"}
    assert (made.command, made.variants) == ("selfcheck", ("base", "again"))
    assert [look.blocks for look in made.looks] == [8]
    short = replace(scenario, comparing=replace(scenario.comparing, time_s=49))
    with pytest.raises(UsageError, match="too short for one block") as caught:
        plan.selfcheck_plan(short, seed=1, shared_cores=True)
    assert caught.value.expected.startswith("at least 50 s")


@pytest.mark.parametrize(("compare", "sides"), [("", 3), ("compare: {variants: [a, b]}\n", 2)])
def test_a_selfcheck_has_the_number_of_compared_variants(file: Path, compare: str, sides: int) -> None:
    """They share one level in the comparison, so their number decides what can be seen."""
    variants = ", ".join(f"{name}: {{compose: {{x-a: {number}}}}}" for number, name in enumerate("abc"))
    scenario = plan.with_again(_read(file, f"{compare}variants: {{{variants}}}"))
    assert plan.selfcheck_plan(scenario, seed=3, shared_cores=False).sides == sides


def test_differences_of_two_scenarios_are_one_line_each(file: Path) -> None:
    """Place and both values; another place on the disk is no difference."""
    there, here = (plan.resolved(_read(file, "", *more)) for more in ((), ("load.users=4",)))
    assert plan.differing_values(there, here | {"path": "/elsewhere"}) == ["load.users: 3 then, 4 now"]


def _chosen(
    design: Design | None = None,
    gate: Sequence[str] = LATENCY,
    memory: MemoryNeed = ROOMY,
    load: Load = LOAD,
    hindrance: str = "",
) -> ChosenDesign:
    return choose_design(Comparing(design=design), gate, memory, load=load, hindrance=hindrance)


@pytest.mark.parametrize("gate", [[], ["cpu per request", "unreclaimable memory of auth"], LATENCY])
def test_latency_in_the_gate_chooses_slices(gate: list[str]) -> None:
    """Without it each run has a fresh stack, by which memory is measured best; a named design is always taken."""
    reason = "latency is gated, and all 2 variants fit in memory at once"
    assert (_chosen(gate=gate) == ChosenDesign(design=Design.SLICES, reason=reason)) is (gate == LATENCY)
    assert _chosen(gate=gate).design is (Design.SLICES if gate == LATENCY else Design.RUNS)
    for design in (Design.RUNS, Design.SLICES):
        assert _chosen(design, gate) == ChosenDesign(design=design, reason="asked for")


def test_variants_that_do_not_fit_are_run_one_by_one() -> None:
    """Also if slices were asked for: with four fifths of the free memory needed, or one byte more."""
    needed = 2 * (500 * MIB + LOAD_BYTES)
    sizes = (needed * 5 // 4, needed * 5 // 4 - 2, 1024 * MIB)
    edge, less, tight = (replace(ROOMY, available_bytes=size) for size in sizes)
    assert _chosen(memory=edge).design is Design.SLICES
    assert _chosen(memory=less).reason.startswith("not slices: 2 variants may take")
    need = "2 variants may take 1400 MiB at once, more than 80% of the 1024 MiB that are free"
    reason = f"slices were asked for, but {need}"
    assert _chosen(Design.SLICES, memory=tight) == ChosenDesign(design=Design.RUNS, reason=reason)


def test_the_reason_against_slices_is_given() -> None:
    """Unknown memory, one variant alone, a rate that changes, or an engine that has one stack."""
    alone = MemoryNeed(available_bytes=4096 * MIB, stacks_bytes={"base": MIB})
    assert "not known" in _chosen(memory=replace(ROOMY, available_bytes=None)).reason
    assert "only one variant" in _chosen(memory=alone).reason
    assert "rate changes" in _chosen(load=replace(LOAD, rate=Rate((Stretch(10, 1, 5),)))).reason
    assert _chosen(hindrance="one at a time").reason == "not slices: one at a time"


def test_a_stack_may_use_the_limits_of_its_services() -> None:
    """In both spellings of Compose; a variant's limit replaces the file's; without one there is an allowance."""
    limits = {"old": "64m", "changed": 10 * MIB, "unread": "${LIMIT}"}
    services: dict[str, Any] = {name: {"mem_limit": limit} for name, limit in limits.items()}
    services |= {"new": {"deploy": {"resources": {"limits": {"memory": "1.5GB"}}}}, "free": None}
    variant = Variant(name="v", compose={"services": {"changed": {"mem_limit": "20M"}, "more": {}}})
    assert stack_bytes(services, variant) == (64 + 1536 + 20) * MIB + 3 * SERVICE_BYTES
    assert stack_bytes({}, Variant(name="v")) == SERVICE_BYTES
