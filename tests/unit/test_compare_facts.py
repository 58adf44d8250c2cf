"""Which facts of two runs have to be equal, and which are the difference that is compared."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from seatrial.compare import facts
from seatrial.errors import Incomparable
from seatrial.experiment import baseline

RUN: dict[str, Any] = {
    "engine": "compose",
    "schema_version": 3,
    "variant": "base",
    "scenario": {"seed": ["python", "seed.py"], "variants": {"base": {"compose": {"services": {"a": 1}}}}},
    "facts": {
        "subject": {"git_commit": "abc", "images": {"web": "sha256:1"}},
        "environment": {
            "seed": 1,
            "host": {"cpu_model": "x", "kernel": "6.1", "boot_id": "b1", "packages": {"locust": "2.43"}},
            "engine": {"engine_version": "20", "storage_driver": "overlay2"},
            "load": {"users": 2, "locustfile": "/here/drive.py", "rate": None, "parameters": {"wait": "1"}},
            "pinning": {"generator": [1], "stack": [0]},
        },
    },
}


def _changed(*place: str, to: object) -> dict[str, Any]:
    values = copy.deepcopy(RUN)
    node: Any = values
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = to
    return values


ENVIRONMENT = ("facts", "environment")


@pytest.mark.parametrize(
    ("place", "to", "told"),
    [
        ((*ENVIRONMENT, "host", "cpu_model"), "y", ["host: cpu_model: x, y"]),
        ((*ENVIRONMENT, "host", "boot_id"), "b2", []),
        ((*ENVIRONMENT, "engine", "storage_driver"), "vfs", ["storage driver: overlay2, vfs"]),
        ((*ENVIRONMENT, "engine"), {}, []),
        ((*ENVIRONMENT, "engine", "engine_version"), "29", ["engine: engine_version: 20, 29"]),
        (("engine",), "local", ["engine: name: compose, local"]),
        ((*ENVIRONMENT, "load", "users"), 3, ["load: users: 2, 3"]),
        ((*ENVIRONMENT, "load", "parameters"), {"wait": "2"}, ["load: parameter wait: 1, 2"]),
        ((*ENVIRONMENT, "load", "locustfile"), "/there/drive.py", []),
        ((*ENVIRONMENT, "load", "locustfile"), "/here/other.py", ["load: locustfile: drive.py, other.py"]),
        ((*ENVIRONMENT, "load", "rate"), {"text": "5/s", "poisson": False}, ["load: model: closed, open"]),
        ((*ENVIRONMENT, "host", "packages"), {"locust": "2.44"}, ["load: locust: 2.43, 2.44"]),
        ((*ENVIRONMENT, "pinning", "stack"), [0, 1], ["load: cores of the stack: [0], [0, 1]"]),
        ((*ENVIRONMENT, "seed"), 2, ["seed: 1, 2"]),
        (("scenario", "seed"), ["python", "other.py"], ["seed: seeding: python seed.py, python other.py"]),
        (("schema_version",), 2, ["schema: 3, 2"]),
        (("facts", "subject", "images"), {"web": "sha256:2"}, []),
    ],
)
def test_an_environment_that_differs_is_told(place: tuple[str, ...], to: object, told: list[str]) -> None:
    """Both sides in words; where a file lies, when the host was started, and what one side lacks is none."""
    found = facts.environment_differences(facts.facts_of(RUN), facts.facts_of(_changed(*place, to=to)))
    assert [f"{one.name}: {one.there}, {one.here}" for one in found] == told


def test_what_is_under_test_is_listed_as_the_difference() -> None:
    """Images, commit and the variant's changes; one that only one side has counts."""
    here = _changed("facts", "subject", to={"git_commit": "def", "images": {"web": "sha256:2", "db": "sha256:3"}})

    found = facts.subject_differences(facts.facts_of(RUN), facts.facts_of(here))

    assert [(one.name, one.there, one.here) for one in found] == [
        ("commit", "abc", "def"),
        ("image: web", "sha256:1", "sha256:2"),
        ("image: db", "none", "sha256:3"),
    ]


def test_another_environment_is_refused_unless_the_difference_was_declared() -> None:
    """Exit code 6, both values; a scenario may ask about that very fact."""
    there, here = facts.facts_of(RUN), facts.facts_of(_changed(*ENVIRONMENT, "host", "kernel", to="6.12"))
    with pytest.raises(Incomparable) as caught:
        baseline.refuse_incomparable(there, here, (), "results/old")
    assert caught.value.exit_code == 6
    assert caught.value.seen == "host: kernel: 6.1 there, 6.12 here"
    assert baseline.refuse_incomparable(there, here, ("host",), "old") == ("host",)
