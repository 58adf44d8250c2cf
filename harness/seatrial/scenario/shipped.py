"""The shipped scenarios and locustfiles: inside the installed wheel, or in the checkout."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from seatrial.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


def root() -> Path:
    """Return the folder that holds `scenarios/` and `locustfiles/`."""
    installed = _PACKAGE / "_shipped"
    return installed if installed.is_dir() else _PACKAGE.parent.parent


def names() -> tuple[str, ...]:
    """Return the names of the shipped scenarios."""
    return tuple(sorted(path.stem for path in (root() / "scenarios").glob("*.yaml")))


def word(path: Path) -> str:
    """Return the argument that names the scenario of this file in a shell: its name or its path."""
    name = path.stem
    return name if name in names() and path == find(name) else shlex.quote(str(path))


def find(wanted: str) -> Path:
    """Return the scenario's file: a path, or the name of one that is shipped; UsageError if there is neither."""
    path = Path(wanted)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if path.is_file():
            return path.resolve()
        raise UsageError("the scenario's file does not exist", where=str(path), hint="seatrial list --scenarios")
    if wanted in names():
        return root() / "scenarios" / f"{wanted}.yaml"
    close = difflib.get_close_matches(wanted, names(), n=1)
    raise UsageError(
        f"there is no scenario {wanted!r}",
        seen=wanted,
        expected=f"the path of a .yaml file, or one of: {', '.join(names())}",
        hint=f"did you mean {close[0]}?" if close else "seatrial list --scenarios",
    )
