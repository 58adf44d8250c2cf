"""The order of the variants in each block, and of the slices."""

from __future__ import annotations

import random
from collections.abc import Sequence


def orders(variants: Sequence[str], blocks: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Return the order of every block: random, and balanced over each group of as many blocks as variants.

    Within such a group every variant stands in every position once (a random Latin square), so that what an order
    does (a warm page cache, a host that slows down) falls on all variants alike. The same seed gives the same
    orders, and more blocks begin with the same ones.
    """
    rng = random.Random(seed)  # noqa: S311  (an order of runs)
    rows: list[tuple[str, ...]] = []
    while len(rows) < blocks:
        row, steps = list(variants), list(range(len(variants)))
        rng.shuffle(row)
        rng.shuffle(steps)
        rows += [tuple(row[step:] + row[:step]) for step in steps]
    return tuple(rows[:blocks])


def turns(variants: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Return whose turn each slice is: every round has each variant once, in a random order of its own."""
    rng = random.Random(seed)  # noqa: S311  (an order of slices)
    slices: list[str] = []
    for _ in range(count):
        round_ = list(variants)
        rng.shuffle(round_)
        slices += round_
    return tuple(slices)
