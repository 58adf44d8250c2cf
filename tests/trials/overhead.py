"""What a comparison takes besides load: bringing stacks up, waiting, tearing down, sealing, judging.

    python tests/trials/overhead.py --results results/trials/overhead

One comparison of 5 blocks by 2 variants with 30 s of load each (warm-up, window and drain), fresh stacks for each
run. The images are built before by a comparison of one block. Goals: at most 5 s for each run, 20 % in all.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S

GOAL_S = 5.0
GOAL_SHARE = 0.2
_LOAD = ("--warmup", "3s", "--set", "load.drain=1s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds: the whole command, each block, and for each block the load of its runs."""

    whole_s: float
    blocks_s: tuple[float, ...]
    loads_s: tuple[tuple[float, ...], ...]


def main() -> None:
    """Compare, then print the table."""
    options = _options()
    words = ["--variants", options.variant, "--design", options.design, *_LOAD]
    _compare(options.scenario, [*words, "--blocks", "1", "--duration", "2s"], options.results / "built")
    began_s = time.monotonic()
    more = ["--blocks", str(options.blocks), "--duration", f"{options.load_s - 4:g}s"]
    _compare(options.scenario, [*words, *more], options.results)
    whole_s = time.monotonic() - began_s
    experiment = max(path.parent for path in options.results.glob("*/plan.json"))
    sys.stdout.writelines(f"{line}\n" for line in table(took(experiment, whole_s)))


def took(experiment: Path, whole_s: float) -> Took:
    """Read how long blocks took, and from the runs' phases how much of that was load."""
    loads: dict[int, list[float]] = {}
    for path in sorted((experiment / "runs").glob("*/run.json")):
        document = documents.load_document(RunFolder(path.parent))
        spans = document.spans
        load_s = (max(span.until_ns for span in spans) - min(span.from_ns for span in spans)) / NS_PER_S
        loads.setdefault(document.block, []).append(load_s)
    return Took(
        whole_s=whole_s,
        blocks_s=documents.load_progress(experiment).blocks_s,
        loads_s=tuple(tuple(loads[n]) for n in sorted(loads)),
    )


def table(took: Took) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "block  runs  took_s  load_s  outside, each run"
    outside = []
    for number, (block_s, loads) in enumerate(zip(took.blocks_s, took.loads_s, strict=True), start=1):
        outside.append((block_s - sum(loads)) / len(loads))
        yield f"{number:5d}  {len(loads):4d}  {block_s:6.1f}  {sum(loads):6.1f}  {outside[-1]:.1f}"
    load_s = sum(sum(each) for each in took.loads_s)
    median, most = statistics.median(outside), max(outside)
    yield f"outside load, each run: median {median:.1f} s, at most {most:.1f} s (goal {GOAL_S:g} s)"
    share = took.whole_s / load_s - 1
    yield f"the command: {took.whole_s:.0f} s for {load_s:.0f} s of load: {share:+.0%} (goal {GOAL_SHARE:.0%})"


def _compare(scenario: str, words: Sequence[str], results: Path) -> None:
    command = [sys.executable, "-m", "seatrial", "compare", scenario, *words, "--results", str(results), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode not in {0, 1, 5, 7}:
        raise SystemExit(f"exit code {done.returncode}\n{done.stderr}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="known-cpu")
    parser.add_argument("--variant", default="plus5")
    parser.add_argument("--design", choices=("runs", "slices"), default="runs")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--load-s", type=float, default=30.0, help="of each run, warm-up and drain included")
    parser.add_argument("--results", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
