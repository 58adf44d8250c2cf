"""What a request costs, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Settings:
    """The set costs; 0 switches one off.

    `work_rounds` is CPU in units of work, not of time. `hold_mib` is memory of each worker, `leak_kib` what each
    request leaves. Each `fail_every`-th request of a worker fails at once, without work. `service_ms` is how long
    a request for /wait keeps its worker.
    """

    work_rounds: int = 0
    hold_mib: int = 0
    leak_kib: int = 0
    fail_every: int = 0
    service_ms: int = 0


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read WORK_ROUNDS, SERVICE_MS and so on; ValueError where one is no whole number from 0."""
    return Settings(**{field.name: _count(field.name.upper(), environment) for field in fields(Settings)})


def _count(name: str, environment: Mapping[str, str]) -> int:
    text = environment.get(name) or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}; expected a whole number from 0")
    return int(text)
