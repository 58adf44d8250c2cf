"""Readiness of a stack: the route to its front door, HTTP probes, and the seeding command."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests

from seatrial.errors import NotReady, SeedFailed, StackFailed
from seatrial.model import FrontDoor, Probe, Stack, StackSpec
from seatrial.stack.containers import daemon_address, daemon_host, docker_errors
from seatrial.stack.processes import PROC, Job, ProcessGuard, run_guarded
from seatrial.wire.redaction import Redactor

AGENT = "seatrial-probe"
_CONNECT_S = 1.0
_HTTP_PORT = 80
_IN_A_ROW = 3
_PAUSE_S = 0.1
_ANSWER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The load's address (`url`), how it is reached, and the address for people; empty without a front door."""

    url: str = ""
    via: str = ""
    public_url: str = ""


def reachable(address: str, port: int) -> bool:
    """Return whether packets reach a container of this host.

    A refusal is an answer, too: the service may not listen yet.
    """
    try:
        socket.create_connection((address, port), timeout=_CONNECT_S).close()
    except OSError as error:
        return isinstance(error, ConnectionRefusedError)
    return True


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
    bindings = (settings.get("Ports") or {}).get(f"{door.port}/tcp")
    published = _url(daemon_host, int(bindings[0]["HostPort"])) if bindings else ""
    addresses = [net["IPAddress"] for net in settings["Networks"].values() if net.get("IPAddress")]
    for address in addresses if is_local else ():
        if can_reach(address, door.port):
            url = _url(address, door.port)
            return Route(url=url, via="container address", public_url=published or url)
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
    """Return whether a container runs on this host, in a network that this host is part of.

    A local socket proves nothing: the daemon of a virtual machine or of another host may be behind it. The daemon
    has to report this kernel's release, and the container's process has to exist here: /proc/PID/cgroup holds the
    container's id (cgroups(7)). A rootless daemon has networks of its own.
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
    with docker_errors("asking where it is"):
        is_local = is_of_this_host(inspected, client.info())
    return find_route(inspected, door, daemon_host=daemon_host(daemon_address()), is_local=is_local)


def _url(host: str, port: int) -> str:
    return f"http://{host}" if port == _HTTP_PORT else f"http://{host}:{port}"


def await_ready(
    url: str,
    probes: tuple[Probe, ...],
    *,
    watch: Callable[[], None],
    report: Callable[[], str],
    ask: Callable[[str], int] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Try each probe until it succeeds three times in a row; NotReady when its time is over.

    `watch` is called before each try and may raise; `report` returns the services' states for the error. `ask`
    gets an address and returns the status, or raises OSError (which requests' errors are).
    """
    with requests.Session() as session:
        session.trust_env = False  # a proxy can't reach the stack
        session.headers["User-Agent"] = AGENT

        def status_of(address: str) -> int:
            with session.get(address, allow_redirects=False, timeout=_ANSWER_S, stream=True) as answer:
                return answer.status_code

        for probe in probes:
            started = clock()
            successes, last = 0, "nothing"
            while successes < _IN_A_ROW:
                watch()
                waited_s = clock() - started
                if waited_s > probe.within_s:
                    raise NotReady(
                        f"the stack is not ready after {waited_s:.0f} s",
                        where=f"GET {url}{probe.path}",
                        seen=f"{last}\n{report()}",
                        expected=f"{probe.expect}, {_IN_A_ROW} times in a row, within {probe.within_s:g} s",
                        hint="raise `within`, or correct what the log reports",
                    )
                try:
                    status = (ask or status_of)(url + probe.path)
                    successes = successes + 1 if status == probe.expect else 0
                    last = f"status {status}"
                except OSError as error:
                    successes, last = 0, _short(error)
                sleep(_PAUSE_S)


def _short(error: OSError) -> str:
    text = str(error)
    for known in ("Connection refused", "timed out", "Connection reset", "No route to host"):
        if known in text:
            return known.lower()
    return f"{type(error).__name__}: {text}"


def seed(
    spec: StackSpec,
    stack: Stack,
    command: tuple[str, ...],
    catalogue: Path,
    guard: ProcessGuard,
    timeout_s: float = 300,
) -> None:
    """Run the seeding command in the stack folder, with the spec's environment, which holds the secrets.

    SEATRIAL_FRONT_DOOR (empty without one) and SEATRIAL_CATALOGUE are set for it; `python` as the first word means
    this interpreter. SeedFailed if the command can't be started, fails, runs longer than `timeout_s`, or writes no
    catalogue.
    """
    if not command:
        return
    spec.logs.mkdir(parents=True, exist_ok=True)
    job = Job(
        argv=(sys.executable, *command[1:]) if command[0] == "python" else command,
        cwd=spec.folder,
        env={
            **os.environ,
            **spec.environment,
            "SEATRIAL_FRONT_DOOR": stack.url,
            "SEATRIAL_CATALOGUE": str(catalogue.absolute()),
            "NO_PROXY": ",".join(stack.addresses),  # a proxy can't reach the stack
            "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into the stack folder
            "PYTHONUNBUFFERED": "1",
        },
        redactor=Redactor(spec.environment),
        log=spec.logs / "seed.log",
        deadline_s=timeout_s,
    )
    try:
        ended = run_guarded(job, guard)
    except OSError as error:
        raise SeedFailed("the seeding command can't be started", where=command[0], seen=str(error)) from error
    where = " ".join(command)
    if ended.code != 0:
        failed = f"failed with exit code {ended.code}"
        raise SeedFailed(
            f"seeding {f'did not end within {timeout_s:g} s' if ended.code is None else failed}",
            where=where,
            seen=ended.tail() or "it wrote nothing",
            hint=f"SEATRIAL_FRONT_DOOR={stack.url}; the whole log is {job.log}",
        )
    if not catalogue.is_file():
        expected = f"the file {catalogue} ($SEATRIAL_CATALOGUE)"
        raise SeedFailed("seeding wrote no catalogue", where=where, expected=expected)
