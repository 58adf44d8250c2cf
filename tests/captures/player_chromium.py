"""Drives headless Chromium, with an empty profile for each session."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import chromium
import player_page
from cases import Step
from golden_session import ClipFacts, Done


def _program() -> str:
    program = chromium.found()
    if program is None:
        raise FileNotFoundError("chromium")
    return program


def version() -> str:
    """Return what `chromium --version` says."""
    done = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip().removeprefix("Chromium ").partition(" built")[0]


def session(url: str, clip: ClipFacts, steps: Sequence[Step]) -> tuple[str, list[Done], list[Done], float]:
    """Play; return the driver, actions, events (both with times of time.monotonic) and the time of the stop."""
    del clip
    origin, _, path = url.removeprefix("http://").partition("/")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.page(_program(), Path(profile)) as page,
    ):
        page.go(f"http://{origin}{player_page.PATH}")
        page.until("document.readyState === 'complete' && !!document.getElementById('v')")
        return "headless, <video> of one page", *player_page.follow(page.value, f"/{path}", steps)
