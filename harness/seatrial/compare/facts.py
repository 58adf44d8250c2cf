"""Facts about the environment and the subject of runs, and their differences.

Environment facts are where and with what was measured: host, engine, storage driver, load, seed, schema. Subject
facts are what was under test: images, variant, Compose file, commit. An environment fact that is unknown on one
side is taken as equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

ENVIRONMENT = ("host", "engine", "storage driver", "load", "seed", "schema")
"""The environment facts; all but the schema can be declared to vary."""
_HOST = (
    *("architecture", "kernel", "cpu_model", "cores", "cores_usable", "memory_total_bytes"),
    *("cgroup_version", "governor", "virtual"),
)
_ENGINE = (
    *("engine_version", "compose", "cgroup_driver", "engine_cgroup_version"),
    *("engine_cores", "rootless", "via"),
)
_GENERATOR = ("locust", "gevent", "greenlet")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that differs, with both sides as text; `fact` is a name of `ENVIRONMENT`, or of the subject."""

    fact: str
    detail: str
    there: str
    here: str

    @property
    def name(self) -> str:
        """The fact, with the part that differs where it has parts."""
        return f"{self.fact}: {self.detail}" if self.detail else self.fact


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one run: by name, each a mapping of its details."""

    environment: Mapping[str, Mapping[str, Any]]
    subject: Mapping[str, Mapping[str, Any]]


def differing(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return the names whose values differ, or that only one side has."""
    return [name for name in dict.fromkeys((*there, *here)) if there.get(name) != here.get(name)]


def facts_of(values: Mapping[str, Any]) -> Facts:
    """Read the facts of a run from the values of its run.json."""
    recorded = values.get("facts") or {}
    environment, subject = recorded.get("environment") or {}, recorded.get("subject") or {}
    pinning = environment.get("pinning") or {}
    host, engine = environment.get("host") or {}, environment.get("engine") or {}
    scenario = values.get("scenario") or {}
    packages = host.get("packages") or {}
    variant = (scenario.get("variants") or {}).get(values.get("variant"), {})
    load = _load(environment.get("load") or scenario.get("load") or {})
    seeded = " ".join(scenario.get("seed") or ()) if scenario else None
    return Facts(
        environment={
            "host": {name: host.get(name) for name in _HOST},
            "engine": {"name": values.get("engine") or None} | {name: engine.get(name) for name in _ENGINE},
            "storage driver": {"": engine.get("storage_driver")},
            "load": {
                **load,
                "python": host.get("python"),
                **{name: packages.get(name) for name in _GENERATOR},
                "cores of the generator": pinning.get("generator"),
                "cores of the stack": pinning.get("stack"),
            },
            "seed": {"": environment.get("seed"), "seeding": seeded},
            "schema": {"": values.get("schema_version")},
        },
        subject={
            "commit": {"": subject.get("git_commit")},
            "image": dict(subject.get("images") or {}),
            "variant": {"": values.get("variant")} | _flat(variant),
            "Seatrial": {"": packages.get("seatrial")},
        },
    )


def environment_differences(there: Facts, here: Facts) -> tuple[Difference, ...]:
    """Return the environment facts that are known on both sides and differ."""
    return tuple(_differences(there.environment, here.environment, one_sided=False))


def subject_differences(there: Facts, here: Facts) -> tuple[Difference, ...]:
    """Return the differences of what was under test; an image or a change that only one side has counts too."""
    return tuple(_differences(there.subject, here.subject, one_sided=True))


def _differences(
    there: Mapping[str, Mapping[str, Any]], here: Mapping[str, Mapping[str, Any]], *, one_sided: bool
) -> Iterator[Difference]:
    for fact, details in there.items():
        other = here.get(fact, {})
        for detail in dict.fromkeys((*details, *other)):
            old, new = details.get(detail), other.get(detail)
            if old != new and (one_sided or None not in (old, new)):
                yield Difference(fact, detail, _shown(old), _shown(new))


def _load(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return a load's details; of its file the name, as checkouts lie in different places."""
    if not load:
        return {}
    details = {name: value for name, value in load.items() if name not in {"locustfile", "parameters", "rate"}}
    rate = load.get("rate")
    details["rate"] = None if rate is None else f"{rate['text']}{' at random' if rate.get('poisson') else ''}"
    details["model"] = "closed" if rate is None else "open"
    details["locustfile"] = PurePath(str(load.get("locustfile", ""))).name
    return details | {f"parameter {name}": value for name, value in (load.get("parameters") or {}).items()}


def _flat(node: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        place = f"{at}.{key}" if at else str(key)
        flat |= _flat(value, place) if isinstance(value, Mapping) else {place: value}
    return flat


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
