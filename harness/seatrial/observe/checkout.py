"""Which commit of the user's own repository a run belongs to."""

from __future__ import annotations

import subprocess
from pathlib import Path

_WITHIN_S = 5.0


def git_commit(folder: Path) -> str | None:
    """Return the commit of the checkout that `folder` lies in, `+changes` if it is not clean; None without one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_WITHIN_S, check=True)
    return done.stdout.strip()
