"""The sampler process as the harness sees it: its messages, its summary, start and stop.

The harness sends the plan, then any number of `{"watch": {...}}`, then `{"stop": true}`. The end of the input
means that the harness is gone, and stops the sampler, too.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from seatrial.errors import MeasurementInvalid, ResultsUnwritable
from seatrial.model import Spawn, Watch

READY = b"ready\n"
STOP = b'{"stop":true}\n'
SUMMARY_FILE = "sampler.json"
EXIT_UNWRITABLE = ResultsUnwritable.exit_code
"""The sampler's exit code when its streams can't be written."""
_READY_WITHIN_S = 30.0
_END_WITHIN_S = 15.0
_TAIL_BYTES = 2000
_ARGV = (sys.executable, "-P", "-m", "seatrial.sampler")  # -P: a folder `docker/` of the user must not be imported


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerPlan:
    """The targets, their sampling rate and the output; `project` is the Compose project of further containers."""

    watches: tuple[Watch, ...]
    streams: Path
    events: Path
    project: str
    hz: float

    def encode(self) -> bytes:
        """Return the plan as a line."""
        return _line({**asdict(self), "streams": str(self.streams), "events": str(self.events)})

    @staticmethod
    def decode(line: bytes) -> SamplerPlan:
        """Read the plan's line; ValueError if it is not one."""
        fields = json.loads(line)
        return SamplerPlan(
            watches=tuple(Watch(**watch) for watch in fields["watches"]),
            streams=Path(fields["streams"]),
            events=Path(fields["events"]),
            project=fields["project"],
            hz=fields["hz"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of the sampler, and its costs.

    `samples` counts rows and `sources` names the kind of source, for each service (`none`: never found). `cpu_s`
    and `wall_s` are the sampler's own, all threads, from its first tick on; `startup_cpu_s` is what came before.
    `container_sample_p50_ns` is the wall time of reading one container once; 0 without containers.
    """

    samples: Mapping[str, int]
    sources: Mapping[str, str]
    period_p50_ns: int
    period_p99_ns: int
    ticks: int
    missed_ticks: int
    container_sample_p50_ns: int
    cpu_s: float
    wall_s: float
    startup_cpu_s: float

    def write(self, streams: Path) -> None:
        """Write `sampler.json` beside the streams; ResultsUnwritable if that can't be."""
        path = streams / SUMMARY_FILE
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        except OSError as error:
            raise ResultsUnwritable(
                "the sampler's summary can't be written", where=str(path), seen=str(error)
            ) from error

    @staticmethod
    def load(streams: Path) -> Summary:
        """Read `sampler.json`; FileNotFoundError if the sampler could not write it."""
        return Summary(**json.loads((streams / SUMMARY_FILE).read_text()))


def watch_line(watch: Watch) -> bytes:
    """Return the message that adds a target."""
    return _line({"watch": asdict(watch)})


def decode_watch(line: bytes) -> Watch | None:
    """Read a later message: the target to add, or None for a stop."""
    fields = json.loads(line)
    return Watch(**fields["watch"]) if "watch" in fields else None


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@dataclass(slots=True, kw_only=True)
class Observer:
    """A running sampler; `summary` is set once the context has ended."""

    _process: subprocess.Popen[bytes]
    _streams: Path
    _errors: IO[bytes]
    summary: Summary | None = None

    @property
    def pid(self) -> int:
        """The sampler's process id."""
        return self._process.pid

    def watch(self, watch: Watch) -> None:
        """Add a target; if the sampler has died, the end of the context raises."""
        self._send(watch_line(watch))

    def check_alive(self) -> None:
        """Raise as `check` does if the sampler has died by now: a run without samples need not go on."""
        if self._process.poll() is not None:
            raise self._failure("the memory sampler ended before the run did")

    def begin(self, plan: SamplerPlan) -> None:
        """Send the plan and wait for `ready`; MeasurementInvalid or ResultsUnwritable if it does not come."""
        self._send(plan.encode())
        if self._first_line(_READY_WITHIN_S) != READY:
            self.end()
            raise self._failure("the memory sampler did not start")

    def end(self) -> None:
        """Stop the sampler, wait for its end, kill it if it does not end; raises nothing."""
        self._send(STOP)
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        with suppress(OSError, ValueError, TypeError):
            self.summary = Summary.load(self._streams)

    def check(self) -> None:
        """Raise MeasurementInvalid if the sampler died early, ResultsUnwritable if it could not write."""
        if self._process.returncode != 0 or self.summary is None:
            raise self._failure("the memory sampler ended before the run did")

    def _failure(self, what: str) -> MeasurementInvalid | ResultsUnwritable:
        code = self._process.returncode
        kind = ResultsUnwritable if code == EXIT_UNWRITABLE else MeasurementInvalid
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        message = self._errors.read().decode(errors="replace").strip()
        return kind(
            what,
            where="python -m seatrial.sampler",
            seen=f"exit code {code}; {message or 'no message'}",
            expected="samples until the end of the run",
            hint="free space under the results folder" if kind is ResultsUnwritable else "seatrial doctor",
        )

    def _send(self, line: bytes) -> None:
        with suppress(OSError, ValueError):  # it has died, or is ended: `check` raises then
            pipe = _pipe(self._process.stdin)
            pipe.write(line)
            pipe.flush()

    def _first_line(self, within_s: float, clock: Callable[[], float] = time.monotonic) -> bytes:
        descriptor = _pipe(self._process.stdout).fileno()
        deadline = clock() + within_s
        received = b""
        while not received.endswith(b"\n") and (left := deadline - clock()) > 0:
            ready, _, _ = select.select([descriptor], [], [], left)
            piece = os.read(descriptor, 64) if ready else b""
            if not piece:
                break
            received += piece
        return received


@contextmanager
def observing(
    watches: Sequence[Watch],
    streams: Path,
    events: Path,
    *,
    spawn: Spawn,
    project: str = "",
    hz: float = 10.0,
) -> Iterator[Observer]:
    """Sample `watches` into `streams`, and Docker's events into `events`, while the context lasts.

    `project` is the Compose project whose new containers are followed too. Raises MeasurementInvalid (with the end
    of the sampler's standard error) or ResultsUnwritable if the sampler did not start, or ended early; an error
    that the body raises comes first.
    """
    plan = SamplerPlan(watches=tuple(watches), streams=streams, events=events, project=project, hz=hz)
    with tempfile.TemporaryFile() as errors:
        process = spawn(_ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        observer = Observer(_process=process, _streams=streams, _errors=errors)
        observer.begin(plan)
        try:
            yield observer
        finally:
            observer.end()
        observer.check()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the sampler was started without pipes")
    return pipe
