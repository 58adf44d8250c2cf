"""Which cores load and stack get."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from spawning import spawn

from seatrial.errors import UsageError
from seatrial.load import pinning
from seatrial.model import EngineName, Load, Stack
from seatrial.stack.processes import on_cores


def _alone(core: int) -> frozenset[int]:
    """Tell of a machine without threads beside each other."""
    return frozenset({core})


def _in_pairs(core: int) -> frozenset[int]:
    """Tell of a machine of eight numbers, on which 0 and 4, 1 and 5, ... are a core each."""
    return frozenset({core % 4, core % 4 + 4})


@pytest.mark.parametrize(
    ("wanted", "usable", "processes", "generator", "stack"),
    [
        ("auto", {0, 1}, 1, (), ()),
        ("auto", {0, 1, 2}, 1, (2,), (0, 1)),
        ("auto", {0, 1, 2}, 2, (), ()),
        ("auto", {4, 6, 8, 9}, 2, (8, 9), (4, 6)),
        ("on", {0, 1}, 1, (1,), (0,)),
        ("on", {0, 1, 2}, 2, (1, 2), (0,)),
        ("off", set(range(16)), 1, (), ()),
    ],
)
def test_the_load_gets_the_last_cores_where_enough_are_left(
    wanted: str, usable: set[int], processes: int, generator: tuple[int, ...], stack: tuple[int, ...]
) -> None:
    """`auto` leaves the stack two, `on` one; numbers are those that this process may use, not a count from 0."""
    found = pinning.decide(wanted, usable, processes, _alone)

    assert (found.generator, found.stack) == (generator, stack)
    assert set(found.usable) == usable


@pytest.mark.parametrize(
    ("wanted", "usable", "processes", "generator", "stack"),
    [
        ("auto", set(range(8)), 1, (3, 7), (0, 1, 2, 4, 5, 6)),
        ("auto", set(range(8)), 2, (3, 7), (0, 1, 2, 4, 5, 6)),
        ("auto", set(range(8)), 3, (2, 3, 6, 7), (0, 1, 4, 5)),
        ("auto", {0, 4}, 1, (), ()),
        ("auto", {0, 4, 5}, 1, (5,), (0, 4)),
        ("on", {0, 4, 5}, 1, (5,), (0, 4)),
    ],
)
def test_threads_of_one_core_are_not_held_apart(
    wanted: str, usable: set[int], processes: int, generator: tuple[int, ...], stack: tuple[int, ...]
) -> None:
    """Two numbers of one physical core share its units: both go to the load, or both to the stack."""
    found = pinning.decide(wanted, usable, processes, _in_pairs)

    assert (found.generator, found.stack) == (generator, stack)


def test_one_core_with_two_threads_is_not_enough() -> None:
    """The stack would run beside the load on the other one."""
    with pytest.raises(UsageError, match="not enough cores"):
        pinning.decide("on", {0, 4}, 1, _in_pairs)


def test_the_kernel_tells_which_threads_share_a_core() -> None:
    """A number shares a core with itself at least; one that there is not is alone."""
    core = max(os.sched_getaffinity(0))
    assert core in pinning.siblings_of(core)
    assert pinning.siblings_of(1_000_000) == {1_000_000}
    assert list(pinning._span("2-4")) == [2, 3, 4]


def test_to_insist_without_a_core_for_the_stack_is_a_mistake() -> None:
    """Two processes on two cores leave it nothing."""
    with pytest.raises(UsageError, match="not enough cores") as caught:
        pinning.decide("on", {0, 1}, 2, _alone)

    assert caught.value.seen == "2 cores, 2 of them for the load"
    assert caught.value.expected.startswith("at least 3,")


def test_shared_cores_are_told_with_their_number() -> None:
    """None, no word; else how many carry both."""
    assert pinning.CoresInUse(generator=(1,), stack=(0,)).shared(1) == ""
    assert (
        pinning.CoresInUse(generator=(0, 1), stack=(0, 1)).shared(1)
        == "2 cores carry 1 load process and the stack"
    )
    assert (
        pinning.CoresInUse(generator=(1,), stack=(0, 1)).shared(2)
        == "1 core carries 2 load processes and the stack"
    )


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([0], {"generator": [1], "stack": [0]}),
        ([], {"generator": [1], "stack": [0, 1]}),
        (None, {"generator": [1], "stack": None}),
    ],
    ids=["held", "attached", "elsewhere"],
)
def test_the_facts_say_what_became_of_the_plan(held: list[int] | None, expected: dict[str, object]) -> None:
    """An attached stack is not touched, and the cores of another host are not ours to number."""
    stack = Stack(
        engine=EngineName.COMPOSE,
        project="p",
        url="",
        via="",
        public_url="",
        addresses=(),
        services=(),
        facts={"cores": held},
    )
    load = Load(locustfile=Path("x.py"), users=1, warmup_s=1, duration_s=1, drain_s=1, pinning="on")

    found = pinning.cores_in_use(pinning.decide(load.pinning, {0, 1}, load.processes, _alone), stack.facts)

    assert found.facts() == expected
    assert (found.shared(1) == "") is (held != [])


def test_a_child_runs_on_its_cores_from_its_first_instruction(tmp_path: Path) -> None:
    """And this process on all of its own again."""
    before = os.sched_getaffinity(0)
    core = max(before)
    script = "import os, sys; sys.stdout.write(str(sorted(os.sched_getaffinity(0))))"

    with (tmp_path / "out").open("w+b") as out:
        on_cores(spawn, (core,))([sys.executable, "-S", "-c", script], stdout=out).wait(20)

    assert (tmp_path / "out").read_text() == f"[{core}]"
    assert os.sched_getaffinity(0) == before


def test_without_cores_nothing_is_held() -> None:
    """The same spawn, and no call of the kernel."""
    assert on_cores(spawn, ()) is spawn
