"""The values of metrics in one run, and how far each can be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import columns
import numpy as np
import pytest

from seatrial.measure import metric, values
from seatrial.measure.metric import Unit
from seatrial.measure.requests import flow_details
from seatrial.measure.slices import SliceTimes
from seatrial.measure.statistics import quantile_interval, share_interval
from seatrial.measure.tables import FlowColumns, RequestColumns, SampleColumns
from seatrial.measure.values import MetricEstimate, Tables, estimate, metric_value, metrics_of, window_parts
from seatrial.units import NS_PER_S
from seatrial.wire import histogram
from seatrial.wire.streams import detail_ending

MS = 1_000_000
MIB = 1 << 20


def requests(took_ms: Sequence[float], *, endpoint: str = "token", outcomes: Sequence[str] = ()) -> RequestColumns:
    """Make requests that begin 10 ms after each other."""
    start_ns = np.arange(len(took_ms), dtype=np.int64) * 10 * MS
    return columns.requests(start_ns, np.array(took_ms) * MS, endpoint=endpoint, outcomes=outcomes)


def flows(
    took_ms: Sequence[float], *, flow: str = "pull", late_ms: float = 0, outcomes: Sequence[str] = ()
) -> FlowColumns:
    """Make flows that begin `late_ms` after they should have."""
    intended_ns = np.arange(len(took_ms), dtype=np.int64) * 10 * MS
    took_ns = np.array(took_ms) * MS
    return columns.flows(
        intended_ns + round(late_ms * MS), took_ns, flow=flow, outcomes=outcomes, intended_ns=intended_ns
    )


def samples(held_mib: dict[str, Sequence[float]], cores: float = 0.5) -> SampleColumns:
    """Make readings ten times a second of services that use so many cores each."""
    rows = sorted(
        (tick * NS_PER_S // 10 + place * 1000, name, mib)
        for place, (name, held) in enumerate(held_mib.items())
        for tick, mib in enumerate(held)
    )
    stamps, names = np.array([row[0] for row in rows], dtype=np.int64), [row[1] for row in rows]
    return columns.samples(
        names,
        service=names,
        t_ns=stamps,
        t_after_ns=stamps + 20_000,
        anon_bytes=[round(row[2] * MIB) for row in rows],
        cpu_ns=(stamps // (NS_PER_S // 10)) * NS_PER_S / 10 * cores,
    )


def tables(
    some: RequestColumns | None = None,
    more: FlowColumns | None = None,
    held: SampleColumns | None = None,
    **details: Sequence[float],
) -> Tables:
    """Make the tables of a window of 10 s."""
    return Tables(
        requests=some or requests([]),
        flows=more or flows([]),
        samples=held or samples({}),
        window_ns=10 * NS_PER_S,
        details={key: np.array(numbers, dtype=np.float64) for key, numbers in details.items()},
    )


def of(text: str, *parts: object, **details: Sequence[float]) -> float | None:
    """Return the value of a metric."""
    return metric_value(metric.parse(text), tables(*parts, **details))  # type: ignore[arg-type]


def test_percentiles_of_endpoints_and_flows() -> None:
    """Nearest rank of the successes, a flow's from its intended start; an endpoint goes before a flow so named."""
    assert of("p95 of token", requests(range(1, 101))) == 95 * MS
    assert of("p50 of pull", None, flows([10] * 20, late_ms=5)) == 15 * MS
    assert of("p50 of pull", requests([7] * 10, endpoint="pull"), flows([99] * 10)) == 7 * MS


def test_too_few_or_none_is_no_value() -> None:
    """99 requests make no p99; what was never asked has no share of failures; of an empty run nothing is known."""
    texts = ("p99 of token", "p95 of nothing", "throughput of nothing", "failures of nothing")
    assert [of(text, requests([1] * 99)) for text in texts] == [None] * 4
    of_all = (
        "throughput",
        "failures",
        "cpu per request",
        "unreclaimable memory",
        "peak unreclaimable",
        "stall ratio",
    )
    assert [of(text) for text in of_all] == [None] * 6


def test_failures_and_throughput_share_their_requests() -> None:
    """What failed is no throughput; what the user broke off on purpose is; what the end cut off is neither."""
    some = requests([1] * 10, outcomes=["ok"] * 6 + ["status"] * 2 + ["aborted", "cut"])
    assert of("failures", some) == pytest.approx(0.2)
    assert of("failures of token", some) == pytest.approx(0.2)
    assert of("throughput", some) == pytest.approx(0.7)


def test_details_of_flows() -> None:
    """The mean over the flows that tell it; of one flow only where it is named."""
    assert of("stall ratio", None, flows([1] * 4), stall_ratio=[0.1, 0.3, np.nan, 0.2]) == pytest.approx(0.2)
    assert of("stall ratio of other", None, flows([1] * 4), stall_ratio=[0.1] * 4) is None
    assert of("stall ratio", None, flows([1] * 2), stall_ratio=[np.nan] * 2) is None


def test_a_detail_is_measured_in_the_unit_of_its_key() -> None:
    """Seconds become nanoseconds like every duration; 200 flows tell a p99, 19 no p95."""
    startup = [0.01 * number for number in range(1, 201)]
    told = {"startup_s": startup, "stalls_count": [0.0, 3.0] * 100}
    assert of("mean startup_s of pull", None, flows([1] * 200), **told) == pytest.approx(1.005 * NS_PER_S)
    assert of("p50 startup_s of pull", None, flows([1] * 200), **told) == pytest.approx(1.0 * NS_PER_S)
    assert of("p90 startup_s of pull", None, flows([1] * 200), **told) == pytest.approx(1.8 * NS_PER_S)
    assert of("p99 startup_s of pull", None, flows([1] * 200), **told) == pytest.approx(1.98 * NS_PER_S)
    assert of("max startup_s of pull", None, flows([1] * 200), **told) == pytest.approx(2.0 * NS_PER_S)
    assert of("max stalls_count of pull", None, flows([1] * 200), **told) == 3
    assert of("mean stalls_count of pull", None, flows([1] * 200), **told) == pytest.approx(1.5)
    assert of("p95 startup_s of pull", None, flows([1] * 19), startup_s=startup[:19]) is None
    assert of("max startup_s of pull", None, flows([1] * 2), startup_s=[np.nan] * 2) is None
    assert of("max other_s of pull", None, flows([1] * 200), **told) is None


def test_a_detail_of_one_run_has_an_interval() -> None:
    """A percentile by effective numbers, a mean by parts of the window; the highest value was seen."""
    chance = np.random.default_rng(5)
    some = tables(None, flows([1] * 400), startup_s=chance.uniform(1, 2, 400).tolist())
    for text in ("mean startup_s of pull", "p95 startup_s of pull"):
        found = estimate(metric.parse(text), some)
        assert None not in (found.value, found.low, found.high)
        assert (found.low or 0) < (found.value or 0) < (found.high or 0)
    highest = estimate(metric.parse("max startup_s of pull"), some)
    assert highest.low == highest.value == highest.high
    assert estimate(metric.parse("p95 other_s of pull"), some).never
    few = estimate(metric.parse("p95 startup_s of pull"), tables(None, flows([1] * 9), startup_s=[1.0] * 9))
    assert (few.value, few.never, few.count) == (None, False, 9)


def test_the_details_of_a_run_are_listed_by_flow_and_key() -> None:
    """What no flow of that name reported is in no list."""
    numbers = {"startup_s": [1.0, 3.0], "stalls_count": [2.0, np.nan], "x_s": [np.nan] * 2}
    details = {key: np.array(values) for key, values in numbers.items()}
    stalls, startup = flow_details(flows([1] * 2, flow="play"), details)
    assert (stalls.flow, stalls.key, stalls.unit, stalls.count) == ("play", "stalls_count", Unit.COUNT, 1)
    assert (stalls.mean, stalls.p50, stalls.p95, stalls.max) == (2, None, None, 2)
    assert (startup.key, startup.unit, startup.count) == ("startup_s", Unit.NS, 2)
    assert (startup.mean, startup.p50, startup.p95, startup.max) == (2 * NS_PER_S, NS_PER_S, None, 3 * NS_PER_S)


def test_a_comparison_shows_details_without_being_asked() -> None:
    """Mean and p95 of each; and the processor time of what the work of the run was."""
    own = tables(None, flows([1] * 3, flow="play"), samples({"app": [50] * 9}), startup_s=[1.0, 2.0, np.nan])
    shown = [one.text for one in metrics_of(replace(own, by_flows=True))]
    details = {'mean startup_s of "play"', 'p95 startup_s of "play"'}
    assert details | {"cpu per flow", "cpu per flow of app"} <= set(shown)
    assert "cpu per request" not in shown
    assert "cpu per request of app" in [one.text for one in metrics_of(own)]


def test_without_requests_the_flows_are_the_work() -> None:
    """Throughput, failures and processor time are theirs; an arrival that was dropped is no work."""
    some = flows([1] * 10, outcomes=["ok"] * 7 + ["status"] * 2 + ["dropped"])
    by_flows = replace(tables(None, some, samples({"app": [50] * 101}, cores=0.5)), by_flows=True)
    assert metric_value(metric.parse("failures"), by_flows) == pytest.approx(0.3)
    assert metric_value(metric.parse("throughput"), by_flows) == pytest.approx(0.7)
    each_ns = 0.5 * 10 * NS_PER_S / 9
    assert metric_value(metric.parse("cpu per request"), by_flows) == pytest.approx(each_ns)
    assert metric_value(metric.parse("cpu per flow of app"), by_flows) == pytest.approx(each_ns)
    assert metric_value(metric.parse("throughput"), replace(by_flows, by_flows=False)) is None
    assert [part.by_flows for part in values.window_parts(by_flows, 2)] == [True, True]
    both = (requests([1] * 40), flows([1] * 10), samples({"app": [50] * 101}))
    assert of("cpu per flow", *both) == pytest.approx(4 * (of("cpu per request", *both) or 0))


def test_buckets_tell_a_detail_as_its_numbers_do() -> None:
    """What reaches the harness while the load runs is at most 0.8 % off, and small counts are exact."""
    numbers = {"startup_s": [0.1, 0.5, 2.0], "stalls_count": [0.0, 1.0, 5.0], "stall_ratio": [0.0, 0.02, 0.4]}
    for key, told in numbers.items():
        counts = Counter(histogram.of_detail(detail_ending(key) or "", number) for number in told)
        for statistic in ("mean", "p50", "max"):
            text = f"{statistic} {key} of pull"
            exact = of(text, None, flows([1] * 3), **{key: told})
            assert values.detail_from_buckets(metric.parse(text), counts) == pytest.approx(exact, rel=0.008)
    assert values.detail_from_buckets(metric.parse("p95 startup_s of pull"), {7: 19}) is None
    assert values.detail_from_buckets(metric.parse("mean startup_s of pull"), {}) is None


def test_the_stack_is_its_services_and_not_what_watches_it() -> None:
    """The peak of the sum is that of one moment: 30 MiB, not 20 + 20; generator, host and sampler are left out."""
    watching = {"host": [900] * 20, "generator": [99] * 20, "sampler": [9] * 20}
    swinging = samples({"nginx": [10, 20] * 10, "auth": [20, 10] * 10, **watching})
    assert of("peak unreclaimable", None, None, swinging) == 30 * MIB
    assert of("unreclaimable memory", None, None, swinging) == 30 * MIB
    assert of("peak unreclaimable of auth", None, None, swinging) == 20 * MIB
    assert of("unreclaimable memory of auth", None, None, swinging) == 10 * MIB
    assert of("peak unreclaimable of nobody", None, None, swinging) is None


def test_processor_time_is_that_of_the_stack() -> None:
    """Two services at half a core over 10 s and 100 requests are 100 ms each."""
    both = (None, samples({"nginx": [1] * 100, "auth": [1] * 100, "host": [1] * 100}))
    assert of("cpu per request", requests([1] * 100), *both) == pytest.approx(100 * MS)
    assert of("cpu per request of auth", requests([1] * 100), *both) == pytest.approx(50 * MS)
    assert of("cpu per request", None, *both) is None


def test_slices_share_the_window_out() -> None:
    """Each request is in exactly one part, and the parts are in the order of time."""
    parts = window_parts(tables(requests([1] * 100), flows([1] * 50)), 10)
    assert [len(part.requests.t_start_ns) for part in parts] == [10] * 10
    assert sum(len(part.flows.t_start_ns) for part in parts) == 50
    assert {part.window_ns for part in parts} == {NS_PER_S}
    assert window_parts(tables(), 10) == []


@pytest.mark.parametrize(("percent", "correlation"), [(50, 0.0), (95, 0.0), (95, 0.8), (99, 0.8)])
def test_a_percentile_lies_in_its_interval_as_often_as_promised(percent: int, correlation: float) -> None:
    """In 300 simulated runs of 3,000 requests whose neighbours are alike; 95 % nominal."""
    random = np.random.default_rng(percent)
    truth = {50: 0.0, 95: 1.6449, 99: 2.3263}[percent]
    hits = 0
    for _ in range(300):
        low, high = quantile_interval(_alike(random, 3000, correlation), percent)
        hits += low <= round(truth * 1e6) and (high is None or round(truth * 1e6) <= high)
    assert hits / 300 >= 0.91


def test_a_share_lies_in_its_interval_as_often_as_promised() -> None:
    """1 % failures among 2,000 requests, in clusters."""
    random = np.random.default_rng(11)
    hits = 0
    for _ in range(300):
        low, high = share_interval(_alike(random, 2000, 0.8) > 2_326_300)
        hits += low <= 0.01 <= high
    assert hits / 300 >= 0.91


def _alike(random: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    shocks = random.normal(0, np.sqrt(1 - correlation**2), count)
    found = np.empty(count)
    found[0] = random.normal()
    for place in range(1, count):
        found[place] = correlation * found[place - 1] + shocks[place]
    return np.round(found * 1e6).astype(np.int64)


def test_too_few_values_leave_the_upper_end_open() -> None:
    """0.95^71 is above 2.5 %: so often would all of 71 lie below the true p95. A trend says as little about it."""
    shuffled = np.random.default_rng(2).permutation
    assert quantile_interval(shuffled(71), 95)[1] is None
    assert quantile_interval(shuffled(1000), 95)[1] is not None
    assert quantile_interval(np.arange(1000), 95)[1] is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("p95 of nothing", MetricEstimate(value=None, never=True)),
        ("p99 of token", MetricEstimate(value=None, count=50)),
        ("failures of nothing", MetricEstimate(value=None, never=True)),
        ("peak unreclaimable", MetricEstimate(value=MIB, low=MIB, high=MIB, count=20)),
    ],
)
def test_readings_without_doubt(text: str, found: MetricEstimate) -> None:
    """Never asked, too few, or simply seen."""
    held = samples({"auth": [1] * 20})
    assert estimate(metric.parse(text), tables(requests([1] * 50), None, held)) == found


def _in_ticks(offset_ns: int = 0, cores: float = 0.5) -> SampleColumns:
    """Return readings of a service, about half a core, whose counter moves by clock ticks."""
    held = samples({"app": [50] * 101}, cores=cores)
    ticked = (held.numbers["cpu_ns"] + offset_ns) // (10 * MS) * (10 * MS)
    return replace(held, numbers={**held.numbers, "cpu_ns": ticked})


def test_clock_ticks_leave_what_they_round_away() -> None:
    """Against the errors of 300 runs of 200 requests that began and ended anywhere between two ticks."""
    asked, chance = metric.parse("cpu per request"), np.random.default_rng(3)
    errors = []
    for offset_ns, cores in zip(chance.integers(0, 10 * MS, 300), chance.uniform(0.5, 0.51, 300), strict=True):
        held = _in_ticks(int(offset_ns), float(cores))
        errors.append((of(asked.text, requests([1] * 200), None, held) or 0.0) - cores * 10 * NS_PER_S / 200)

    told = values.rounding_sd(asked, tables(requests([1] * 200), None, _in_ticks()))

    assert told == pytest.approx(math.sqrt(2 / 12) * 10 * MS / 200)
    assert np.std(errors) == pytest.approx(told, rel=0.1)


def test_a_counter_in_nanoseconds_leaves_nothing_and_each_turn_lies_between_two_readings() -> None:
    """Control groups count what was used; two services in ticks leave more than one; 20 turns are 40 roundings."""

    def rounded(held: SampleColumns, **changes: Any) -> float:  # noqa: ANN401  (fields of Tables)
        some = replace(tables(requests([1] * 200), None, held), **changes)
        return values.rounding_sd(metric.parse("cpu per request"), some)

    assert rounded(samples({"app": [50] * 101}, cores=0.123456789)) == 0
    two = rounded(samples({"app": [50] * 101, "db": [50] * 101}, cores=0.5))
    assert two == pytest.approx(math.sqrt(4 / 12) * 10 * MS / 200)
    begin = np.arange(20, dtype=np.int64) * NS_PER_S // 2
    own = SliceTimes(from_ns=begin, until_ns=begin + 1, ended_ns=begin + 1, begun=np.full(20, 10))
    turns = rounded(_in_ticks(), slices=own, run_samples=_in_ticks(), requests=requests([]))
    assert turns == pytest.approx(math.sqrt(40 / 12) * 10 * MS / 200)


@pytest.mark.parametrize(
    ("text", "step"),
    [("unreclaimable memory", 4096), ("peak unreclaimable of app", 4096), ("throughput", 0.1), ("p95 of x", 0)],
)
def test_pages_and_requests_are_steps(text: str, step: float) -> None:
    """Uniform between two steps; one request in a window of ten seconds; latencies are stamped in nanoseconds."""
    assert values.rounding_sd(metric.parse(text), tables()) == pytest.approx(step / math.sqrt(12))


def test_a_share_scatters_as_coins_do() -> None:
    """4 of 1,000: 0.2 points."""
    asked = metric.parse("failures")
    assert math.sqrt(values.rounding_variance(asked, 0.004, 0.0, 1000)) == pytest.approx(0.001996, abs=1e-6)
    assert values.rounding_variance(asked, 0.0, 0.0, 1000) == values.rounding_variance(asked, 0.004, 0.0, 0) == 0


def test_estimates_enclose_their_value() -> None:
    """Of all kinds that are not simply read."""
    outcomes = ["status" if number % 50 == 0 else "ok" for number in range(1000)]
    some = requests([1 + number % 7 for number in range(1000)], outcomes=outcomes)
    for text in ("p95 of token", "failures", "throughput", "cpu per request", "unreclaimable memory"):
        found = estimate(metric.parse(text), tables(some, None, samples({"auth": [*range(1, 100)]})))
        assert None not in (found.value, found.low, found.high)
        assert (found.low or 0) <= (found.value or 0) <= (found.high or 0)
