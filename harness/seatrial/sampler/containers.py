"""Opens the best source that this host has for a container: its cgroup files, else the Docker API."""

from __future__ import annotations

import os
from pathlib import Path

from docker import APIClient, DockerClient
from docker.context import ContextAPI
from docker.errors import APIError

from seatrial.sampler.cgroup import Cgroup1
from seatrial.sampler.cgroup2 import Cgroup2
from seatrial.sampler.docker_api import DockerApi
from seatrial.sampler.locate import Places, locate
from seatrial.sampler.reading_ import Source

_TIMEOUT_S = 10


def connect() -> APIClient:
    """Return a client for the engine that the `docker` command would ask; each thread takes one of its own.

    That is DOCKER_HOST, or else the current context, which `from_env` knows only in the SDK's newer versions.
    """
    context = None if os.environ.get("DOCKER_HOST") else ContextAPI.get_current_context()
    if context is None:
        return DockerClient.from_env(timeout=_TIMEOUT_S).api
    return DockerClient(base_url=str(context.Host), timeout=_TIMEOUT_S, tls=context.TLSConfig).api


def open_container(client: APIClient, container: str, *, root: Path = Path("/")) -> Source | None:
    """Open `container`; None if it does not exist, or does not run."""
    try:
        found = client.inspect_container(container)
        pid = int(found["State"]["Pid"])
        if pid == 0:
            return None
        return files_of(locate(found["Id"], pid, root=root)) or DockerApi(client, container)
    except APIError:
        return None


def files_of(places: Places | None) -> Source | None:
    """Open the cgroup files; None where they are not to be found or not to be read."""
    if places is None:
        return None
    try:
        return Cgroup1(places) if places.version == 1 else Cgroup2(places)
    except OSError:
        return None
