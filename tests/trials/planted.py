"""Planted changes: how often comparisons find them, and only them.

    python tests/trials/planted.py cpu --results results/trials/planted-cpu
    python tests/trials/planted.py memory --results results/trials/planted-memory
    python tests/trials/planted.py keepalive --results results/trials/planted-keepalive
    python tests/trials/planted.py flaky --results results/trials/planted-flaky

Records what is missing of the blocks, then draws 1,000 comparisons of as many blocks as fit into ten minutes. What
each variant truly changes stands in scenarios/stacks/known/README.md: `cpu` 5 % more in `app`, `memory` 20 % more,
`keepalive` a connection to the upstream for each request, `flaky` 1 % failures and less work for it.
`--only-table` records nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import redrawn
from redrawn import Redrawn, Series

from seatrial.compare import effects, pairing
from seatrial.compare.verdicts import WORSE, Word

BUDGET_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A planted change: where it is, which metric must show it, and in which share of comparisons.

    `blocks` are to be recorded; `size` of them make a comparison (None: as many as fit into ten minutes).
    """

    scenario: str
    variant: str
    metric: str
    goal: float
    blocks: int
    size: int | None = 6


PLANTS = {
    "cpu": Plant(scenario="known-cpu", variant="plus5", metric="cpu per request", goal=0.9, blocks=40, size=None),
    "memory": Plant(
        scenario="known-cpu", variant="plus20mem", metric="unreclaimable memory of app", goal=1.0, blocks=12
    ),
    "keepalive": Plant(
        scenario="known-static", variant="nokeepalive", metric="cpu per request", goal=1.0, blocks=12
    ),
    "flaky": Plant(scenario="known-cpu", variant="flaky", metric="failures", goal=1.0, blocks=12),
}


def main() -> None:
    """Record what is missing, then print the table."""
    parser = redrawn.drawing(__doc__ or "")
    parser.add_argument("plant", choices=sorted(PLANTS))
    options = parser.parse_args()
    plant = PLANTS[options.plant]
    if not options.only_table:
        command = ("compare", plant.scenario, "--variants", plant.variant, "--design", "slices")
        more = ("--set", "compare.slices=6")
        redrawn.record((*command, *more), options.results, options.blocks or plant.blocks, options.seed)
    series = redrawn.load(options.results, plant.variant, shown=options.plant == "flaky")
    size = options.size or plant.size or min(fitting(series), len(series.blocks))
    drawn = redrawn.redraw(series, size, options.draws, options.seed, relabel=False)
    sys.stdout.writelines(f"{line}\n" for line in table(plant, series, size, drawn))


def fitting(series: Series, budget_s: float = BUDGET_S) -> int:
    """Return how many blocks fit into a budget of time."""
    return max(int((budget_s - series.bring_up_s) // series.block_s), 1)


def table(plant: Plant, series: Series, size: int, drawn: Redrawn) -> Iterator[str]:
    """Yield the lines of the table."""
    yield series.used()
    yield f"a block takes {series.block_s:.0f} s: {fitting(series)} fit into {BUDGET_S} s; {size} are drawn"
    for metric in series.gate:
        yield f"  {metric.text}: {_truth(series, metric.text)}"
    used = drawn.blocks_used / drawn.draws
    yield f"{drawn.draws} comparisons; a look decided after {used:.1f} blocks ({used * series.block_s:.0f} s)"
    yield from drawn.lines()
    hits = round(drawn.rate(plant.metric, *WORSE) * drawn.draws)
    low, high = redrawn.bounds(hits, drawn.draws)
    yield (
        f"{plant.metric} found worse: {hits / drawn.draws:.1%} (goal: at least {plant.goal:.0%}; of these draws "
        f"{low:.1%} to {high:.1%}); REGRESSION {drawn.rate(plant.metric, Word.REGRESSION):.1%}"
    )
    yield f"called better in anything: {drawn.praised / drawn.draws:.1%}"


def _truth(series: Series, text: str) -> str:
    metric = next(metric for metric in series.gate if metric.text == text)
    paired = pairing.paired(series.blocks, series.base, series.variant, metric)
    values = [block[series.base].values.get(text) for block in series.blocks]
    known = [value for value in values if value is not None]
    if paired.effect is None or not known:
        return paired.reason
    mean = effects.shown(paired.effect.mean, paired.effect.scale)
    return f"{mean:+.2%} over all blocks, sd {paired.effect.sd:.2%}; base: median {statistics.median(known):.6g}"


if __name__ == "__main__":
    main()
