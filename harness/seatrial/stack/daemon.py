"""The connection to the Docker daemon that the `docker` command would use, always with a timeout."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import docker
from docker.context import Context, ContextAPI
from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable, StackFailed

PROJECT = "com.docker.compose.project"
"""The label by which Compose marks what belongs to a project."""

_UNIX = "unix://"
PING_S = 5
ANSWER_S = 10
_HINT = "start it (`systemctl start docker`), or use `--engine local`; `seatrial doctor` shows what is missing"


def daemon_address() -> str:
    """Return where the daemon listens: DOCKER_HOST, or else the current context of the `docker` command."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    context: Context | None = ContextAPI.get_current_context()
    return "unix:///var/run/docker.sock" if context is None else str(context.Host)


def daemon_host(address: str) -> str:
    """Return the host on which the daemon publishes ports; 127.0.0.1 for a local socket."""
    parts = urlsplit(address)
    return "127.0.0.1" if parts.scheme in {"unix", "npipe", ""} else parts.hostname or "127.0.0.1"


def connect(*, timeout_s: int = ANSWER_S) -> docker.DockerClient:
    """Return a client of a daemon that has just answered; EngineUnavailable if none does within `timeout_s`."""
    address = daemon_address()
    context: Context | None = ContextAPI.get_current_context()
    try:
        if address.startswith(_UNIX):  # where that fails, the SDK would leave an open socket behind
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(timeout_s)
                probe.connect(address.removeprefix(_UNIX))
        if os.environ.get("DOCKER_HOST") or context is None:
            client = docker.from_env(timeout=timeout_s)
        else:
            client = docker.DockerClient(base_url=address, timeout=timeout_s, tls=context.TLSConfig)
        with ExitStack() as on_failure:
            on_failure.callback(client.close)
            client.ping()
            on_failure.pop_all()
    except (DockerException, RequestException, OSError) as error:
        raise EngineUnavailable(
            "no Docker daemon answers",
            where=address,
            seen=_reason(error),
            expected=f"an answer within {timeout_s} s",
            hint=_HINT,
        ) from error
    return client


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


def shares_this_host(
    client: docker.DockerClient, *, address: Callable[[], str] = daemon_address, kernel: str = os.uname().release
) -> bool:
    """Return whether the daemon's containers run on this host's cores, so that its core numbers mean the same.

    A daemon behind a Unix socket may still sit in a virtual machine of its own, with a kernel of its own.
    """
    if not address().startswith(_UNIX):
        return False
    with talking("asking for its kernel"):
        return bool(client.info().get("KernelVersion") == kernel)


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
