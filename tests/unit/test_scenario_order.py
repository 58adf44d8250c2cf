"""Orders of runs and of slices, and variants by axes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.scenario import checks
from seatrial.scenario.plan import block_orders, slice_turns

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


@given(NAMES, st.integers(0, 25), st.integers(0, 1000))
def test_every_block_has_every_variant_once(names: list[str], blocks: int, seed: int) -> None:
    """A block that lacks a variant could not be judged."""
    found = block_orders(names, blocks, seed)

    assert len(found) == blocks
    assert all(sorted(order) == sorted(names) for order in found)


@given(NAMES, st.integers(1, 4), st.integers(0, 1000))
def test_every_variant_stands_in_every_position_equally_often(names: list[str], groups: int, seed: int) -> None:
    """What a position does to a run falls on all variants alike."""
    found = block_orders(names, groups * len(names), seed)

    for position in range(len(names)):
        assert set(Counter(order[position] for order in found).values()) == {groups}


@given(NAMES, st.integers(0, 1000))
def test_more_blocks_begin_with_the_same_ones(names: list[str], seed: int) -> None:
    """An experiment that is prolonged keeps the order that was written down."""
    assert block_orders(names, 20, seed)[:7] == block_orders(names, 7, seed)


def test_the_order_is_random() -> None:
    """A fixed order would make the first variant pay for every cold cache."""
    assert len({block_orders(("base", "b", "c"), 3, seed)[0] for seed in range(40)}) == 6


@given(NAMES, st.integers(1, 30), st.integers(0, 1000))
def test_every_round_of_slices_has_each_variant_once(names: list[str], count: int, seed: int) -> None:
    """Slices alternate within seconds, so that a slow minute is shared."""
    found = slice_turns(names, count, seed)

    rounds = [found[begin : begin + len(names)] for begin in range(0, len(found), len(names))]
    assert len(rounds) == count
    assert all(sorted(one) == sorted(names) for one in rounds)


def test_a_grid_is_every_combination() -> None:
    """Two axes of two levels are four variants, with the changes of both."""
    found = checks.combinations(
        {
            "class": {
                "sync": {"compose": {"services": {"auth": {"environment": {"CLASS": "sync"}}}}},
                "gevent": {},
            },
            "workers": {
                "w1": {"compose": {"services": {"auth": {"environment": {"WORKERS": "1"}}}}},
                "w2": {"load": {"parameters": {"x": "2"}}},
            },
        }
    )

    assert list(found) == ["sync-w1", "sync-w2", "gevent-w1", "gevent-w2"]
    environment = {"CLASS": "sync", "WORKERS": "1"}
    assert found["sync-w1"] == {"compose": {"services": {"auth": {"environment": environment}}}}
    assert found["gevent-w2"] == {"load": {"parameters": {"x": "2"}}}


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"a": {"x": {"compose": {"k": 1}}}, "b": {"y": {"compose": {"k": 2}}}}, "both set compose.k"),
        ({"a": {str(n): {} for n in range(6)}, "b": {str(n): {} for n in range(6)}}, "36 combinations"),
    ],
)
def test_a_grid_that_contradicts_itself_is_told(axes: checks.VariantGrid, told: str) -> None:
    """Which of two values would win is not defined."""
    assert told in " ".join(problem.text for problem in checks.grid_problems(axes))


def test_a_level_that_yaml_read_as_true_is_no_name() -> None:
    """A bare `on` is told as a mistake of the file, and makes no variant."""
    assert checks._readable({"buffering": {"on": {}, "off": {}}})
    assert not checks._readable({"buffering": {True: {}, "off": {}}})
