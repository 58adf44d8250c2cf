"""The base image is taken where it is, pulled where a registry answers, and made from a mirror otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from seatrial.errors import EngineUnavailable, ImageMissing
from seatrial.host.images import ProgramResult, bootstrap, debian_mirror, run_program

ABSENT = ProgramResult(1, "Error response from daemon: No such image: debian:trixie-slim")
REFUSED = ProgramResult(1, "dial tcp: lookup registry-1.docker.io: no such host")
DONE = ProgramResult(0, "")


class Programs:
    """Answers by the first words of the command that fit, and remembers what was run."""

    def __init__(self, answers: Mapping[str, ProgramResult]) -> None:
        self.answers = answers
        self.ran: list[str] = []
        self.within_s: dict[str, float] = {}
        self.env: dict[str, Mapping[str, str] | None] = {}

    def __call__(
        self, argv: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Answer, instead of running anything."""
        line = " ".join(argv)
        self.env[line] = env
        self.ran.append(line)
        self.within_s[line] = within_s
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), DONE)


def test_an_image_that_is_there_is_left_alone() -> None:
    """Nothing is pulled or made, so that a run starts at once."""
    programs = Programs({})
    assert bootstrap(run=programs) == "present"
    assert len(programs.ran) == 1


def test_an_image_is_pulled_where_a_registry_answers() -> None:
    """The registry's own image comes first."""
    programs = Programs({"docker image inspect": ABSENT})
    assert bootstrap(run=programs) == "pulled"
    assert programs.ran[-1] == "docker pull --quiet debian:trixie-slim"


def test_a_slow_registry_is_only_waited_for_where_nothing_else_helps() -> None:
    """Making the image takes as long as a short wait; without mmdebstrap, a slow pull is all there is."""
    able = Programs({"docker image inspect": ABSENT})
    unable = Programs({"docker image inspect": ABSENT, "mmdebstrap": ProgramResult(127, "mmdebstrap: not there")})
    assert bootstrap(run=able) == bootstrap(run=unable) == "pulled"
    assert able.within_s["docker pull --quiet debian:trixie-slim"] == 10
    assert unable.within_s["docker pull --quiet debian:trixie-slim"] == 300


def test_an_image_is_made_from_the_hosts_own_mirror() -> None:
    """Debian's tree of the suite in the image's name is imported under that name."""
    programs = Programs(
        {
            "docker image inspect": ABSENT,
            "docker pull": REFUSED,
            "apt-get indextargets": ProgramResult(
                0, "Debian-Security|http://a/security/\nDebian|http://near/debian/\n"
            ),
        }
    )
    assert bootstrap(run=programs) == "made"
    make, imported = programs.ran[-2:]
    assert make.startswith("mmdebstrap --quiet --variant=minbase")
    assert " trixie " in make
    assert make.endswith("root.tar http://near/debian")
    assert imported.endswith("root.tar debian:trixie-slim")
    tree = make.split()[-2]
    assert programs.env[make] == {"TMPDIR": tree.removesuffix("/root.tar")}


def test_a_half_made_tree_is_never_imported() -> None:
    """A mirror that fails in the middle must not leave a broken image under the right name."""
    programs = Programs(
        {
            "docker image inspect": ABSENT,
            "docker pull": REFUSED,
            "mmdebstrap": ProgramResult(25, "E: 404 Not Found"),
        }
    )
    with pytest.raises(ImageMissing) as caught:
        bootstrap(run=programs)
    assert caught.value.seen == "E: 404 Not Found"
    assert not any(line.startswith("docker import") for line in programs.ran)


def test_without_mmdebstrap_the_error_names_the_package() -> None:
    """The hint is the command that mends it."""
    programs = Programs(
        {
            "docker image inspect": ABSENT,
            "docker pull": REFUSED,
            "mmdebstrap": ProgramResult(127, "mmdebstrap: not there"),
        }
    )
    with pytest.raises(ImageMissing) as caught:
        bootstrap(run=programs)
    assert caught.value.hint.startswith("apt-get install mmdebstrap")


def test_only_debian_images_are_made() -> None:
    """A name that says nothing of a Debian suite can only be pulled."""
    programs = Programs({"docker image inspect": ABSENT, "docker pull": REFUSED})
    with pytest.raises(ImageMissing) as caught:
        bootstrap("nginx:1.29", run=programs)
    assert caught.value.seen == REFUSED.output


def test_an_engine_that_does_not_answer_is_no_missing_image() -> None:
    """The daemon's silence must not start a minute of work."""
    programs = Programs({"docker image inspect": ProgramResult(1, "Cannot connect to the Docker daemon")})
    with pytest.raises(EngineUnavailable):
        bootstrap(run=programs)


def test_the_mirror_falls_back_to_debians_own() -> None:
    """Ubuntu's apt knows no Debian mirror, and other systems have no apt."""
    ubuntu = Programs({"apt-get": ProgramResult(0, "Ubuntu|http://archive.ubuntu.com/ubuntu/")})
    none = Programs({"apt-get": ProgramResult(127, "apt-get: No such file")})
    assert debian_mirror(run=ubuntu) == "http://deb.debian.org/debian"
    assert debian_mirror(run=none) == "http://deb.debian.org/debian"


def test_a_program_that_is_not_there_answers_as_in_a_shell() -> None:
    """Code 127 tells a missing program from one that failed."""
    assert run_program(["seatrial-no-such-program"], within_s=1).code == 127


def test_a_program_that_takes_too_long_is_ended() -> None:
    """Code 124, as from timeout(1), and the answer comes at once."""
    assert run_program(["sleep", "60"], within_s=0.05) == ProgramResult(124, "", "sleep did not end within 0.05 s")


def test_a_program_that_takes_too_long_may_clean_up(tmp_path: Path) -> None:
    """SIGTERM comes first, to all of its session: mmdebstrap unmounts what it has mounted."""
    code = 'trap "touch $0; exit" TERM; sleep 60 & wait'
    assert run_program(["sh", "-c", code, str(tmp_path / "done")], within_s=0.3).code == 124
    assert (tmp_path / "done").exists()


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """After the grace nothing of its session runs, also what ignores the signal and outlives its parent."""
    code = '(trap "" TERM; exec sleep 60) & echo $! > "$0"; wait'
    assert run_program(["sh", "-c", code, str(tmp_path / "pid")], within_s=0.3, grace_s=0.3).code == 124
    stat = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    deadline = time.monotonic() + 5
    while (runs := _runs(stat)) and time.monotonic() < deadline:
        os.sched_yield()
    assert not runs


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_a_program_has_the_environment_that_it_is_given() -> None:
    """Beside ours: without PATH it would find nothing."""
    assert run_program(
        ["sh", "-c", 'echo $TMPDIR; test -n "$PATH"'], within_s=10, env={"TMPDIR": "/x"}
    ) == ProgramResult(0, "/x\n")


def test_both_streams_of_a_program_are_kept() -> None:
    """What went wrong stands on standard error, what was asked for on standard output."""
    assert run_program(["sh", "-c", "echo one; echo two >&2; exit 3"], within_s=10) == ProgramResult(
        3, "one\n", "two\n"
    )


def test_what_a_program_shows_is_not_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """A build of minutes is followed on the terminal."""
    assert run_program(["sh", "-c", "echo one; echo two >&2"], within_s=10, shown=True) == ProgramResult(0, "")
    assert capfd.readouterr() == ("one\n", "two\n")
