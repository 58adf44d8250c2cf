"""Frozen values that the stages of an experiment share: scenario, load, variant, stack, plan, span, note.

A quantity's name ends with its unit: `_s` seconds, `_ns` nanoseconds of CLOCK_MONOTONIC, `_bytes`.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from seatrial.wire.rates import Rate


class Phase(StrEnum):
    """A part of a run; only the window is judged."""

    WARMUP = "warmup"
    WINDOW = "window"
    SETTLE = "settle"
    IDLE = "idle"
    DRAIN = "drain"


class EngineName(StrEnum):
    """Where the services run."""

    COMPOSE = "compose"
    LOCAL = "local"
    ATTACH = "attach"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """The service and port that the load goes to."""

    service: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """A request through the front door: GET `path` has to answer the status `expect` within `within_s`."""

    path: str
    expect: int
    within_s: float
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What is asked before the load: range cases for the file at `ranges`; empty: the catalogue's first clip."""

    ranges: str = ""


Probe = HttpProbe
"""A probe of a stack that is coming up: the union of all kinds, distinguished by `kind`; each has `within_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the stack is loaded.

    Closed model (`rate` is None): `users` at once, each with its own waits. Open model: arrivals at `rate`, served
    by at most `users` at once; the schedule begins with the window, and its first rate is used until then.
    `warmup_s` is the length of the warm-up, or its limit if it lasts until latency is `stable`. `processes` share
    users and rate. With `pinning` (auto, on, off) load and stack get cores of their own. `parameters` become the
    locustfile's own options; without `user_classes` Locust runs all concrete ones.
    """

    locustfile: Path
    users: int
    warmup_s: float
    duration_s: float
    drain_s: float
    rate: Rate | None = None
    stable: bool = False
    processes: int = 1
    pinning: str = "auto"
    user_classes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is done to a service while it is loaded: a `signal` to its main process, or without one a restart.

    `at_s` counts from the start of the window; with `every_s` it is done again and again until the window's end.
    """

    at_s: float
    service: str
    signal: str = ""
    every_s: float | None = None

    @property
    def text(self) -> str:
        """What is done, in words."""
        return f"signal {self.signal}" if self.signal else "restart"

    def moments_s(self, window_s: float) -> tuple[float, ...]:
        """Return the moments of a window of this length, from its start."""
        if self.every_s is None:
            return (self.at_s,) if self.at_s < window_s else ()
        count = math.ceil((window_s - self.at_s) / self.every_s)
        return tuple(self.at_s + number * self.every_s for number in range(max(count, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The stack with named changes: a Compose override, files that replace a mounted file, parameters, actions.

    `files` maps a file of the stack folder to the file that replaces it, both absolute; `parameters` have
    precedence over the load's own; `actions` take the place of the scenario's (None: they stay).
    """

    name: str
    compose: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[Path, Path] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] | None = None


class Design(StrEnum):
    """How an experiment is conducted: a fresh stack for each run, or all variants up at once, loaded by turns."""

    RUNS = "runs"
    SLICES = "slices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How variants are to be compared; `design` None: slices where all variants fit in memory and latency gates.

    `blocks` is the largest number of blocks, `time_s` the budget of time (None: no limit). `variants` are those
    compared with `base`; empty: all. Of a slice of `slice_s` the first `settle_s` are not judged; a block has
    `slices` of them for each variant. `varies` names environment facts that may differ from a stored experiment;
    then only what does not depend on them is judged. `sides`: of a selfcheck, how many variants a comparison has.
    """

    design: Design | None = None
    blocks: int = 10
    base: str = "base"
    variants: tuple[str, ...] = ()
    time_s: float | None = None
    slice_s: float = 1.0
    settle_s: float = 0.15
    slices: int = 20
    varies: tuple[str, ...] = ()
    sides: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog:
    """Where a service's access log tells what it fetched from the origin.

    `file` is the name of a saved log; empty: standard output. The others name fields of its lines: `origin` bytes
    from the origin, `time` when the request ended (seconds since the epoch), `took` how long it took (seconds).
    """

    file: str
    origin: str
    time: str
    took: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The content of a scenario file, every default filled in; without a `front_door` the load gets no URL."""

    name: str
    path: Path
    question: str
    compose_file: Path
    front_door: FrontDoor | None
    ready: tuple[Probe, ...]
    seed: tuple[str, ...]
    secrets: tuple[str, ...]
    tiers: Mapping[str, str]
    load: Load
    variants: Mapping[str, Variant]
    allow_hosts: tuple[str, ...]
    actions: tuple[Action, ...] = ()
    gate: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    stop_when: tuple[str, ...] = ()
    comparing: Comparing = field(default_factory=Comparing)
    logs: Mapping[str, AccessLog] = field(default_factory=dict)
    preflight: Preflight | None = None

    def actions_of(self, variant: str) -> tuple[Action, ...]:
        """Return what is done to the services in the runs of a variant."""
        own = self.variants[variant].actions
        return self.actions if own is None else own


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A planned look: after this many blocks verdicts are made, at level `alpha` for the whole gate family."""

    blocks: int
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPlan:
    """The content of plan.json: what was decided before anything started.

    `command` is run, compare, selfcheck or capacity; `blocks` the order of the variants in every block; `resolved`
    the scenario as JSON values (`scenario.plan.resolved`), which must be unchanged when the experiment is resumed.
    `against` is the folder of a stored experiment whose variant `stored` is the base; then no block has the base.
    `varies` are the environment facts that may differ from it. `sides` is, in a selfcheck, how many variants a
    comparison would have beside the base. `files` are digests of the files of stack and load, by name.
    """

    command: str
    scenario: str
    question: str
    seed: int
    blocks: tuple[tuple[str, ...], ...]
    base: str = "base"
    design: Design = Design.RUNS
    design_reason: str = ""
    gate: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()
    alpha: float = 0.05
    time_s: float | None = None
    slice_s: float | None = None
    settle_s: float | None = None
    slices: int | None = None
    shared_cores: bool = False
    against: str = ""
    stored: str = ""
    varies: tuple[str, ...] = ()
    sides: int = 1
    resolved: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> tuple[str, ...]:
        """All variants that occur, the base first."""
        names = dict.fromkeys(name for block in self.blocks for name in block)
        return tuple(sorted(names, key=lambda name: name != self.base))


Say = Callable[[str], None]
"""Shows the user one line of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """What an engine needs to bring up one stack under one variant.

    `environment` holds the stack's settings and secrets; its values never reach a log. `work` is private to the
    run and may be deleted with it. `port` is the port to publish (0: that of the Compose file). What is created
    counts as left over `deadline_s` seconds after its creation. The services are pinned to these `cores`; empty:
    they may run on all. `built` means that the images are known to exist.
    """

    run_id: str
    project: str
    compose_file: Path
    variant: Variant
    front_door: FrontDoor | None
    probes: tuple[Probe, ...]
    environment: Mapping[str, str]
    work: Path
    logs: Path
    deadline_s: float
    port: int = 0
    kept: bool = False
    cores: tuple[int, ...] = ()
    built: bool = False

    @property
    def folder(self) -> Path:
        """The stack folder, to which paths in the Compose file are relative."""
        return self.compose_file.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running service, to be sampled: a container (`container`) or a process tree (`pid`)."""

    name: str
    container: str = ""
    pid: int = 0
    log_files: tuple[str, ...] = ()


class StackControl(Protocol):
    """Acts on the services of a stack that is up; each call may be made from any thread, one at a time.

    Raises StackFailed where that can't be done.
    """

    def signal(self, service: str, signal: str) -> None:
        """Send a signal (`HUP`) to the main process of each of the service's containers."""

    def restart(self, service: str) -> tuple[Service, ...]:
        """End the service as its stack ends it, and start it again; return what is to be sampled from now on."""

    def watch(self, service: str) -> None:
        """Raise ServiceExited if the service does not run."""

    def report(self) -> str:
        """Return the state of every service, and the last lines of the front door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that is up and ready.

    `url` is the target of the load, `via` its route (`container address`, `published port`, `loopback`);
    `public_url` is for people; all three are empty without a front door. `addresses` are all of the stack's own.
    `control` is None for a stack that belongs to others.
    """

    engine: EngineName
    project: str
    url: str
    via: str
    public_url: str
    addresses: tuple[str, ...]
    services: tuple[Service, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    control: StackControl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A target of the sampler; `kind`: container, tree (a process and its descendants), host, or sampler."""

    service: str
    kind: str
    container: str = ""
    pid: int = 0


class Spawn(Protocol):
    """Starts a child in a process group of its own, known to the watchdog; used instead of Popen."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv`; OSError if it can't be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSecond:
    """Counts and health of one second of the load, summed over its processes.

    The first process reported its second at `t_least_ns`, the last one at `t_ns`. `latency` holds the successes of
    all endpoints by bucket (`wire.histogram`), `by_endpoint` those of each, `failures` the failures of each;
    `details` the numbers that flows reported, by flow, key and bucket. `arrivals_took_ns` sums, over the completed
    arrivals, the time from their due time to their end. `cpu_fraction`, lags and slip are those of the worst
    process. None means unknown, as `in_flight` where requests come from Locust's own events.
    """

    t_ns: int
    t_least_ns: int = 0
    users: int = 0
    in_flight: int | None = None
    offered: int = 0
    completed: int = 0
    failed: int = 0
    flows: int = 0
    flows_failed: int = 0
    arrivals: int = 0
    arrivals_completed: int = 0
    arrivals_late: int = 0
    arrivals_dropped: int = 0
    arrivals_took_ns: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    by_endpoint: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Mapping[int, int]]] = field(default_factory=dict)
    cpu_fraction: float | None = None
    loop_lag_p50_ns: int | None = None
    loop_lag_p99_ns: int | None = None
    slip_p99_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One phase of a run, from its first nanosecond to the one after its last."""

    phase: Phase
    from_ns: int
    until_ns: int


class NoteKind(StrEnum):
    """All kinds of warnings: some only inform, some invalidate the run, some keep it out of comparisons."""

    TASK_EXCEPTION = "task exception"
    NO_REQUESTS = "no requests"
    SERVICE_RESTARTED = "service restarted"
    OOM_KILL = "out-of-memory kill"
    RANGE_DEVIATIONS = "range deviations"
    SAMPLES_MISSING = "samples missing"
    COARSE_SAMPLES = "coarse samples"
    TORN_RECORDS = "torn records"
    SLOW_STORAGE_DRIVER = "slow storage driver"
    LOCAL_ENGINE = "embedded engine"
    PUBLISHED_PORT = "published port"
    GENERATOR_BUSY = "generator busy"
    GENERATOR_LATE = "generator late"
    SATURATED = "saturated"
    LATE_ARRIVALS = "late arrivals"
    WORKER_LOST = "load process lost"
    LOCUST_EVENTS = "locust events"
    WARMUP_UNSTABLE = "warm-up not stable"
    LONG_FLOWS = "long flows"
    SHARED_CORES = "shared cores"
    FOREIGN_CPU = "foreign CPU"
    STOLEN_CPU = "stolen CPU"
    LOAD_THROTTLED = "load throttled"
    SERVICE_THROTTLED = "service throttled"
    LOAD_ENDED_EARLY = "load ended early"
    STOPPED_EARLY = "stopped early"
    RULE_WITHOUT_VALUE = "rule without a value"
    LOG_UNREAD = "access log unread"
    INTERRUPTED = "interrupted"
    RECOVERED = "recovered"


INVALIDATING = frozenset(
    {
        NoteKind.TASK_EXCEPTION,
        NoteKind.NO_REQUESTS,
        NoteKind.SERVICE_RESTARTED,
        NoteKind.SAMPLES_MISSING,
        NoteKind.GENERATOR_BUSY,
        NoteKind.GENERATOR_LATE,
        NoteKind.SATURATED,
        NoteKind.WORKER_LOST,
        NoteKind.LOAD_ENDED_EARLY,
        NoteKind.STOPPED_EARLY,
        NoteKind.INTERRUPTED,
        NoteKind.RECOVERED,
    }
)
DISTURBED = frozenset({NoteKind.FOREIGN_CPU, NoteKind.STOLEN_CPU, NoteKind.LOAD_THROTTLED})
"""Disturbances from outside: a run with one is shown with the warning, a comparison leaves its block out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One warning about a run, with its numbers in `text`."""

    kind: NoteKind
    text: str

    @property
    def invalidates(self) -> bool:
        """Whether the run can't be trusted because of this."""
        return self.kind in INVALIDATING

    @property
    def disqualifies(self) -> bool:
        """Whether the run can't be compared because of this."""
        return self.invalidates or self.kind in DISTURBED
