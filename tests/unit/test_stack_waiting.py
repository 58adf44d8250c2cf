"""Waiting for readiness, the route to the front door, what is left behind, the watchdog's messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import NotReady, ServiceExited, StackFailed
from seatrial.model import FrontDoor, Probe
from seatrial.stack.cleanup import LabelledObject, Life, ObjectKind, Owner, reason_to_remove
from seatrial.stack.readiness import Route, await_ready, find_route, is_of_this_host
from seatrial.stack.watchdog import WatchdogState

OWNER = Owner(42, 500, "boot", "4026531836", "machine")
DOOR = FrontDoor(service="web", port=8080)


def never_sleeping(times: Iterator[float], watch: Any = lambda: None) -> dict[str, Any]:  # noqa: ANN401  (a stub)
    """Return a watch that never sleeps."""
    return {"watch": watch, "report": lambda: "web: Up", "clock": lambda: next(times), "sleep": lambda _: None}


def asked(answers: list[int | OSError], probe: Probe) -> list[int | OSError]:
    """Await one probe with these answers, one each second, and return those that were not needed."""
    left = list(answers)

    def ask(_: str) -> int:
        answer = left.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    await_ready("http://door", (probe,), **never_sleeping(iter(range(100))), ask=ask)
    return left


def test_three_successes_in_a_row_are_needed() -> None:
    """One success among failures proves nothing; after the third in a row no request follows."""
    answers: list[int | OSError] = [200, OSError("refused"), 200, 200, 503, 200, 200, 200, 404]
    assert asked(answers, Probe(path="/", expect=200, within_s=60)) == [404]


def test_deadline_tells_the_last_answer() -> None:
    """When the time is over, the error has the seconds, the last answer and the states."""
    with pytest.raises(NotReady, match="not ready after 4 s") as failed:
        asked([503] * 9, Probe(path="/v2/", expect=401, within_s=3))
    assert failed.value.where == "GET http://door/v2/"
    assert failed.value.seen == "status 503\nweb: Up"


def test_each_probe_has_its_own_time() -> None:
    """The second probe's time begins when the first has succeeded."""
    probes = (Probe(path="/a", expect=200, within_s=5), Probe(path="/b", expect=200, within_s=5))
    await_ready("http://door", probes, **never_sleeping(iter(range(100))), ask=lambda _: 200)


def test_service_that_exits_ends_the_wait() -> None:
    """The services are looked at before each try."""

    def watch() -> None:
        raise ServiceExited("service 'web' ended")

    with pytest.raises(ServiceExited):
        await_ready(
            "http://door", (Probe(path="/", expect=200, within_s=5),), **never_sleeping(iter(range(9)), watch)
        )


def inspected(*, published: bool = True, mode: str = "bridge") -> dict[str, Any]:
    """Return what the daemon says of a container with one address."""
    ports = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32000"}]} if published else {"8080/tcp": None}
    settings = {"Ports": ports, "Networks": {"n": {"IPAddress": "172.18.0.2"}}}
    return {"HostConfig": {"NetworkMode": mode}, "NetworkSettings": settings}


def route(shown: dict[str, Any], *, reach: bool, is_local: bool = True) -> Route:
    """Find the route where addresses can be reached or not."""
    return find_route(shown, DOOR, daemon_host="127.0.0.1", is_local=is_local, can_reach=lambda *_: reach)


def test_container_address_is_preferred() -> None:
    """The load goes to the container itself, people go to the published port."""
    expected = Route(url="http://172.18.0.2:8080", via="container address", public_url="http://127.0.0.1:32000")
    assert route(inspected(), reach=True) == expected


def test_published_port_is_the_second_choice() -> None:
    """Where the container can't be reached, the load goes through the published port."""
    assert route(inspected(), reach=False).via == "published port"


def test_address_on_another_host_is_not_tried() -> None:
    """With a remote daemon the same address may be that of another container here."""
    assert route(inspected(), reach=True, is_local=False).url == "http://127.0.0.1:32000"


@pytest.mark.parametrize(
    ("info", "pid", "ours"),
    [
        ({"KernelVersion": "6.1"}, 42, True),
        ({"KernelVersion": "6.6-linuxkit"}, 42, False),
        ({"KernelVersion": "6.1"}, 43, False),
        ({"KernelVersion": "6.1"}, 44, False),
        ({"KernelVersion": "6.1", "SecurityOptions": ["name=seccomp", "name=rootless"]}, 42, False),
    ],
)
def test_container_of_this_host_is_a_process_of_this_host(
    tmp_path: Path, info: dict[str, Any], pid: int, *, ours: bool
) -> None:
    """Our kernel, and a process of ours in the container's own cgroup: a forwarded socket has neither."""
    for number, group in ((42, "/docker/c0ffee"), (43, "/user.slice")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cgroup").write_text(f"0::{group}\n")
    shown = {"Id": "c0ffee", "State": {"Pid": pid}}
    assert is_of_this_host(shown, info, release="6.1", proc=tmp_path) is ours


def test_service_on_the_hosts_network_is_on_loopback() -> None:
    """Without a network of its own a service listens on this host."""
    assert route(inspected(mode="host"), reach=False).url == "http://127.0.0.1:8080"


def test_front_door_without_a_route_is_an_error() -> None:
    """Neither reachable nor published: the error says how to publish it."""
    with pytest.raises(StackFailed, match="can't reach the front door web:8080") as failed:
        route(inspected(published=False), reach=False)
    assert "127.0.0.1::8080" in failed.value.hint


@pytest.mark.parametrize(
    ("labels", "life", "now_s", "reason"),
    [
        ({}, Life.DEAD, 50, "its owner, process 42, is gone"),
        ({}, Life.ALIVE, 50, ""),
        ({}, Life.ALIVE, 150, ""),
        ({}, Life.UNKNOWN, 50, ""),
        ({}, Life.UNKNOWN, 150, "its deadline has passed"),
        ({}, Life.DEAD, 150, "its deadline has passed"),
        ({"seatrial.kept": "yes"}, Life.DEAD, 50, ""),
        ({"seatrial.kept": "yes"}, Life.DEAD, 150, "its deadline has passed"),
        ({"seatrial.owner": "unreadable"}, Life.DEAD, 150, ""),
        ({"seatrial.deadline": "soon"}, Life.DEAD, 150, ""),
    ],
)
def test_only_what_has_no_living_owner_is_removed(
    labels: dict[str, str], life: Life, now_s: float, reason: str
) -> None:
    """A dead owner, or a past deadline; never what a living process owns, nor a label that is not ours."""
    marks = {"seatrial.run": "r1", "seatrial.owner": str(OWNER), "seatrial.deadline": "100"} | labels
    thing = LabelledObject(kind=ObjectKind.VOLUME, id="v", name="v", labels=marks)
    assert reason_to_remove(thing, lambda _: life, now_s) == reason


def test_watchdog_remembers_what_is_not_yet_ended() -> None:
    """Ended children and kept runs are struck off."""
    state = WatchdogState("r1")
    children: list[dict[str, Any]] = [{"session": pid, "start_ticks": 10 * pid} for pid in (7, 8)]
    for message in (*children, {"ended": 7}, {"docker": "a"}, {"docker": "b"}, {"keep": "a"}):
        state.update(message)
    assert state.sessions == {8: 80}
    assert state.docker_runs == {"b"}
    assert not state.done
