"""Comparisons as text: `METRIC < LIMIT`, with the limit in the unit that the metric has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seatrial.measure.metric import Unit
from seatrial.units import NS_PER_S, seconds, size_bytes

_COMPARED = re.compile(r"\A(?P<metric>(?:\"[^\"]*\"|[^\"<>=])+?)\s*(?P<op><=|>=|<|>)\s*(?P<limit>[^<>=]+)\Z")
_RATE = re.compile(r"\A(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)\Z")
_SHARE = re.compile(r"\A(\d+(?:\.\d+)?)\s*%\Z")
_COUNT = re.compile(r"\A\d+(?:\.\d+)?\Z")
_PER_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Compared:
    """The three parts of a comparison, as they are written."""

    metric: str
    op: str
    limit: str


def compared(text: str, example: str) -> Compared:
    """Split `METRIC < LIMIT`; ValueError with the example otherwise."""
    match = _COMPARED.match(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} has no comparison that can be read: {example} is expected")
    return Compared(match["metric"].strip(), match["op"], match["limit"].strip())


def compares(text: str) -> bool:
    """Tell whether a text holds a comparison, outside of quotes."""
    return _COMPARED.match(text.strip()) is not None


def limit(text: str, unit: Unit) -> float:
    """Read a limit: nanoseconds from `150ms`, a fraction from `0.1%`, bytes from `200MiB`, a rate from `100/s`.

    A count is a plain number. ValueError names what is expected.
    """
    if unit is Unit.NS:
        return seconds(text) * NS_PER_S
    if unit is Unit.BYTES:
        return float(size_bytes(text))
    if unit is Unit.SHARE:
        match = _SHARE.match(text)
        if match is None or float(match[1]) > 100:  # noqa: PLR2004  (per cent)
            raise ValueError(f"{text!r} is not a share: a number of per cent such as 0.1% is expected")
        return float(match[1]) / 100
    if unit is Unit.COUNT:
        if _COUNT.match(text) is None:
            raise ValueError(f"{text!r} is not a count: a plain number such as 3 is expected")
        return float(text)
    match = _RATE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate: a number with a unit such as 100/s is expected")
    return float(match[1]) / _PER_S[match[2]]


def written(value: float, unit: Unit) -> str:
    """Return a value as people read it: three figures and a unit."""
    if unit is Unit.SHARE:
        return f"{100 * value:.3g} %"
    if unit is Unit.PER_S:
        return f"{value:.4g}/s"
    if unit is Unit.COUNT:
        return f"{value:,.4g}"
    steps: tuple[tuple[float, str], ...] = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
    if unit is Unit.BYTES:
        steps = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
    size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    return f"{value / size:.4g} {name}"
