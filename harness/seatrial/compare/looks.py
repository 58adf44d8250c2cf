"""When to look at a comparison that is under way, how strict to be at each look, and whether to go on.

Looking after each block at the usual level raises a false alarm in 16 % of equal pairs. A few planned looks whose
levels add up to the whole keep it, whatever the looks have in common (Bonferroni over the looks; the shares favour
the last look, as Lan and DeMets' spending functions do, Biometrika 1983).
"""

from __future__ import annotations

import math
from enum import StrEnum

from seatrial.compare import effects
from seatrial.compare.comparison import Comparison
from seatrial.compare.pairing import MOST_LOST
from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import DECIDED, Word
from seatrial.model import Look

_PLACES = ((0.3, 0.2), (0.5, 0.3), (1.0, 0.5))
"""Of a budget of 20 blocks and alpha 0.05: looks at 6, 10 and 20 with 0.010, 0.015 and 0.025."""

_OPEN_ENDINGS = frozenset({Word.LIKELY_REGRESSION, Word.INCONCLUSIVE})

_FEWEST = 4
"""With fewer blocks at a strict level only gross effects can be seen: the level is better spent later."""


class Next(StrEnum):
    """What a look advises."""

    DECIDED = "decided"
    PRECISE = "precise enough"
    FUTILE = "more blocks than the budget holds would be needed"
    OVER = "the budget is used up"
    GO_ON = "go on"


def planned(most_blocks: int, alpha: float = 0.05) -> tuple[Look, ...]:
    """Plan the looks for a budget of blocks; a look that comes too early leaves its level to the next one.

    ValueError without a block.
    """
    if most_blocks < 1:
        raise ValueError(f"{most_blocks} blocks can't be compared: at least 1 is expected")
    planned_looks: list[Look] = []
    saved = 0.0
    for place, part in _PLACES:
        blocks = round(place * most_blocks)
        saved += part * alpha
        if blocks >= _FEWEST or place == 1:
            planned_looks.append(Look(blocks=blocks, alpha=saved))
            saved = 0.0
    return tuple(planned_looks)


def advice(found: Comparison, blocks: int, most_blocks: int) -> Next:
    """Tell what a look means for the rest: stop if all is decided, precise, out of reach, or used up.

    Precise, if all that are undecided would need more blocks than the budget holds, and their intervals reach no
    farther than the threshold to either side. Out of reach, if they would need twice the budget (the scatter of
    a few blocks is itself known only within a factor), and by scatter alone as well: an estimate that happens to
    lie near the threshold would take any number of blocks, and moves on with the next ones. What can't be judged
    at all keeps nothing going; how runs end does while Fisher's test has not decided, and so do invalid blocks
    that are too many now, and would not be if all that are left were valid.
    """
    open_ones = [one for one in found.gated if one.word not in DECIDED and not _hopeless(one)]
    unsettled = any(one.word in _OPEN_ENDINGS for one in found.endings) or _mendable(found, most_blocks - blocks)
    if not open_ones and not unsettled:
        return Next.DECIDED
    if blocks >= most_blocks:
        return Next.OVER
    if unsettled:
        return Next.GO_ON
    if all(_precise(one) and _beyond(one, most_blocks) for one in open_ones):
        return Next.PRECISE
    return Next.FUTILE if all(_out_of_sight(one, 2 * most_blocks) for one in open_ones) else Next.GO_ON


def _mendable(found: Comparison, left: int) -> bool:
    counts = [len(reasons) for reasons in found.lost.values()]
    return any(MOST_LOST * found.blocks < count <= MOST_LOST * (found.blocks + left) for count in counts)


def _hopeless(one: Verdict) -> bool:
    return one.word is Word.INVALID and not one.withheld


def _precise(one: Verdict) -> bool:
    if one.low is None or one.high is None:
        return False
    low, high, most = (effects.margin(end, one.metric.scale) for end in (one.low, one.high, one.metric.threshold))
    return (high - low) / 2 <= most


def _out_of_sight(one: Verdict, most_blocks: int) -> bool:
    if one.smallest_seen is None:
        return False
    seen, least = (effects.margin(each, one.metric.scale) for each in (one.smallest_seen, one.metric.threshold))
    return _beyond(one, most_blocks) and seen * math.sqrt(one.blocks / most_blocks) > least


def _beyond(one: Verdict, most_blocks: int) -> bool:
    scatter_known = one.smallest_seen is not None
    return scatter_known and (one.blocks_needed is None or one.blocks_needed > most_blocks)
