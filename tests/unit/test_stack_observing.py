"""What is seen of containers, how logs are saved and things removed, against a daemon that is a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError

from seatrial.errors import NotReady, ServiceExited, StackFailed, UsageError
from seatrial.stack import cleanup
from seatrial.stack.cleanup import LabelledObject, ObjectKind, remove_object
from seatrial.stack.containers import ProjectContainers, find_containers
from seatrial.stack.engine import choose
from seatrial.stack.logs import LogKeeper
from seatrial.wire.redaction import Redactor


def listed(service: str, number: int = 1, state: str = "running") -> dict[str, Any]:
    """Return a container as the daemon lists it."""
    labels = {"com.docker.compose.service": service, "com.docker.compose.container-number": str(number)}
    identity = f"{service}{number}"
    return {"Id": identity, "Names": [f"/{identity}"], "Labels": labels, "State": state, "Status": state} | {
        "ImageID": "i"
    }


class Daemon:
    """Lists what it is given, one list after the other; the last one for ever."""

    def __init__(self, *lists: list[dict[str, Any]], restarts: int = 0) -> None:
        self.lists = list(lists)
        self.restarts = restarts
        self.execs: list[list[str]] = []

    def containers(self, **_: object) -> list[dict[str, Any]]:
        """List."""
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    def inspect_container(self, _: str) -> dict[str, Any]:
        """Tell of a container that has failed with 7 at its last end, and whose files are on a tmpfs."""
        state = {"ExitCode": 7, "Restarting": True}
        host = {"Tmpfs": {"/run": ""}}
        return {"State": state | {"Restarting": self.restarts > 0}, "RestartCount": self.restarts} | {
            "HostConfig": host,
            "Mounts": [],
        }

    def logs(self, container: str, **_: object) -> Any:  # noqa: ANN401  (bytes, or an iterator of them)
        """Give a line."""
        return [f"from {container}\n".encode()] if _.get("stream") else b"no key\n"

    def exec_create(self, _: str, argv: list[str], **__: object) -> dict[str, Any]:
        """Note the command."""
        self.execs.append(argv)
        return {"Id": "e"}

    def exec_start(self, _: str, **__: object) -> Iterator[bytes]:
        """Write nothing."""
        yield from ()

    def exec_inspect(self, _: str) -> dict[str, Any]:
        """Tell that the command failed."""
        return {"ExitCode": 1}


def project_of(daemon: Any, **more: Any) -> ProjectContainers:  # noqa: ANN401  (a stand-in; the fields)
    """Return the containers of the stand-in."""
    client = cast("docker.DockerClient", SimpleNamespace(api=daemon))
    return ProjectContainers(client=client, label="l", once=frozenset({"maker"}), redactor=Redactor({}), **more)


def test_replicas_share_the_service_and_have_names_of_their_own() -> None:
    """Two containers of `web` are both `web`, and tell themselves apart by number; a single one needs none."""
    found = project_of(Daemon([listed("web", 10), listed("web", 2), listed("db")])).containers()
    assert [(one.service, one.name) for one in found] == [("db", "db"), ("web", "web-2"), ("web", "web-10")]


def test_restarted_service_has_ended() -> None:
    """A service that its restart policy starts again and again is an error with code and last lines."""
    with pytest.raises(ServiceExited, match="'web' ended with exit code 7, and was started again") as failed:
        project_of(Daemon([listed("web", state="restarting")], restarts=2)).watch()
    assert failed.value.seen == "no key"


def test_service_without_a_container_is_not_settled() -> None:
    """Every expected service has to run, with all its containers, not only those that happen to be there."""
    daemon = Daemon([listed("web")])
    assert not project_of(daemon, expected={"web": 1, "db": 1}).settled()
    assert not project_of(daemon, expected={"web": 2}).settled()


def test_stack_settles_when_it_was_seen_twice() -> None:
    """One look may be between two crashes: the second comes at least 0.3 s later, and begins anew after a gap."""
    up, down = [listed("web")], [listed("web", state="created")]
    pauses: list[float] = []
    daemon = Daemon(up, up, down, down, up)
    project_of(daemon, expected={"web": 1}).settle("web", 60, clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [0.3, 0.1, 0.3]


def test_stack_that_never_settles_is_given_up() -> None:
    """The wait is bounded."""
    now = iter(range(10))
    project = project_of(Daemon([]), expected={"web": 1})
    with pytest.raises(NotReady, match="after 3 s"):
        project.settle("web", 3, clock=lambda: float(next(now)), sleep=lambda _: None)


def test_log_of_a_stalled_daemon_is_given_up(tmp_path: Path) -> None:
    """Saving ends at its deadline, and says what is missing; what was saved before stays."""
    daemon, stalled = Daemon([listed("db"), listed("web")]), threading.Event()

    def logs(container: str, **_: object) -> Iterator[bytes]:
        if container == "web1":
            stalled.wait(10)
        yield b"a line\n"

    daemon.logs = logs  # type: ignore[method-assign]
    problems = LogKeeper(project=project_of(daemon), folder=tmp_path, files={}, within_s=0.2).save()
    stalled.set()
    assert problems == ["web.log and what follows: not saved within 0.2 s"]
    assert (tmp_path / "db.log").read_text() == "a line\n"


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    """A pipe in a log file's place is not opened: it may never have a writer."""
    daemon = Daemon([listed("web")])
    problems = LogKeeper(
        project=project_of(daemon), folder=tmp_path, files={"web": ("/run/a.log",)}
    ).save_volatile()
    assert problems == ["web-a.log could not be saved: /run/a.log is no regular file"]
    assert daemon.execs == [["test", "-f", "/run/a.log"]]


def refusal(text: str, status: int = 409) -> APIError:
    """Return what the SDK raises."""
    response = requests.Response()
    response.status_code = status
    return APIError(text, response=response, explanation=text)


class Resisting:
    """Refuses to remove networks for a number of times."""

    def __init__(self, times: int, text: str = "has active endpoints") -> None:
        self.times = times
        self.text = text

    def remove_network(self, _: str) -> None:
        """Refuse, as long as it does."""
        self.times -= 1
        if self.times >= 0:
            raise refusal(self.text)


NETWORK = LabelledObject(kind=ObjectKind.NETWORK, id="n", name="n", labels={})


def test_leftovers_are_given_time_to_go() -> None:
    """Between two looks there is a pause, and after the last one an error."""
    pauses: list[float] = []
    client = cast("docker.DockerClient", SimpleNamespace(api=Resisting(2)))
    cleanup.remove_objects(client, [NETWORK], sleep=pauses.append)
    assert pauses == [0.7, 0.7]
    client = cast("docker.DockerClient", SimpleNamespace(api=Resisting(9)))
    with pytest.raises(StackFailed, match="not all could be removed"):
        cleanup.remove_objects(client, [NETWORK], sleep=pauses.append)


def test_removal_by_another_process_is_no_failure() -> None:
    """What is being removed at the same time is no problem."""
    text = "removal of container n is already in progress"
    client = cast("docker.DockerClient", SimpleNamespace(api=Resisting(1, text)))
    assert remove_object(client, NETWORK) == ""


def test_nothing_to_attach_to_is_an_error_before_anything() -> None:
    """The engine `attach` needs a name, and asks for it without looking for a daemon."""
    with pytest.raises(UsageError, match="needs the name"):
        choose("attach", attach="")


def test_what_is_up_is_found_by_project_or_label() -> None:
    """A name is a Compose project's, `label=value` any label; without a match the projects that run are listed."""
    labels: list[object] = []

    class Labelled(Daemon):
        def containers(self, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401  (the SDK's own)
            labels.append(more.get("filters", {}).get("label"))
            return super().containers()

    def client(*lists: list[dict[str, Any]]) -> docker.DockerClient:
        return cast("docker.DockerClient", SimpleNamespace(api=Labelled(*lists)))

    assert [one.service for one in find_containers(client([listed("web")]), "shop", Redactor({})).running()] == [
        "web"
    ]
    find_containers(client([listed("web")]), "crew=me", Redactor({}))
    assert labels == ["com.docker.compose.project=shop"] * 2 + ["crew=me"]

    other = {"Labels": {"com.docker.compose.project": "other"}}
    with pytest.raises(UsageError, match="nothing runs in 'shop'") as failed:
        find_containers(client([], [other]), "shop", Redactor({}))
    assert failed.value.seen == "project other"
