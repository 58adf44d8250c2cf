"""Attaching to a stack that the user has up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from specs import stack_spec

from seatrial.errors import UsageError
from seatrial.stack.engine import attached

pytestmark = pytest.mark.docker

STACK = """
services:
  web:
    image: debian:trixie-slim
    init: true
    command: [perl, /srv/http.pl]
    environment: {GREETING: hello, SECRET: throw-away-secret}
    labels: {crew: LABEL}
    volumes: ["HERE/http.pl:/srv/http.pl:ro", "HERE/page.txt:/srv/page.txt:ro"]
    tmpfs: [/data]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bring a stack up as a user would, with nothing of ours."""
    name, folder = f"users-{uuid4().hex[:8]}", tmp_path_factory.mktemp("users")
    here = str(Path(__file__).parent / "stacks/web")
    (folder / "compose.yaml").write_text(STACK.replace("HERE", here).replace("LABEL", name))
    compose = ["docker", "compose", "-p", name, "-f", str(folder / "compose.yaml")]
    subprocess.run([*compose, "up", "-d"], check=True, capture_output=True, timeout=60)
    yield name
    subprocess.run([*compose, "down", "-v", "-t", "1"], check=True, capture_output=True, timeout=60)


def states(project: str) -> str:
    """Return the id, state and start of each container of a project."""
    argv = ["docker", "ps", "-a", "--filter", f"label=com.docker.compose.project={project}", "--format"]
    return subprocess.run([*argv, "{{.ID}} {{.State}}"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["{}", "crew={}"], ids=["by its project", "by any label"])
def test_attached_stack_is_left_as_it_was(project: str, tmp_path: Path, name: str) -> None:
    """The stack is found, and runs on afterwards; nothing was started, stopped or removed."""
    before = states(project)
    environment = {"SECRET": "throw-away-secret"}
    spec = stack_spec(tmp_path / "compose.yaml", tmp_path, project=project, environment=environment)
    with attached(name.format(project), spec) as stack:
        assert [one.name for one in stack.services] == ["web"]
        assert stack.via == "container address"
    assert states(project) == before != ""


def test_unknown_project_lists_what_is_up(project: str, tmp_path: Path) -> None:
    """A project that is not up is a usage error that names those which are."""
    spec = stack_spec(tmp_path / "compose.yaml", tmp_path, project="absent")
    with pytest.raises(UsageError, match="nothing runs in 'absent'") as failed, attached("absent", spec):
        pass
    assert f"project {project}" in failed.value.seen
