"""The containers of a project and their logs, from a stand-in for the daemon."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from seatrial.errors import NotReady, UsageError
from seatrial.stack.containers import ProjectContainers
from seatrial.stack.engine import choose
from seatrial.stack.logs import LogKeeper, write_clean
from seatrial.wire.redaction import Redactor


def listed(service: str, number: int = 1, state: str = "running") -> dict[str, Any]:
    """Return a container as the daemon lists it."""
    labels = {"com.docker.compose.service": service, "com.docker.compose.container-number": str(number)}
    name = f"{service}{number}"
    return {"Id": name, "Names": [name], "Labels": labels, "State": state, "Status": state, "ImageID": "i"}


def project_of(*lists: list[dict[str, Any]], logs: object = None, **fields: Any) -> ProjectContainers:  # noqa: ANN401  (the fields)
    """Return a project whose daemon gives one list after the other, the last one for ever; nothing restarts."""
    remaining = list(lists)

    def containers(**_: object) -> list[dict[str, Any]]:
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    inspected = {"State": {"Restarting": False}}
    api = SimpleNamespace(containers=containers, inspect_container=lambda _: inspected, logs=logs)
    client = cast("docker.DockerClient", SimpleNamespace(api=api))
    return ProjectContainers(client=client, label="l", once=frozenset(), redactor=Redactor({}), **fields)


@pytest.mark.parametrize("expected", [{"web": 1, "db": 1}, {"web": 2}])
def test_a_service_without_all_its_containers_is_not_settled(expected: dict[str, int]) -> None:
    """Every expected service has to run, with all its containers."""
    assert not project_of([listed("web")], expected=expected).settled()


def test_a_stack_settles_when_it_was_seen_running_twice() -> None:
    """One look may be between two crashes: the second comes 0.3 s later, and the count restarts after a gap."""
    up, down = [listed("web")], [listed("web", state="created")]
    pauses: list[float] = []
    project = project_of(up, up, down, down, up, expected={"web": 1})
    project.settle("web", 60, clock=lambda: 0.0, sleep=pauses.append)
    assert pauses == [0.3, 0.1, 0.3]


def test_a_stack_that_never_settles_is_given_up() -> None:
    """The wait is bounded."""
    now = iter(range(10))
    with pytest.raises(NotReady, match="after 3 s"):
        project_of([], expected={"web": 1}).settle("web", 3, clock=lambda: float(next(now)), sleep=lambda _: None)


def test_the_log_of_a_stalled_daemon_is_given_up(tmp_path: Path) -> None:
    """Saving ends at its deadline, and names what is missing; what was saved before stays."""
    stalled = threading.Event()

    def logs(container: str, **_: object) -> Iterator[bytes]:
        if container == "web1":
            stalled.wait(10)
        yield b"a line\n"

    project = project_of([listed("db"), listed("web")], logs=logs)
    problems = LogKeeper(project=project, folder=tmp_path, files={}, within_s=0.2).save()
    stalled.set()
    assert problems == ["web.log and what follows: not saved within 0.2 s"]
    assert (tmp_path / "db.log").read_text() == "a line\n"


def test_a_secret_across_two_pieces_of_a_log_is_masked() -> None:
    """The pieces of a log do not end where lines end."""
    out = io.BytesIO()
    write_clean([b"one open-", b"sesame\ntwo"], out, Redactor({"A": "open-sesame"}))
    assert out.getvalue() == b"one ***\ntwo"


def test_nothing_to_attach_to_is_an_error_before_anything() -> None:
    """The engine `attach` needs a name, and asks for it without looking for a daemon."""
    with pytest.raises(UsageError, match="needs the name"):
        choose("attach")
