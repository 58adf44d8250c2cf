"""The last section of the text report: what was run, how the load and the sampler fared, where the data lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seatrial.judge.arrivals import Arrivals
from seatrial.judge.validity import RESERVED
from seatrial.model import EngineName
from seatrial.report import numbers
from seatrial.report.contents import About, Review


def lines(review: Review) -> list[tuple[str, str]]:
    """Return names and texts, without those that there is nothing to say of."""
    about, times = review.about, review.times
    rows = [
        ("question", about.question),
        ("began", about.began_utc),
        ("engine", f"{about.engine}: {about.engine_reason}" if about.engine_reason else about.engine),
        ("load went by", about.url_via),
        ("arrivals", _arrivals(review.generator.arrivals, review.window.length_ns)),
        ("generator", _generator(review)),
        ("cores", _cores(about.pinning)),
        ("sampler", _sampler(review)),
        ("to first request", _since(times.command_to_first_request_ns, "from the command")),
        ("to the end", _since(times.last_request_to_end_ns, "from the last request, with teardown")),
        ("data", about.folder),
        ("", f"{', '.join(about.files)}; pandas, polars and DuckDB open the tables"),
        ("see it again", f"seatrial show {about.show}"),
    ]
    return [(name, text) for name, text in rows if text]


def load_model(about: About) -> str:
    """Return `8 users` of the closed model, `50/s, at most 20 users` of the open one."""
    if about.rate:
        return f"{about.rate}, at most {numbers.counted(about.users or 0, 'user')}"
    return "no load" if about.users is None else numbers.counted(about.users, "user")


def place(about: About) -> str:
    """Return where the stack ran; a recording of Locust alone has none that is known."""
    return f"{about.engine} engine" if about.engine in tuple(EngineName) else "no stack watched"


def _since(took_ns: int | None, what: str) -> str:
    return "" if took_ns is None else f"{numbers.duration(took_ns)} {what}"


def _arrivals(seen: Arrivals | None, window_ns: int) -> str:
    """Tell what the load's whole seconds counted; the window's edges lie in seconds that are left out."""
    if seen is None:
        return ""
    ended = f"{numbers.count(seen.completed)} completed ({_per_s(seen.completed, seen)})"
    waited = f"{numbers.count(seen.late)} found no idle user, {numbers.count(seen.dropped)} dropped in the window"
    of = f"in {numbers.counted(seen.seconds, 'whole second')} of {numbers.duration(window_ns)}: "
    return f"{of}{numbers.count(seen.offered)} offered ({_per_s(seen.offered, seen)}), {ended}; {waited}"


def _per_s(count: int, seen: Arrivals) -> str:
    return f"{numbers.rate(count / max(seen.seconds, 1))}/s"


def _generator(review: Review) -> str:
    use = review.generator
    if not use.seconds:
        return ""
    processes = "1 process" if use.workers == 1 else f"{numbers.count(use.workers)} processes"
    usual, most = numbers.percent(use.cpu_median), numbers.percent(use.cpu_max)
    lag = numbers.duration(use.loop_lag_p99_max_ns)
    slip = numbers.duration(use.slip_p99_max_ns)
    said = f"{processes}, CPU {usual} of what it may use (at most {most}), loop lag p99 at most {lag}"
    return said if use.arrivals is None else f"{said}, schedule slip p99 at most {slip}"


def _cores(pinning: Mapping[str, Sequence[int] | None]) -> str:
    """Say which cores load and stack had; nothing where that is not known, as for a daemon on another host."""
    load, stack = pinning.get("generator"), pinning.get("stack")
    if not load or not stack:
        return ""
    apart = "apart" if set(load).isdisjoint(stack) else "shared"
    return f"load on {_listed(load)}, stack on {_listed(stack)}: {apart}"


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))


def _sampler(review: Review) -> str:
    own = [placed.use for placed in review.services if placed.use.service == "sampler"]
    reading = [placed.use.reading_ns.p50 for placed in review.services if placed.use.service not in RESERVED]
    told = [took for took in reading if took is not None]
    if not own or not told:
        return ""
    least, most = numbers.duration(min(told)), numbers.duration(max(told))
    return f"{numbers.percent(own[0].cpu_cores)} of a core; {least} to {most} for one reading of a service (p50)"
