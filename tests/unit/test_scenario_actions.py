"""Actions of a scenario: their grammar, what a variant changes of them, and who refuses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scenario_files
from scenario_files import SHORT

from seatrial.errors import UsageError
from seatrial.experiment import capacity, compare
from seatrial.experiment.capacity import CapacityRequest
from seatrial.experiment.request import Request, variant_request
from seatrial.experiment.trial import RunContext, Trial
from seatrial.load.pinning import Pinning
from seatrial.model import Action, Design, EngineName
from seatrial.progress import Progress
from seatrial.scenario import grammar, plan, reading
from seatrial.stack.engine import Choice

RELOAD, RESTART = "{at: 3s, signal: HUP, service: web}", "{at: 1s, every: 5s, restart: app}"
HUP = Action(at_s=3.0, service="web", signal="HUP")
OFTEN = Action(at_s=1.0, service="app", every_s=5.0)


def test_actions_are_read_in_the_order_of_their_moments(file: Path) -> None:
    """A moment that comes again is one until the window ends."""
    scenario = scenario_files.read(file, f"{SHORT}actions: [{RELOAD}, {RESTART}]")

    assert scenario.actions == (OFTEN, HUP)
    assert [action.text for action in scenario.actions] == ["restart", "signal HUP"]
    assert [action.moments_s(11.0) for action in scenario.actions] == [(1.0, 6.0), (3.0,)]
    assert (HUP.moments_s(3.0), OFTEN.moments_s(0.5)) == ((), ())


@pytest.mark.parametrize(
    ("action", "problem"),
    {
        "{at: 3s, signal: SIGHUP, service: web}": "actions.0.signal must be HUP, USR1, USR2 or WINCH; "
        "did you mean HUP? (seen: 'SIGHUP')",
        "{at: 3s, signal: KILL, service: web}": "actions.0.signal must be HUP, USR1, USR2 or WINCH; "
        "`restart: NAME` ends a service and starts it again (seen: 'KILL')",
        "{at: 3s, restart: wep}": "the stack has no service 'wep'; did you mean web?",
        "{at: 3s, signal: HUP, service: db}": "the stack has no service 'db'; its services: web, app",
        "{at: 3, restart: web}": "actions.0.at: 3 has no unit: write 3s, 3m or 3ms (seen: 3)",
        "{at: 20s, restart: web}": "actions.0.at is 20 s, but the window ends after 20 s; "
        "a longer load.duration, or an earlier moment",
        "{restart: web}": "actions.0.at is missing",
        "{at: 3s, restrat: web}": "actions.0.restrat is not a key of a scenario; did you mean restart?",
        "{at: 3s, every: 20ms, restart: web}": "actions.0.every must be at least 1s (seen: '20ms')",
        "{at: 3s, signal: HUP}": "actions.0 must be one of {at: 10s, restart: NAME} and "
        "{at: 10s, signal: HUP, service: NAME} (seen: {'at': '3s', 'signal': 'HUP'})",
    }.items(),
)
def test_a_mistake_is_one_problem(file: Path, action: str, problem: str) -> None:
    """In plain words, with what was meant; the same in a variant, and in a level of the grid."""
    assert scenario_files.problems(file, f"{SHORT}actions: [{action}]") == [f"5: {problem}"]
    for place in ("variants: {a: {actions: [%s]}}", "grid: {x: {one: {}, two: {actions: [%s]}}}"):
        (found,) = scenario_files.problems(file, SHORT + place % action)
        assert found.startswith("5: ")
        assert problem.removeprefix("actions.0") in found


def test_the_actions_of_a_variant_take_the_place_of_the_scenarios(file: Path) -> None:
    """Also none; they are what the run records, and make a difference between variants."""
    variants = (
        f"variants: {{quiet: {{actions: []}}, same: {{actions: [{RELOAD}]}}, often: {{actions: [{RESTART}]}}}}"
    )
    scenario = scenario_files.read(file, f"{SHORT}actions: [{RELOAD}]\n{variants}")
    request = Request(scenario=scenario, results=file.parent, command_ns=1)

    own = {name: variant_request(request, name).scenario for name in scenario.variants}

    assert {name: one.actions for name, one in own.items()} == {
        "base": (HUP,),
        "quiet": (),
        "same": (HUP,),
        "often": (OFTEN,),
    }
    reading.refuse_equal_variants(scenario, ("base", "quiet", "often"))
    with pytest.raises(UsageError, match="'base' and 'same' differ in nothing"):
        reading.refuse_equal_variants(scenario, ("base", "same"))
    written = {"at_s": 1.0, "service": "app", "signal": "", "every_s": 5.0}
    assert plan.resolved(own["often"])["actions"] == [written]
    assert plan.resolved(scenario)["variants"]["often"]["actions"] == [written]
    assert "actions" not in plan.resolved(own["quiet"])


def test_a_level_of_the_grid_has_actions(file: Path) -> None:
    """Its other level changes nothing, and is the base."""
    levels = f"{{calm: {{}}, often: {{actions: [{RESTART}]}}}}"
    scenario = scenario_files.read(file, f"{SHORT}grid: {{nights: {levels}}}")

    assert {name: scenario.actions_of(name) for name in scenario.variants} == {"base": (), "often": (OFTEN,)}


def test_the_schema_has_both_kinds() -> None:
    """An editor offers the signals, and wants a moment."""
    action: dict[str, Any] = grammar.json_schema()["$defs"]["ActionText"]

    assert action["required"] == ["at"]
    assert action["oneOf"] == [{"required": ["restart"]}, {"required": ["signal", "service"]}]
    assert action["properties"]["signal"]["enum"] == ["HUP", "USR1", "USR2", "WINCH"]


@pytest.fixture
def context(file: Path) -> RunContext:
    """Make a request with a variant that has an action, on a machine with room for slices."""
    variants = f"variants: {{acted: {{actions: [{RELOAD}]}}, b: {{}}}}"
    text = f"{SHORT}budgets: ['p95 of x < 1s']\ngate: ['p95 of x']\n{variants}"
    request = Request(scenario=scenario_files.read(file, text), results=file.parent / "results", command_ns=1)
    choice = Choice(engine=EngineName.COMPOSE, reason="made up")
    return RunContext(request=request, choice=choice, pinning=Pinning(usable=(0, 1)))


def test_a_stack_that_is_attached_to_is_left_alone(context: RunContext) -> None:
    """Only by the variant that would act on it."""
    attached = replace(context, choice=replace(context.choice, engine=EngineName.ATTACH))

    assert Trial.prepare(attached, "base", block=1).request.scenario.actions == ()
    with pytest.raises(UsageError, match="belongs to its owner") as caught:
        Trial.prepare(attached, "acted", block=1)
    assert caught.value.seen == "actions: signal HUP of web at 3 s"


def test_a_capacity_search_refuses_them(context: RunContext) -> None:
    """Before anything is made; variants without them can be searched."""
    request = CapacityRequest(request=context.request, variants=("base", "acted"))

    with pytest.raises(UsageError, match="does nothing to the stack") as caught:
        capacity.search(request, Progress(quiet=True))
    assert caught.value.seen == "actions of variant 'acted'"
    assert not context.request.results.exists()


def test_variants_with_actions_run_one_after_the_other(context: RunContext) -> None:
    """Turns have no moments, even where slices were asked for."""
    scenario = context.request.scenario
    for design in (None, Design.SLICES):
        comparing = replace(scenario.comparing, design=design)
        asked = replace(context, request=replace(context.request, scenario=replace(scenario, comparing=comparing)))
        chosen = compare.choose_design(asked)
        assert chosen.design is Design.RUNS
        assert chosen.reason.endswith("there are actions, whose moments are those of one run")
