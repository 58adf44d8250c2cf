"""The base image is taken where it is, pulled where a registry answers, and made from a mirror otherwise."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from seatrial.errors import EngineUnavailable, ImageMissing
from seatrial.host.images import BASE_IMAGE, ProgramResult, bootstrap, debian_mirror, run_program
from seatrial.stack.processes import process

ABSENT = ProgramResult(1, "Error response from daemon: No such image: debian:trixie-slim")
REFUSED = ProgramResult(1, "dial tcp: lookup registry-1.docker.io: no such host")
MISSING = ProgramResult(127, "mmdebstrap: not there")
DONE = ProgramResult(0, "")


class Programs:
    """Answers by the first words of the command that fit, and remembers what was run."""

    def __init__(self, **answers: ProgramResult) -> None:
        self.answers = {start.replace("_", " "): answer for start, answer in answers.items()}
        self.ran: list[str] = []
        self.within_s: dict[str, float] = {}
        self.env: dict[str, Mapping[str, str] | None] = {}

    def __call__(
        self, argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Answer, instead of running anything."""
        line = " ".join(argv).replace("apt-get", "apt")
        self.ran.append(line)
        self.env[line], self.within_s[line] = env, within_s
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), DONE)


def test_an_image_that_is_present_is_left_alone() -> None:
    """Nothing is pulled or made, so that a run starts at once."""
    programs = Programs()
    assert bootstrap(run=programs) == "present"
    assert len(programs.ran) == 1


@pytest.mark.parametrize(("mmdebstrap", "wait_s"), [(DONE, 10), (MISSING, 300)])
def test_an_image_is_pulled_where_a_registry_answers(mmdebstrap: ProgramResult, wait_s: float) -> None:
    """A slow registry is only waited for where the image can't be made, which takes as long as a short wait."""
    programs = Programs(docker_image_inspect=ABSENT, mmdebstrap=mmdebstrap)
    assert bootstrap(run=programs) == "pulled"
    assert programs.ran[-1] == "docker pull --quiet debian:trixie-slim"
    assert programs.within_s[programs.ran[-1]] == wait_s


def test_an_image_is_made_from_the_hosts_own_mirror() -> None:
    """Debian's tree of the suite in the image's name is imported under that name."""
    targets = ProgramResult(0, "Debian-Security|http://a/security/\nDebian|http://near/debian/\n")
    programs = Programs(docker_image_inspect=ABSENT, docker_pull=REFUSED, apt=targets)
    assert bootstrap(run=programs) == "made"
    make, imported = programs.ran[-2:]
    assert make.startswith("mmdebstrap --quiet --variant=minbase")
    assert " trixie " in make
    assert make.endswith("root.tar http://near/debian")
    assert imported.endswith("root.tar debian:trixie-slim")
    assert programs.env[make] == {"TMPDIR": make.split()[-2].removesuffix("/root.tar")}


@pytest.mark.parametrize(
    ("image", "mmdebstrap", "seen", "hint"),
    [
        (BASE_IMAGE, ProgramResult(25, "E: 404 Not Found"), "E: 404 Not Found", "is http://deb.debian.org/debian"),
        (BASE_IMAGE, MISSING, MISSING.output, "apt-get install mmdebstrap"),
        ("nginx:1.29", DONE, REFUSED.output, "only Debian's images can be made here"),
    ],
    ids=["a mirror that fails in the middle", "no mmdebstrap", "no image of Debian's"],
)
def test_an_image_that_can_not_be_made_is_an_error(
    image: str, mmdebstrap: ProgramResult, seen: str, hint: str
) -> None:
    """A half-made tree is never imported under the right name; the hint is the way out."""
    programs = Programs(docker_image_inspect=ABSENT, docker_pull=REFUSED, mmdebstrap=mmdebstrap)
    with pytest.raises(ImageMissing) as caught:
        bootstrap(image, run=programs)
    assert caught.value.seen == seen
    assert caught.value.hint.startswith(hint)
    assert not any(line.startswith("docker import") for line in programs.ran)


def test_an_engine_that_does_not_answer_is_no_missing_image() -> None:
    """The daemon's silence must not start a minute of work."""
    with pytest.raises(EngineUnavailable):
        bootstrap(run=Programs(docker_image_inspect=ProgramResult(1, "Cannot connect to the Docker daemon")))


def test_the_mirror_falls_back_to_debians_own() -> None:
    """Ubuntu's apt knows no Debian mirror, and other systems have no apt."""
    for targets in (ProgramResult(0, "Ubuntu|http://archive.ubuntu.com/ubuntu/"), ProgramResult(127, "no file")):
        assert debian_mirror(run=Programs(apt=targets)) == "http://deb.debian.org/debian"


def test_a_program_that_takes_too_long_may_clean_up(tmp_path: Path) -> None:
    """SIGTERM comes first, to all of its session: mmdebstrap unmounts what it has mounted."""
    code = 'trap "touch $0; exit" TERM; sleep 60 & wait'
    assert run_program(["sh", "-c", code, str(tmp_path / "done")], within_s=0.3).code == 124
    assert (tmp_path / "done").exists()


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """After the grace nothing of its session runs, also what ignores the signal and outlives its parent."""
    code = '(trap "" TERM; exec sleep 60) & echo $! > "$0"; wait'
    assert run_program(["sh", "-c", code, str(tmp_path / "pid")], within_s=0.3, grace_s=0.3).code == 124
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while (entry := process(pid)) and entry.is_running:
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (["sh", "-c", 'echo $TMPDIR; test -n "$PATH"'], ProgramResult(0, "/x\n")),
        (["sh", "-c", "echo one; echo two >&2; exit 3"], ProgramResult(3, "one\n", "two\n")),
        (["no-such-program"], ProgramResult(127, "", "no-such-program: No such file or directory")),
        (["sleep", "60"], ProgramResult(124, "", "sleep did not end within 0.5 s")),
    ],
    ids=["environment", "both streams and the code", "a missing program", "its time is over"],
)
def test_a_program_is_run(argv: list[str], result: ProgramResult) -> None:
    """The codes of a missing program and of one that takes too long are those of a shell and of timeout(1)."""
    assert run_program(argv, within_s=0.5 if argv[0] == "sleep" else 10, env={"TMPDIR": "/x"}) == result


def test_what_a_program_shows_is_not_returned(capfd: pytest.CaptureFixture[str]) -> None:
    """A build of minutes is followed on the terminal."""
    assert run_program(["sh", "-c", "echo one; echo two >&2"], within_s=10, shown=True) == ProgramResult(0, "")
    assert capfd.readouterr() == ("one\n", "two\n")
