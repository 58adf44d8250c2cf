"""What a comparison takes besides load: bringing stacks up, waiting, tearing down, sealing, judging.

    python tests/trials/overhead.py --results results/trials/overhead

One comparison of 5 blocks by 2 variants with 30 s of load each (warm-up, window and drain), fresh stacks for each
run. The images are built before by a comparison of one block. Goals: at most 5 s for each run, 20 % in all.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import redrawn

from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S

GOAL_S = 5.0
GOAL_SHARE = 0.2
_LOAD = ("--warmup", "3s", "--set", "load.drain=1s")


def main() -> None:
    """Compare, then print the table."""
    parser = redrawn.parser(__doc__ or "")
    parser.add_argument("--scenario", default="known-cpu")
    parser.add_argument("--variant", default="plus5")
    parser.add_argument("--design", choices=("runs", "slices"), default="runs")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--load-s", type=float, default=30.0, help="of each run, warm-up and drain included")
    options = parser.parse_args()
    words = ["compare", options.scenario, "--variants", options.variant, "--design", options.design, *_LOAD]
    redrawn.seatrial([*words, "--blocks", "1", "--duration", "2s"], options.results / "built")
    began_s = time.monotonic()
    more = ["--blocks", str(options.blocks), "--duration", f"{options.load_s - 4:g}s"]
    redrawn.seatrial([*words, *more], options.results)
    whole_s = time.monotonic() - began_s
    experiment = max(path.parent for path in options.results.glob("*/plan.json"))
    sys.stdout.writelines(f"{line}\n" for line in table(experiment, whole_s))


def table(experiment: Path, whole_s: float) -> Iterator[str]:
    """Yield the lines of the table: how long blocks took, and how much of that was load by the runs' phases."""
    loads: dict[int, list[float]] = {}
    for path in sorted((experiment / "runs").glob("*/run.json")):
        document = documents.load_document(RunFolder(path.parent))
        from_ns, until_ns = (min(x.from_ns for x in document.spans), max(x.until_ns for x in document.spans))
        loads.setdefault(document.block, []).append((until_ns - from_ns) / NS_PER_S)
    yield "block  runs  took_s  load_s  outside, each run"
    outside = []
    for block_s, number in zip(documents.load_progress(experiment).blocks_s, sorted(loads), strict=True):
        runs, load_s = len(loads[number]), sum(loads[number])
        outside.append((block_s - load_s) / runs)
        yield f"{number:5d}  {runs:4d}  {block_s:6.1f}  {load_s:6.1f}  {outside[-1]:.1f}"
    all_s = sum(sum(each) for each in loads.values())
    median, most = statistics.median(outside), max(outside)
    yield f"outside load, each run: median {median:.1f} s, at most {most:.1f} s (goal {GOAL_S:g} s)"
    share = whole_s / all_s - 1
    yield f"the command: {whole_s:.0f} s for {all_s:.0f} s of load: {share:+.0%} (goal {GOAL_SHARE:.0%})"


if __name__ == "__main__":
    main()
