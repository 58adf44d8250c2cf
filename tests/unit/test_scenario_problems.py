"""Mistakes in the grammar of a scenario: one problem each, in plain words; and values as the grammar reads them."""

# ruff: noqa: E501  (a message stands in one piece)

from __future__ import annotations

import math
from pathlib import Path

import pytest
import scenario_files
from scenario_files import FULL

from seatrial.model import Load
from seatrial.scenario import plan
from seatrial.wire.rates import EXPECTED, Rate, Stretch

FOREVER = math.inf
NOT_ONE_VALUE = "load.parameters.depth must be one value: text, a number, true or false"
NOT_A_NAME = "must start with a letter or _ and hold only letters, digits, _ . and -"
LOAD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load:
  locustfile: drive.py
"""
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
    ("web: {place", "4x: {place"): f"5: the name tiers.4x {NOT_A_NAME}",
    (
        "{web: {place: proxy}, app: {place: app}}",
        "[web]",
    ): "5: tiers must be a mapping of keys to values (seen: ['web'])",
    ("users: 3", "users:"): "8: load.users must be a whole number (seen: nothing)",
    ("users: 3", "users: true"): "8: load.users must be a whole number (seen: true)",
    ("users: 3", "users: 200000"): "8: load.users must be at most 100000 (seen: 200000)",
    ("duration: 1m", "duration: 0s"): "9: load.duration must be more than 0 (seen: '0s')",
    ("depth: 2", "depth: [1, 2]"): f"10: {NOT_ONE_VALUE} (seen: [1, 2])",
    ("depth: 2", "depth:"): f"10: {NOT_ONE_VALUE} (seen: nothing)",
    ("depth: 2", "2x: 2"): f"10: the name load.parameters.2x {NOT_A_NAME}",
    ("big: {", "Big: {"): "11: the name variants.Big must hold only small letters, digits and -",
    ("[TOKEN]", "[token]"): "12: secrets.0 must be a name in capitals such as REGISTRY_PASSWORD (seen: 'token')",
}
MISTAKES_OF_LOAD = {
    "rate: 50": "6: load.rate: 50 has no unit: did you mean 50/s? (seen: 50)",
    "rate: '50'": f"6: load.rate: '50' is not a rate: {EXPECTED} is expected (seen: '50')",
    "rate:": f"6: load.rate must be a rate such as {EXPECTED} (seen: nothing)",
    "rate: []": "6: load.rate must have at least one rate (seen: [])",
    "rate:\n    - 10/s for 1m\n    - 20": "8: load.rate.1: 20 has no unit: did you mean 20/s? (seen: 20)",
    "rate:\n    - 10/s\n    - 20/s": f"6: load.rate: '10/s' does not say how long: {EXPECTED} is expected (seen: ['10/s', '20/s'])",
    "rate: {fille: rates.csv}": "6: load.rate.fille is not a key of a scenario; did you mean file?",
    "rate: 5/s\n  arrivals: random": "7: load.arrivals must be 'constant' or 'poisson' (seen: 'random')",
    "users: 90\n  processes: 65": "7: load.processes must be at most 64 (seen: 65)",
    "users: 3\n  warmup: {until: steady}": "7: load.warmup.until must be 'stable' (seen: 'steady')",
    "users: 3\n  warmup: {untill: stable}": "7: load.warmup.untill is not a key of a scenario; did you mean until?",
    "users: 3\n  warmup: {until: stable, at_most: 10s}": "7: load.warmup.at_most must be at least 12s: two spans of 5 s are compared (seen: '10s')",
    "users: 3\n  pinning: maybe": "7: load.pinning must be 'auto', 'on' or 'off' (seen: 'maybe')",
    "warmup: 3s": "4: load.users is missing",
}
RATES = {
    "rate: 50/s": ((Stretch(FOREVER, 50, 50),), 50),
    "rate: 10/s for 10s, 20/s\n  users: 7": ((Stretch(10, 10, 10), Stretch(FOREVER, 20, 20)), 7),
    "rate:\n    - 10/s for 10s\n    - 1/s to 9/s for 1m": ((Stretch(10, 10, 10), Stretch(60, 1, 9)), 50),
    "rate: {file: rates.csv}": ((Stretch(30, 5, 5), Stretch(FOREVER, 8, 8)), 50),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the scenario is to be written, beside what it names."""
    return scenario_files.make(tmp_path)


def _load(file: Path, written: str, *settings: str) -> Load:
    return scenario_files.read(file, f"{LOAD}  {written}\n", *settings).load


def _parameters(file: Path, written: str, *settings: str) -> dict[str, str]:
    return dict(_load(file, f"users: 3\n  parameters: {written}", *settings).parameters)


@pytest.mark.parametrize(("change", "problem"), MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_is_one_problem_in_plain_words(file: Path, change: tuple[str, str], problem: str) -> None:
    """Without a second message, a regular expression, or the name of a library's class."""
    assert scenario_files.problems(file, FULL.replace(*change)) == [problem]


@pytest.mark.parametrize(("written", "problem"), MISTAKES_OF_LOAD.items(), ids=list(MISTAKES_OF_LOAD))
def test_a_mistake_in_the_load_is_one_problem(file: Path, written: str, problem: str) -> None:
    """Also where a value may be written in several ways."""
    assert scenario_files.problems(file, f"{LOAD}  {written}\n") == [problem]


@pytest.mark.parametrize("text", ["", "- question: Does it leak?\n", "leak\n"])
def test_a_file_without_keys_is_a_scenario_with_one_problem(file: Path, text: str) -> None:
    """An empty file, a list and a plain text give no traceback."""
    assert scenario_files.problems(file, text) == ["1: the file must hold keys such as question, stack, load"]


@pytest.mark.parametrize(("written", "expected"), RATES.items(), ids=list(RATES))
def test_a_rate_may_be_text_a_list_or_a_file(
    file: Path, written: str, expected: tuple[tuple[Stretch, ...], int]
) -> None:
    """The pool has 50 users where none are named; the command line replaces any form of a rate."""
    load = _load(file, written)

    assert load.rate is not None
    assert (load.rate.stretches, load.users) == expected
    assert _load(file, written, "load.rate=3/s").rate == Rate((Stretch(FOREVER, 3, 3),))


def test_arrivals_are_evenly_spaced_unless_they_are_poisson(file: Path) -> None:
    """`arrivals` is a key of its own, beside the rate."""
    even, random = _load(file, "rate: 5/s").rate, _load(file, "rate: 5/s\n  arrivals: poisson").rate

    assert even is not None
    assert random is not None
    assert (even.poisson, random.poisson) == (False, True)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("{until: stable}", (True, 60.0)), ("{until: stable, at_most: 2m}", (True, 120.0)), ("10s", (False, 10.0))],
)
def test_a_warm_up_until_stable_has_a_limit(file: Path, written: str, expected: tuple[bool, float]) -> None:
    """It is sixty seconds where none is named."""
    load = _load(file, f"users: 3\n  warmup: {written}")
    assert (load.stable, load.warmup_s) == expected


@pytest.mark.parametrize(("written", "expected"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")])
def test_on_and_off_are_words_here(file: Path, written: str, expected: str) -> None:
    """YAML 1.1 makes flags of them."""
    assert _load(file, f"users: 3\n  pinning: {written}").pinning == expected


@pytest.mark.parametrize(
    "written", ["1.10", "0123", "1e3", "0x1F", "1_000", "2024-01-01", "12:30:00", "no", "'7'"]
)
def test_a_load_parameter_keeps_the_text_that_was_written(file: Path, written: str) -> None:
    """YAML would make 1.1, 83, 1000.0, 31, 1000, a date, 45000 and a flag of the unquoted ones."""
    assert _parameters(file, f"{{tag: {written}}}") == {"tag": written.strip("'")}


@pytest.mark.parametrize("written", ["1.10", "0123", "a: b", "[x", "no", ""])
def test_a_load_parameter_of_the_command_line_is_plain_text(file: Path, written: str) -> None:
    """It is not read as YAML at all."""
    parameters = _parameters(file, "{depth: 2}", f"load.parameters.registry-tag={written}")
    assert parameters == {"depth": "2", "registry-tag": written}


def test_load_parameters_in_other_forms_are_text_too(file: Path) -> None:
    """A mapping on the command line, and `true` and `false` in any spelling."""
    assert _parameters(file, "{depth: 2}", "load.parameters={tag: 1.10}") == {"tag": "1.10"}
    assert _parameters(file, "{a: true, b: False}") == {"a": "true", "b": "false"}


def test_an_alias_of_a_load_parameter_stays_a_number_elsewhere(file: Path) -> None:
    """One node of YAML has two places."""
    text = FULL.replace("users: 3", "users: &n 3").replace("{depth: 2, fast: true}", "{depth: *n}")
    load = scenario_files.read(file, text).load
    assert (load.users, load.parameters) == (3, {"depth": "3"})


def test_parameters_of_a_variant_are_text(file: Path) -> None:
    """1.10 is not 1.1, in the file and on the command line alike."""
    text = scenario_files.SHORT + "variants: {a: {load: {parameters: {depth: 2.10}}}}"
    scenario = scenario_files.read(file, text, "variants.a.load.parameters.width=3.0")

    assert scenario.variants["a"].parameters == {"depth": "2.10", "width": "3.0"}
    assert plan.resolved(scenario)["variants"]["a"]["load"] == {"parameters": {"depth": "2.10", "width": "3.0"}}
