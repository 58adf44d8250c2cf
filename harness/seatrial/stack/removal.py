"""Objects with our labels: found, and removed by id; never by name, and never with `prune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import docker
from docker.errors import APIError, NotFound

from seatrial.stack.daemon import PROJECT
from seatrial.stack.ownership import RUN

_CONFLICT = 409


class Kind(StrEnum):
    """A kind of Docker object, in the order in which they have to be removed."""

    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One container, network or volume with a label of ours."""

    kind: Kind
    id: str
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def labelled(client: docker.DockerClient, label: str = RUN) -> list[Labelled]:
    """Return all that carries the label (`key` or `key=value`), containers first, volumes last."""
    only = {"label": label}
    containers: list[dict[str, Any]] = client.api.containers(all=True, filters=only)
    networks: list[dict[str, Any]] = client.api.networks(filters=only)
    volumes: list[dict[str, Any]] = client.api.volumes(filters=only)["Volumes"] or []
    return [
        *(_labelled(Kind.CONTAINER, one, one["Id"], one["Names"][0].lstrip("/")) for one in containers),
        *(_labelled(Kind.NETWORK, one, one["Id"], one["Name"]) for one in networks),
        *(_labelled(Kind.VOLUME, one, one["Name"], one["Name"]) for one in volumes),
    ]


def remove_thing(client: docker.DockerClient, thing: Labelled) -> str:
    """Remove one thing, running or not; return what prevented it, or an empty text if it is gone."""
    try:
        match thing.kind:
            case Kind.CONTAINER:
                client.api.remove_container(thing.id, force=True, v=True)
            case Kind.NETWORK:
                client.api.remove_network(thing.id)
            case Kind.VOLUME:
                client.api.remove_volume(thing.id, force=True)
    except NotFound:
        return ""
    except APIError as error:
        if error.status_code == _CONFLICT and "already in progress" in str(error):
            return ""  # another process removes it just now
        return f"{thing}: {error.explanation or error}"
    return ""


def remove_all(
    client: docker.DockerClient, run_id: str, *, project: str | None = None
) -> tuple[list[str], list[str]]:
    """Remove what a run (or one of its projects) created; return what was removed, and the problems."""
    removed: list[str] = []
    problems: list[str] = []
    for thing in labelled(client, f"{RUN}={run_id}"):
        if project is None or thing.labels.get(PROJECT) == project:
            problem = remove_thing(client, thing)
            (problems if problem else removed).append(problem or str(thing))
    return removed, problems


def _labelled(kind: Kind, shown: Mapping[str, Any], identity: str, name: str) -> Labelled:
    return Labelled(kind=kind, id=identity, name=name, labels=shown.get("Labels") or {})
