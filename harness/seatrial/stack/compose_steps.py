"""The steps by which Compose brings a project up, each with errors of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import docker
from docker.errors import ImageNotFound

from seatrial.errors import EngineUnavailable, ImageMissing, PortTaken, StackFailed, UsageError
from seatrial.model import Say, StackSpec
from seatrial.stack import children
from seatrial.stack.built_images import build_project, image_names
from seatrial.stack.children import Ended, Job
from seatrial.stack.compose_yaml import Config, dump
from seatrial.stack.daemon import talking
from seatrial.stack.processes import Guard
from seatrial.wire.redaction_ import Redactor

_QUICK_S = 30.0
_CREATE_S = 300.0  # the storage driver vfs copies the whole image for each container
_FETCH_S = 1800.0  # a pull or a build of a large image over a slow line
_NO_IMAGE = re.compile(
    r"manifest unknown|manifest for .* not found|pull access denied|failed to resolve|no such image"
    r"|repository does not exist|no such host|unable to find image",
    re.IGNORECASE,
)
_PORT = re.compile(r"port is already allocated|address already in use|ports are not available", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:[1-9]\d*|\[[0-9a-f:]+\]:\d+")
_NO_DAEMON = re.compile(r"cannot connect to the docker daemon|error during connect", re.IGNORECASE)
_BOOTSTRAP = "`docker pull` it; where no image registry answers, `seatrial images bootstrap` makes the base image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Compose project: its files, and how to run `docker compose` on it."""

    spec: StackSpec
    guard: Guard
    redactor: Redactor
    files: tuple[Path, ...]

    def with_file(self, name: str, document: Config) -> Project:
        """Return the project with one more file, written into the run's work folder."""
        file = self.spec.work / name
        file.write_text(dump(document), encoding="utf-8")
        return replace(self, files=(*self.files, file))

    def compose(self, *words: str, deadline_s: float = _QUICK_S, tick: Callable[[], None] = lambda: None) -> Ended:
        """Run one `docker compose` to its end, its output in the log."""
        return self._run(self.spec.project, words, deadline_s, tick)

    def build(self) -> Ended:
        """Build the images, under the stack's own project name."""
        return self._run(build_project(self.spec.compose_file), ("build",), _FETCH_S, lambda: None)

    def config(self) -> str:
        """Return the merged configuration, secrets included; UsageError if Compose can't read the files."""
        with os.fdopen(os.memfd_create("config"), "w+b") as out:  # secrets never reach a disk
            ended = self._run(self.spec.project, ("config",), _QUICK_S, lambda: None, out)
            if ended.code == 0:
                out.seek(0)
                return out.read().decode()
        raise UsageError(
            "Compose can't read the stack",
            where=", ".join(map(str, self.files)),
            seen=ended.tail(),
            hint="mend it there",
        )

    def _run(
        self,
        name: str,
        words: Sequence[str],
        deadline_s: float,
        tick: Callable[[], None],
        output: IO[bytes] | None = None,
    ) -> Ended:
        options = [part for file in self.files for part in ("-f", str(file))]
        argv = ["docker", "compose", "--ansi", "never", "--progress", "plain", "-p", name]
        job = Job(
            argv=(*argv, "--project-directory", str(self.spec.folder), *options, *words),
            cwd=self.spec.folder,
            env={**os.environ, **self.spec.environment},
            redactor=self.redactor,
            log=self.spec.logs / "compose.log",
            deadline_s=deadline_s,
            output=output,
        )
        return children.run(job, self.guard, tick=tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class BringUp:
    """Images, then containers, then their start; each step with errors of its own."""

    project: Project
    config: Config
    client: docker.DockerClient
    say: Say
    start_s: float

    def run(self, watch: Callable[[], None]) -> None:
        """Do all steps; `watch` is called during the start, and raises when a container has ended."""
        self._images()
        self.say("creating the containers")
        create = ("create", "--no-build", "--pull", "never")
        self._step("create", self.project.compose(*create, deadline_s=_CREATE_S))
        self.say("starting the containers")
        words = ("up", "--detach", "--no-build", "--no-recreate", "--pull", "never")
        ended = self.project.compose(*words, deadline_s=self.start_s, tick=watch)
        if ended.code != 0:
            watch()  # the end of a service explains more than Compose's exit code
        self._step("start", ended)

    def _images(self) -> None:
        if self.project.spec.built:
            return
        services = self.config["services"]
        if any("build" in service for service in services.values()):
            self.say("building the images")
            self._step("build", self.project.build())
        spec = self.project.spec
        renamed = image_names(spec.compose_file, spec.variant.compose, self.config)
        images = {
            name: renamed.get(name, one.get("image", "")) for name, one in services.items() if "build" not in one
        }
        missing = [name for name, image in images.items() if self._lacks(image)]
        if missing:
            self.say(f"pulling the images of {', '.join(missing)}")
            self._step("pull", self.project.compose("pull", *missing, deadline_s=_FETCH_S))

    def _lacks(self, image: str) -> bool:
        with talking("looking for an image"):
            try:
                self.client.images.get(image)
            except ImageNotFound:
                return True
        return False

    def _step(self, step: str, ended: Ended) -> None:
        if ended.code != 0:
            raise failure(step, ended, where=str(self.project.spec.compose_file))


def failure(step: str, ended: Ended, *, where: str) -> StackFailed:
    """Return the error for a failed step, by what Compose printed."""
    text = ended.tail()
    if ended.code is None:
        return StackFailed(f"`docker compose {step}` did not end in time", where=where, seen=text)
    if _NO_DAEMON.search(text):
        return EngineUnavailable(
            "the Docker daemon stopped answering", where=where, seen=text, hint="`docker info`"
        )
    if step == "build":
        return ImageMissing("an image can't be built", where=where, seen=text, hint=_BOOTSTRAP)
    if step == "pull" or _NO_IMAGE.search(text):
        return ImageMissing("an image can't be found", where=where, seen=text, hint=_BOOTSTRAP)
    if _PORT.search(text):
        address = _ADDRESS.search(text)
        port = address[0].rpartition(":")[2] if address else "PORT"
        return PortTaken(
            f"the address {address[0] if address else 'of a published port'} is taken",
            where=where,
            seen=text,
            hint=f"`ss -ltnp 'sport = :{port}'` shows the program; end that, or publish another port",
        )
    return StackFailed(f"`docker compose {step}` failed with exit code {ended.code}", where=where, seen=text)
