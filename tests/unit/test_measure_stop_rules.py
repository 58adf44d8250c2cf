"""The language of stop rules, and when a rule ends a run."""

from __future__ import annotations

import pytest

from seatrial.measure import stop_rules
from seatrial.measure.metric import Unit
from seatrial.measure.stop_rules import HoldingSince

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "signal", "unit", "limit", "lasts_s"),
    [
        ("failures > 20% for 10s", "failures", Unit.SHARE, 0.2, 10),
        ("failures > 0%", "failures", Unit.SHARE, 0.0, 1),
        ("memory of host > 90%", "memory of host", Unit.SHARE, 0.9, 1),
        ("memory of auth >= 1GiB for 1m", "memory of auth", Unit.BYTES, 1 << 30, 60),
        ("swap of host > 1GiB", "swap of host", Unit.BYTES, 1 << 30, 1),
        ('p99 of "manifest for x" > 2s for 30s', 'p99 of "manifest for x"', Unit.NS, 2000 * MS, 30),
        ("throughput < 1/s for 20s", "throughput", Unit.PER_S, 1.0, 20),
        ("mean stalls_count of play > 0 for 5s", 'mean stalls_count of "play"', Unit.COUNT, 0.0, 5),
        ("p95 startup_s of play > 2s", 'p95 startup_s of "play"', Unit.NS, 2000 * MS, 1),
    ],
)
def test_stop_rules(text: str, signal: str, unit: Unit, limit: float, lasts_s: int) -> None:
    """What is watched, in which unit, and for how long."""
    found = stop_rules.parse(text)
    assert (found.signal, found.unit, found.limit, found.lasts_s) == (signal, unit, limit, lasts_s)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memory > 90%", "memory of host, or of a service, is expected"),
        ("failures > 20% for 10", "is not a duration"),
        ("failures > 20% for 500ms", "whole seconds from 1s on"),
        ("failures > 20% for 1.5s", "whole seconds from 1s on"),
        ("failures within 5% of base", "has no comparison"),
        ("disk of host > 90%", "is not a metric"),
        ("memory of host > 90", "is not a size"),
        ("failures < 1%", "would end a run that is well: failures > 1% is expected"),
        ("memory of host < 90% for 5s", "memory of host > 90% for 5s is expected"),
        ("swap of host <= 1GiB", "swap of host > 1GiB is expected"),
        ("p99 of token < 2s", 'p99 of "token" > 2s is expected'),
        ("throughput > 10/s", "throughput < 10/s is expected"),
        ("failures >= 0%", "would end every run at once"),
        ("memory of host > 0%", "would end every run at once"),
        ("p50 of token > 0ms", "would end every run at once"),
        ("failures > 100%", "can't come true: >= is expected"),
        ("throughput < 0/s", "can't come true: <= is expected"),
    ],
)
def test_stop_rules_that_can_not_be_written(text: str, said: str) -> None:
    """The message says what is expected."""
    with pytest.raises(ValueError, match=said):
        stop_rules.parse(text)


@pytest.mark.parametrize(
    ("seconds", "after"),
    [
        ([0.3, 0.3, 0.3], 3),
        ([0.3, 0.3], None),
        ([0.3, 0.3, 0.2, 0.3, 0.3], None),
        ([0.3, 0.3, 0.2, 0.3, 0.3, 0.3], 6),
        ([0.3, None, 0.3, None, 0.3], 5),
        ([None] * 9, None),
    ],
)
def test_a_rule_fires_after_an_unbroken_span(seconds: list[float | None], after: int | None) -> None:
    """Three seconds in which it held; where it did not it begins anew, what nobody could tell does neither."""
    rule, held, fired = stop_rules.parse("failures > 20% for 3s"), HoldingSince(), None
    for number, value in enumerate(seconds, start=1):
        held = stop_rules.advance(rule, held, value)
        if stop_rules.fired(rule, held) and fired is None:
            fired = number
    assert fired == after


def test_a_fired_rule_tells_what_it_saw() -> None:
    """The worst value of the span, in the rule's unit."""
    rule, held = stop_rules.parse("failures > 20% for 3s"), HoldingSince()
    for value in (0.3, 0.5, 0.25):
        held = stop_rules.advance(rule, held, value)
    assert stop_rules.fired(rule, held) == "failures > 20% for 3s: failures was at 50 % for 3 s"
    rule = stop_rules.parse("throughput < 10/s")
    found = stop_rules.fired(rule, stop_rules.advance(rule, HoldingSince(), 2.0))
    assert found == "throughput < 10/s: throughput was at 2/s in one second"
