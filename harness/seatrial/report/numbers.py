"""Formatting of numbers, durations, sizes and changes for people."""

from __future__ import annotations

from seatrial.measure.metric import Unit
from seatrial.units import NS_PER_S

UNKNOWN = "-"
"""An unknown value; a measured zero is shown as 0."""
_DURATIONS = ((60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_MINUTES_FROM_NS = 120_000_000_000
_DECIMALS = ((99.95, 0), (9.995, 1), (0.00995, 2))
"""Decimals from each size on; the limits are where rounding would add a digit."""
_NOTHING = 5e-6
"""A change of less than 0.0005 % is rounding."""
_MOST = 10.0
"""A larger change is shown as "more than tenfold": its digits are scatter, and make columns wide."""
_MIB = 1 << 20
_MB = 1_000_000


def count(value: int | None) -> str:
    """Return `12,345`."""
    return UNKNOWN if value is None else f"{value:,}"


def duration(value_ns: int | None) -> str:
    """Return `12.3 ms`; seconds up to two minutes."""
    if value_ns is None:
        return UNKNOWN
    if value_ns == 0:
        return "0"
    units = _DURATIONS if abs(value_ns) >= _MINUTES_FROM_NS else _DURATIONS[1:]
    return _scaled(value_ns, units)


def size(value_bytes: int | None) -> str:
    """Return `14.2 MiB`."""
    if value_bytes is None:
        return UNKNOWN
    return _scaled(value_bytes, _SIZES) if value_bytes else "0"


def mebibytes(value_bytes: int | None) -> str:
    """Return `14.2` for a column whose head is MiB; always one decimal, so that digits stand below each other."""
    if value_bytes is None:
        return UNKNOWN
    return f"{value_bytes / _MIB:,.1f}" if value_bytes else "0"


def megabytes_per_s(bytes_per_s: float) -> str:
    """Return `14.2` for a column whose head is MB/s."""
    return _digits(bytes_per_s / _MB)


def rate(per_s: float) -> str:
    """Return `207` or `0.42`, for a column whose head is per second."""
    return _digits(per_s)


def cores(value: float | None) -> str:
    """Return `0.42`, the number of cores in use."""
    return UNKNOWN if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def percent(fraction: float | None) -> str:
    """Return `4.2 %`."""
    return UNKNOWN if fraction is None else f"{_digits(fraction * 100)} %"


def counted(value: int, noun: str) -> str:
    """Return `1 block`, `6 blocks`."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def change(effect: float | None, *, points: bool = False) -> str:
    """Return `+4.2 %`, beyond tenfold `> +1,000 %`; `+0.3 pts` (percentage points) for shares."""
    if effect is None:
        return UNKNOWN
    shown = effect if abs(effect) >= _NOTHING else 0.0
    beyond = "> " if shown > _MOST else ""
    return f"{beyond}{'+' if shown > 0 else ''}{_digits(min(shown, _MOST) * 100)} {'pts' if points else '%'}"


def amount(effect: float | None, *, points: bool = False) -> str:
    """Return a change without its sign: `4.2 %`, `> 1,000 %`."""
    return change(effect, points=points).replace("+", "")


def between(low: float, high: float, *, points: bool = False) -> str:
    """Return `+1.2 to +4.2 %`."""
    first, last = change(low, points=points), change(high, points=points)
    return last if low > _MOST else f"{first.rpartition(' ')[0]} to {last}"


UNITS = {
    Unit.NS: ("ms", 1e-6),
    Unit.BYTES: ("MiB", 1 / (1 << 20)),
    Unit.SHARE: ("%", 100.0),
    Unit.PER_S: ("1/s", 1.0),
    Unit.COUNT: ("count", 1.0),
}
"""The unit of a metric in charts and files, and the factor from the metric's own unit."""


def measured(value: float | None, unit: Unit) -> str:
    """Return a metric's value: `12.3 ms`, `14.2 MiB`, `0.3 %`, `207/s`."""
    if value is None:
        return UNKNOWN
    if unit is Unit.PER_S:
        return f"{_digits(value)}/s"
    if unit is Unit.SHARE:
        return percent(value)
    if unit is Unit.COUNT:
        return f"{value:,.4g}"
    return duration(round(value)) if unit is Unit.NS else size(round(value))


def moment(after_ns: int) -> str:
    """Return `+12.3 s`, the time from the start of the window."""
    return f"{after_ns / NS_PER_S:+,.1f} s"


def _scaled(value: int, units: tuple[tuple[int, str], ...]) -> str:
    for factor, unit in units:
        # 999.6 would be rounded up to four digits; it belongs to the next unit
        if abs(value) >= factor * 0.9995:
            return f"{_digits(value / factor)} {unit}"
    return f"{value} {units[-1][1]}"


def _digits(value: float) -> str:
    """Return three significant digits; whole numbers from a hundred on."""
    if value == 0:
        return "0"
    for least, decimals in _DECIMALS:
        if abs(value) >= least:
            return f"{value:,.{decimals}f}"
    return f"{value:.1g}"
