"""The error of a failed step of Compose."""

import pytest

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, StackFailed
from seatrial.stack.compose import failure
from seatrial.stack.processes import ProgramEnd

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///x"


@pytest.mark.parametrize(
    ("step", "text", "kind", "what"),
    [
        ("pull", "dial tcp: connection refused", ImageMissing, "an image can't be found"),
        ("create", "Error response from daemon: No such image: x:1", ImageMissing, "an image can't be found"),
        ("build", "failed to solve: exit code: 1", ImageMissing, "an image can't be built"),
        ("start", "Bind for 127.0.0.1:80 failed: port is already allocated", PortTaken, "address 127.0.0.1:80 is"),
        ("start", "listen tcp4 0.0.0.0:443: bind: address already in use", PortTaken, "address 0.0.0.0:443 is"),
        ("start", NO_DAEMON, EngineUnavailable, "daemon stopped answering"),
        ("create", "something else", StackFailed, "`docker compose create` failed with exit code 1"),
    ],
)
def test_a_failed_step_is_classified(step: str, text: str, kind: type[StackFailed], what: str) -> None:
    """The last lines that Compose printed decide which error it is."""
    failed = failure(step, ProgramEnd(code=1, lines=("first", text)), where="compose.yaml")
    assert type(failed) is kind
    assert what in failed.what
    assert failed.seen == f"first\n{text}"


def test_a_step_that_its_deadline_ended_is_a_failure() -> None:
    """It has no exit code."""
    assert "did not end in time" in failure("start", ProgramEnd(code=None, lines=()), where="").what
