"""The machine of a benchmark, and the versions of its programs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.binaries import BINARIES
from bench.nginx_origin import program

_PACKAGES = ("seatrial", "gevent", "locust", "geventhttpclient", "requests")


def facts(clients: Collection[str], cores: Collection[int]) -> dict[str, str]:
    """Return the facts by their names on the page."""
    programs = {name: _version_of(BINARIES[name].version) for name in sorted(BINARIES) if name in clients}
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Processor": _processor(),
        "Cores": str(len(cores)),
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "Kernel": platform.release(),
        "Load before": f"{os.getloadavg()[0]:.2f}",
        "Server": _version_of((program() or "nginx", "-v")),
        "Python": ", ".join(versions),
        "Programs": ", ".join(f"{name} {number}" for name, number in programs.items()) or "none",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version_of(command: Collection[str]) -> str:
    """Return the first line of a program's version output, without its own name."""
    name = next(iter(command)).rpartition("/")[2]
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    words = (done.stdout + done.stderr).strip().partition("\n")[0].split(" [")[0].split(" (")[0]
    return words.removeprefix(name).strip().removeprefix("version: ") or "unknown"
