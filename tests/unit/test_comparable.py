"""What keeps a scenario from being compared is told before anything starts, by `compare` and `validate` alike."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from seatrial import cli
from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.model import Design, ExperimentPlan
from seatrial.scenario import plan, reading, source

GOOD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load: {locustfile: drive.py, users: 3, warmup: 5s, duration: 20s, parameters: {depth: 1.10}}
"""
TWO = "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\n"
DIFFERENT = "a Compose override, replaced files, or load parameters that differ is expected"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make what the scenario names, in a folder that a shell would cut in two, and return where it stands."""
    folder = tmp_path / "my scenarios"
    (folder / "st").mkdir(parents=True)
    (folder / "st" / "compose.yaml").write_text("services: {web: {image: w}}\n")
    (folder / "drive.py").touch()
    return folder / "one.yaml"


def _refused(file: Path, verb: str, *words: str) -> UsageError:
    results = () if verb == "validate" else ("--results", str(file.parent / "results"), "--quiet")
    done = CliRunner().invoke(cli.seatrial, [verb, str(file), *results, *words], standalone_mode=False)
    assert isinstance(done.exception, UsageError), done.output
    assert not (file.parent / "results").exists()
    return done.exception


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("variants: {same: {}}", f"5: the variants 'base' and 'same' differ in nothing; {DIFFERENT}"),
        (
            "variants:\n  a: {compose: {x-a: 1}}\n  b: {compose: {x-a: 1}}",
            f"7: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
        ),
        (
            "variants: {a: {compose: {x-a: 1}}}\ngrid: {one: {b: {compose: {x-a: 1}}}}",
            f"6: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
        ),
        (f"{TWO}compare: {{variants: [base]}}", "6: compare.variants names only the base, 'base'"),
        (
            f"{TWO}compare: {{time: 70s, design: runs}}",
            "6: compare.time (70 s) is too short for one block; warm-up and window of 3 variants take 75 s",
        ),
        (
            f"{TWO}compare: {{time: 1s, slices: 10}}",
            "6: compare.time (1 s) is too short for one block; warm-up and window of 3 variants take 45 s",
        ),
    ],
)
def test_validate_refuses_what_compare_would(file: Path, more: str, told: str) -> None:
    """With the line; a scenario that is only read, for a plain run, is not refused for it."""
    file.write_text(GOOD + more)

    assert _refused(file, "validate").what.splitlines()[1:] == [f"  {file}:{told}"]
    assert reading.read(str(file)).question


@pytest.mark.parametrize("more", ["", TWO, f"{TWO}compare: {{time: 75s, design: runs}}"])
def test_what_can_be_compared_or_only_run_is_valid(file: Path, more: str) -> None:
    """A scenario without variants asks nothing of a comparison."""
    file.write_text(GOOD + more)

    done = CliRunner().invoke(cli.seatrial, ["validate", str(file)], standalone_mode=False)

    assert done.output.startswith(f"{file}: valid; variants: base")


def test_validate_refuses_a_parameter_of_a_variant_that_the_harness_sets(file: Path) -> None:
    """It would end the experiment in the middle of its first block."""
    file.write_text(f"{GOOD}variants: {{a: {{load: {{parameters: {{run-time: 5s}}}}}}}}")

    error = _refused(file, "validate")

    assert (error.where, error.seen) == ("load.parameters of the variant 'a'", "run-time")


@pytest.mark.parametrize("name", source.shipped_names())
def test_every_shipped_scenario_can_be_compared(name: str) -> None:
    """As far as it has variants."""
    assert reading.check_comparable(name, {}).name == name


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("", "there is no variant ''; there are: base, a, b"),
        ("a,", "there is no variant ''; there are: base, a, b"),
        ("a,c", "there is no variant 'c'; there are: base, a, b"),
        ("a, a", "compare.variants: a stands twice"),
        ("b]", "there is no variant 'b]'; did you mean b?"),
    ],
)
def test_the_variants_of_the_command_line_are_names_of_the_scenario(file: Path, wanted: str, told: str) -> None:
    """Nothing is no name for all of them, and a name is told as it was written."""
    file.write_text(GOOD + TWO)

    error = _refused(file, "compare", "--variants", wanted)

    assert isinstance(error, ScenarioInvalid)
    assert error.what.splitlines()[1:] == [f"  on the command line: {told}"]


def test_the_base_alone_is_no_comparison(file: Path) -> None:
    """The others are named, and the command of the hint can be pasted, though the path has a space."""
    file.write_text(GOOD + TWO)

    with pytest.raises(UsageError, match="there is nothing to compare") as caught:
        _planned(file, "compare.variants=[base]")

    assert (caught.value.seen, caught.value.expected) == ("only the base, 'base'", "another variant: a, b")
    assert shlex.split(caught.value.hint) == ["seatrial", "compare", str(file), "--variants", "a,b"]
    file.write_text(GOOD)
    with pytest.raises(UsageError, match="there is nothing to compare") as caught:
        _planned(file)
    assert shlex.split(caught.value.hint) == ["seatrial", "selfcheck", str(file)]


def test_a_hint_names_another_base_too(file: Path) -> None:
    """Else it would check the wrong stack against itself."""
    file.write_text(f"{GOOD}variants: {{a: {{}}}}")

    with pytest.raises(UsageError, match="differ in nothing") as caught:
        _planned(file, "compare.base=a")

    assert shlex.split(caught.value.hint) == ["seatrial", "selfcheck", str(file), "--base", "a"]


def test_a_shipped_scenario_is_found_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the same name elsewhere by its path, and so the shipped one where that other one would be found."""
    own = file.with_name("known-cpu.yaml")
    own.write_text(GOOD)
    there = source.shipped_root() / "scenarios" / "known-cpu.yaml"

    assert source.scenario_name(there) == "known-cpu"
    assert shlex.split(source.scenario_name(own)) == [str(own)]
    monkeypatch.chdir(file.parent)
    own.rename("known-cpu")
    assert source.scenario_name(there) == str(there)


@pytest.mark.parametrize(
    ("design", "more", "least_s"),
    [
        (Design.RUNS, (), 75),
        (Design.RUNS, ("load.warmup={until: stable}",), 90),
        (Design.SLICES, ("compare.slices=10",), 45),
        (Design.SLICES, ("compare.slices=10", "load.warmup={until: stable}"), 60),
    ],
)
def test_a_budget_of_time_has_room_for_one_block(
    file: Path, design: Design, more: tuple[str, ...], least_s: int
) -> None:
    """Three variants with 5 s of warm-up and 20 s of window, or 10 slices of 1 s; stable: not before 10 s."""
    file.write_text(GOOD + TWO)

    assert _planned(file, f"compare.time={least_s}s", *more, design=design).time_s == least_s
    with pytest.raises(UsageError, match="too short for one block") as caught:
        _planned(file, f"compare.time={least_s - 1}s", *more, design=design)

    assert caught.value.seen == f"{least_s - 1} s"
    assert caught.value.expected.startswith(f"at least {least_s} s, for warm-up and window of 3 variants")


def test_a_check_of_a_machine_needs_time_for_one_block_too(file: Path) -> None:
    """Twice the base."""
    file.write_text(GOOD)
    scenario = plan.with_again(reading.read(str(file), {"compare.time": "49s"}))

    with pytest.raises(UsageError, match="too short for one block") as caught:
        plan.selfcheck_plan(scenario, seed=1, shared_cores=True)

    assert caught.value.expected.startswith("at least 50 s")


def _planned(file: Path, *settings: str, design: Design = Design.RUNS) -> ExperimentPlan:
    scenario = reading.read(str(file), source.parse_overrides(settings))
    return plan.comparison_plan(scenario, seed=1, shared_cores=True, design=design)
