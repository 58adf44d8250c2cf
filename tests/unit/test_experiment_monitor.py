"""The monitor of a running load: when rules of `stop_when` fire, and what is written into run.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import factories
import pytest
from process.scripted_child import RecordingObserver

from seatrial.errors import StoppedEarly
from seatrial.experiment.actions import ActionThread
from seatrial.experiment.monitor import RunMonitor, StopRules, raise_if_stopped, second_text
from seatrial.experiment.run_record import RunRecord
from seatrial.model import INVALIDATING, LoadSecond, NoteKind, Phase, Span
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.sampler.live import LiveReading, LiveReadings
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket
from seatrial.wire.streams import Reading

NOTHING: Mapping[str, LiveReading] = {}
FAILED_FLOWS = LoadSecond(t_ns=0, flows=10, flows_failed=5)


def _second(*, good: int = 0, failed: int = 0, took_s: float = 0.01, endpoint: str = "token") -> LoadSecond:
    counts = {bucket(round(took_s * NS_PER_S)): good} if good else {}
    return LoadSecond(
        t_ns=0, latency=counts, by_endpoint={endpoint: counts}, failures={endpoint: failed} if failed else {}
    )


def _held(memory: int, swap: int | None = None, limit: int | None = None) -> LiveReading:
    return LiveReading(memory_bytes=memory, swap_bytes=swap, limit_bytes=limit)


def _reported(*stalls: int, flow: str = "play") -> LoadSecond:
    return LoadSecond(t_ns=0, details={flow: {"stalls_count": Counter(stalls)}})


@pytest.mark.parametrize(
    ("rule", "seconds", "seen"),
    [
        # A good second ends the span; an idle one does not, because it has no value.
        (
            "failures > 20% for 2s",
            [_second(failed=5), _second(good=5), _second(failed=5), _second(), _second(failed=1)],
            "failures was at 100 % for 2 s",
        ),
        (
            'failures of "token" > 20%',
            [_second(failed=9, endpoint="blob"), _second(failed=9)],
            'failures of "token" was at 100 % in one second',
        ),
        # The p95 of ten requests a second is known from the second second on.
        ('p95 of "token" > 2s for 2s', [_second(good=10, took_s=3)] * 3, 'p95 of "token" was at 3'),
        ("throughput < 10/s for 2s", [_second(good=4), _second(good=6)], "throughput was at 4/s for 2 s"),
        (
            "mean stalls_count of play > 2 for 2s",
            [_reported(0, 1), *[_reported(9, flow="other")] * 2, *[_reported(3, 4)] * 2],
            'mean stalls_count of "play" was at ',
        ),
        ("failures > 20%", [FAILED_FLOWS], "failures was at 50 % in one second"),
        # Once a request was made, failures are those of requests.
        ("failures > 20%", [_second(good=5), FAILED_FLOWS], ""),
    ],
)
def test_a_rule_fires_in_the_last_second_of_its_span(rule: str, seconds: list[LoadSecond], seen: str) -> None:
    """With the worst value; of its own endpoint or flow only."""
    rules = StopRules([rule])
    for second in seconds[:-1]:
        rules.take(second, NOTHING)
        assert rules.fired == ""

    rules.take(seconds[-1], NOTHING)

    assert rules.fired.startswith(f"{rule}: {seen}" if seen else "")
    assert bool(rules.fired) == bool(seen)
    assert rules.without_value == ()


@pytest.mark.parametrize(
    ("rule", "fires"),
    [
        ("memory of host > 90%", True),
        ("memory of host > 96%", False),
        ("swap of host > 1KiB", True),
        ("memory of auth > 1KiB", True),
        ("memory of auth > 50%", False),
        ("memory of web > 1KiB", False),
    ],
)
def test_memory_and_swap_are_read_while_it_lasts(rule: str, *, fires: bool) -> None:
    """In bytes, or as a share of the limit; without a limit there is no share."""
    rules = StopRules([rule])

    rules.take(_second(good=1), {"host": _held(95, 2048, 100), "auth": _held(2048)})

    assert bool(rules.fired) is fires


def test_a_rule_without_a_value_is_noted_in_the_run() -> None:
    """It looks like a limit that was kept; the run stays valid."""
    rules = StopRules(['p50 of "tokn" > 1s', "max startup_s of play > 2s", "failures > 50%"])
    observer = RecordingObserver()

    rules.take(_second(good=10), NOTHING)
    raise_if_stopped(rules, observer)

    assert observer.notes == [
        (NoteKind.RULE_WITHOUT_VALUE, f"stop_when: {rule}: there was never a value to judge")
        for rule in ('p50 of "tokn" > 1s', "max startup_s of play > 2s")
    ]
    assert NoteKind.RULE_WITHOUT_VALUE not in INVALIDATING


class _Windows:
    """The actions of a run, which have their moments by the window."""

    def __init__(self) -> None:
        self.known: list[tuple[int, int]] = []

    def window_known(self, from_ns: int, until_ns: int) -> None:
        self.known.append((from_ns, until_ns))


def test_reports_of_a_load_are_written_into_its_run(tmp_path: Path) -> None:
    """At once, for a run that is killed; a rule that has fired stops it."""
    record = RunRecord(factories.run(tmp_path), factories.document())
    rules = StopRules(["failures > 20%"])
    nothing = cast("Any", None)  # neither sampler nor memory: no second is taken
    windows = _Windows()
    monitor = RunMonitor(
        record,
        rules,
        observer=nothing,
        live=nothing,
        progress=Progress(quiet=True),
        actions=cast("ActionThread", windows),
    )
    spans = (Span(phase=Phase.WINDOW, from_ns=1, until_ns=2),)

    monitor.phases_known(spans)
    monitor.note(NoteKind.WORKER_LOST, "gone")

    document = documents.load_document(record.folder)
    assert (document.spans, document.notes[-1].text) == (spans, "gone")
    assert windows.known == [(1, 2)]
    assert not monitor.enough()
    rules.take(_second(failed=1), NOTHING)
    assert monitor.enough()
    with pytest.raises(StoppedEarly) as caught:
        raise_if_stopped(rules, monitor)
    assert caught.value.exit_code == 5
    assert caught.value.seen == "failures > 20%: failures was at 100 % in one second"


@dataclass
class _Source:
    reading: Reading | None = None
    kind: str = "cgroup v2"

    def read(self) -> Reading:
        if self.reading is None:
            raise ProcessLookupError(3, "no")
        return self.reading

    def close(self) -> None:
        pass


def test_replicas_are_summed_and_ended_ones_left_out() -> None:
    """The limit is that of all containers; reclaimable cache does not count."""
    one = Reading(usage_bytes=100, working_set_bytes=60, swap_bytes=0, limit_bytes=200)
    sources = [("web", _Source(one)), ("web", _Source(one)), ("gone", _Source())]

    assert LiveReadings(sources).read() == {"web": _held(120, 0, 400)}


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (LoadSecond(t_ns=1, completed=7, in_flight=2), "7 requests/s, 0 failed, 2 in flight"),
        (
            LoadSecond(t_ns=1, completed=1, arrivals_late=4, arrivals_dropped=2, latency={bucket(5_000_000): 1}),
            "1 requests/s, p95 5.01 ms, 0 failed, 4 late, 2 dropped",
        ),
        (replace(FAILED_FLOWS, in_flight=0), "10 flows/s, 5 failed"),
        (LoadSecond(t_ns=0, flows=10, completed=30, in_flight=2), "30 requests/s, 0 failed, 2 in flight"),
    ],
)
def test_a_second_in_words_names_only_what_there_is(second: LoadSecond, text: str) -> None:
    """Late and dropped arrivals if there are any, flows where no request was made."""
    assert second_text(second) == text
