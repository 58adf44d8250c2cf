"""Mistakes of a scenario: one problem each, with its line; values as the grammar reads them; what compare refuses."""

# ruff: noqa: E501  (a message stands in one piece)

from __future__ import annotations

import math
from pathlib import Path

import pytest
import scenario_files
from click.testing import CliRunner
from scenario_files import FULL, SHORT

from seatrial import cli
from seatrial.errors import ScenarioInvalid, UsageError
from seatrial.model import Load
from seatrial.scenario import plan
from seatrial.wire.rates import EXPECTED, Rate, Stretch

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
    (
        "{place: proxy}",
        "{place: proxy, log: {file: /var/log/a.log}}",
    ): "5: tiers.web.log.file must be the name of a file, without its folder (seen: '/var/log/a.log')",
    (
        "{place: proxy}",
        "{place: proxy, log: access.log}",
    ): "5: tiers.web.log must hold keys such as file, origin, time (seen: 'access.log')",
    ("web: {place", "4x: {place"): f"5: the name tiers.4x {NOT_A_NAME}",
    ("tiers: ", "tiers: [web] #"): "5: tiers must be a mapping of keys to values (seen: ['web'])",
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
    "rate: {file: gone.csv}": "6: there is no file 'gone.csv' beside the scenario",
    "rate: {file: late.csv}": "6: 'late.csv' is no schedule of rates: line 1: seconds begin at 0 and rise, 5 does not",
    "rate: {file: st}": "6: 'st' can't be read: Is a directory",
    "users: 3\n  arrivals: poisson": "7: load.arrivals is the spacing of a rate, but there is no load.rate",
    "users: 3\n  processes: 4": "7: load.processes is 4, but there are only 3 users: each process needs one; users: 4, or more",
    "rate: 5/s\n  processes: 60": "7: load.processes is 60, but there are only 50 users: each process needs one; users: 60, or more",
}
NO_LOG = (
    "no access log is declared that tells it; declare it: tiers: {nginx: {place: proxy, log: {file: access.log}}}"
)
ONE = "variants: {a: {compose: {x-a: 1}}}\n"
TWO = "variants: {a: {compose: {x-a: 1}}, b: {compose: {x-a: 2}}}\n"
DIFFERENT = "a Compose override, replaced files, load parameters, or actions that differ is expected"
AGAIN = "5: a variant can't be named 'again': seatrial selfcheck gives this name to the base when it runs a second time"
STORED = "7: a variant can't be named 'stored': seatrial compare --against gives this name to the stored base"
LEVELS = ", ".join(f"l{number}: {{}}" for number in range(10))
AXES = ", ".join(f"a{number}: {{{LEVELS}}}" for number in range(20))
"""Twenty axes of ten levels, whose variants would not fit in memory."""
THIRTY = [f"v{number}: {{compose: {{x-a: {number}}}}}" for number in range(30)]
MISTAKES_BEYOND = {
    "gate: [p96 of x]": "5: gate: 'p96 of x': p96 is not measured; p50, p95 or p99 is expected",
    "gate: [cpu per requst]": "5: gate: 'cpu per requst' is not a metric: did you mean cpu per request?",
    "gate: [unreclaimable memory of wep]": "5: gate: the stack has no service 'wep'; did you mean web?",
    "gate:\n- throughput\n- throughput within 5%": "7: gate: throughput stands twice",
    "gate: [p50 of a, p95 of a, p99 of a, p50 of b, p95 of b, p99 of b, p50 of c]": "5: gate has 7 metrics: at most 6 can be distinguished from chance; what is not gated is still shown",
    "gate: p50 of a": "5: gate must be a list (seen: 'p50 of a'); such as gate: [cpu per request, 'p95 of \"NAME\" within 5%']",
    "budgets: [{failures: 1%}]": "5: budgets.0 must be text (seen: {'failures': '1%'}); such as budgets: ['p95 of \"NAME\" < 150ms', 'failures < 0.1%']",
    "stop_when: failures > 5%": "5: stop_when must be a list (seen: 'failures > 5%'); such as stop_when: ['failures > 20% for 10s']",
    "compare: {variants: a}": "5: compare.variants must be a list (seen: 'a'); such as variants: [one, other]",
    "compare: {varies: host}": "5: compare.varies must be a list (seen: 'host'); such as varies: [host]",
    "budgets: [failures < 1%, failures < 2%]": "5: budgets: failures stands twice",
    "budgets: [failures within 1% of base, failures within 2% of base]": "5: budgets: failures within a share of base stands twice",
    "budgets: [failures > 1%]": "5: budgets: 'failures > 1%' would be broken by a good result: failures < 1% is expected",
    "budgets: [peak unreclaimable of db < 1MiB]": "5: budgets: the stack has no service 'db'; its services: web, app",
    "stop_when: [failures > 20% for 1.5s]": "5: stop_when: 'failures > 20% for 1.5s': values come once a second, so whole seconds from 1s on are expected",
    "stop_when: [cpu per request > 5ms]": "5: stop_when: 'cpu per request > 5ms': cpu per request is only known after the run; latency, failures, details of flows and memory are known each second",
    "stop_when: [peak unreclaimable of web > 1GiB]": "5: stop_when: 'peak unreclaimable of web > 1GiB': peak unreclaimable of web is only known after the run; memory of web is known each second",
    "stop_when: [memory of db > 90%]": "5: stop_when: the stack has no service 'db'; its services: web, app",
    "stop_when: [swap of host > 9%]": "5: stop_when: 'swap of host > 9%': the size of swap is not known: an amount such as 1GiB is expected",
    "budgets: [origin bytes per played byte < 1.5]": f"5: budgets: origin bytes per played byte: {NO_LOG}",
    "gate: [origin bytes of app]\ntiers: {web: {place: proxy, log: {}}}": f"5: gate: origin bytes of app: {NO_LOG}",
    "stop_when: [origin bytes > 5MiB]": "5: stop_when: 'origin bytes > 5MiB': origin bytes is only known after the run; latency, failures, details of flows and memory are known each second",
    "compare: {blocks: 0}": "5: compare.blocks must be at least 1 (seen: 0)",
    "compare: {block: 3}": "5: compare.block is not a key of a scenario; did you mean blocks?",
    "compare: {time: 10}": "5: compare.time: 10 has no unit: write 10s, 10m or 10ms (seen: 10)",
    "compare: {design: sliced}": "5: compare.design must be 'auto', 'runs' or 'slices' (seen: 'sliced')",
    "compare: {varies: [weather]}": "5: compare.varies.0 must be 'host', 'engine', 'storage driver', 'load' or 'seed' (seen: 'weather')",
    "compare: {settle: 1s}": "5: compare.settle (1 s) leaves nothing of a slice of 1 s",
    "compare: {base: big}": "5: there is no variant 'big'; there are: base",
    "compare: {variants: []}": "5: compare.variants names none; there are: base; without the key all are compared",
    ONE + "compare: {variants: [a, a]}": "6: compare.variants: a stands twice",
    ONE + "compare: {variants: [b]}": "6: there is no variant 'b'; there are: base, a",
    "variants: {a: {load: {users: 3}}}": "5: variants.a.load.users is not a key of a scenario; known here: parameters",
    "variants: {again: {compose: {x-a: 1}}}": AGAIN,
    "variants:\n  a: {compose: {x-a: 1}}\n  stored: {compose: {x-a: 2}}": STORED,
    "grid: {one: {again: {compose: {x-a: 1}}}}": AGAIN,
    "grid: {one: {}}": "5: the axis 'one' has no level, so the grid makes no variant",
    "grid: {one: {a: {compose: {x-a: 1}}}}\nvariants: {a: {}}": "5: the grid makes a variant 'a', and there is one already",
    "grid: {one: {a: {compose: {k: 1}}}, two: {b: {compose: {k: 2}}}}": "5: the axes 'one' and 'two' both set compose.k",
    "grid: {one: {on: {}}}": "5: the name grid.one.1 must be text",
    f"grid: {{{AXES}}}": "5: 100000000000000000000 combinations; at most 30 can be compared",
    f"variants: {{{', '.join(THIRTY)}}}": "5: 31 variants with the base: at most 30 can be compared",
}
NOT_COMPARABLE = {
    "variants: {same: {}}": f"5: the variants 'base' and 'same' differ in nothing; {DIFFERENT}",
    "variants:\n  a: {compose: {x-a: 1}}\n  b: {compose: {x-a: 1}}": f"7: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
    f"{ONE}grid: {{one: {{b: {{compose: {{x-a: 1}}}}}}}}": f"6: the variants 'a' and 'b' differ in nothing; {DIFFERENT}",
    f"{TWO}compare: {{time: 1s, slices: 10}}": "6: compare.time (1 s) is too short for one block; warm-up and window of 3 variants take 45 s",
    f"{TWO}compare: {{variants: [base]}}": "6: compare.variants names only the base, 'base'",
    f"{TWO}compare: {{time: 70s, design: runs}}": "6: compare.time (70 s) is too short for one block; warm-up and window of 3 variants take 75 s",
}
PROBLEMS = {
    **{FULL.replace(*change): problem for change, problem in MISTAKES.items()},
    **{f"{LOAD}  {written}\n": problem for written, problem in MISTAKES_OF_LOAD.items()},
    **{SHORT + more: problem for more, problem in MISTAKES_BEYOND.items()},
    **dict.fromkeys(
        ("", "- question: Does it leak?\n", "leak\n"), "1: the file must hold keys such as question, stack, load"
    ),
}
LOADS = {
    "rate: 50/s": {"rate": Rate.steady(50), "users": 50},
    "rate: 5/s\n  arrivals: poisson": {"rate": Rate.steady(5, poisson=True)},
    "rate: 1/s for 10s, 2/s\n  users: 7": {"rate": Rate((Stretch(10, 1, 1), Stretch(math.inf, 2, 2))), "users": 7},
    "rate:\n    - 1/s for 10s\n    - 1/s to 9/s for 1m": {"rate": Rate((Stretch(10, 1, 1), Stretch(60, 1, 9)))},
    "rate: {file: rates.csv}": {"rate": Rate((Stretch(30, 5, 5), Stretch(math.inf, 8, 8)))},
    "users: 3\n  warmup: {until: stable}": {"stable": True, "warmup_s": 60.0},
    "users: 3\n  warmup: {until: stable, at_most: 2m}": {"stable": True, "warmup_s": 120.0},
    "users: 3\n  warmup: 10s": {"stable": False, "warmup_s": 10.0},
    **{f"users: 3\n  pinning: {word}": {"pinning": word.strip("'")} for word in ("on", "off", "auto", "'on'")},
}


def _load(file: Path, written: str, *settings: str) -> Load:
    return scenario_files.read(file, f"{LOAD}  {written}\n", *settings).load


def _parameters(file: Path, written: str, *settings: str) -> dict[str, str]:
    return dict(_load(file, f"users: 3\n  parameters: {written}", *settings).parameters)


@pytest.mark.parametrize(("text", "problem"), PROBLEMS.items(), ids=PROBLEMS.values())
def test_a_mistake_is_one_problem_in_plain_words(file: Path, text: str, problem: str) -> None:
    """With its line; without a second message, a regular expression, or the name of a library's class."""
    assert scenario_files.problems(file, text) == [problem]


@pytest.mark.parametrize(("written", "expected"), LOADS.items(), ids=list(LOADS))
def test_a_load_has_what_is_written_and_defaults(file: Path, written: str, expected: dict[str, object]) -> None:
    """A rate may be text, a list or a file; YAML 1.1 makes flags of `on` and `off`, which are words here."""
    load = _load(file, written)
    assert {name: getattr(load, name) for name in expected} == expected
    assert _load(file, "rate: [1/s]", "load.rate=3/s").rate == Rate.steady(3)


@pytest.mark.parametrize(
    "written", ["1.10", "0123", "1e3", "0x1F", "1_000", "2024-01-01", "12:30:00", "no", "'7'", "True", "false"]
)
def test_a_load_parameter_keeps_the_text_that_was_written(file: Path, written: str) -> None:
    """YAML would make 1.1, 83, 1000.0, 31, 1000, a date, 45000 and flags of the unquoted ones."""
    assert _parameters(file, f"{{tag: {written}}}") == {"tag": written.strip("'").replace("T", "t")}


@pytest.mark.parametrize("written", ["1.10", "0123", "a: b", "[x", "no", ""])
def test_a_load_parameter_of_the_command_line_is_plain_text(file: Path, written: str) -> None:
    """It is not read as YAML at all; a mapping of them replaces all."""
    parameters = _parameters(file, "{depth: 2}", f"load.parameters.registry-tag={written}")
    assert parameters == {"depth": "2", "registry-tag": written}
    assert _parameters(file, "{depth: 2}", "load.parameters={tag: 1.10}") == {"tag": "1.10"}


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


def _refused(file: Path, command: str, *words: str) -> UsageError:
    results = () if command == "validate" else ("--results", str(file.parent / "results"), "--quiet")
    done = CliRunner().invoke(cli.seatrial, [command, str(file), *results, *words], standalone_mode=False)
    assert isinstance(done.exception, UsageError), done.output
    assert not (file.parent / "results").exists()
    return done.exception


def test_each_replaced_file_has_to_exist(file: Path) -> None:
    """Both the one that is replaced and its replacement, in a level of the grid as in a variant."""
    assert scenario_files.problems(file, SHORT + "grid: {one: {a: {files: {x: y}}}}") == [
        "5: the stack has no file 'x'",
        "5: the stack has no file 'y'",
    ]


@pytest.mark.parametrize(("more", "problem"), NOT_COMPARABLE.items(), ids=NOT_COMPARABLE)
def test_validate_refuses_what_compare_would(file: Path, more: str, problem: str) -> None:
    """With the line; a scenario that is only read, for a plain run, is not refused for it."""
    assert scenario_files.read(file, SHORT + more).question
    assert _refused(file, "validate").what.splitlines()[1:] == [f"  {file}:{problem}"]


@pytest.mark.parametrize(
    "more", ["", TWO, f"{TWO}compare: {{time: 75s, design: runs}}", f"variants: {{{', '.join(THIRTY[1:])}}}"]
)
def test_what_can_be_compared_or_only_run_is_valid(file: Path, more: str) -> None:
    """A scenario without variants needs no comparison; thirty with the base are the most."""
    file.write_text(SHORT + more)
    done = CliRunner().invoke(cli.seatrial, ["validate", str(file)], standalone_mode=False)
    assert done.output.startswith(f"{file}: valid; variants: base")


def test_validate_refuses_a_parameter_of_a_variant_that_the_harness_sets(file: Path) -> None:
    """It would end the experiment in the middle of its first block."""
    file.write_text(f"{SHORT}variants: {{a: {{load: {{parameters: {{run-time: 5s}}}}}}}}")
    error = _refused(file, "validate")
    assert (error.where, error.seen) == ("load.parameters of the variant 'a'", "run-time")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("", "there is no variant ''; there are: base, a, b"),
        ("a, a", "compare.variants: a stands twice"),
        ("b]", "there is no variant 'b]'; did you mean b?"),
    ],
)
def test_the_variants_of_the_command_line_are_names_of_the_scenario(file: Path, names: str, problem: str) -> None:
    """An empty text does not stand for all of them, and a name is shown as it was written."""
    file.write_text(SHORT + TWO)
    error = _refused(file, "compare", "--variants", names)
    assert isinstance(error, ScenarioInvalid)
    assert error.what.splitlines()[1:] == [f"  on the command line: {problem}"]
