"""The route from this host to the front door of a stack in containers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from seatrial.errors import StackFailed
from seatrial.model import FrontDoor
from seatrial.stack.daemon import daemon_address, daemon_host, talking
from seatrial.stack.processes_ import PROC

_CONNECT_S = 1.0
_HTTP = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The address for the load (`url`), how it is reached, the address for people; empty without a front door."""

    url: str = ""
    via: str = ""
    public_url: str = ""


def reachable(address: str, port: int) -> bool:
    """Return whether packets get to a container of this host.

    A refusal is an answer, too: the service may not listen yet.
    """
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_S):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def find_route(
    inspected: Mapping[str, Any],
    door: FrontDoor,
    *,
    daemon_host: str,
    is_local: bool,
    can_reach: Callable[[str, int], bool] = reachable,
) -> Route:
    """Prefer the container's own address: a published port costs the load a userland copy of every byte.

    The address of another host's container means nothing here, so it is tried only where `is_local`.
    StackFailed if the container has neither an address that can be reached nor a published port.
    """
    settings = inspected["NetworkSettings"]
    if inspected.get("HostConfig", {}).get("NetworkMode") == "host":
        url = _url(daemon_host, door.port)
        return Route(url=url, via="loopback", public_url=url)
    published = _published(settings, door.port, daemon_host)
    addresses = [net["IPAddress"] for net in settings["Networks"].values() if net.get("IPAddress")]
    for address in addresses if is_local else ():
        if can_reach(address, door.port):
            own = _url(address, door.port)
            return Route(url=own, via="container address", public_url=published or own)
    if not published:
        raise StackFailed(
            f"this host can't reach the front door {door.service}:{door.port}",
            seen=f"container addresses {addresses}, no published port",
            hint=f'publish it: `ports: ["127.0.0.1::{door.port}"]`',
        )
    return Route(url=published, via="published port", public_url=published)


def is_of_this_host(
    inspected: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    release: str = os.uname().release,
    proc: Path = PROC,
) -> bool:
    """Return whether a container runs on this very host, in a network that this host is part of.

    A local socket proves nothing: the daemon of a virtual machine or of another host may be behind it. The daemon
    has to report this kernel's release, and the container's process has to exist here: /proc/PID/cgroup holds the
    container's id (cgroups(7)). A rootless daemon's networks are not this host's.
    """
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    if rootless or info.get("KernelVersion") != release:
        return False
    try:
        groups = (proc / str(inspected["State"]["Pid"]) / "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return inspected["Id"] in groups


def route_to(client: docker.DockerClient, inspected: Mapping[str, Any], door: FrontDoor) -> Route:
    """Find the route to the front door of a stack on the daemon of `client`."""
    with talking("asking where it is"):
        info = client.info()
    return find_route(
        inspected,
        door,
        daemon_host=daemon_host(daemon_address()),
        is_local=is_of_this_host(inspected, info),
    )


def _published(settings: Mapping[str, Any], port: int, daemon_host: str) -> str:
    bindings = (settings.get("Ports") or {}).get(f"{port}/tcp") or []
    return _url(daemon_host, int(bindings[0]["HostPort"])) if bindings else ""


def _url(host: str, port: int) -> str:
    return f"http://{host}" if port == _HTTP else f"http://{host}:{port}"
