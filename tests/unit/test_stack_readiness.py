"""The wait until a stack answers, and the route to its front door."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import StackFailed
from seatrial.model import FrontDoor, Probe
from seatrial.stack.readiness import Route, await_ready, find_route, is_of_this_host

DOOR = FrontDoor(service="web", port=8080)


def awaited(answers: list[int | OSError], *probes: Probe) -> list[int | OSError]:
    """Await the probes with these answers, one each second, and return those that were not needed."""
    remaining, seconds = list(answers), count()

    def ask(_: str) -> int:
        answer = remaining.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    await_ready(
        "http://door",
        probes,
        watch=lambda: None,
        report=lambda: "",
        ask=ask,
        clock=lambda: float(next(seconds)),
        sleep=lambda _: None,
    )
    return remaining


def test_three_successes_in_a_row_are_needed() -> None:
    """One success among failures proves nothing; after the third in a row no request follows."""
    answers: list[int | OSError] = [200, OSError("refused"), 200, 200, 503, 200, 200, 200, 404]
    assert awaited(answers, Probe(path="/", expect=200, within_s=60)) == [404]


def test_each_probe_has_its_own_time() -> None:
    """The second probe's time begins when the first has succeeded."""
    probes = [Probe(path=path, expect=200, within_s=5) for path in ("/a", "/b")]
    assert awaited([200] * 6, *probes) == []


def route(*, reach: bool, published: bool = True, mode: str = "bridge", is_local: bool = True) -> Route:
    """Find the route to a container with one address, where addresses can be reached or not."""
    ports = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32000"}] if published else None}
    settings = {"Ports": ports, "Networks": {"n": {"IPAddress": "172.18.0.2"}}}
    inspected = {"HostConfig": {"NetworkMode": mode}, "NetworkSettings": settings}
    return find_route(inspected, DOOR, daemon_host="127.0.0.1", is_local=is_local, can_reach=lambda *_: reach)


OWN, PUBLISHED, LOOPBACK = "http://172.18.0.2:8080", "http://127.0.0.1:32000", "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"reach": True}, Route(url=OWN, via="container address", public_url=PUBLISHED)),
        ({"reach": True, "published": False}, Route(url=OWN, via="container address", public_url=OWN)),
        ({"reach": False}, Route(url=PUBLISHED, via="published port", public_url=PUBLISHED)),
        ({"reach": True, "is_local": False}, Route(url=PUBLISHED, via="published port", public_url=PUBLISHED)),
        ({"reach": False, "mode": "host"}, Route(url=LOOPBACK, via="loopback", public_url=LOOPBACK)),
    ],
)
def test_the_route_is_the_shortest_one(where: dict[str, Any], expected: Route) -> None:
    """The container's own address, which with a remote daemon may be another one's; else the published port."""
    assert route(**where) == expected


def test_a_front_door_without_a_route_is_an_error() -> None:
    """Neither reachable nor published: the hint is how to publish it."""
    with pytest.raises(StackFailed, match="can't reach the front door web:8080") as failed:
        route(reach=False, published=False)
    assert "127.0.0.1::8080" in failed.value.hint


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
def test_a_container_of_this_host_is_a_process_of_this_host(
    tmp_path: Path, info: dict[str, Any], pid: int, *, ours: bool
) -> None:
    """Our kernel, and a process of ours in the container's own cgroup: a forwarded socket has neither."""
    for number, group in ((42, "/docker/c0ffee"), (43, "/user.slice")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cgroup").write_text(f"0::{group}\n")
    assert is_of_this_host({"Id": "c0ffee", "State": {"Pid": pid}}, info, release="6.1", proc=tmp_path) is ours
