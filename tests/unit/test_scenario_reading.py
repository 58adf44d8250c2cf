"""From YAML to a Scenario, and every problem told at once."""

from pathlib import Path

import pytest

from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.scenario import plan, reading, source

GOOD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
ready:
  - {get: /, expect: 200, within: 10s}
tiers: {web: {place: proxy}, app: {place: app}}
load:
  locustfile: drive.py
  users: 3
  duration: 1m
  parameters: {depth: 2, fast: true}
variants:
  big: {files: {web.conf: big.conf}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a scenario with the files that it names."""
    stack = tmp_path / "st"
    stack.mkdir()
    (stack / "compose.yaml").write_text("services: {web: {image: w}, app: {image: a}}\n")
    for name in ("web.conf", "big.conf"):
        (stack / name).touch()
    (tmp_path / "drive.py").touch()
    (tmp_path / "good.yaml").write_text(GOOD)
    return tmp_path


def _problems(folder: Path, text: str) -> list[str]:
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(ScenarioInvalid) as caught:
        reading.read(str(folder / "bad.yaml"))
    return [line.strip().removeprefix(f"{folder}/") for line in str(caught.value).splitlines()[1:-1]]


def test_units_become_seconds_and_defaults_are_filled_in(folder: Path) -> None:
    """Nothing behind the edge parses text, and nothing is left open."""
    load = reading.read(str(folder / "good.yaml")).load

    assert (load.warmup_s, load.duration_s, load.drain_s) == (5.0, 60.0, 5.0)
    assert load.parameters == {"depth": "2", "fast": "true"}


def test_files_are_found_beside_the_scenario(folder: Path) -> None:
    """A scenario is a folder that can be copied."""
    scenario = reading.read(str(folder / "good.yaml"))

    assert scenario.compose_file == folder / "st" / "compose.yaml"
    assert scenario.load.locustfile == folder / "drive.py"
    assert scenario.variants["big"].files == {folder / "st" / "web.conf": folder / "st" / "big.conf"}


def test_a_stack_needs_no_front_door(folder: Path) -> None:
    """But something to ask, if it is to be ready only once it answers."""
    alone = GOOD.replace("front_door: {service: web, port: 80}\n", "")
    (problem,) = _problems(folder, alone)
    assert problem.startswith(
        "bad.yaml:3: ready asks over HTTP, and there is no front door to ask; name front_door: "
    )
    (folder / "alone.yaml").write_text(alone.replace("ready:\n  - {get: /, expect: 200, within: 10s}\n", ""))
    scenario = reading.read(str(folder / "alone.yaml"))
    assert (scenario.front_door, scenario.ready, plan.resolved(scenario)["front_door"]) == (None, (), None)


def test_five_mistakes_yield_five_messages(folder: Path) -> None:
    """Each is told with its line, in one pass, and a misspelt key is one mistake, not two."""
    text = (
        GOOD.replace("front_door", "front_dor")
        .replace("10s", "10")
        .replace("users: 3", "users: many")
        .replace("drive.py", "gone.py")
        .replace("app: {place", "ap: {place")
    )

    assert _problems(folder, text) == [
        "bad.yaml:3: front_dor is not a key of a scenario; did you mean front_door?",
        "bad.yaml:5: ready.0.within: 10 has no unit: write 10s, 10m or 10ms (seen: 10)",
        "bad.yaml:6: the stack has no service 'ap'; its services: web, app",
        "bad.yaml:8: there is no locustfile 'gone.py' beside the scenario or shipped",
        "bad.yaml:9: load.users must be a whole number (seen: 'many')",
    ]


def test_what_the_command_line_told_is_no_line_of_the_file(folder: Path) -> None:
    """A mistake is told where it was made."""
    (folder / "good.yaml").write_text(GOOD)

    with pytest.raises(ScenarioInvalid) as refusal:
        reading.read(str(folder / "good.yaml"), {"load.users": "0"})

    assert "  on the command line: load.users " in str(refusal.value)
    assert "good.yaml:" not in str(refusal.value)


def test_a_key_that_stands_twice_is_told(folder: Path) -> None:
    """YAML would silently take the second one."""
    assert _problems(folder, GOOD + "question: Really?\n") == ["bad.yaml:14: question stands twice"]


def test_a_missing_stack_is_told(folder: Path) -> None:
    """The path that was looked at is in the message."""
    assert _problems(folder, GOOD.replace("stack: st", "stack: nowhere")) == [
        f"bad.yaml:2: there is no Compose file at {folder}/nowhere"
    ]


def test_what_is_not_yaml_is_told_with_its_line(folder: Path) -> None:
    """A stray bracket has a place too."""
    (folder / "bad.yaml").write_text("question: ok\nstack: a: b\n")

    with pytest.raises(ScenarioInvalid, match=r"bad\.yaml:2"):
        reading.read(str(folder / "bad.yaml"))


@pytest.mark.parametrize("text", ["", "- question: Does it leak?\n", "leak\n"])
def test_a_file_without_keys_is_a_scenario_with_one_problem(folder: Path, text: str) -> None:
    """No traceback for a file that holds nothing, or a list."""
    assert _problems(folder, text) == ["bad.yaml:1: the file must hold keys such as question, stack, load"]


def test_an_alias_within_what_it_repeats_is_told(folder: Path) -> None:
    """Such a file has no end; it is told with its line, as any other mistake of YAML."""
    (folder / "bad.yaml").write_text(GOOD.replace("big: {files", "big: &big {compose: *big, files"))

    with pytest.raises(ScenarioInvalid, match=r"(?s)bad\.yaml:13.*alias"):
        reading.read(str(folder / "bad.yaml"))


def test_a_file_nested_too_deeply_is_told(folder: Path) -> None:
    """A thousand brackets are no scenario."""
    (folder / "bad.yaml").write_text("question: " + "[" * 2000 + "]" * 2000)

    with pytest.raises(ScenarioInvalid, match="nested too deeply"):
        reading.read(str(folder / "bad.yaml"))


@pytest.mark.parametrize("name", ["../drive.py", "/etc/passwd", "deep/../../drive.py"])
def test_a_file_outside_of_the_stack_can_not_be_replaced(folder: Path, name: str) -> None:
    """Told with its line, though such a file may exist."""
    assert _problems(folder, GOOD.replace("web.conf: big.conf", f"{name}: big.conf")) == [
        f"bad.yaml:13: '{name}' lies outside of the stack's folder, {folder}/st"
    ]


def test_a_file_is_named_in_one_way_only(folder: Path) -> None:
    """A way round through another folder means the same file."""
    text = GOOD.replace("{web.conf: big.conf}", '{"x/../web.conf": ./big.conf}')
    (folder / "round.yaml").write_text(text)

    found = plan.resolved(reading.read(str(folder / "round.yaml")))

    assert found["variants"]["big"]["files"] == {"web.conf": "big.conf"}


def test_a_setting_of_the_command_line_replaces_a_value(folder: Path) -> None:
    """`--set` is judged by the same grammar as the file."""
    settings = source.parse_overrides(("load.users=7", "load.duration=2s"))

    load = reading.read(str(folder / "good.yaml"), settings).load

    assert (load.users, load.duration_s) == (7, 2.0)


def test_a_setting_without_an_equals_sign_is_refused() -> None:
    """A forgotten value is not an empty value."""
    with pytest.raises(UsageError, match="--set takes key=value"):
        source.parse_overrides(("load.users",))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A typing mistake costs one look."""
    with pytest.raises(UsageError, match="did you mean registry-pull"):
        source.find_scenario("registry-pul")


def test_an_unknown_variant_is_answered_with_the_nearest(folder: Path) -> None:
    """`base` always exists, whatever the file says."""
    scenario = reading.read(str(folder / "good.yaml"))

    assert plan.variant_of(scenario, "base").name == "base"
    with pytest.raises(UsageError, match="did you mean big"):
        plan.variant_of(scenario, "bigg")


def test_a_resolved_scenario_holds_its_units_in_its_names(folder: Path) -> None:
    """run.json can be read without this program."""
    resolved = plan.resolved(reading.read(str(folder / "good.yaml")))

    assert resolved["load"]["duration_s"] == 60.0
    assert resolved["variants"]["big"] == {"compose": {}, "files": {"web.conf": "big.conf"}}
