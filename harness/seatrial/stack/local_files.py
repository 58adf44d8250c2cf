"""Ports, folders and configuration files of the services of a local stack."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seatrial.errors import PortTaken, UsageError
from seatrial.model import StackSpec
from seatrial.stack.interpolation import names
from seatrial.stack.local_plan import MAIN, LocalService

Ports = Mapping[tuple[str, str], int]
"""The port on the loopback address, by service and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders of one service, and the values of the names in its entry."""

    service: LocalService
    data: Path
    config: Path
    known: Mapping[str, str]
    where: str

    def fill(self, text: str) -> str:
        """Fill in the names."""
        return names(text, self.known, where=self.where)


def free_ports(services: Sequence[LocalService], wanted: Mapping[tuple[str, str], int]) -> Ports:
    """Choose a free loopback port for each port of each service; PortTaken if a wanted one is not free."""
    chosen: dict[tuple[str, str], int] = {}
    with contextlib.ExitStack() as sockets:  # open until all are chosen, so that no two are the same
        for service in services:
            for name in service.ports:
                probe = sockets.enter_context(socket.socket())
                # As a server would bind it: connections in TIME_WAIT do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                port = wanted.get((service.name, name), 0)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    raise PortTaken(
                        f"the address 127.0.0.1:{port} is taken",
                        hint=f"`ss -ltnp 'sport = :{port}'` shows the program; end that, or publish another port",
                    ) from error
                chosen[service.name, name] = probe.getsockname()[1]
    return chosen


def place(service: LocalService, spec: StackSpec, ports: Ports) -> Place:
    """Make a service's folders, and put its configuration files there."""
    base = spec.work / "local"
    data, config, shared = base / "data" / service.name, base / "config" / service.name, base / "shared"
    for folder in (data, config, shared):
        folder.mkdir(parents=True, exist_ok=True)
    known = {
        **spec.environment,
        **_port_names(service, ports),
        "data": str(data.absolute()),
        "shared": str(shared.absolute()),
        "config": str(config.absolute()),
        "stack": str(spec.folder.absolute()),
    }
    where = f"{spec.compose_file}: services.{service.name}.x-seatrial.local"
    made = Place(service=service, data=data, config=config, known=known, where=where)
    _copy(made, spec)
    return made


def _port_names(service: LocalService, ports: Ports) -> dict[str, str]:
    """Return `NAME.PORT.port` and `NAME.port` of every service, and `PORT.port` and `port` of this one."""
    known: dict[str, str] = {}
    for (owner, name), port in ports.items():
        known.setdefault(f"{owner}.port", str(port))
        known[f"{owner}.{name}.port"] = str(port)
    for name in service.ports:
        known.setdefault("port", str(ports[service.name, name]))
        known.setdefault(f"{name}.port", str(ports[service.name, name]))
    return known


def _copy(made: Place, spec: StackSpec) -> None:
    texts = {}
    for name in made.service.local.files:
        source = (spec.folder / name).absolute()
        source = spec.variant.files.get(source, source)
        try:
            texts[name] = source.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError("a configuration file can't be read", where=made.where, seen=str(error)) from error
    for old, new in made.service.local.replace.items():
        sought, replacement = old.replace("$$", "$"), made.fill(new)
        if not any(sought in text for text in texts.values()):
            raise UsageError(
                f"{sought!r} is to be replaced, but no file has it",
                where=made.where,
                seen=f"looked in {', '.join(texts) or 'no file'}",
                hint="the file, or the entry under `replace`, has changed without the other",
            )
        texts = {name: text.replace(sought, replacement) for name, text in texts.items()}
    for name, text in texts.items():
        copied = made.config / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(text, encoding="utf-8")
        shutil.copymode(spec.folder / name, copied)


def door_port(services: Sequence[LocalService], spec: StackSpec) -> tuple[str, str] | None:
    """Return which port of which service is the front door; the main one if none has its number."""
    door = spec.front_door
    if door is None:
        return None
    service = next(one for one in services if one.name == door.service)
    for name, number in service.ports.items():
        if number == door.port:
            return service.name, name
    if not service.ports:
        raise UsageError(
            f"the front door {service.name!r} has no port in its `local` entry", where=str(spec.compose_file)
        )
    return service.name, next(iter(service.ports), MAIN)
