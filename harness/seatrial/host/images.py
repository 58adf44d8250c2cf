"""The base image of all shipped stacks: pulled from a registry, or made from a Debian mirror."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from seatrial.errors import EngineUnavailable, ImageMissing
from seatrial.host.commands import NOT_FOUND, Answer, Run, run_program

BASE_IMAGE = "debian:trixie-slim"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
_SUITE = re.compile(r"(?:.*/)?debian:(?P<suite>[a-z]+)(?:-slim)?$")
_ASK_S = 20
_PULL_S = 10  # making the image takes as long, so a slow registry is not waited for
_PULL_ONLY_S = 300  # where it can't be made
_MAKE_S = 900  # 10 s on a bare machine, two minutes under emulation; the mirror may be slow
_SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def bootstrap(
    image: str = BASE_IMAGE,
    *,
    run: Run = run_program,
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
    with tempfile.TemporaryDirectory(prefix="seatrial-image-") as folder:
        Path(folder).chmod(0o755)  # apt downloads as the user `_apt`, who needs access
        # a file between the two, not a pipe: an image is only imported from a tree that is complete
        _make(image, match["suite"], Path(folder) / "root.tar", run=run)
    return "made"


def is_present(image: str = BASE_IMAGE, *, run: Run = run_program) -> bool:
    """Return whether the engine has `image`; EngineUnavailable if it does not answer."""
    inspected = run(["docker", "image", "inspect", "--format", "{{.Id}}", image], within_s=_ASK_S)
    if inspected.code != 0 and "no such image" not in inspected.last_lines.lower():
        raise EngineUnavailable(
            "the Docker engine does not list its images",
            seen=inspected.last_lines,
            hint="`seatrial doctor` shows what is missing",
        )
    return inspected.code == 0


def debian_mirror(*, run: Run = run_program) -> str:
    """Return the mirror that this host's own apt uses for Debian, or else Debian's."""
    targets = run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"], within_s=_ASK_S
    )
    rows = (line.partition("|") for line in targets.output.splitlines() if targets.code == 0)
    mirrors = [uri for label, _, uri in rows if label == "Debian" and uri.startswith("http")]
    return mirrors[0].rstrip("/") if mirrors else DEFAULT_MIRROR


def _make(image: str, suite: str, tree: Path, *, run: Run) -> None:
    mirror = debian_mirror(run=run)
    slim = [f"--dpkgopt=path-exclude={pattern}" for pattern in _SLIM]
    made = run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *slim, suite, str(tree), mirror],
        within_s=_MAKE_S,
        env={"TMPDIR": str(tree.parent)},  # its incomplete tree is removed with our folder, however it ends
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


def _missing(image: str, answer: Answer, *, hint: str) -> ImageMissing:
    return ImageMissing(
        f"the image {image} can neither be pulled nor made",
        seen=answer.last_lines,
        expected="an image registry that answers, or mmdebstrap and a Debian mirror",
        hint=hint,
    )
