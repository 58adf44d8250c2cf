"""The probe of the host: what `doctor` reads from it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.errors import StackFailed
from seatrial.host.facts import Read, engine_facts, host_facts, read_text, steal_fraction
from seatrial.host.images import BASE_IMAGE, ProgramRunner, is_present, run_program
from seatrial.stack.containers import connect, daemon_address, docker_errors

PROGRAMS = ("nginx", "docker-registry", "redis-server", "gunicorn", "uwsgi")
LIBRARIES = ("flask", "jwt", "bcrypt", "redis", "cryptography", "gevent", "PIL")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # servers are in sbin
_STEAL_S = 0.5
_ASK_S = 20
_OPEN_FILES = re.compile(r"^Max open files\s+\d+\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker daemon that answered: its facts, and the versions of its plugins, empty without one.

    `nofile_hard` is the daemon's own limit, which its containers inherit; None where it can't be read.
    """

    facts: Mapping[str, Any]
    compose: str
    buildx: str
    has_base_image: bool
    nofile_hard: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProbe:
    """The state of this machine; `facts` are those of `host.facts`, `engine_error` is why there is no engine."""

    facts: Mapping[str, Any]
    address: str
    engine: Engine | None
    engine_error: str
    has_mmdebstrap: bool
    missing_programs: tuple[str, ...]
    steal_fraction: float | None
    load_1m: float | None
    results: Path
    free_bytes: int


def probe(
    results: Path,
    *,
    read: Read = read_text,
    run: ProgramRunner = run_program,
    sleep: Callable[[float], None] = time.sleep,
) -> HostProbe:
    """Examine this machine, which takes about a second; `results` is the folder whose disk is examined."""
    engine, error = _engine(read, run)
    before = read("/proc/stat")
    sleep(_STEAL_S)
    load = read("/proc/loadavg")
    folder = results.absolute()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return HostProbe(
        facts=host_facts(read=read),
        address=daemon_address(),
        engine=engine,
        engine_error=error,
        has_mmdebstrap=shutil.which("mmdebstrap") is not None,
        missing_programs=_missing_programs(run),
        steal_fraction=steal_fraction(before, read("/proc/stat")),
        load_1m=float(load.split()[0]) if load else None,
        results=results,
        free_bytes=shutil.disk_usage(existing).free,
    )


def _engine(read: Read, run: ProgramRunner) -> tuple[Engine | None, str]:
    try:
        client = connect()
        with docker_errors("asking what it is"):
            info, version = client.info(), client.version()
        client.close()
        has_base_image = is_present(BASE_IMAGE, run=run)
    except StackFailed as error:
        return None, error.seen or error.what
    nofile = _OPEN_FILES.search(read(f"/proc/{read('/run/docker.pid') or 'none'}/limits") or "")
    engine = Engine(
        facts=engine_facts(info, version),
        compose=_version(run, "compose", "version", "--short"),
        buildx=_version(run, "buildx", "version"),
        has_base_image=has_base_image,
        nofile_hard=int(nofile[1]) if nofile else None,
    )
    return engine, ""


def _version(run: ProgramRunner, *question: str) -> str:
    answer = run(["docker", *question], within_s=_ASK_S)
    return answer.output.strip() if answer.code == 0 else ""


def _missing_programs(run: ProgramRunner) -> tuple[str, ...]:
    """Return the programs, and the libraries of the system's Python, that the local engine would not find."""
    programs = [name for name in PROGRAMS if not (shutil.which(name) or shutil.which(name, path=_PATH))]
    probe = f"import importlib.util as u; print(*[n for n in {LIBRARIES!r} if u.find_spec(n) is None])"
    answer = run(["/usr/bin/python3", "-c", probe], within_s=_ASK_S)
    libraries = answer.output.split() if answer.code == 0 else list(LIBRARIES)
    return (*programs, *(f"python3-{name}" for name in libraries))
