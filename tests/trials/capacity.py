"""Repeats a capacity search where the ceiling is known; prints the scatter and the bias of its results.

    python tests/trials/capacity.py --repetitions 5 --results results

The ceiling of `known-capacity` is 2 workers / 20 ms = 100 requests per second, less what a worker does before and
after (scenarios/stacks/known/README.md): 95 to 98 per second. The bias refers to `--truth`; without it, to the
median rate that was completed in the trials that broke a budget: the ceiling of that day. A repetition takes some
110 s without validation. Searches that are in the folder already are counted, too: a series may span days.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from seatrial.compare.capacity import CapacityResult
from seatrial.record import documents
from seatrial.record.folder import RunFolder

_GOAL_S = 120
_GOAL_SD = 0.04
_HEAD = "repetition  lower  upper  carried  search_s  trial_s  trials  word"


def main() -> None:
    """Repeat, then print the table of all that is in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="known-capacity")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--pause-s", type=float, default=5.0)
    parser.add_argument("--results", type=Path, default=Path("results/capacity"))
    parser.add_argument("--truth", type=float, help="requests per second")
    parser.add_argument("more", nargs="*", help="further options of `seatrial capacity`, after --")
    options = parser.parse_args()
    for number in range(options.repetitions):
        if number:
            time.sleep(options.pause_s)
        _repeat(options.scenario, options.results, options.more)
    searches = stored(options.results)
    if not searches:
        raise SystemExit("no search was completed")
    sys.stdout.writelines(f"{line}\n" for line in table(searches, options.truth))


def stored(results: Path) -> list[CapacityResult]:
    """Return every search below the folder that was not cut short, in the order in which they were made."""
    paths = sorted(results.glob("*/runs/*/capacity.json"))
    searches = [documents.load_capacity(RunFolder(path.parent)) for path in paths]
    return [search for search in searches if search is not None and search.status == "complete"]


def table(searches: list[CapacityResult], truth_per_s: float | None) -> list[str]:
    """Return the lines of the table; a search without a lower bound is shown and not counted."""
    lines = [_HEAD]
    for number, search in enumerate(searches, start=1):
        rates = (search.lower_per_s, search.upper_per_s)
        lower, upper = (f"{rate:5.1f}" if rate is not None else "    -" for rate in rates)
        lines.append(
            f"{number:10d}  {lower}  {upper}  {ceiling(search):7.1f}  {search.search_s:8.0f}"
            f"  {search.trial_s:7.0f}  {len(search.trials):6d}  {search.word}"
        )
    bounds = [search.lower_per_s for search in searches if search.lower_per_s is not None]
    if not bounds:
        return lines
    median = statistics.median(bounds)
    took_s = statistics.median(search.search_s for search in searches)
    truth = truth_per_s or statistics.median(ceiling(search) for search in searches)
    sd = statistics.stdev(bounds) / statistics.mean(bounds) if len(bounds) > 1 else float("nan")
    lines.append(f"lower bound: median {median:.1f}/s, sd {sd:.1%} (goal {_GOAL_SD:.0%}) over {len(bounds)}")
    pairs = [(search.lower_per_s, search.upper_per_s) for search in searches]
    steps = [upper / lower - 1 for lower, upper in pairs if lower and upper]
    if steps and sd < statistics.median(steps):
        step = statistics.median(steps)
        lines.append(f"the rates tried lie {step:.1%} apart: a smaller sd says no more than that")
    lines.append(f"bias: {median / truth - 1:+.1%} against {truth:.1f}/s")
    lines.append(f"time of a search: median {took_s:.0f} s (goal {_GOAL_S} s)")
    return lines


def ceiling(search: CapacityResult) -> float:
    """Return the median rate that was completed in the trials that broke a budget: the ceiling of that day."""
    rates = [tried.completed_per_s for tried in search.trials if not tried.kept and not tried.invalid]
    return statistics.median(rates) if rates else float("nan")


def _repeat(scenario: str, results: Path, more: list[str]) -> None:
    words = ["capacity", scenario, "--validate", "0s", "--quiet", "--results", str(results), *more]
    command = [sys.executable, "-m", "seatrial", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    sys.stdout.write(f"{done.stdout.splitlines()[0] if done.stdout else done.stderr}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
