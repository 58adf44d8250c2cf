"""Rules that end a run early: what they are told each second, and when they fire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import factories
import pytest

from seatrial.errors import StoppedEarly
from seatrial.experiment.monitor import RunMonitor, StopRules, raise_if_stopped
from seatrial.experiment.run_record import RunRecord
from seatrial.load.driver import LoadObserver
from seatrial.model import INVALIDATING, LoadSecond, NoteKind, Phase, Span
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.sampler.live import LiveReading, LiveReadings
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket
from seatrial.wire.streams import Reading

NOTHING: Mapping[str, LiveReading] = {}


def _second(*, good: int = 0, failed: int = 0, took_s: float = 0.01, endpoint: str = "token") -> LoadSecond:
    counts = {bucket(round(took_s * NS_PER_S)): good} if good else {}
    return LoadSecond(
        t_ns=0, latency=counts, by_endpoint={endpoint: counts}, failures={endpoint: failed} if failed else {}
    )


def _held(memory: int | None = None, swap: int | None = None, limit: int | None = None) -> LiveReading:
    return LiveReading(memory_bytes=memory, swap_bytes=swap, limit_bytes=limit)


def test_failures_fire_after_their_span() -> None:
    """Half of all requests fail: the third second in a row is the last."""
    watch = StopRules(["failures > 20% for 3s"])

    seen = []
    for _ in range(3):
        watch.take(_second(good=5, failed=5), NOTHING)
        seen.append(bool(watch.fired))

    assert seen == [False, False, True]
    assert watch.fired == "failures > 20% for 3s: failures was at 50 % for 3 s"


def test_a_good_second_begins_the_span_anew_and_an_idle_one_does_not() -> None:
    """Nothing was asked in the idle second, so it says nothing."""
    watch = StopRules(["failures > 20% for 2s"])

    for second in (_second(failed=5), _second(good=5), _second(failed=5), _second()):
        watch.take(second, NOTHING)
    assert watch.fired == ""
    watch.take(_second(failed=1), NOTHING)

    assert watch.fired


def test_failures_of_one_endpoint_are_its_own() -> None:
    """Another endpoint's do not count."""
    watch = StopRules(['failures of "token" > 20%'])

    watch.take(_second(failed=9, endpoint="blob"), NOTHING)
    assert not watch.fired
    watch.take(_second(failed=9), NOTHING)

    assert watch.fired


def test_a_percentile_is_that_of_the_whole_span() -> None:
    """Ten requests a second: their p95 can be told from the second second on, over twenty."""
    watch = StopRules(['p95 of "token" > 2s for 2s'])

    told = []
    for _ in range(3):
        watch.take(_second(good=10, took_s=3), NOTHING)
        told.append(watch.fired)

    assert told[:2] == ["", ""]
    assert told[2].startswith('p95 of "token" > 2s for 2s: p95 of "token" was at 3')


def test_throughput_that_is_too_low_fires_too() -> None:
    """The worst is the lowest."""
    watch = StopRules(["throughput < 10/s for 2s"])

    for good in (4, 6):
        watch.take(_second(good=good), NOTHING)

    assert watch.fired == "throughput < 10/s for 2s: throughput was at 4/s for 2 s"


@pytest.mark.parametrize(
    ("rule", "held", "fires"),
    [
        ("memory of host > 90%", {"host": _held(95, 0, 100)}, True),
        ("memory of host > 90%", {"host": _held(80, 0, 100)}, False),
        ("swap of host > 1KiB", {"host": _held(80, 2048, 100)}, True),
        ("memory of auth > 1KiB", {"auth": _held(2048)}, True),
        ("memory of auth > 50%", {"auth": _held(2048)}, False),
        ("memory of auth > 1KiB", {}, False),
    ],
)
def test_memory_and_swap_are_read_while_it_lasts(rule: str, held: Mapping[str, LiveReading], fires: bool) -> None:  # noqa: FBT001
    """In bytes, or as a share of the limit; without a limit there is no share."""
    watch = StopRules([rule])

    watch.take(_second(good=1), held)

    assert bool(watch.fired) is fires


def test_a_rule_without_a_value_is_noted_in_the_run() -> None:
    """An endpoint that is never asked would otherwise look like a limit that was kept; the run still counts."""
    watch = StopRules(['p50 of "tokn" > 1s', "failures > 50%"])
    noted: list[tuple[NoteKind, str]] = []

    class Noting(LoadObserver):
        def note(self, kind: NoteKind, text: str) -> None:
            noted.append((kind, text))

    watch.take(_second(good=10), NOTHING)
    raise_if_stopped(watch, Noting())

    told = 'stop_when: p50 of "tokn" > 1s: there was never a value to judge'
    assert noted == [(NoteKind.RULE_WITHOUT_VALUE, told)]
    assert NoteKind.RULE_WITHOUT_VALUE not in INVALIDATING


def test_what_fired_is_raised_with_what_was_seen() -> None:
    """Exit code 5: the run is kept, and is no whole run."""
    watch = StopRules(["failures > 20%"])
    watch.take(_second(failed=1), NOTHING)

    with pytest.raises(StoppedEarly) as caught:
        raise_if_stopped(watch, LoadObserver())

    assert caught.value.exit_code == 5
    assert caught.value.seen == "failures > 20%: failures was at 100 % in one second"


def test_what_a_load_reports_is_written_into_its_run(tmp_path: Path) -> None:
    """At once: a run that is killed has its phases and warnings. A rule that has fired is enough."""
    record = RunRecord(factories.run(tmp_path), factories.document())
    rules = StopRules(["failures > 20%"])
    nothing = cast("Any", None)  # neither sampler nor memory: no second is taken
    monitor = RunMonitor(record, rules, observer=nothing, live=nothing, progress=Progress(quiet=True))
    spans = (Span(phase=Phase.WINDOW, from_ns=1, until_ns=2),)

    monitor.phases_known(spans)
    monitor.note(NoteKind.WORKER_LOST, "gone")

    document = documents.load_document(record.folder)
    assert (document.spans, document.notes[-1].text) == (spans, "gone")
    assert not monitor.enough()
    rules.take(_second(failed=1), NOTHING)
    assert monitor.enough()


class _Source:
    kind = "cgroup v2"

    def __init__(self, reading: Reading | OSError) -> None:
        self._reading = reading

    def read(self) -> Reading:
        if isinstance(self._reading, OSError):
            raise self._reading
        return self._reading

    def close(self) -> None:
        pass


def test_replicas_are_summed_and_what_has_ended_is_left_out() -> None:
    """A service's limit is that of all its containers; cache that can go at any time does not count."""
    one = Reading(usage_bytes=100, working_set_bytes=60, swap_bytes=0, limit_bytes=200)
    sources = [("web", _Source(one)), ("web", _Source(one)), ("gone", _Source(ProcessLookupError(3, "no")))]

    assert LiveReadings(sources).read() == {"web": _held(120, 0, 400)}


def _reported(*stalls: int, flow: str = "play") -> LoadSecond:
    return LoadSecond(t_ns=0, details={flow: {"stalls_count": Counter(stalls)}})


def test_details_of_flows_fire_as_they_end() -> None:
    """The mean over the flows that ended in the rule's span; another flow's are not its own."""
    watch = StopRules(["mean stalls_count of play > 2 for 2s"])

    for second in (_reported(0, 1), _reported(9, flow="other"), _reported(9, flow="other")):
        watch.take(second, NOTHING)
    assert watch.fired == ""
    assert watch.without_value == ()
    for _ in range(2):
        watch.take(_reported(3, 4), NOTHING)

    assert watch.fired.startswith('mean stalls_count of play > 2 for 2s: mean stalls_count of "play" was at ')


def test_a_detail_that_no_flow_reports_is_untold() -> None:
    """The rule has guarded nothing."""
    watch = StopRules(["max startup_s of play > 2s"])
    watch.take(_reported(1), NOTHING)
    assert watch.without_value == ("max startup_s of play > 2s",)


def test_failures_are_those_of_flows_as_long_as_no_request_was_made() -> None:
    """A load of requests is judged by them, also in a second in which only flows ended."""
    ended = LoadSecond(t_ns=0, flows=10, flows_failed=5)
    alone, asking = StopRules(["failures > 20%"]), StopRules(["failures > 20%"])
    alone.take(ended, NOTHING)
    for second in (_second(good=5), ended):
        asking.take(second, NOTHING)
    assert alone.fired == "failures > 20%: failures was at 50 % in one second"
    assert asking.fired == ""


def test_a_second_of_flows_alone_is_told_in_flows() -> None:
    """For the line that is replaced each second."""
    assert LoadSecond(t_ns=0, flows=10, flows_failed=5, in_flight=0).text() == "10 flows/s, 5 failed"
    assert LoadSecond(t_ns=0, flows=10, completed=30, in_flight=2).text() == "30 requests/s, 0 failed, 2 in flight"
