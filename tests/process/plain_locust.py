"""Plain Locust as a person starts it, in a folder of a test, without the harness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from seatrial.load.child import free_port

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> Mapping[str, str]:
    """Return a person's environment: nothing of Locust's own, and our package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return {**kept, "PYTHONPATH": str(ROOT / "harness"), "COLUMNS": "120", **more}


@contextmanager
def plain_locust(
    folder: Path, load: str | Path, *options: str, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start Locust with a locustfile, or with one of this text; kill what is left of it at the end. Log: `log`."""
    file = load if isinstance(load, Path) else folder / "load.py"
    if isinstance(load, str):
        file.write_text(load)
    words = ["-f", str(file), *options]
    if "--processes" in options:
        port = str(free_port())
        words += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    with (folder / "log").open("wb") as log:
        process = start(words, folder, variables or {}, log.fileno())
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], output: int
) -> subprocess.Popen[bytes]:
    """Start Locust in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "locust", *words],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
