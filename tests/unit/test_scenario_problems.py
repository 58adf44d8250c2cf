"""Each mistake in a scenario is told once, in plain words; and what goes to the load generator stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.errors import ScenarioInvalid
from seatrial.scenario import reading, source

GOOD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
ready: [{get: /, expect: 200, within: 10s}]
tiers: {web: {place: proxy}}
load:
  locustfile: drive.py
  users: 3
  duration: 1m
  parameters: {depth: 2}
variants: {big: {compose: {}}}
secrets: [TOKEN]
"""
_NOT_ONE_VALUE = "load.parameters.depth must be one value: text, a number, true or false"
_NOT_A_WORD = "must start with a letter or _ and hold only letters, digits, _ . and -"
MISTAKES = {
    ("question: Does it leak?", "question: ''"): "1: question must not be empty (seen: '')",
    ("stack: st", "stack: [st]"): "2: stack must be text (seen: ['st'])",
    ("{service: web, port: 80}", "web:80"): "3: front_door must hold keys such as service, port (seen: 'web:80')",
    ("port: 80", "port: 0"): "3: front_door.port must be at least 1 (seen: 0)",
    ("port: 80", "port: 80.5"): "3: front_door.port must be a whole number (seen: 80.5)",
    ("get: /", "get: v2"): "4: ready.0.get must start with / (seen: 'v2')",
    ("[{get: /, expect: 200, within: 10s}]", "soon"): "4: ready must be a list (seen: 'soon')",
    ("within: 10s", "within: [10]"): "4: ready.0.within must be a duration such as 30s (seen: [10])",
    ("{place: proxy}", "{place: front}"): "5: tiers.web.place must be 'proxy', 'app' or 'store' (seen: 'front')",
    ("web: {place", "4x: {place"): f"5: the name tiers.4x {_NOT_A_WORD}",
    ("{web: {place: proxy}}", "[web]"): "5: tiers must be a mapping of keys to values (seen: ['web'])",
    ("users: 3", "users:"): "8: load.users must be a whole number (seen: nothing)",
    ("users: 3", "users: true"): "8: load.users must be a whole number (seen: true)",
    ("users: 3", "users: 200000"): "8: load.users must be at most 100000 (seen: 200000)",
    ("duration: 1m", "duration: 0s"): "9: load.duration must be more than 0 (seen: '0s')",
    ("depth: 2", "depth: [1, 2]"): f"10: {_NOT_ONE_VALUE} (seen: [1, 2])",
    ("depth: 2", "depth:"): f"10: {_NOT_ONE_VALUE} (seen: nothing)",
    ("depth: 2", "2x: 2"): f"10: the name load.parameters.2x {_NOT_A_WORD}",
    ("big: {", "Big: {"): "11: the name variants.Big must hold only small letters, digits and -",
    ("[TOKEN]", "[token]"): "12: secrets.0 must be a name in capitals such as REGISTRY_PASSWORD (seen: 'token')",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make what the scenario names."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st" / "compose.yaml").write_text("services: {web: {image: w}}\n")
    (tmp_path / "drive.py").touch()
    return tmp_path


def _parameters(folder: Path, written: str, *settings: str) -> dict[str, str]:
    (folder / "one.yaml").write_text(GOOD.replace("{depth: 2}", written))
    return dict(reading.read(str(folder / "one.yaml"), source.parse_overrides(settings)).load.parameters)


@pytest.mark.parametrize(("change", "told"), MISTAKES.items(), ids=[told for _, told in MISTAKES.items()])
def test_a_mistake_is_one_problem_in_plain_words(folder: Path, change: tuple[str, str], told: str) -> None:
    """No second message for the same mistake, no regular expression, and no class of a library."""
    (folder / "bad.yaml").write_text(GOOD.replace(*change))
    with pytest.raises(ScenarioInvalid) as caught:
        reading.read(str(folder / "bad.yaml"))
    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == [f"{folder}/bad.yaml:{told}"]


@pytest.mark.parametrize(
    "written", ["1.10", "0123", "1e3", "0x1F", "1_000", "2024-01-01", "12:30:00", "no", "'7'"]
)
def test_a_load_parameter_keeps_the_text_that_was_written(folder: Path, written: str) -> None:
    """YAML would make 1.1, 83, 1000.0, 31, 1000, a date, 45000 and a flag of the unquoted ones."""
    assert _parameters(folder, f"{{tag: {written}}}") == {"tag": written.strip("'")}


@pytest.mark.parametrize("written", ["1.10", "0123", "a: b", "[x", "no", ""])
def test_a_load_parameter_of_the_command_line_is_taken_as_it_stands(folder: Path, written: str) -> None:
    """It is not read as YAML at all."""
    found = _parameters(folder, "{depth: 2}", f"load.parameters.registry-tag={written}")
    assert found == {"depth": "2", "registry-tag": written}


def test_all_load_parameters_set_at_once_keep_their_text(folder: Path) -> None:
    """A mapping on the command line is like one in the file."""
    assert _parameters(folder, "{depth: 2}", "load.parameters={tag: 1.10}") == {"tag": "1.10"}


def test_a_flag_stays_a_flag(folder: Path) -> None:
    """`true` and `false`, however YAML spells them."""
    assert _parameters(folder, "{a: true, b: False}") == {"a": "true", "b": "false"}


def test_a_number_with_two_places_is_text_in_one_only(folder: Path) -> None:
    """An alias of a load parameter in another place still has its number there."""
    text = GOOD.replace("users: 3", "users: &n 3").replace("{depth: 2}", "{depth: *n}")
    (folder / "one.yaml").write_text(text)
    load = reading.read(str(folder / "one.yaml")).load
    assert (load.users, load.parameters) == (3, {"depth": "3"})
