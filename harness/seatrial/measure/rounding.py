"""What a value scatters by because it is counted in whole steps: clock ticks, pages, requests.

Values that agree to many digits may do so because they were counted coarsely. Rounding to steps of q leaves a
standard deviation of q/√12 (Sheppard, Proc. London Math. Soc. 1898), and blocks can't be known to scatter by less.
"""

from __future__ import annotations

from math import sqrt

from seatrial.compare.effects import Scale
from seatrial.measure import replicas
from seatrial.measure.metric import Kind, Metric
from seatrial.measure.tables import Samples
from seatrial.measure.values import Tables, of_stack, work
from seatrial.units import NS_PER_S

_ROUNDED = 1 / sqrt(12)
_TICK_NS = 10_000_000
"""USER_HZ, in which /proc/PID/stat counts, is 100 on every architecture of Linux that Docker runs on (proc(5))."""

_PAGE_BYTES = 4096
"""The smallest page; memory is charged in pages."""


def sd(asked: Metric, tables: Tables) -> float:
    """Return the standard deviation that counting leaves in the metric of one run, in its unit; 0: not known.

    Latencies are stamped in nanoseconds. Of failures the count behind them tells it (`variance`).
    """
    match asked.kind:
        case Kind.CPU:
            return _of_cpu_ns(asked, tables)
        case Kind.MEMORY | Kind.PEAK:
            return _PAGE_BYTES * _ROUNDED
        case Kind.THROUGHPUT:
            return NS_PER_S / tables.window_ns * _ROUNDED if tables.window_ns > 0 else 0.0
        case _:
            return 0.0


def variance(asked: Metric, value: float, rounded: float, count: int) -> float:
    """Return what counting leaves in a value, on the scale of the differences: of ratios (rounded / value)^2.

    `rounded` is that of `sd`, `count` how many requests a share is of: p(1-p)/n, were they independent. Failures
    come in groups, so that blocks scatter by more, and never by less. 0 for a value of zero.
    """
    if value <= 0:
        return 0.0
    if asked.kind is Kind.FAILURES:
        return max(value * (1 - value), 0.0) / count if count else 0.0
    return float((rounded / value) ** 2 if asked.scale is Scale.RATIO else rounded**2)


def _of_cpu_ns(asked: Metric, tables: Tables) -> float:
    """Each turn's time lies between two readings of each counter, and each of them is rounded."""
    requests = work(tables, by_flows=tables.by_flows or asked.per == "flow")
    readings = 2 * len(tables.turns.from_ns) if tables.turns is not None else 2
    counters = _in_ticks(of_stack(asked.of, tables.samples if tables.around is None else tables.around))
    return sqrt(readings * counters) * _TICK_NS * _ROUNDED / requests if requests else 0.0


def _in_ticks(samples: Samples) -> int:
    """Return how many of the containers given have a counter that moves by whole clock ticks only."""
    told = [counted for _, counted in replicas.counted(samples, "cpu_ns")]
    return sum(bool(len(one)) and bool(one.any()) and not bool((one % _TICK_NS).any()) for one in told)
