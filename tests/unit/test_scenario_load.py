"""How the load of a scenario may be written: rates, arrivals, processes, a warm-up until stable, pinning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import ScenarioInvalid
from seatrial.model import Load
from seatrial.scenario import plan, reading, source
from seatrial.wire.rates import EXPECTED, Rate, Stretch

FOREVER = math.inf
GOOD = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load:
  locustfile: drive.py
"""
TAKEN = {
    "rate: 50/s": ((Stretch(FOREVER, 50, 50),), 50),
    "rate: 10/s for 10s, 20/s\n  users: 7": ((Stretch(10, 10, 10), Stretch(FOREVER, 20, 20)), 7),
    "rate:\n    - 10/s for 10s\n    - 1/s to 9/s for 1m": ((Stretch(10, 10, 10), Stretch(60, 1, 9)), 50),
    "rate: {file: rates.csv}": ((Stretch(30, 5, 5), Stretch(FOREVER, 8, 8)), 50),
}
MISTAKES = {
    "rate: 50": "6: load.rate: 50 has no unit: did you mean 50/s? (seen: 50)",
    "rate: '50'": f"6: load.rate: '50' is not a rate: {EXPECTED} is expected (seen: '50')",
    "rate:": f"6: load.rate must be a rate such as {EXPECTED} (seen: nothing)",
    "rate: 0/s": f"6: load.rate: '0/s' has no arrivals: {EXPECTED} is expected (seen: '0/s')",
    "rate: []": "6: load.rate must have at least one rate (seen: [])",
    "rate:\n    - 10/s for 1m\n    - 20": "8: load.rate.1: 20 has no unit: did you mean 20/s? (seen: 20)",
    "rate:\n    - 10/s\n    - 20/s": f"6: load.rate: '10/s' does not say how long: {EXPECTED} is expected "
    "(seen: ['10/s', '20/s'])",
    "rate: {file: gone.csv}": "6: there is no file 'gone.csv' beside the scenario",
    "rate: {fille: rates.csv}": "6: load.rate.fille is not a key of a scenario; did you mean file?",
    "rate: {file: late.csv}": "6: 'late.csv' is no schedule of rates: line 1: seconds begin at 0 and rise, "
    "5 does not",
    "rate: {file: st}": "6: 'st' can't be read: Is a directory",
    "users: 3\n  arrivals: poisson": "7: load.arrivals is the spacing of a rate, but there is no load.rate",
    "rate: 5/s\n  arrivals: random": "7: load.arrivals must be 'constant' or 'poisson' (seen: 'random')",
    "users: 3\n  processes: 4": "7: load.processes is 4, but there are only 3 users: each process needs one; "
    "users: 4, or more",
    "rate: 5/s\n  processes: 60": "7: load.processes is 60, but there are only 50 users: each process needs one; "
    "users: 60, or more",
    "users: 90\n  processes: 65": "7: load.processes must be at most 64 (seen: 65)",
    "users: 3\n  warmup: {until: steady}": "7: load.warmup.until must be 'stable' (seen: 'steady')",
    "users: 3\n  warmup: {untill: stable}": "7: load.warmup.untill is not a key of a scenario; "
    "did you mean until?",
    "users: 3\n  warmup: {until: stable, at_most: 10s}": "7: load.warmup.at_most must be at least 12s: two spans "
    "of 5 s are compared (seen: '10s')",
    "users: 3\n  pinning: maybe": "7: load.pinning must be 'auto', 'on' or 'off' (seen: 'maybe')",
    "warmup: 3s": "4: load.users is missing",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make what the scenario names."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st" / "compose.yaml").write_text("services: {web: {image: w}}\n")
    (tmp_path / "drive.py").touch()
    (tmp_path / "rates.csv").write_text("second,rate\n0,5\n30,8\n")
    (tmp_path / "late.csv").write_text("5,5\n")
    return tmp_path


def _load(folder: Path, written: str, *settings: str) -> Load:
    (folder / "one.yaml").write_text(f"{GOOD}  {written}\n")
    return reading.read(str(folder / "one.yaml"), source.parse_overrides(settings)).load


@pytest.mark.parametrize(("written", "expected"), TAKEN.items(), ids=list(TAKEN))
def test_a_rate_may_be_text_a_list_or_a_file(
    folder: Path, written: str, expected: tuple[tuple[Stretch, ...], int]
) -> None:
    """Steps and ramps join without a gap; the pool has 50 users where none are named."""
    load = _load(folder, written)

    assert load.rate is not None
    assert (load.rate.stretches, load.users) == expected


@pytest.mark.parametrize(("written", "told"), MISTAKES.items(), ids=list(MISTAKES))
def test_a_mistake_is_told_with_its_line_and_what_was_meant(folder: Path, written: str, told: str) -> None:
    """One message each, in the words of the scenario."""
    with pytest.raises(ScenarioInvalid) as caught:
        _load(folder, written)

    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == [f"{folder}/one.yaml:{told}"]


@pytest.mark.parametrize("written", list(TAKEN))
def test_a_rate_of_the_command_line_takes_the_place_of_any_other(folder: Path, written: str) -> None:
    """Whatever form the file's rate has."""
    assert _load(folder, written, "load.rate=3/s").rate == Rate((Stretch(FOREVER, 3, 3),))


def test_arrivals_are_evenly_spaced_unless_the_scenario_says_otherwise(folder: Path) -> None:
    """Poisson is a word of the scenario, not of the rate."""
    even, random = _load(folder, "rate: 5/s"), _load(folder, "rate: 5/s\n  arrivals: poisson")

    assert even.rate is not None
    assert random.rate is not None
    assert (even.rate.poisson, random.rate.poisson) == (False, True)


def test_a_warm_up_until_stable_has_a_limit(folder: Path) -> None:
    """Sixty seconds where none is named; a plain duration is not a limit."""
    for written, expected in {
        "{until: stable}": (True, 60.0),
        "{until: stable, at_most: 2m}": (True, 120.0),
        "10s": (False, 10.0),
    }.items():
        load = _load(folder, f"users: 3\n  warmup: {written}")
        assert (load.stable, load.warmup_s) == expected


@pytest.mark.parametrize(("written", "expected"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")])
def test_on_and_off_are_words_here(folder: Path, written: str, expected: str) -> None:
    """YAML 1.1 makes flags of them."""
    assert _load(folder, f"users: 3\n  pinning: {written}").pinning == expected


def test_a_resolved_load_shows_all(folder: Path) -> None:
    """run.json holds the schedule as people write it, and as numbers; null lasts for ever."""
    written = "rate: 10/s for 10s, 20/s\n  arrivals: poisson\n  processes: 2\n  pinning: off"
    _load(folder, written)
    found: dict[str, Any] = plan.resolved(reading.read(str(folder / "one.yaml")))["load"]

    assert found["rate"] == {
        "text": "10/s for 10s, 20/s",
        "poisson": True,
        "stretches": [[10.0, 10.0, 10.0], [None, 20.0, 20.0]],
    }
    assert (found["users"], found["processes"], found["pinning"], found["stable"]) == (50, 2, "off", False)


@pytest.mark.parametrize("name", source.shipped_names())
def test_a_shipped_scenario_asks_for_no_more_than_two_cores_have(name: str) -> None:
    """It has to run on the smallest machine."""
    load = reading.read(name).load

    assert load.processes == 1
    assert load.pinning != "on"
