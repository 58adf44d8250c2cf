"""What the user's own repository says: which commit a run belongs to, and which files are somebody's work."""

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


def files(folder: Path) -> frozenset[Path]:
    """Return the files below `folder` that git tracks, or would if they were added; none without a checkout."""
    try:
        told = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    except (OSError, ValueError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(folder / name for name in told.split("\0") if name)


def _git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_WITHIN_S, check=True)
    return done.stdout.strip()
