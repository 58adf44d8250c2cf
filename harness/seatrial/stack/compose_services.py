"""Services of a Compose configuration: which are meant to end, how many containers, which log files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seatrial.stack.compose_yaml import Config


def extension(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a service's `x-seatrial`, or nothing."""
    return service.get("x-seatrial") or {}


def once_services(config: Config) -> frozenset[str]:
    """Return the services that are meant to end: so declared, or waited for by another one."""
    waited_for = {
        name
        for service in config["services"].values()
        for name, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    declared = {
        name
        for name, service in config["services"].items()
        if (extension(service).get("local") or {}).get("kind") == "once"
    }
    return frozenset(waited_for | declared)


def expected_services(config: Config) -> dict[str, int]:
    """Return the services that have to run on, and how many containers each of them has."""
    once = once_services(config)
    counts = {}
    for name, service in config["services"].items():
        # `scale` and `deploy.replicas` are two spellings of the number of containers (Compose specification)
        scale, deployed = service.get("scale"), (service.get("deploy") or {}).get("replicas")
        given = deployed if scale is None else scale
        count = 1 if given is None else int(given)
        if name not in once and count > 0:
            counts[name] = count
    return counts


def log_files(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the declared log files inside the containers, by service."""
    return {name: tuple(extension(one).get("logs") or ()) for name, one in config["services"].items()}
