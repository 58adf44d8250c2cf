"""`seatrial capacity`: refusals before anything is made, and the load, rules and effort of a search."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seatrial import cli
from seatrial.errors import UsageError
from seatrial.experiment import capacity
from seatrial.experiment.capacity import CapacityRequest
from seatrial.experiment.request import Request
from seatrial.scenario import reading
from seatrial.wire import rates
from seatrial.wire.rates import Rate

OPTIONS: dict[str, Any] = {"trial_s": 5.0, "sum_s": 30.0, "width": 4.0, "most_per_s": 20_000.0, "limit_s": 360.0}


def _request(tmp_path: Path, **changes: Any) -> CapacityRequest:  # noqa: ANN401  (fields of CapacityRequest)
    request = Request(scenario=reading.read("known-capacity"), results=tmp_path, command_ns=1)
    return replace(CapacityRequest(request=request, variants=("base",)), **changes)


@pytest.mark.parametrize(
    ("words", "what", "seen"),
    [
        (("--budget", "throughput > 100/s"), "a search can't keep these budgets", "the rate is what it searches"),
        (("--budget", "p95 wait"), "a search can't keep these budgets", "no comparison"),
        (("--set", "budgets=[]"), "no budget to search for: give --budget", "no budget of latency"),
        (("--trial", "0s"), "can't be made like this", "trial_s 0"),
        (("--sum", "1s"), "can't be made like this", "sum_s 1"),
        (("--width", "0"), "can't be made like this", "width 0"),
        (("--most", "-5"), "can't be made like this", "most_per_s -5"),
        (("--variant", "base", "--variant", "workers5"), "'workers5'", ""),
    ],
)
def test_a_search_without_a_budget_an_effort_or_a_variant_is_refused(
    tmp_path: Path, words: tuple[str, ...], what: str, seen: str
) -> None:
    """With the reason and an example, before a stack is up, even for the second variant."""
    command = ["capacity", "known-capacity", "--quiet", "--results", str(tmp_path / "results"), *words]
    done = CliRunner().invoke(cli.seatrial, command, standalone_mode=False)

    assert isinstance(done.exception, UsageError), done.output
    assert what in done.exception.what
    assert seen in done.exception.seen
    assert "budget" not in what or "--budget" in done.exception.hint
    assert not (tmp_path / "results").exists()


def test_the_load_of_a_search_is_open_and_begins_low(tmp_path: Path) -> None:
    """Whatever load the scenario has; the pool is large, and the warm-up has a fixed length."""
    load = capacity.search_load(_request(tmp_path))

    assert load.rate is not None
    assert (load.rate.text(), load.rate.poisson, load.users, load.stable) == ("4/s", False, 200, False)
    assert math.isinf(load.rate.stretches[0].lasts_s)


def test_arrivals_are_spaced_as_by_the_option_or_the_scenario(tmp_path: Path) -> None:
    """Constant by default; users likewise."""
    request = _request(tmp_path)
    scenario = request.request.scenario
    spaced = replace(scenario, load=replace(scenario.load, rate=Rate(rates.parse("9/s"), poisson=True), users=500))
    random = replace(request, request=replace(request.request, scenario=spaced))
    loads = [
        capacity.search_load(each)
        for each in (random, replace(random, spacing="constant"), replace(request, spacing="poisson"))
    ]

    assert [load.rate is not None and load.rate.poisson for load in loads] == [True, False, True]
    assert loads[0].users == 500
    assert capacity.search_load(replace(random, users=7)).users == 7


def test_only_rules_of_memory_may_end_a_search() -> None:
    """It makes a stack late and fail on purpose, but must not fill the host."""
    rules = ("failures > 20% for 10s", "memory of host > 90%", 'p99 of "wait" > 2s', "swap of host > 1GiB")

    assert capacity.memory_rules(rules) == ("memory of host > 90%", "swap of host > 1GiB")


def test_the_effort_is_that_of_the_options() -> None:
    """A probe is never longer than a trial, and the first rate never above the highest."""
    effort = capacity.effort(OPTIONS)
    small = capacity.effort({**OPTIONS, "trial_s": 1.0, "most_per_s": 2.0, "width": 15.0})

    assert (effort.width, effort.probe_s, effort.first_per_s) == (0.04, 2.0, 4.0)
    assert (small.width, small.probe_s, small.first_per_s) == (0.15, 1.0, 2.0)
