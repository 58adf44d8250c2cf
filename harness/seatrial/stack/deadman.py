"""The dead-man: a process that outlives the harness by seconds, and takes away what it left.

`python -m seatrial.stack.deadman RUN` reads JSON lines on its standard input: `{"session": pid, "start_ticks": n}`
and `{"ended": pid}` for children, `{"docker": run}` when containers of a run may exist, `{"keep": run}` when they
are to stay, `{"litter": folder}`, `{"log": file}`, and `{"done": true}`. The end of the input without `done` is
the harness's death.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from requests import RequestException

from seatrial.errors import EngineUnavailable
from seatrial.stack.daemon import connect
from seatrial.stack.processes import end_all, marked, of_sessions
from seatrial.stack.removal import remove_all

_GRACE_S = 2.0
_LOOK_AGAIN_S = 3.0  # a `docker compose up` that is ended may have one more container on its way
_LOOKS = 4
_BUDGET_S = 13.0  # after this no further look is begun
_LAST_S = 20  # after this the kernel ends us


@dataclass(slots=True)
class Estate:
    """What the harness has told of."""

    run_id: str
    sessions: dict[int, int] = field(default_factory=dict)
    litter: list[Path] = field(default_factory=list)
    log: Path | None = None
    docker: set[str] = field(default_factory=set)
    done: bool = False

    def note(self, message: dict[str, Any]) -> None:
        """Take one message in."""
        match message:
            case {"session": pid, "start_ticks": start_ticks}:
                self.sessions[pid] = start_ticks
            case {"ended": pid}:
                self.sessions.pop(pid, None)
            case {"litter": folder}:
                self.litter.append(Path(folder))
            case {"log": path}:
                self.log = Path(path)
            case {"docker": run}:
                self.docker.add(run)
            case {"keep": run}:
                self.docker.discard(run)
            case {"done": _}:
                self.done = True
            case _:
                self.tell(f"not understood: {message}")

    def tell(self, text: str) -> None:
        """Append a line to the log, if there is one."""
        if self.log is not None:
            try:
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            except OSError:
                self.log = None


def main(arguments: list[str], lines: Iterable[bytes]) -> None:
    """Listen until the input ends, then clean up unless all is done."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    estate = Estate(arguments[0])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in lines:
        try:
            estate.note(json.loads(line))
        except ValueError:
            estate.tell("a torn message")  # the harness died while it wrote
    if not estate.done:
        signal.alarm(_LAST_S)
        clean_up(estate)


def clean_up(
    estate: Estate,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """End and remove, then look again, until a look finds nothing or the time is over."""
    estate.tell("the harness is gone: cleaning up")
    until = clock() + _BUDGET_S
    for look in range(_LOOKS):
        found = _end_processes(estate) + _remove_containers(estate)
        if look and not found:
            break
        if clock() + _LOOK_AGAIN_S > until:
            estate.tell("out of time; `seatrial clean` removes what is left")
            break
        sleep(_LOOK_AGAIN_S)
    for folder in estate.litter:
        shutil.rmtree(folder, ignore_errors=True)
    estate.tell("done")


def _end_processes(estate: Estate) -> int:
    found = {one.pid for one in (*of_sessions(estate.sessions), *marked(estate.run_id))}
    if found:
        estate.tell(f"ending processes {sorted(found)}")
        # SIGTERM goes to whom we know; /proc/*/environ of every process is read twice, not thirty times a second.
        end_all(lambda: of_sessions(estate.sessions), grace_s=_GRACE_S)
        end_all(lambda: marked(estate.run_id), grace_s=_GRACE_S)
    return len(found)


def _remove_containers(estate: Estate) -> int:
    removed: list[str] = []
    problems: list[str] = []
    try:
        for run_id in sorted(estate.docker):
            gone, resisting = remove_all(connect(timeout_s=4), run_id)
            removed += gone
            problems += resisting
    except (DockerException, RequestException, EngineUnavailable) as error:
        estate.tell(f"the daemon: {error}")
        return 1
    for text in (*(f"removed {name}" for name in removed), *problems):
        estate.tell(text)
    return len(removed) + len(problems)


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin.buffer)
