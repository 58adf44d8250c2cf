"""The metric language: what can be measured, in which unit and on which scale, and limits on it.

    p95 of "manifest by tag"          latency of an endpoint's or a flow's successes; also p50 and p99
    throughput, throughput of pull    requests (or flows) a second that ended well
    failures, failures of "token"     the share of requests (or flows) that failed
    cpu per request [of auth]         processor time of the stack (or a service) for each request
    cpu per flow [of auth]            the same for each flow
    unreclaimable memory [of auth]    the median over the window
    peak unreclaimable [of auth]      the highest value
    p95 startup_s [of "play"]         a number that each flow reports in `detail`: mean, p50, p90, p95, p99 or max
    startup, seek latency             short for `p95 startup_s` and `p95 seek_s`, each [of play]
    stall ratio, abandoned, waste     short for the mean of `stall_ratio`, `abandoned_ratio`, `waste_ratio`
    origin bytes [of nginx]           what a proxy fetched from the origin in the window, by its access log
    origin bytes per played byte      the same for each byte that viewers played [of nginx]

The key of a detail ends in its unit: `_s`, `_ratio`, `_bytes` or `_count`; higher is taken as worse. Without a
name it is that of all flows. Where no request was made, throughput, failures and `cpu per request` are those of
the flows.

A name of several words stands in quotes. An endpoint and a flow of one name: the endpoint is meant. Each may end
with its own practical threshold: `p95 of "token" within 5%`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from seatrial.units import NS_PER_S, seconds, size_bytes
from seatrial.wire.streams import DETAIL_ENDINGS, detail_ending


class Scale(StrEnum):
    """How two values are compared."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


class Kind(StrEnum):
    """What is measured."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    FAILURES = "failures"
    CPU = "cpu per request"
    MEMORY = "unreclaimable memory"
    PEAK = "peak unreclaimable"
    DETAIL = "detail"
    ORIGIN = "origin bytes"


class Unit(StrEnum):
    """What a value counts; a share is a fraction of one."""

    NS = "ns"
    PER_S = "per_s"
    SHARE = "share"
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; `text` is its canonical form, without the threshold.

    `worse` is `higher` or `lower`. `threshold` is the smallest change that matters: of a ratio (0.05: 5 %), or, on
    the difference scale, of the value itself (0.001: 0.1 percentage points). `key` names a detail of flows, of
    which `percent` None is the mean and HIGHEST the largest. `per`: processor time of each request, or flow;
    bytes of the window, or for each played byte.
    """

    text: str
    kind: Kind
    unit: Unit
    threshold: float
    of: str | None = None
    percent: int | None = None
    worse: str = "higher"
    scale: Scale = Scale.RATIO
    key: str = ""
    per: str = "request"


HIGHEST = 100
EXPECTED = (
    'p95 of "NAME", throughput, failures, cpu per request, unreclaimable memory, peak unreclaimable, '
    'or of a flow\'s details such as p95 startup_s of "NAME"'
)
_LATENCY_PERCENTS = (50, 95, 99)
_PLAIN: dict[str, Metric] = {
    "throughput": Metric(text="throughput", kind=Kind.THROUGHPUT, unit=Unit.PER_S, threshold=0.03, worse="lower"),
    "failures": Metric(
        text="failures", kind=Kind.FAILURES, unit=Unit.SHARE, threshold=0.001, scale=Scale.DIFFERENCE
    ),
    "cpu per request": Metric(text="cpu per request", kind=Kind.CPU, unit=Unit.NS, threshold=0.05),
    "cpu per flow": Metric(text="cpu per flow", kind=Kind.CPU, unit=Unit.NS, threshold=0.05, per="flow"),
    "unreclaimable memory": Metric(text="unreclaimable memory", kind=Kind.MEMORY, unit=Unit.BYTES, threshold=0.03),
    "peak unreclaimable": Metric(text="peak unreclaimable", kind=Kind.PEAK, unit=Unit.BYTES, threshold=0.03),
    "origin bytes": Metric(text="origin bytes", kind=Kind.ORIGIN, unit=Unit.BYTES, threshold=0.05, per="window"),
    "origin bytes per played byte": Metric(
        text="origin bytes per played byte",
        kind=Kind.ORIGIN,
        unit=Unit.COUNT,
        threshold=0.05,
        per="played byte",
    ),
}
_SHARES = {"stall ratio": "stall_ratio", "abandoned": "abandoned_ratio", "waste": "waste_ratio"}
"""The mean of a detail that is a share, by its name among the metrics."""
_SHORT = {"startup": ("p95", "startup_s"), "seek latency": ("p95", "seek_s")} | {
    name: ("mean", key) for name, key in _SHARES.items()
}
"""Statistic and key of a detail, by the name that stands for both."""
_ALSO = {
    "peak unreclaimable memory": "peak unreclaimable",
    "unreclaimable": "unreclaimable memory",
    "failure": "failures",
}
_WORD = re.compile(r"[^\s\"'<>=]+\Z")
_STATISTICS = {"mean": None, "p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": HIGHEST}
_THRESHOLDS = {None: 0.05, 50: 0.05, 90: 0.10, 95: 0.10, 99: 0.20, HIGHEST: 0.20}
_DETAIL_UNITS = {"_s": Unit.NS, "_ratio": Unit.SHARE, "_bytes": Unit.BYTES, "_count": Unit.COUNT}
_DETAIL = re.compile(r"(?P<statistic>mean|max|p\d+) (?P<key>\S+)\Z", re.IGNORECASE)
_WHOLE = re.compile(r"\A(?P<what>[A-Za-z0-9_ ]+?)(?:\s+of\s+(?P<of>\"[^\"]*\"|.+?))?\Z")
_WITHIN = re.compile(r"\A(?P<metric>.*\S)\s+within\s+(?P<share>\S+?)\s*%\s*\Z")
OF_SERVICE = frozenset({Kind.CPU, Kind.MEMORY, Kind.PEAK})
"""Metrics of services and of the whole stack, which don't depend on how fast the host is."""


def parse(text: str) -> Metric:
    """Read a metric with its optional `within N%`; ValueError with what is expected."""
    match = _WITHIN.match(text.strip())
    if match is None:
        if says_within(text):
            raise ValueError(f"{text.strip()!r}: a number of per cent such as `within 2%` is expected at its end")
        return parse_bare(text)
    return replace(parse_bare(match["metric"]), threshold=share(match["share"], text))


def parse_bare(text: str) -> Metric:
    """Read a metric without a threshold; ValueError with what is expected."""
    match = _WHOLE.match(" ".join(_outside_quotes(text)))
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a metric: {EXPECTED} is expected")
    what = _ALSO.get(match["what"].lower(), match["what"].lower())
    name = _name(match["of"], text)
    if (of_detail := _DETAIL.match(match["what"])) is not None:
        return _detail(of_detail["statistic"].lower(), of_detail["key"], name, text)
    if what in _SHORT:
        return detail(*_SHORT[what], name)
    if re.fullmatch(r"p\d+(\.\d+)?", what):
        return _latency(what, name, text)
    if what not in _PLAIN:
        known = [*_PLAIN, *_SHORT, *_ALSO, *(f"p{percent}" for percent in _LATENCY_PERCENTS)]
        close = difflib.get_close_matches(what, known, n=1)
        hint = f"did you mean {_ALSO.get(close[0], close[0])}?" if close else f"{EXPECTED} is expected"
        raise ValueError(f"{text.strip()!r} is not a metric: {hint}")
    metric = _PLAIN[what]
    if name is None:
        return metric
    of_service = metric.kind in OF_SERVICE or metric.kind is Kind.ORIGIN
    shown = name if of_service and _WORD.match(name) else f'"{name}"'
    return replace(metric, of=name, text=f"{metric.text} of {shown}")


def says_within(text: str) -> bool:
    """Return whether something stands after the word `within`, outside of quotes."""
    return "within" in [word.lower() for word in _outside_quotes(text)[:-1]]


def share(number: str, text: str) -> float:
    """Read the number of a percentage above zero as a fraction; ValueError with the whole `text` otherwise."""
    try:
        percent = float(number)
    except ValueError as error:
        raise ValueError(f"{text.strip()!r}: {number!r} is not a number of per cent") from error
    if not 0 < percent < float("inf"):
        hint = "no measurement can show that two things are exactly equal; more than 0% is expected"
        raise ValueError(f"{text.strip()!r}: a threshold of {percent:g}% can't be judged; {hint}")
    return percent / 100


def _latency(what: str, name: str | None, text: str) -> Metric:
    percent = float(what[1:])
    if percent not in _LATENCY_PERCENTS:
        raise ValueError(f"{text.strip()!r}: {what} is not measured; p50, p95 or p99 is expected")
    if name is None:
        raise ValueError(f'{text.strip()!r} does not say of what: {what} of "NAME" is expected')
    return Metric(
        text=f'{what} of "{name}"',
        kind=Kind.LATENCY,
        unit=Unit.NS,
        threshold=_THRESHOLDS[int(percent)],
        of=name,
        percent=int(percent),
    )


def _detail(statistic: str, key: str, name: str | None, text: str) -> Metric:
    ending = detail_ending(key)
    if ending is None:
        endings = f"{', '.join(DETAIL_ENDINGS[:-1])} or {DETAIL_ENDINGS[-1]}"
        raise ValueError(
            f"{text.strip()!r}: {key!r} has no unit: a detail of a flow that ends in {endings} is expected"
        )
    if statistic not in _STATISTICS:
        expected = "mean, p50, p90, p95, p99 or max is expected"
        raise ValueError(f"{text.strip()!r}: {statistic} of a detail is not measured; {expected}")
    return detail(statistic, key, name)


def detail(statistic: str, key: str, flow: str | None) -> Metric:
    """Return the metric of a flow's detail, or of all flows', whose key ends in a unit."""
    percent, unit = _STATISTICS[statistic], _DETAIL_UNITS[detail_ending(key) or ""]
    shares = (name for name, short in _SHARES.items() if statistic == "mean" and short == key)
    what = next(shares, f"{statistic} {key}")
    return Metric(
        text=what if flow is None else f'{what} of "{flow}"',
        kind=Kind.DETAIL,
        unit=unit,
        threshold=0.01 if unit is Unit.SHARE else _THRESHOLDS[percent],
        scale=Scale.DIFFERENCE if unit is Unit.SHARE else Scale.RATIO,
        of=flow,
        percent=percent,
        key=key,
    )


def _name(written: str | None, text: str) -> str | None:
    if written is None:
        return None
    if written.startswith('"'):
        name = written[1:-1]
        if not name or not written.endswith('"') or len(written) < len('""'):
            raise ValueError(f"{text.strip()!r}: the name between the quotes is missing")
        return name
    if not _WORD.match(written):
        raise ValueError(f"{text.strip()!r}: a name of several words stands in quotes")
    return written


def _outside_quotes(text: str) -> list[str]:
    """Return the words of a text; what stands in quotes is one word, with its spaces as they are."""
    return re.findall(r'"[^"]*"?|[^\s"]+', text)


_COMPARABLE = {
    "host": OF_SERVICE,
    "engine": frozenset({Kind.MEMORY, Kind.PEAK}),
    "storage driver": OF_SERVICE,
    "load": frozenset(Kind) - {Kind.THROUGHPUT},
    "seed": frozenset(Kind),
}


def comparable_across(metric: Metric, differing: str) -> bool:
    """Return whether a metric can be compared although this environment fact differs between the sides.

    Across hosts processor time for each request and memory can; latency can't. No metric can across any other fact
    (a schema version).
    """
    return metric.kind in _COMPARABLE.get(differing, frozenset())


_COMPARED = re.compile(r"\A(?P<metric>(?:\"[^\"]*\"|[^\"<>=])+?)\s*(?P<op><=|>=|<|>)\s*(?P<limit>[^<>=]+)\Z")
_RATE = re.compile(r"\A(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)\Z")
_SHARE = re.compile(r"\A(\d+(?:\.\d+)?)\s*%\Z")
_COUNT = re.compile(r"\A\d+(?:\.\d+)?\Z")
_PER_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def split_limit(text: str, example: str) -> tuple[str, str, str]:
    """Split `METRIC < LIMIT` into its three parts as they are written; ValueError with the example otherwise."""
    match = _COMPARED.match(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} has no comparison that can be read: {example} is expected")
    return match["metric"].strip(), match["op"], match["limit"].strip()


def has_limit(text: str) -> bool:
    """Return whether a text holds a comparison, outside of quotes."""
    return _COMPARED.match(text.strip()) is not None


def parse_limit(text: str, unit: Unit) -> float:
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


def limit_text(value: float, unit: Unit) -> str:
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
