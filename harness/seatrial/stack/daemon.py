"""The connection to the Docker daemon that the `docker` command would use, always with a timeout."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import docker
from docker.context import Context, ContextAPI
from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable, StackFailed

_UNIX = "unix://"
PING_S = 5
ANSWER_S = 10
_HINT = "start it (`systemctl start docker`), or use `--engine local`; `seatrial doctor` tells more"


def daemon_address() -> str:
    """Return where the daemon listens: DOCKER_HOST, or else the current context of the `docker` command."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    context = _context()
    return "unix:///var/run/docker.sock" if context is None else str(context.Host)


def daemon_host(address: str) -> str:
    """Return the host on which the daemon publishes ports; 127.0.0.1 for a local socket."""
    parts = urlsplit(address)
    return "127.0.0.1" if parts.scheme in {"unix", "npipe", ""} else parts.hostname or "127.0.0.1"


def connect(*, timeout_s: int = ANSWER_S) -> docker.DockerClient:
    """Return a client of a daemon that has just answered; EngineUnavailable if none does within `timeout_s`."""
    address = daemon_address()
    context = _context()
    try:
        _knock(address, timeout_s)
        if os.environ.get("DOCKER_HOST") or context is None:
            client = docker.from_env(timeout=timeout_s)
        else:
            client = docker.DockerClient(base_url=address, timeout=timeout_s, tls=context.TLSConfig)
        with _closed_on_failure(client):
            client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise EngineUnavailable(
            "no Docker daemon answers",
            where=address,
            seen=_reason(error),
            expected=f"an answer within {timeout_s} s",
            hint=_HINT,
        ) from error
    return client


def _knock(address: str, timeout_s: int) -> None:
    """Connect once ourselves: where that fails, the SDK would leave an open socket behind."""
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(timeout_s)
            probe.connect(address.removeprefix(_UNIX))


@contextmanager
def _closed_on_failure(client: docker.DockerClient) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.close()
        raise


def _context() -> Context | None:
    return ContextAPI.get_current_context()


def daemon_facts(client: docker.DockerClient) -> dict[str, str]:
    """Return what the daemon is, as facts of a run."""
    with talking("asking for its version"):
        version, info = client.version(), client.info()
    return {
        "docker": version["Version"],
        "docker_api": version["ApiVersion"],
        "storage_driver": info["Driver"],
        "cgroup_version": info.get("CgroupVersion", "1"),  # engines before 20.10 knew only the first
    }


@contextmanager
def talking(doing: str) -> Iterator[None]:
    """Turn what the SDK raises while `doing` something into our errors."""
    try:
        yield
    except RequestException as error:
        raise EngineUnavailable(
            f"the Docker daemon stopped answering while {doing}",
            where=daemon_address(),
            seen=_reason(error),
            hint=_HINT,
        ) from error
    except DockerException as error:
        raise StackFailed(f"Docker refused while {doing}", seen=str(error)) from error


def _reason(error: BaseException) -> str:
    text = str(error)
    if "timed out" in text or "Timeout" in type(error).__name__:
        return "the connection was accepted, but no answer came"
    if "No such file" in text or "FileNotFoundError" in text:
        return "the socket does not exist"
    if "Connection refused" in text or "ConnectionRefusedError" in text:
        return "connection refused: nothing listens there"
    if "Permission denied" in text or "PermissionError" in text:
        return "permission denied (is this user in the group `docker`?)"
    return text
