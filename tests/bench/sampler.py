"""Print the cost of sampling: `python tests/bench/sampler.py CONTAINER... [--seconds 20]`.

Watches the named containers, the host, this process and the sampler itself at 10 Hz, as a run does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import docker
from rich import print as show

sys.path.insert(0, str(Path(__file__).parents[1]))

from spawning import spawn

from seatrial.model import Watch
from seatrial.sampler.session import observing


def main() -> None:
    """Sample for a while and print the summary's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("containers", nargs="*")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    client = docker.from_env()
    ids = [client.containers.get(name).id or "" for name in options.containers]
    watches = [Watch(service=f"c{n}", kind="container", container=container) for n, container in enumerate(ids)]
    watches += [Watch(service="host", kind="host"), Watch(service="sampler", kind="sampler")]
    watches += [Watch(service="generator", kind="tree", pid=os.getpid())]
    with tempfile.TemporaryDirectory() as folder:
        streams = Path(folder)
        with observing(watches, streams, streams / "events.jsonl", spawn=spawn) as observer:
            time.sleep(options.seconds)
    summary = observer.summary
    if summary is None:
        raise RuntimeError("the sampler left no summary")
    show(summary)
    show(f"container sample p50: {summary.container_sample_p50_ns / 1e6:.4f} ms (goal 0.05)")
    show(f"share of a core:      {100 * summary.cpu_s / summary.wall_s:.3f} % (goal 0.5)")
    show(f"period p50 / p99:     {summary.period_p50_ns / 1e6:.3f} / {summary.period_p99_ns / 1e6:.3f} ms")


if __name__ == "__main__":
    main()
