"""Which cores load and stack get."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from spawning import spawn

from seatrial.errors import UsageError
from seatrial.load import pinning
from seatrial.load.pinning import CoresInUse, Pinning
from seatrial.stack.processes import on_cores


def _alone(core: int) -> frozenset[int]:
    """Stand for a machine without thread siblings."""
    return frozenset({core})


def _in_pairs(core: int) -> frozenset[int]:
    """Stand for a machine of eight numbers, on which 0 and 4, 1 and 5, ... are a core each."""
    return frozenset({core % 4, core % 4 + 4})


@pytest.mark.parametrize(
    ("siblings", "mode", "usable", "processes", "cores"),
    [
        (_alone, "auto", {0, 1}, 1, ((), ())),
        (_alone, "auto", {0, 1, 2}, 1, ((2,), (0, 1))),
        (_alone, "auto", {0, 1, 2}, 2, ((), ())),
        (_alone, "auto", {4, 6, 8, 9}, 2, ((8, 9), (4, 6))),
        (_alone, "on", {0, 1}, 1, ((1,), (0,))),
        (_alone, "on", {0, 1, 2}, 2, ((1, 2), (0,))),
        (_alone, "off", set(range(16)), 1, ((), ())),
        (_in_pairs, "auto", set(range(8)), 1, ((3, 7), (0, 1, 2, 4, 5, 6))),
        (_in_pairs, "auto", set(range(8)), 2, ((3, 7), (0, 1, 2, 4, 5, 6))),
        (_in_pairs, "auto", set(range(8)), 3, ((2, 3, 6, 7), (0, 1, 4, 5))),
        (_in_pairs, "auto", {0, 4}, 1, ((), ())),
        (_in_pairs, "auto", {0, 4, 5}, 1, ((5,), (0, 4))),
        (_in_pairs, "on", {0, 4, 5}, 1, ((5,), (0, 4))),
    ],
)
def test_the_load_gets_the_last_whole_cores_if_enough_are_left(
    siblings: pinning.Siblings, mode: str, usable: set[int], processes: int, cores: tuple[tuple[int, ...], ...]
) -> None:
    """`auto` leaves the stack two, `on` one; numbers are those that this process may use, not a count from 0."""
    decided = pinning.decide(mode, usable, processes, siblings)
    assert decided.usable == tuple(sorted(usable))
    assert (decided.generator, decided.stack) == cores


def test_pinning_without_a_core_for_the_stack_is_refused() -> None:
    """Two threads of one core are not enough, either."""
    with pytest.raises(UsageError, match="not enough cores") as caught:
        pinning.decide("on", {0, 1}, 2, _alone)
    assert caught.value.seen == "2 cores, 2 of them for the load"
    assert caught.value.expected.startswith("at least 3,")
    with pytest.raises(UsageError, match="not enough cores") as caught:
        pinning.decide("on", {0, 4}, 1, _in_pairs)
    assert caught.value.seen == "2 cores, 1 of them for the load"
    assert caught.value.expected.startswith("at least 2,")


def test_thread_siblings_are_read_from_the_kernel() -> None:
    """A core is a sibling of itself; one that does not exist has no other."""
    core = max(os.sched_getaffinity(0))
    assert core in pinning.siblings_of(core)
    assert pinning.siblings_of(1_000_000) == {1_000_000}
    assert list(pinning._span("2-4")) == [2, 3, 4]


def test_shared_cores_are_counted() -> None:
    """Empty if none is shared, or the stack's are unknown."""
    assert CoresInUse(generator=(1,), stack=(0,)).shared(1) == ""
    assert CoresInUse(generator=(1,), stack=None).shared(1) == ""
    both, one = CoresInUse(generator=(0, 1), stack=(0, 1)), CoresInUse(generator=(1,), stack=(0, 1))
    assert both.shared(1) == "2 cores carry 1 load process and the stack"
    assert one.shared(2) == "1 core carries 2 load processes and the stack"


def test_the_facts_have_the_cores_that_were_used() -> None:
    """An attached stack is not pinned, and the cores of another host are unknown."""
    plan = Pinning(usable=(0, 1), generator=(1,), stack=(0,))

    for cores, stack in (([0], [0]), ([], [0, 1]), (None, None)):
        assert pinning.cores_in_use(plan, {"cores": cores}).facts() == {"generator": [1], "stack": stack}


def test_a_child_runs_on_its_cores_from_its_first_instruction(tmp_path: Path) -> None:
    """And this process on all of its own again; without cores it is the same spawn."""
    before = os.sched_getaffinity(0)
    core = max(before)
    script = "import os, sys; sys.stdout.write(str(sorted(os.sched_getaffinity(0))))"

    with (tmp_path / "out").open("w+b") as out:
        on_cores(spawn, (core,))([sys.executable, "-S", "-c", script], stdout=out).wait(20)

    assert (tmp_path / "out").read_text() == f"[{core}]"
    assert os.sched_getaffinity(0) == before
    assert on_cores(spawn, ()) is spawn
