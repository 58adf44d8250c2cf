"""What a trial is made of before anything runs: its request, secrets, parameters, start time, description."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from seatrial.errors import UsageError
from seatrial.experiment import trial
from seatrial.experiment.request import Request, command_began_ns, stack_secrets, variant_request
from seatrial.experiment.trial import RunContext
from seatrial.load.pinning import Pinning
from seatrial.model import EngineName, Load, Variant
from seatrial.scenario import reading
from seatrial.stack.engine import Choice
from seatrial.wire import rates
from seatrial.wire.rates import Rate


def test_secrets_are_random_unless_the_user_has_set_them() -> None:
    """Each run has its own; an attached stack has some already, without which the run can't log in."""
    scenario, environment = reading.read("registry-pull"), {"REGISTRY_PASSWORD": "w"}

    first, second = (stack_secrets(scenario, EngineName.COMPOSE, {}) for _ in range(2))

    assert len(first["REGISTRY_PASSWORD"]) >= 24
    assert first != second
    assert stack_secrets(scenario, EngineName.ATTACH, environment) == environment
    with pytest.raises(UsageError, match="was not given"):
        stack_secrets(scenario, EngineName.ATTACH, {})


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """Make a request with a variant that has a parameter of its own."""
    scenario = reading.read("known-cpu")
    other = Variant(name="other", parameters={"known-wait": "0.5", "known-action": "wait"})
    scenario = replace(scenario, variants={**scenario.variants, "other": other}, secrets=("WORD",))
    request = Request(scenario=scenario, results=tmp_path / "results", command_ns=1)
    choice = Choice(engine=EngineName.COMPOSE, reason="made up")
    return RunContext(request=request, choice=choice, pinning=Pinning(usable=(0, 1)))


def test_a_trial_is_prepared_before_anything_is_made(context: RunContext) -> None:
    """Its load has the variant's parameters; an unknown variant and missing secrets are refused."""
    request, prepared = context.request, trial.Trial.prepare(context, "other", block=2)

    assert (prepared.variant, prepared.block, prepared.request.variant) == ("other", 2, "other")
    assert prepared.request.scenario.load.parameters == {"known-wait": "0.5", "known-action": "wait"}
    assert prepared.resolved["load"]["parameters"]["known-action"] == "wait"
    assert list(prepared.secrets) == ["WORD"]
    assert variant_request(request, "base").scenario.load == request.scenario.load
    with pytest.raises(UsageError, match="no variant 'othr'"):
        variant_request(request, "othr")
    attached = replace(context, choice=replace(context.choice, engine=EngineName.ATTACH))
    with pytest.raises(UsageError, match="was not given"):
        trial.Trial.prepare(attached, "other", block=2)
    assert not request.results.exists()


def test_the_catalogue_is_filled_into_the_parameters() -> None:
    """Without one the option is left out."""
    named = {"file": "${catalogue}", "depth": "2"}

    assert trial.parameters(named, Path("/run/c.json")) == {"file": "/run/c.json", "depth": "2"}
    assert trial.parameters(named, None) == {"depth": "2"}


def test_the_start_of_the_command_is_that_of_its_process(tmp_path: Path) -> None:
    """To a hundredth of a second, on CLOCK_MONOTONIC."""
    stat = tmp_path / "stat"
    boot_ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 10_000_000
    stat.write_text(f"7 (a (name) b) S {' '.join(['0'] * 18)} {boot_ticks - 250} 0\n")

    assert 2.4 < (time.monotonic_ns() - command_began_ns(stat)) / 1e9 < 4.0


def test_a_load_is_described_in_one_line() -> None:
    """Users or arrivals, and how long a warm-up may last."""
    load = Load(locustfile=Path("x.py"), users=8, warmup_s=5, duration_s=30, drain_s=5)
    rate = Rate(rates.parse("10/s for 5s, 20/s"), poisson=True)

    assert trial.load_in_words(load) == "8 users; warm-up 5 s; window 30 s"
    assert trial.load_in_words(replace(load, rate=rate, processes=2, stable=True, warmup_s=60)) == (
        "arrivals at 10/s for 5s, 20/s, at random, served by 8 users in 2 processes; "
        "warm-up until stable, at most 60 s; window 30 s"
    )
