"""From a YAML file, by name or path, with settings of the command line, to a Scenario; all problems at once."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import scenario_files
from scenario_files import FULL, SHORT

from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.model import Preflight
from seatrial.scenario import plan, source


def test_units_become_seconds_defaults_are_filled_in_and_files_are_found(file: Path) -> None:
    """Files are those beside the scenario: its folder can be copied."""
    scenario = scenario_files.read(file, FULL)
    stack, load = file.parent / "st", scenario.load
    assert (load.warmup_s, load.duration_s, load.drain_s) == (5.0, 60.0, 5.0)
    assert load.parameters == {"depth": "2", "fast": "true"}
    assert (scenario.compose_file, load.locustfile) == (stack / "compose.yaml", file.parent / "drive.py")
    assert scenario.variants["big"].files == {stack / "web.conf": stack / "big.conf"}


def test_the_log_of_a_tier_has_the_fields_of_nginx(file: Path) -> None:
    """Unless it says others; the run folder has them, and metrics of it may be asked for."""
    text = SHORT + "tiers: {web: {place: proxy, log: {file: access.log, took: took_s}}, app: {place: app}}\n"
    scenario = scenario_files.read(
        file, text + "budgets: [origin bytes of web < 1GiB]\ngate: [origin bytes per played byte]\n"
    )
    told = {"file": "access.log", "origin": "upstream_bytes_received", "time": "msec", "took": "took_s"}
    assert scenario.tiers == {"web": "proxy", "app": "app"}
    assert plan.resolved(scenario)["logs"] == {"web": told}


def test_a_stack_needs_no_front_door(file: Path) -> None:
    """Unless it counts as ready only when a request is answered."""
    alone = FULL.replace("front_door: {service: web, port: 80}\n", "")
    (problem,) = scenario_files.problems(file, alone)
    assert problem.startswith("3: ready asks over HTTP, and there is no front door to ask; name front_door: ")
    scenario = scenario_files.read(file, alone.replace("ready: [{get: /, expect: 200, within: 10s}]\n", ""))
    assert (scenario.front_door, scenario.ready, plan.resolved(scenario)["front_door"]) == (None, (), None)


def test_five_mistakes_yield_five_messages(file: Path) -> None:
    """All in one pass, each with its line; a misspelt key is one mistake, not two."""
    changes = {"front_door": "front_dor", "10s": "10", "users: 3": "users: many", "drive.py": "gone.py"}
    text = FULL.replace("app: {place", "ap: {place")
    for right, wrong in changes.items():
        text = text.replace(right, wrong)

    assert scenario_files.problems(file, text) == [
        "3: front_dor is not a key of a scenario; did you mean front_door?",
        "4: ready.0.within: 10 has no unit: write 10s, 10m or 10ms (seen: 10)",
        "5: the stack has no service 'ap'; its services: web, app",
        "7: there is no locustfile 'gone.py' beside the scenario or shipped",
        "8: load.users must be a whole number (seen: 'many')",
    ]


def test_a_mistake_of_the_command_line_has_no_line_of_the_file(file: Path) -> None:
    """`--set` is checked by the same grammar as the file; a forgotten value is not an empty value."""
    assert scenario_files.read(file, FULL, "load.users=7", "load.duration=2s").load.duration_s == 2.0
    assert scenario_files.problems(file, FULL, "load.users=0") == [
        "on the command line: load.users must be at least 1 (seen: 0)"
    ]
    with pytest.raises(UsageError, match="--set takes key=value"):
        source.parse_overrides(("load.users",))


def test_a_repeated_key_and_a_missing_stack_are_problems(file: Path) -> None:
    """YAML would silently take the second value of a key."""
    assert scenario_files.problems(file, f"{FULL}question: Really?\n") == ["13: question stands twice"]
    assert scenario_files.problems(file, FULL.replace("stack: st", "stack: nowhere")) == [
        f"2: there is no Compose file at {file.parent}/nowhere"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("question: ok\nstack: a: b\n", r"one\.yaml:2"),
        (FULL.replace("big: {files", "big: &big {compose: *big, files"), r"(?s)one\.yaml:11.*alias"),
        ("question: " + "[" * 2000 + "]" * 2000, "nested too deeply"),
    ],
    ids=["a stray colon", "an alias within what it repeats", "two thousand brackets"],
)
def test_what_is_not_yaml_is_refused(file: Path, text: str, problem: str) -> None:
    """With its line, where the place is known."""
    with pytest.raises(ScenarioInvalid, match=problem):
        scenario_files.read(file, text)


@pytest.mark.parametrize("name", ["../drive.py", "/etc/passwd", "deep/../../drive.py"])
def test_a_file_outside_of_the_stack_can_not_be_replaced(file: Path, name: str) -> None:
    """Even if such a file exists."""
    assert scenario_files.problems(file, FULL.replace("web.conf: big.conf", f"{name}: big.conf")) == [
        f"11: '{name}' lies outside of the stack's folder, {file.parent}/st"
    ]


def test_a_way_through_another_folder_names_the_same_file(file: Path) -> None:
    """The resolved scenario has the shortest path."""
    scenario = scenario_files.read(file, FULL.replace("{web.conf: big.conf}", '{"x/../web.conf": ./big.conf}'))
    assert plan.resolved(scenario)["variants"]["big"]["files"] == {"web.conf": "big.conf"}


def test_a_misspelt_scenario_or_variant_has_a_hint(file: Path) -> None:
    """`base` always exists, whatever the file says."""
    with pytest.raises(UsageError, match="did you mean registry-pull"):
        source.find_scenario("registry-pul")
    scenario = scenario_files.read(file, FULL)
    assert plan.variant_of(scenario, "base").name == "base"
    with pytest.raises(UsageError, match="did you mean big"):
        plan.variant_of(scenario, "bigg")


def test_a_grid_is_every_combination_beside_the_variants_that_are_listed(file: Path) -> None:
    """With the changes of all axes; a combination that changes nothing is the base, and not a second variant."""
    text = (
        "variants: {own: {compose: {x-c: 1}}}\n"
        "grid:\n"
        "  workers: {two: {}, four: {compose: {x-a: {env: {n: 4}}}}}\n"
        "  depth: {flat: {}, deep: {compose: {x-a: {env: {d: 1}}}, load: {parameters: {depth: 2.50}}}}\n"
    )
    variants = scenario_files.read(file, SHORT + text).variants
    assert list(variants) == ["base", "own", "two-deep", "four-flat", "four-deep"]
    assert variants["four-deep"].compose == {"x-a": {"env": {"n": 4, "d": 1}}}
    assert variants["four-deep"].parameters == {"depth": "2.50"}


def test_a_metric_may_have_a_limit_and_a_share_of_the_base(file: Path) -> None:
    """Two limits of one metric would be a mistake."""
    both = ('p95 of "x" < 150ms', 'p95 of "x" within 10% of base')
    assert scenario_files.read(file, f"{SHORT}budgets:\n- {both[0]}\n- {both[1]}").budgets == both


def test_a_shipped_scenario_is_named_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the same name elsewhere is named by its path; so is the shipped one where its name is a file."""
    own = file.with_name("known-cpu.yaml")
    own.write_text(SHORT)
    shipped = source.shipped_root() / "scenarios" / "known-cpu.yaml"
    assert source.scenario_name(shipped) == "known-cpu"
    assert shlex.split(source.scenario_name(own)) == [str(own)]
    monkeypatch.chdir(file.parent)
    own.rename("known-cpu")
    assert source.scenario_name(shipped) == str(shipped)


@pytest.mark.parametrize(
    ("line", "ranges"),
    [("preflight: ranges", ""), ("preflight: {ranges: /a.mp4}", "/a.mp4")],
    ids=["short", "path"],
)
def test_a_preflight_names_a_file_or_takes_the_first_clip(file: Path, line: str, ranges: str) -> None:
    """Without the key nothing is asked; it asks the front door."""
    scenario = scenario_files.read(file, f"{FULL}{line}\n")
    assert scenario.preflight == Preflight(ranges=ranges)
    assert plan.resolved(scenario)["preflight"] == {"ranges": ranges}
    assert scenario_files.read(file, FULL).preflight is None
    alone = SHORT.replace("front_door: {service: web, port: 80}\n", "")
    (problem,) = scenario_files.problems(file, f"{alone}{line}\n")
    assert problem.startswith("4: preflight asks over HTTP, and there is no front door to ask; name front_door: ")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("range", "13: preflight must be 'ranges' (seen: 'range')"),
        ("{ranges: a.mp4}", "13: preflight.ranges must start with / (seen: 'a.mp4')"),
        ("", "13: preflight must be 'ranges' (seen: nothing)"),
        ("{}", "13: preflight.ranges is missing"),
        ("{range: /a}", "13: preflight.range is not a key of a scenario; did you mean ranges?"),
    ],
)
def test_a_wrong_preflight_is_a_problem(file: Path, value: str, problem: str) -> None:
    """With what it may be."""
    assert scenario_files.problems(file, f"{FULL}preflight: {value}\n") == [problem]
