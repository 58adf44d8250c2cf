"""A Compose project that a test changes and asks by `docker compose` alone, without the harness."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


@dataclass
class Project:
    """A project and the override that a test changes while it is up; only services that differ are replaced."""

    name: str
    file: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Compose."""
        return dict(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"} | self.variables

    def compose(self, *words: str) -> str:
        """Run `docker compose` on the project, and return its standard output; AssertionError if it fails."""
        override = self.folder / "override.yaml"
        argv = ["docker", "compose", "-p", self.name, "-f", str(self.file), "-f", str(override), *words]
        done = subprocess.run(
            argv,
            cwd=self.file.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self, override: Mapping[str, Any], *services: str) -> None:
        """Start the services, all by default, with an override."""
        (self.folder / "override.yaml").write_text(yaml.safe_dump(dict(override)), encoding="utf-8")
        self.compose("up", "--detach", "--no-build", "--timeout", "3", *services)

    def container(self, service: str) -> Any:  # noqa: ANN401  (the SDK's class is untyped)
        """Return the container of a service."""
        return docker.from_env().containers.get(self.compose("ps", "--quiet", service).strip())

    def address(self, service: str) -> str:
        """Return the address of a service in the project's network."""
        (network,) = self.container(service).attrs["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def run_inside(self, service: str, *words: str) -> str:
        """Run a command in the container of a service, and return its output."""
        return self.compose("exec", "-T", service, *words)

    def accepted_connections(self, service: str) -> int:
        """Return how many TCP connections a service has accepted since its start."""
        lines = self.run_inside(service, "cat", "/proc/net/snmp").splitlines()
        names, values = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(values[names.index("PassiveOpens")])


@contextmanager
def project(file: Path, folder: Path, **variables: str) -> Iterator[Project]:
    """Build a stack, and yield a project of its own for it; it is taken down with its volumes at the end."""
    built_as = str(yaml.safe_load(file.read_text(encoding="utf-8"))["name"])
    own = Project(f"seatrial-test-{uuid.uuid4().hex[:8]}", file, folder, variables)
    (folder / "override.yaml").write_text("{}", encoding="utf-8")
    # Built under the stack's own name: Compose writes the project into an image, and each would be a new one.
    replace(own, name=built_as).compose("build")
    try:
        yield own
    finally:
        own.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")


def wait_for_success(url: str) -> None:
    """Ask until the answer is a success, for some ten seconds at most."""
    with requests.Session() as session:
        again = Retry(total=40, backoff_factor=0.05, backoff_max=0.3, status_forcelist=[502])
        session.mount("http://", HTTPAdapter(max_retries=again))
        session.get(url, timeout=10).raise_for_status()
