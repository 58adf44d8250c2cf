"""A/A: blocks of two stacks that are the same, and how often comparisons drawn from them say anything else.

    python tests/trials/identical.py --design slices --blocks 60 --results results/trials/identical-slices
    python tests/trials/identical.py --design runs --blocks 60 --results results/trials/identical-runs

Records what is missing of the blocks (half a minute each), then draws 1,000 comparisons of 6 blocks with random
labels. The table also has what other rules would decide on the same runs, one against one: a gate of 10 % on
percentiles, and tests that take each request as independent. `--only-table` records nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import redrawn
from redrawn import Redrawn, Series

from seatrial.scenario.plan import AGAIN

GOAL = 0.06
_LOADS = {
    "slices": ("--design", "slices", "--set", "compare.slices=6"),
    "runs": ("--design", "runs", "--warmup", "1s", "--duration", "4s", "--set", "load.drain=1s"),
}
"""Short, so that many blocks fit into an hour: 6 turns of 1 s, or a window of 4 s, for each side of a block."""


def main() -> None:
    """Record what is missing, then print the table."""
    parser = redrawn.drawing(__doc__ or "")
    parser.add_argument("--design", choices=sorted(_LOADS), default="slices")
    parser.add_argument("--scenario", default="known-cpu")
    parser.add_argument("--endpoint", default="work")
    parser.add_argument("--resamples", type=int, default=200)
    parser.set_defaults(blocks=60, size=6)
    options = parser.parse_args()
    if not options.only_table:
        command = ("selfcheck", options.scenario, *_LOADS[options.design])
        redrawn.record(command, options.results, options.blocks, options.seed)
    series = redrawn.load(options.results, AGAIN, options.endpoint)
    drawn = redrawn.redraw(series, options.size, options.draws, options.seed, relabel=True)
    rates = redrawn.again(series, options.size, options.draws // 10, options.seed, options.resamples)
    sys.stdout.writelines(f"{line}\n" for line in table(series, drawn, rates.tolist()))


def table(series: Series, drawn: Redrawn, rates: list[float]) -> Iterator[str]:
    """Yield the lines of the table; `rates` are those of series resampled from the blocks."""
    yield series.used()
    yield f"a block takes {series.block_s:.0f} s, the first of an experiment {series.bring_up_s:.0f} s more"
    size = drawn.blocks_used / drawn.draws
    yield f"{drawn.draws} comparisons of {size:.3g} blocks with random labels; gate: {', '.join(drawn.words)}"
    low, high = redrawn.bounds(drawn.alarms, drawn.draws)
    yield (
        f"alarms (any word of better or worse): {drawn.alarms / drawn.draws:.1%} (goal: at most {GOAL:.0%}; "
        f"of these draws {low:.1%} to {high:.1%})"
    )
    middle, most = np.quantile(rates, 0.5), np.quantile(rates, 0.95)
    yield f"  in {len(rates)} series resampled from the blocks: median {middle:.1%}, 95 in 100 at most {most:.1%}"
    yield from drawn.lines()
    if series.latencies_ms:
        yield from _others(series)


def _others(series: Series) -> Iterator[str]:
    pairs = [(one[series.base], one[series.variant]) for one in series.latencies_ms]
    requests = np.median([len(side) for pair in pairs for side in pair])
    yield f"one run against one run of the same blocks, {requests:.0f} requests each:"
    gated = redrawn.gates(pairs)
    yield "  a gate of 10 %: " + ", ".join(f"{name} {rate:.0%}" for name, rate in gated.items())
    tested = redrawn.tests_of_requests(pairs)
    yield "  a test of requests at 5 %: " + ", ".join(f"{name} {rate:.0%}" for name, rate in tested.items())


if __name__ == "__main__":
    main()
