"""Docker images: the base image, the images of a stack, and the runner of programs with a deadline."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Protocol

from seatrial.errors import EngineUnavailable, ImageMissing, UsageError
from seatrial.stack.compose_file import build_project, dump, image_changes, parsed
from seatrial.stack.local_plan import dotenv, required
from seatrial.stack.processes import end_all, of_sessions, process

NOT_FOUND = 127
TOO_LATE = 124
BASE_IMAGE = "debian:trixie-slim"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
_SUITE = re.compile(r"(?:.*/)?debian:(?P<suite>[a-z]+)(?:-slim)?$")
_SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_PLACEHOLDER = "throw-away"
_GRACE_S = 15.0  # mmdebstrap unmounts what it has mounted, and removes its tree if it may
_ASK_S = 20
_PULL_S = 10  # making the image takes as long, so a slow registry is not waited for
_PULL_ONLY_S = 300  # where it can't be made
_MAKE_S = 900  # 10 s on a bare machine, two minutes under emulation; the mirror may be slow
_CONFIG_S = 30
_BUILD_S = 1800


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended (127: not found, 124: too late), and its standard output and standard error."""

    code: int
    output: str
    errors: str = ""

    @property
    def last_lines(self) -> str:
        """The last lines of both, where programs report errors."""
        return "\n".join(f"{self.output}\n{self.errors}".strip().splitlines()[-3:])


class ProgramRunner(Protocol):
    """Runs a program to its end."""

    def __call__(
        self, argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Run `argv`, with `env` beside our environment; its session is ended when the time is over."""
        ...


def run_program(
    argv: Sequence[str],
    *,
    within_s: float,
    env: Mapping[str, str] | None = None,
    grace_s: float = _GRACE_S,
    shown: bool = False,
) -> ProgramResult:
    """Run `argv` in a session of its own, without input; if `shown`, its output goes to ours and is not returned.

    When the time is over, or at Ctrl-C, all of the session gets SIGTERM, and after `grace_s` SIGKILL; a second
    Ctrl-C kills it at once.
    """
    with _memory() as output, _memory() as errors:
        try:
            child = subprocess.Popen(
                argv,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=None if shown else output,
                stderr=None if shown else errors,
                start_new_session=True,
            )
        except OSError as error:
            return ProgramResult(NOT_FOUND, "", f"{argv[0]}: {error.strerror}")
        started = process(child.pid)
        try:
            child.wait(timeout=within_s)
        except BaseException as error:
            sessions = {child.pid: started.start_ticks if started else 0}
            try:
                end_all(lambda: of_sessions(sessions), grace_s=grace_s)
            finally:
                end_all(lambda: of_sessions(sessions), grace_s=0.0)
                child.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return ProgramResult(TOO_LATE, "", f"{argv[0]} did not end within {within_s:g} s")
        return ProgramResult(child.returncode, _read(output), _read(errors))


def _memory() -> IO[bytes]:
    """Return a file in memory: Compose prints secrets, which must not reach a disk, and a pipe could block it."""
    return os.fdopen(os.memfd_create("output"), "w+b")


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def bootstrap(
    image: str = BASE_IMAGE,
    *,
    run: ProgramRunner = run_program,
    say: Callable[[str], None] = lambda _text: None,
) -> str:
    """Make sure that the engine has `image`; return whether it was `present`, `pulled` or `made`.

    EngineUnavailable if no daemon answers, ImageMissing if it can neither be pulled nor made.
    """
    if is_present(image, run=run):
        return "present"
    say(f"pulling {image}")
    match = _SUITE.match(image)
    can_make = match is not None and run(["mmdebstrap", "--version"], within_s=_ASK_S).code == 0
    pulled = run(["docker", "pull", "--quiet", image], within_s=_PULL_S if can_make else _PULL_ONLY_S)
    if pulled.code == 0:
        return "pulled"
    if match is None:
        raise _missing(
            image, pulled, hint=f"only Debian's images can be made here; `docker pull {image}` where you can"
        )
    say(f"no registry has {image}: making it from a Debian mirror (10 to 60 s)")
    with TemporaryDirectory(prefix="seatrial-image-") as folder:
        Path(folder).chmod(0o755)  # apt downloads as the user `_apt`, who needs access
        # a file between the two programs, not a pipe: an image is only imported from a complete tree
        _make(image, match["suite"], Path(folder) / "root.tar", run=run)
    return "made"


def is_present(image: str = BASE_IMAGE, *, run: ProgramRunner = run_program) -> bool:
    """Return whether the engine has `image`; EngineUnavailable if it does not answer."""
    inspected = run(["docker", "image", "inspect", "--format", "{{.Id}}", image], within_s=_ASK_S)
    if inspected.code != 0 and "no such image" not in inspected.last_lines.lower():
        raise EngineUnavailable(
            "the Docker engine does not list its images",
            seen=inspected.last_lines,
            hint="`seatrial doctor` shows what is missing",
        )
    return inspected.code == 0


def debian_mirror(*, run: ProgramRunner = run_program) -> str:
    """Return the mirror that this host's apt uses for Debian, or else Debian's own."""
    targets = run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"], within_s=_ASK_S
    )
    rows = (line.partition("|") for line in targets.output.splitlines() if targets.code == 0)
    mirrors = [uri for label, _, uri in rows if label == "Debian" and uri.startswith("http")]
    return mirrors[0].rstrip("/") if mirrors else DEFAULT_MIRROR


def _make(image: str, suite: str, tree: Path, *, run: ProgramRunner) -> None:
    mirror = debian_mirror(run=run)
    slim = [f"--dpkgopt=path-exclude={pattern}" for pattern in _SLIM]
    made = run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *slim, suite, str(tree), mirror],
        within_s=_MAKE_S,
        env={"TMPDIR": str(tree.parent)},  # an incomplete tree is removed with our folder, however it ends
    )
    if made.code == NOT_FOUND:
        raise _missing(image, made, hint="apt-get install mmdebstrap, then `seatrial images bootstrap`")
    if made.code != 0:
        raise _missing(
            image, made, hint=f"is {mirror} reachable? run `mmdebstrap {suite} /dev/null {mirror}` to see"
        )
    changes = ('CMD ["bash"]', f"LABEL seatrial.base={suite}")
    imported = run(
        ["docker", "import", *(word for change in changes for word in ("--change", change)), str(tree), image],
        within_s=_MAKE_S,
    )
    if imported.code != 0:
        raise _missing(image, imported, hint="`docker info` shows whether the engine works; its disk may be full")


def _missing(image: str, answer: ProgramResult, *, hint: str) -> ImageMissing:
    return ImageMissing(
        f"the image {image} can neither be pulled nor made",
        seen=answer.last_lines,
        expected="an image registry that answers, or mmdebstrap and a Debian mirror",
        hint=hint,
    )


def build(compose_file: Path) -> None:
    """Build the images of a stack with Compose and show its output; ImageMissing if that fails.

    A required variable that is not set gets a placeholder: a secret belongs to a run, not to an image.
    """
    folder = compose_file.absolute().parent
    argv = ["docker", "compose", "-p", build_project(compose_file.absolute())]
    argv += ["--project-directory", str(folder), "-f", str(compose_file)]
    try:
        variables = required(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the stack can't be read", where=str(compose_file), seen=str(error)) from error
    known = dotenv(compose_file.parent) | os.environ
    environment = {name: _PLACEHOLDER for name in variables if not known.get(name)}
    config = run_program([*argv, "config"], within_s=_CONFIG_S, env=environment)
    if config.code in {NOT_FOUND, TOO_LATE}:
        raise EngineUnavailable(
            "the images can't be built", where=" ".join(argv), seen=config.errors, hint="seatrial doctor"
        )
    if config.code:
        raise UsageError("Compose can't read the stack", where=str(compose_file), seen=config.errors.strip())
    names = image_changes(compose_file, {}, parsed(config.output))
    with TemporaryDirectory(prefix="seatrial-") as private:
        override = Path(private, "names.yaml")
        override.write_text(dump({"services": names}), encoding="utf-8")
        built = run_program([*argv, "-f", str(override), "build"], within_s=_BUILD_S, env=environment, shown=True)
    if built.code:
        raise ImageMissing(
            "the images could not be built",
            where=" ".join(argv),
            seen=built.errors or f"exit code {built.code}; the reason is above",
            hint="seatrial images bootstrap makes the base image where no registry answers",
        )
