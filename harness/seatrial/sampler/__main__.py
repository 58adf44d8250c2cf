"""Entry point of the sampler process: `python -m seatrial.sampler`, with its plan on standard input."""

from __future__ import annotations

import resource
import signal
import sys
from contextlib import suppress
from types import FrameType

from seatrial.errors import ResultsUnwritable
from seatrial.sampler.sampler import LineInput, Sampler
from seatrial.sampler.session import EXIT_UNWRITABLE, READY, SamplerPlan

_PLAN_WITHIN_S = 10.0


def main() -> int:
    """Read the plan, print `ready`, sample until the input ends, write the summary; return the exit code."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # above fs.nr_open, or forbidden: the soft limit is enough for most stacks
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    messages = LineInput(sys.stdin.fileno())

    def stop(_number: int, _frame: FrameType | None) -> None:
        messages.ended = True

    signal.signal(signal.SIGTERM, stop)
    line = messages.first_line(_PLAN_WITHIN_S)
    if line is None:
        return 0  # the harness went away before it had sent anything
    plan = SamplerPlan.decode(line)
    try:
        sampler = Sampler(plan, messages)
        sampler.open()
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        sampler.run().write(plan.streams)
    except ResultsUnwritable as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNWRITABLE
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
