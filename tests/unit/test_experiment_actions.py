"""The thread of a run's actions: moments, waiting for the answer, events, errors, and its end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from seatrial.errors import ServiceExited, StackFailed
from seatrial.experiment.actions import ActionThread, acting
from seatrial.model import Action, EngineName, Service, Stack, StackControl, Watch
from seatrial.sampler.session import Observer

MS = 1_000_000
WITHIN_S = 10.0


@dataclass
class Control(StackControl):
    """Keeps what was asked for, and when; `on` is called for each."""

    on: Callable[[str], None] = lambda _: None
    asked: list[tuple[str, int]] = field(default_factory=list)
    watched: Callable[[], None] = lambda: None

    def _ask(self, text: str) -> None:
        self.asked.append((text, time.monotonic_ns()))
        self.on(text)

    def signal(self, service: str, signal: str) -> None:
        """Keep it."""
        self._ask(f"{signal} {service}")

    def restart(self, service: str) -> tuple[Service, ...]:
        """Keep it; the process is another one."""
        self._ask(f"restart {service}")
        return (Service(name=service, pid=77),)

    def watch(self, service: str) -> None:
        """Say what the test says."""
        assert service
        self.watched()

    def report(self) -> str:
        """Say something."""
        return "app: running"


class _Watches:
    def __init__(self) -> None:
        self.seen: list[Watch] = []

    def watch(self, watch: Watch) -> None:
        self.seen.append(watch)


@dataclass
class Acted:
    """A thread of actions on a made-up stack without a front door, and its events."""

    thread: ActionThread
    watches: _Watches
    events: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return the events."""
        text = self.events.read_text() if self.events.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


def _thread(folder: Path, control: Control, *actions: Action) -> Acted:
    stack = Stack(
        engine=EngineName.LOCAL,
        project="p",
        url="",
        via="",
        public_url="",
        addresses=(),
        services=(),
        control=control,
    )
    watches, events = _Watches(), folder / "events.jsonl"
    thread = ActionThread(
        actions,
        stack,
        (),
        window_s=60.0,
        events=events,
        observer=cast("Observer", watches),
        settle_s=0.02,
    )
    return Acted(thread=thread, watches=watches, events=events)


def _restart(at_s: float) -> Action:
    return Action(at_s=at_s, service="app")


def _until(condition: Callable[[], object]) -> None:
    """Wait for it; AssertionError if it never holds."""
    deadline, pause = time.monotonic() + WITHIN_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.005)


def _load(acted: Acted, until: Callable[[], object], ended_by: type[BaseException] | None = None) -> None:
    """Let a window of a minute begin now, and end it once the condition holds, by an error if one is named."""
    with acting(acted.thread):
        acted.thread.window_known(time.monotonic_ns(), time.monotonic_ns() + 60_000 * MS)
        _until(until)
        if ended_by is not None:
            raise ended_by


def test_actions_are_done_at_their_moments_of_the_window(tmp_path: Path) -> None:
    """In order, none before the window is known; a plan that changes moves them. Each is an event."""
    control = Control()
    acted = _thread(tmp_path, control, _restart(0.2), Action(at_s=0.1, service="web", signal="HUP"))

    with acting(acted.thread):
        acted.thread.window_known(time.monotonic_ns() + 3600 * 1000 * MS, time.monotonic_ns() + 7200 * 1000 * MS)
        from_ns = time.monotonic_ns() + 20 * MS
        acted.thread.window_known(from_ns, from_ns + 60_000 * MS)
        _until(lambda: len(acted.lines()) == 2)

    first, second = acted.lines()
    assert [text for text, _ in control.asked] == ["HUP web", "restart app"]
    assert [line["detail"]["action"] for line in (first, second)] == ["signal HUP", "restart"]
    assert [(line["event"], line["service"]) for line in (first, second)] == [("action", "web"), ("action", "app")]
    assert first["t_ns"] == from_ns + 100 * MS + first["detail"]["late_ns"]
    assert 0 <= first["detail"]["took_ns"] <= first["detail"]["answered_after_ns"]
    assert second["t_ns"] >= first["t_ns"] + first["detail"]["answered_after_ns"]  # one after the other
    assert acted.watches.seen == [Watch(service="app", kind="tree", pid=77)]
    assert (acted.thread.renewed(), acted.thread.renewed()) == ((Service(name="app", pid=77),), ())


def test_nothing_is_done_after_the_window(tmp_path: Path) -> None:
    """Its moment lies in it, but its turn came too late."""
    control = Control()
    acted = _thread(tmp_path, control, _restart(0.0))

    with acting(acted.thread):
        now_ns = time.monotonic_ns()
        acted.thread.window_known(now_ns - 20 * MS, now_ns - 10 * MS)

    assert (control.asked, acted.lines()) == ([], [])


def test_an_error_is_raised_where_the_load_is_watched(tmp_path: Path) -> None:
    """At the next second, and at the end where there is none any more."""

    def refuse(_: str) -> None:
        raise StackFailed("service 'app' does not run")

    control = Control(on=refuse)
    acted = _thread(tmp_path, control, _restart(0.0))
    with pytest.raises(StackFailed, match="does not run"):
        _load(acted, lambda: control.asked)
    with pytest.raises(StackFailed, match="does not run"):
        acted.thread.check()


def test_a_service_that_does_not_come_back_is_an_error_with_an_event(tmp_path: Path) -> None:
    """The event says that there was no answer."""

    def gone() -> None:
        raise ServiceExited("service 'app' ended with exit code 1")

    acted = _thread(tmp_path, Control(watched=gone), _restart(0.0))
    with pytest.raises(ServiceExited):
        _load(acted, acted.lines)

    (line,) = acted.lines()
    assert line["detail"]["answered_after_ns"] is None


def test_the_end_of_the_load_ends_the_waiting(tmp_path: Path) -> None:
    """For a moment, and for an answer; an action that has begun is done, and has its event."""
    held = threading.Event()
    timer = threading.Timer(0.05, held.set)  # the end of the load waits for the action

    def hold(_: str) -> None:
        timer.start()
        assert held.wait(WITHIN_S)

    control = Control(on=hold)
    acted = _thread(tmp_path, control, _restart(0.0), _restart(30.0))
    with pytest.raises(KeyboardInterrupt):
        _load(acted, lambda: control.asked, KeyboardInterrupt)
    timer.join()

    (line,) = acted.lines()
    assert line["detail"]["answered_after_ns"] is None
    acted.thread.check()


def test_without_actions_there_is_no_thread(tmp_path: Path) -> None:
    """Also where the window is known."""
    acted = _thread(tmp_path, Control())
    threads = threading.active_count()

    with acting(acted.thread):
        acted.thread.window_known(1, 2)
        assert threading.active_count() == threads
