"""The local engine: services as processes of this host, without containers."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from seatrial.errors import EngineUnavailable, NotReady, PortTaken, ServiceExited, StackFailed, UsageError
from seatrial.model import EngineName, Say, Service, Stack, StackControl, StackSpec
from seatrial.stack.local_plan import LocalService, names, plan
from seatrial.stack.logs import write_clean
from seatrial.stack.processes import ProcessGuard, on_cores, shielded
from seatrial.stack.readiness import await_ready
from seatrial.wire.redaction import Redactor

Ports = Mapping[tuple[str, str], int]
"""The port on the loopback address, by service and name."""
_ONCE_S = 60.0
_GRACE_S = 3.0
_SETTLE_S = 0.5
_LAST_LINES = 50
_PIECE_BYTES = 1 << 16
_MORE_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # where servers are, but not in every user's PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFolder:
    """The folders of one service, and the values of the names in its entry."""

    service: LocalService
    data: Path
    config: Path
    known: Mapping[str, str]

    @property
    def log_files(self) -> tuple[str, ...]:
        """The log files that the entry declares."""
        return tuple(map(self.fill, self.service.local.logs))

    def fill(self, text: str) -> str:
        """Fill in the names."""
        return names(text, self.known, where=self.service.where)


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


def service_folder(service: LocalService, spec: StackSpec, ports: Ports) -> ServiceFolder:
    """Make a service's folders, and put its configuration files there."""
    base = spec.work / "local"
    data, config, shared = base / "data" / service.name, base / "config" / service.name, base / "shared"
    for path in (data, config, shared):
        path.mkdir(parents=True, exist_ok=True)
    known = {
        **spec.environment,
        **_port_names(service, ports),
        "data": str(data.absolute()),
        "shared": str(shared.absolute()),
        "config": str(config.absolute()),
        "stack": str(spec.folder.absolute()),
    }
    folder = ServiceFolder(service=service, data=data, config=config, known=known)
    _copy_files(folder, spec)
    return folder


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


def _copy_files(folder: ServiceFolder, spec: StackSpec) -> None:
    """Copy the configuration files, with the entry's replacements made in them."""
    where, local = folder.service.where, folder.service.local
    texts = {}
    for name in local.files:
        source = (spec.folder / name).absolute()
        source = spec.variant.files.get(source, source)
        try:
            texts[name] = source.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError("a configuration file can't be read", where=where, seen=str(error)) from error
    for old, new in local.replace.items():
        sought, replacement = old.replace("$$", "$"), folder.fill(new)
        if not any(sought in text for text in texts.values()):
            raise UsageError(
                f"{sought!r} is to be replaced, but no file has it",
                where=where,
                seen=f"looked in {', '.join(texts) or 'no file'}",
                hint="the file, or the entry under `replace`, has changed without the other",
            )
        texts = {name: text.replace(sought, replacement) for name, text in texts.items()}
    for name, text in texts.items():
        copy = folder.config / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        shutil.copymode(spec.folder / name, copy)


def door_port(services: Sequence[LocalService], spec: StackSpec) -> tuple[str, str] | None:
    """Return which port of which service is the front door; the main one if none has its number."""
    door = spec.front_door
    if door is None:
        return None
    ports = next(service.ports for service in services if service.name == door.service)
    if not ports:
        what = f"the front door {door.service!r} has no port in its `local` entry"
        raise UsageError(what, where=str(spec.compose_file))
    return door.service, next((name for name, number in ports.items() if number == door.port), next(iter(ports)))


@contextmanager
def running(spec: StackSpec, guard: ProcessGuard, say: Say) -> Iterator[Stack]:
    """Start the services in order, wait until the stack is ready, and end them when the context ends.

    Processes can't be kept as containers can: a kept stack, too, ends with the context.
    """
    services = plan(spec)
    programs = find_programs(services, spec)
    door = door_port(services, spec)
    ports = free_ports(services, {} if door is None else {door: spec.port})
    guard.delete_on_crash(spec.work)
    for folder in (spec.work, spec.logs):
        folder.mkdir(parents=True, exist_ok=True)
    engine = _Engine(spec=spec, guard=guard, say=say, redactor=Redactor(spec.environment))
    try:
        for service in services:
            engine.start(service_folder(service, spec, ports), programs[service.name])
        url = "" if door is None else f"http://127.0.0.1:{ports[door]}"
        if url:
            say(f"waiting until {url} is ready")
            await_ready(url, spec.probes, watch=engine.watch, report=engine.report)
        else:  # a service that crashes at its start still runs when it was just started
            time.sleep(_SETTLE_S)
            engine.watch()
        yield engine.stack(url, programs)
    finally:
        with shielded():
            engine.take_down()


def find_programs(services: Sequence[LocalService], spec: StackSpec) -> dict[str, str]:
    """Return the path of each service's program; EngineUnavailable names all that are missing."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_MORE_PATH}"
    programs = {one.name: shutil.which(one.local.command[0], path=path) for one in services}
    missing = [one for one in services if programs[one.name] is None]
    if missing:
        packages = sorted({one.local.package or Path(one.local.command[0]).name for one in missing})
        raise EngineUnavailable(
            "the local engine lacks server programs",
            where=str(spec.compose_file),
            seen=f"not found: {', '.join(sorted({one.local.command[0] for one in missing}))}",
            hint=f"apt-get install --no-install-recommends {' '.join(packages)}; or use `--engine compose`",
        )
    return {name: program for name, program in programs.items() if program is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    name: str
    folder: ServiceFolder
    program: str
    child: subprocess.Popen[bytes]
    output: Path

    def as_service(self) -> Service:
        """Return the service to be sampled."""
        return Service(name=self.name, pid=self.child.pid, log_files=self.folder.log_files)


@dataclass(slots=True, kw_only=True)
class _Engine(StackControl):
    spec: StackSpec
    guard: ProcessGuard
    say: Say
    redactor: Redactor
    started: list[_Process] = field(default_factory=list)

    def start(self, folder: ServiceFolder, program: str) -> None:
        """Start a service; a one-shot service is waited for."""
        self.say(f"starting {folder.service.name}")
        process = self._spawned(folder, program)
        self.started.append(process)
        if folder.service.is_once:
            try:
                process.child.wait(timeout=_ONCE_S)
            except subprocess.TimeoutExpired as error:
                what = f"service {process.name!r} did not end within {_ONCE_S:.0f} s"
                raise NotReady(what, seen=self._tail(process, 20)) from error
            self.watch()

    def _spawned(self, folder: ServiceFolder, program: str) -> _Process:
        """Start a service's process; what it writes is appended to its output."""
        service = folder.service
        output = self.spec.work / "local" / f"{service.name}.out"
        with output.open("ab") as out:
            child = on_cores(self.guard.spawn, self.spec.cores)(
                [program, *map(folder.fill, service.local.command[1:])],
                env={  # as in a container: nothing of our own environment, which may hold anything
                    "PATH": f"{os.environ['PATH']}:{_MORE_PATH}",
                    "HOME": str(folder.data.absolute()),
                    "LANG": "C.UTF-8",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **service.environment,
                    **{name: folder.fill(value) for name, value in service.local.environment.items()},
                },
                cwd=folder.data,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return _Process(name=service.name, folder=folder, program=program, child=child, output=output)

    def signal(self, service: str, signal: str) -> None:
        """Send a signal to the service's first process."""
        self._running(service).child.send_signal(Signals[f"SIG{signal}"])

    def restart(self, service: str) -> tuple[Service, ...]:
        """End the service's processes, SIGKILL after three seconds, and start it again on the same ports."""
        process = self._running(service)
        self.guard.end(process.child, _GRACE_S)
        again = self._spawned(process.folder, process.program)
        self.started[self.started.index(process)] = again
        return (again.as_service(),)

    def _running(self, service: str) -> _Process:
        process = next((one for one in self.started if one.name == service), None)
        if process is None or process.child.poll() is not None:
            raise StackFailed(f"service {service!r} does not run", seen=self.report())
        return process

    def watch(self, service: str = "") -> None:
        """Raise ServiceExited if one has ended that should not have, or a one-shot service has failed.

        With a name only that service is looked at.
        """
        for process in self.started:
            if service not in {"", process.name}:
                continue
            code = process.child.poll()
            if code is not None and not (process.folder.service.is_once and code == 0):
                raise self._exited(process, code)

    def report(self) -> str:
        """Return every service's state, and the last lines of the front door, if there is one."""
        states = [f"{one.name}: {'running' if one.child.poll() is None else 'ended'}" for one in self.started]
        if self.spec.front_door is None:
            return "\n".join(states)
        door = self.spec.front_door.service
        tails = [self._tail(one, 20) for one in self.started if one.name == door]
        return "\n".join([*states, f"last lines of {door}:", *tails])

    def stack(self, url: str, programs: dict[str, str]) -> Stack:
        """Describe what runs."""
        return Stack(
            engine=EngineName.LOCAL,
            project=self.spec.project,
            url=url,
            via="loopback" if url else "",
            public_url=url,
            addresses=("127.0.0.1",),
            services=tuple(one.as_service() for one in self.started if not one.folder.service.is_once),
            environment=self.spec.environment,
            facts={
                "engine": EngineName.LOCAL.value,
                "project": self.spec.project,
                "via": "loopback" if url else "",
                "programs": programs,
                "cores": list(self.spec.cores),
            },
            control=self,
        )

    def take_down(self) -> None:
        """End all, save the logs without secrets, and remove the data."""
        self.say("ending the services")
        for process in reversed(self.started):
            self.guard.end(process.child, _GRACE_S)
        for process in self.started:
            logs = {f"{process.name}-{Path(path).name}": Path(path) for path in process.folder.log_files}
            for name, path in {f"{process.name}.log": process.output, **logs}.items():
                self._save(path, self.spec.logs / name)
        shutil.rmtree(self.spec.work / "local", ignore_errors=True)

    def _save(self, source: Path, target: Path) -> None:
        if source.exists() and not source.is_file():  # to open a pipe would block until it has a writer
            self.say(f"{target.name} could not be saved: {source} is no regular file")
            return
        try:
            with source.open("rb") as log, target.open("wb") as out:
                write_clean(iter(lambda: log.read(_PIECE_BYTES), b""), out, self.redactor)
        except OSError as error:
            self.say(f"{target.name} could not be saved: {error}")

    def _exited(self, process: _Process, code: int) -> ServiceExited | PortTaken:
        tail = self._tail(process, _LAST_LINES)
        if "address already in use" in tail.lower():
            return PortTaken(f"a port that service {process.name!r} wants is taken", seen=tail, hint="try again")
        return ServiceExited(
            f"service {process.name!r} ended with exit code {code}",
            where=" ".join(process.folder.service.local.command),
            seen=tail or "it wrote nothing",
            expected="exit code 0" if process.folder.service.is_once else "that it runs on",
        )

    def _tail(self, process: _Process, count: int) -> str:
        text = process.output.read_text(encoding="utf-8", errors="replace")
        return self.redactor.text("\n".join(text.splitlines()[-count:]))
