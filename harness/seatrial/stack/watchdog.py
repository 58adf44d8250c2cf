"""The watchdog: a process that ends children and removes containers after the harness was killed.

`python -m seatrial.stack.watchdog RUN` reads JSON lines on standard input: `{"session": pid, "start_ticks": n}`
and `{"ended": pid}` for children, `{"docker": run}` when containers of a run may exist, `{"keep": run}` when they
are to stay, `{"litter": folder}`, `{"log": file}`, and `{"done": true}`. If the input ends without `done`,
the harness was killed.
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
from seatrial.stack.cleanup import remove_all
from seatrial.stack.containers import connect
from seatrial.stack.processes import end_all, marked, of_sessions

_GRACE_S = 2.0
_LOOK_AGAIN_S = 3.0  # a `docker compose up` that is ended may have one more container on its way
_LOOKS = 4
_BUDGET_S = 13.0  # after this no further look is begun
_LAST_S = 20  # after this SIGALRM ends this process


@dataclass(slots=True)
class WatchdogState:
    """The processes, containers and folders that are to go if the harness is killed."""

    run_id: str
    sessions: dict[int, int] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    log: Path | None = None
    docker_runs: set[str] = field(default_factory=set)
    done: bool = False

    def update(self, message: dict[str, Any]) -> None:
        """Apply one message."""
        match message:
            case {"session": pid, "start_ticks": start_ticks}:
                self.sessions[pid] = start_ticks
            case {"ended": pid}:
                self.sessions.pop(pid, None)
            case {"litter": folder}:
                self.folders.append(Path(folder))
            case {"log": path}:
                self.log = Path(path)
            case {"docker": run}:
                self.docker_runs.add(run)
            case {"keep": run}:
                self.docker_runs.discard(run)
            case {"done": _}:
                self.done = True
            case _:
                self.write(f"not understood: {message}")

    def write(self, text: str) -> None:
        """Append a line to the log, if there is one."""
        if self.log is not None:
            try:
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            except OSError:
                self.log = None


def main(arguments: list[str], lines: Iterable[bytes]) -> None:
    """Read messages until the input ends, then clean up unless `done` has come."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    state = WatchdogState(arguments[0])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in lines:
        try:
            state.update(json.loads(line))
        except ValueError:
            state.write("an incomplete message")  # the harness died while it wrote
    if not state.done:
        signal.alarm(_LAST_S)
        clean_up(state)


def clean_up(
    state: WatchdogState,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """End processes and remove containers, again until a look finds none or the time is over."""
    state.write("the harness is gone: cleaning up")
    until = clock() + _BUDGET_S
    for look in range(_LOOKS):
        count = _end_processes(state) + _remove_containers(state)
        if look and not count:
            break
        if clock() + _LOOK_AGAIN_S > until:
            state.write("out of time; `seatrial clean` removes what is left")
            break
        sleep(_LOOK_AGAIN_S)
    for folder in state.folders:
        shutil.rmtree(folder, ignore_errors=True)
    state.write("done")


def _end_processes(state: WatchdogState) -> int:
    pids = {one.pid for one in (*of_sessions(state.sessions), *marked(state.run_id))}
    if pids:
        state.write(f"ending processes {sorted(pids)}")
        # Sessions first: to find marked processes, /proc/*/environ of every process has to be read.
        end_all(lambda: of_sessions(state.sessions), grace_s=_GRACE_S)
        end_all(lambda: marked(state.run_id), grace_s=_GRACE_S)
    return len(pids)


def _remove_containers(state: WatchdogState) -> int:
    count = 0
    try:
        for run_id in sorted(state.docker_runs):
            removed, problems = remove_all(connect(timeout_s=4), run_id)
            for text in (*(f"removed {name}" for name in removed), *problems):
                state.write(text)
            count += len(removed) + len(problems)
    except (DockerException, RequestException, EngineUnavailable) as error:
        state.write(f"the daemon: {error}")
        return 1
    return count


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin.buffer)
