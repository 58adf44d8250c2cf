"""Starts a child for a test, in place of the guard of a run."""

import subprocess
from collections.abc import Sequence
from typing import Any


def spawn(argv: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (those of Popen)
    """Start a child in a process group of its own."""
    return subprocess.Popen(argv, start_new_session=True, **settings)
