"""What viewers do: how long they watch, when and how far they seek, pauses, patience, and which clip they choose.

Sources: about 20 % of views reach the end, and watching times are exponential in the first minutes (Chen et al.,
540 million sessions; PPLive 2014); the first viewers leave after 2 s of start-up, a further 5.8 % with each second
(Krishnan and Sitaraman, IMC 2012); popularity is Zipf with an exponent of 0.8 to 1.2 for video (Cha 2007). Rates
and distances of seeks and pauses are not published: the defaults are estimates, and options.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

_LEAVE_EACH_S = 0.058
_S_PER_MIN = 60.0


class Act(Enum):
    """What a viewer does."""

    SEEK = "seek"
    PAUSE = "pause"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """An act `after_s` the one before: seconds of playing, or of the clock where `by_clock`.

    `value`: of a seek the distance in media seconds; of a pause its seconds.
    """

    act: Act
    after_s: float
    value: float = 0.0
    by_clock: bool = False


@dataclass(frozen=True, slots=True)
class Habits:
    """How an audience behaves; rates are for each minute of playing.

    `completes`: the share that watches to the end; the others leave after `watch_mean_s` of playing in the mean.
    `watch_most_s`: the longest that is watched (0: no limit). `seek_s` is the median distance of a seek,
    `seek_sigma` the standard deviation of its logarithm. `patience_s`: start-up that all bear (0: any start-up).
    """

    completes: float = 0.2
    watch_mean_s: float = 120.0
    watch_most_s: float = 0.0
    seeks_per_min: float = 0.3
    seek_s: float = 30.0
    seek_sigma: float = 1.0
    forward: float = 0.7
    pauses_per_min: float = 0.05
    pause_s: float = 20.0
    patience_s: float = 2.0


def patience_s(habits: Habits, choice: random.Random) -> float:
    """Return after how much start-up this viewer leaves; `inf`: never."""
    drawn = choice.random()
    return habits.patience_s + drawn / _LEAVE_EACH_S if habits.patience_s else math.inf


def watching(habits: Habits, choice: random.Random) -> Iterator[Step]:
    """Yield the acts of one viewer who watches a clip; the last one is that it leaves.

    A viewer who would stay longer than the clip lasts sees its end, as those do who complete it.
    """
    completes = choice.random() < habits.completes
    left_s = math.inf if completes else choice.expovariate(1.0 / habits.watch_mean_s)
    if habits.watch_most_s:
        left_s = min(left_s, habits.watch_most_s)
    rate = (habits.seeks_per_min + habits.pauses_per_min) / _S_PER_MIN
    while rate:
        after_s = choice.expovariate(rate)
        if after_s >= left_s:
            break
        left_s -= after_s
        if choice.random() < habits.seeks_per_min / _S_PER_MIN / rate:
            distance_s = choice.lognormvariate(math.log(habits.seek_s), habits.seek_sigma)
            sign = 1.0 if choice.random() < habits.forward else -1.0
            yield Step(Act.SEEK, after_s, sign * distance_s)
        else:
            yield Step(Act.PAUSE, after_s, choice.expovariate(1.0 / habits.pause_s))
    yield Step(Act.LEAVE, left_s)


@dataclass(frozen=True, slots=True)
class Drag:
    """How a timeline is dragged: `drags` times over `positions`, one each `every_s`, after `look_s` of playing."""

    drags: int = 5
    positions: int = 8
    every_s: float = 0.15
    look_s: float = 2.0
    step_s: float = 10.0


def scrubbing(drag: Drag, forward: float, choice: random.Random) -> Iterator[Step]:
    """Yield the acts of a viewer who drags through the timeline again and again, then leaves.

    Browsers ask for each position where the pointer rests: 4 to 10 a second.
    """
    for _ in range(drag.drags):
        sign = 1.0 if choice.random() < forward else -1.0
        for number in range(drag.positions):
            after_s = drag.every_s if number else drag.look_s
            yield Step(Act.SEEK, after_s, sign * choice.uniform(0.5, 1.5) * drag.step_s, by_clock=number > 0)
    yield Step(Act.LEAVE, drag.look_s)


def zipf(count: int, alpha: float) -> tuple[float, ...]:
    """Return the cumulated weights of `count` clips: the one of rank r is chosen in proportion to r ** -alpha."""
    return tuple(accumulate(rank**-alpha for rank in range(1, count + 1)))


def cumulated(weights: Sequence[float]) -> tuple[float, ...]:
    """Return cumulated weights, as `random.choices` takes them."""
    return tuple(accumulate(weights))
