"""How a scenario says what is compared, what gates, and what ends a run early; and its plan."""

# ruff: noqa: E501  (a message stands in one piece)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.measure import metric
from seatrial.model import Design, ExperimentPlan, Scenario
from seatrial.record import documents
from seatrial.scenario import plan, reading, source
from seatrial.scenario.plan import BaselinePlan

GOOD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load: {locustfile: drive.py, users: 3, parameters: {depth: 1.10}}
"""
MISTAKES = {
    "gate: [p96 of x]": "5: gate: 'p96 of x': p96 is not measured; p50, p95 or p99 is expected",
    "gate: [cpu per requst]": "5: gate: 'cpu per requst' is not a metric: did you mean cpu per request?",
    "gate: [unreclaimable memory of wep]": "5: gate: the stack has no service 'wep'; did you mean web?",
    "gate:\n- throughput\n- throughput within 5%": "7: gate: throughput stands twice",
    "gate: [p50 of a, p95 of a, p99 of a, p50 of b, p95 of b, p99 of b, p50 of c]": "5: gate has 7 metrics: at most 6 "
    "can be distinguished from chance; what is not gated is still shown",
    "gate: [throughput within 0%]": "5: gate: 'throughput within 0%': a threshold of 0% can't be judged; no "
    "measurement can show that two things are exactly equal; more than 0% is expected",
    "gate: p50 of a": "5: gate must be a list (seen: 'p50 of a'); such as gate: [cpu per request, 'p95 of \"NAME\" within "
    "5%']",
    "budgets: [{failures: 1%}]": "5: budgets.0 must be text (seen: {'failures': '1%'}); such as budgets: ['p95 of \"NAME\" "
    "< 150ms', 'failures < 0.1%']",
    "stop_when: failures > 5%": "5: stop_when must be a list (seen: 'failures > 5%'); such as stop_when: ['failures > 20% "
    "for 10s']",
    "compare: {variants: a}": "5: compare.variants must be a list (seen: 'a'); such as variants: [one, other]",
    "compare: {varies: host}": "5: compare.varies must be a list (seen: 'host'); such as varies: [host]",
    "gate: [cpu per request within 2]": "5: gate: 'cpu per request within 2': a number of per cent such as `within 2%` is "
    "expected at its end",
    "budgets: [p99 of pull within 10 of base]": "5: budgets: 'p99 of pull within 10 of base': `within` and a share of the "
    "base such as `within 10% of base` is expected",
    "budgets: [failures < 1%, failures < 2%]": "5: budgets: failures stands twice",
    "budgets: [failures within 1% of base, failures within 2% of base]": "5: budgets: failures within a share of base "
    "stands twice",
    "stop_when: [failures < 1%]": "5: stop_when: 'failures < 1%' would end a run that is well: failures > 1% is expected",
    "compare: {variants: []}": "5: compare.variants names none; there are: base; without the key all are compared",
    "variants: {a: {compose: {x-a: 1}}}\ncompare: {variants: [a, a]}": "6: compare.variants: a stands twice",
    "grid: {one: {}}": "5: the axis 'one' has no level, so the grid makes no variant",
    "budgets: [failures > 1%]": "5: budgets: 'failures > 1%' would be broken by a good result: failures < 1% is expected",
    "budgets: [peak unreclaimable of db < 1MiB]": "5: budgets: the stack has no service 'db'; its services: web",
    "stop_when: [failures > 20% for 1.5s]": "5: stop_when: 'failures > 20% for 1.5s': values come once a second, so "
    "whole seconds from 1s on are expected",
    "stop_when: [cpu per request > 5ms]": "5: stop_when: 'cpu per request > 5ms': cpu per request is only known after "
    "the run; latency, failures, details of flows and memory are known each second",
    "stop_when: [peak unreclaimable of web > 1GiB]": "5: stop_when: 'peak unreclaimable of web > 1GiB': peak "
    "unreclaimable of web is only known after the run; memory of web is known each second",
    "stop_when: [memory of db > 90%]": "5: stop_when: the stack has no service 'db'; its services: web",
    "stop_when: [swap of host > 9%]": "5: stop_when: 'swap of host > 9%': how much swap there is is not told: an amount "
    "such as 1GiB is expected",
    "compare: {blocks: 0}": "5: compare.blocks must be at least 1 (seen: 0)",
    "compare: {block: 3}": "5: compare.block is not a key of a scenario; did you mean blocks?",
    "compare: {base: big}": "5: there is no variant 'big'; there are: base",
    "compare: {time: 10}": "5: compare.time: 10 has no unit: write 10s, 10m or 10ms (seen: 10)",
    "compare: {settle: 1s}": "5: compare.settle (1 s) leaves nothing of a slice of 1 s",
    "compare: {design: sliced}": "5: compare.design must be 'auto', 'runs' or 'slices' (seen: 'sliced')",
    "compare: {varies: [weather]}": "5: compare.varies.0 must be 'host', 'engine', 'storage driver', 'load' or 'seed' "
    "(seen: 'weather')",
    "variants: {a: {compose: {x-a: 1}}}\ncompare: {variants: [b]}": "6: there is no variant 'b'; there are: base, a",
    "variants: {a: {load: {users: 3}}}": "5: variants.a.load.users is not a key of a scenario; known here: parameters",
    "grid: {one: {a: {compose: {x-a: 1}}}}\nvariants: {a: {}}": "5: the grid makes a variant 'a', and there is one "
    "already",
    "variants: {again: {compose: {x-a: 1}}}": "5: a variant can't be named 'again': seatrial selfcheck gives "
    "this name to the base when it runs a second time",
    "variants:\n  a: {compose: {x-a: 1}}\n  stored: {compose: {x-a: 2}}": "7: a variant can't be named 'stored': seatrial "
    "compare --against gives this name to the stored base",
    "grid: {one: {again: {compose: {x-a: 1}}}}": "5: a variant can't be named 'again': seatrial selfcheck gives "
    "this name to the base when it runs a second time",
    "grid: {one: {a: {files: {x: y}}}}": "5: the stack has no file 'x'\n  {file}:5: the stack has no file 'y'",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make what the scenario names, and return where it stands."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st" / "compose.yaml").write_text("services: {web: {image: w}}\n")
    (tmp_path / "drive.py").touch()
    return tmp_path / "one.yaml"


def _read(file: Path, more: str, *settings: str) -> Scenario:
    file.write_text(GOOD + more)
    return reading.read(str(file), source.parse_overrides(settings))


def _plan(scenario: Scenario, against: BaselinePlan | None = None) -> ExperimentPlan:
    return plan.comparison_plan(scenario, seed=1, shared_cores=True, design=Design.RUNS, against=against)


@pytest.mark.parametrize(("more", "told"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_is_meant(file: Path, more: str, told: str) -> None:
    """One message for each, in the words of the language that it is written in."""
    with pytest.raises(ScenarioInvalid) as caught:
        _read(file, more)

    lines = caught.value.what.splitlines()[1:]
    assert "\n".join(lines) == f"  {file}:{told.replace('{file}', str(file))}"


def test_thirty_variants_are_the_most(file: Path) -> None:
    """The base counts; with more, nothing could be told apart in any time that people have."""
    more = [f"v{number}: {{compose: {{x-a: {number}}}}}" for number in range(30)]

    assert len(_read(file, f"variants: {{{', '.join(more[:29])}}}").variants) == 30
    with pytest.raises(ScenarioInvalid, match="31 variants with the base: at most 30 can be compared"):
        _read(file, f"variants: {{{', '.join(more)}}}")


def test_a_grid_of_many_axes_is_refused_without_being_made(file: Path) -> None:
    """Twenty axes of ten levels would be more variants than fit in memory."""
    levels = ", ".join(f"l{number}: {{}}" for number in range(10))
    axes = ", ".join(f"a{number}: {{{levels}}}" for number in range(20))

    with pytest.raises(ScenarioInvalid, match="100000000000000000000 combinations; at most 30"):
        _read(file, f"grid: {{{axes}}}")


def test_a_grid_makes_variants_beside_those_that_are_listed(file: Path) -> None:
    """What changes nothing is the base, and does not stand there a second time."""
    found = _read(
        file,
        "variants: {own: {compose: {x-c: 1}}}\n"
        "grid:\n"
        "  workers: {two: {}, four: {compose: {x-a: 4}}}\n"
        "  depth: {flat: {}, deep: {load: {parameters: {depth: 2.50}}}}\n",
    )

    assert list(found.variants) == ["base", "own", "two-deep", "four-flat", "four-deep"]
    assert found.variants["four-deep"].compose == {"x-a": 4}
    assert found.variants["four-deep"].parameters == {"depth": "2.50"}


def test_parameters_of_a_variant_stay_text(file: Path) -> None:
    """1.10 is not 1.1, in the file and on the command line alike."""
    found = _read(
        file, "variants: {a: {load: {parameters: {depth: 2.10}}}}", "variants.a.load.parameters.width=3.0"
    )

    assert found.variants["a"].parameters == {"depth": "2.10", "width": "3.0"}
    assert plan.resolved(found)["variants"]["a"]["load"] == {"parameters": {"depth": "2.10", "width": "3.0"}}


def test_the_resolved_scenario_shows_all_of_it(file: Path) -> None:
    """A resumed experiment is compared with this."""
    found = plan.resolved(_read(file, "gate: [throughput]\nstop_when: [failures > 5%]\ncompare: {time: 2m}"))

    assert (found["gate"], found["stop_when"], found["budgets"]) == (["throughput"], ["failures > 5%"], [])
    assert found["compare"]["time_s"] == 120
    assert found["compare"]["blocks"] == 10


def test_a_plan_says_everything_before_anything_starts(file: Path, tmp_path: Path) -> None:
    """Order, looks, seed, gate and budget of time; and it is the same once it was written and read."""
    scenario = _read(
        file, "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\ncompare: {time: 2m, blocks: 20}"
    )

    made = _plan(scenario)
    documents.save_plan(tmp_path, made)

    assert made.variants == ("base", "a", "b")
    assert [sorted(block) for block in made.blocks] == [["a", "b", "base"]] * 20
    assert [look.blocks for look in made.looks] == [6, 10, 20]
    assert [look.alpha for look in made.looks] == pytest.approx([0.01, 0.015, 0.025])
    assert (made.time_s, made.seed, made.shared_cores) == (120, 1, True)
    assert plan.differing_values(documents.load_plan(tmp_path).resolved, made.resolved) == []
    older = {**made.resolved, "path": "elsewhere", "files": {"compose.yaml": "0"}}
    assert plan.differing_values(older, made.resolved) == []


def test_only_the_named_variants_are_compared(file: Path) -> None:
    """With their own base, which is not compared with itself."""
    scenario = _read(
        file,
        "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\ncompare: {base: a, variants: [a, b], blocks: 1}",
    )

    assert _plan(scenario).variants == ("a", "b")
    assert [look.blocks for look in _plan(scenario).looks] == [1]


@pytest.mark.parametrize(
    "more",
    [
        "variants: {same: {}}",
        "variants: {same: {load: {parameters: {depth: 1.10}}}}",
        "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 1}}}",
    ],
)
def test_variants_that_differ_in_nothing_are_refused(file: Path, more: str) -> None:
    """A comparison of them could only raise a false alarm; the check of a machine is another verb."""
    with pytest.raises(UsageError, match="differ in nothing") as caught:
        _plan(_read(file, more))

    assert "seatrial selfcheck" in caught.value.hint


def test_a_metric_may_have_a_limit_and_a_share_of_the_base(file: Path) -> None:
    """They ask two questions; two limits of one metric would be one that is wrong."""
    both = ('p95 of "x" < 150ms', 'p95 of "x" within 10% of base')

    assert _read(file, f"budgets:\n- {both[0]}\n- {both[1]}").budgets == both


def test_nothing_to_compare_is_told(file: Path) -> None:
    """A scenario without variants."""
    with pytest.raises(UsageError, match="there is nothing to compare"):
        _plan(_read(file, ""))


def test_a_stored_base_is_in_no_block(file: Path) -> None:
    """What runs is the stack as it stands now, in as many blocks as are stored."""
    made = _plan(_read(file, ""), BaselinePlan(folder="/r/old", variant="base", blocks=4))

    assert (made.base, made.stored, made.against) == ("stored", "base", "/r/old")
    assert made.blocks == (("base",),) * 4


def test_a_check_of_a_machine_is_the_base_under_two_names(file: Path) -> None:
    """One look, at the end: what scatters is to be seen, nothing is to be decided early."""
    scenario = plan.with_again(_read(file, "compare: {blocks: 8}\nvariants: {a: {compose: {x-a: 1}}}"))
    made = plan.selfcheck_plan(scenario, seed=3, shared_cores=False)

    assert set(scenario.variants) == {"base", "again"}
    assert (made.command, made.variants, [look.blocks for look in made.looks]) == (
        "selfcheck",
        ("base", "again"),
        [8],
    )


def test_a_check_of_a_machine_knows_how_many_variants_it_is_for(file: Path) -> None:
    """They share one level in the comparison, so they decide what can be seen."""
    variants = "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}, c: {compose: {x-a: 3}}}"
    for named, sides in (("", 3), ("compare: {variants: [a, b]}\n", 2)):
        scenario = plan.with_again(_read(file, named + variants))
        assert plan.selfcheck_plan(scenario, seed=3, shared_cores=False).sides == sides


def test_what_differs_between_two_scenarios_is_told_line_by_line(file: Path) -> None:
    """Place and both values; where it lies on the disk is no difference."""
    there = plan.resolved(_read(file, ""))
    here = plan.resolved(_read(file, "", "load.users=4")) | {"path": "/elsewhere"}

    assert plan.differing_values(there, here) == ["load.users: 3 then, 4 now"]


@pytest.mark.parametrize("name", source.shipped_names())
def test_the_gates_of_shipped_scenarios_can_be_planned(name: str) -> None:
    """Each shipped comparison has a plan, and its gate names services that are there."""
    scenario = reading.read(name)

    assert all(metric.parse(text) for text in scenario.gate)
    if len(scenario.variants) > 1:
        assert _plan(replace(scenario, comparing=replace(scenario.comparing, blocks=2))).blocks
