"""How much memory a process ever had."""

from __future__ import annotations

from pathlib import Path


def peak_rss_mib(pid: int | str) -> float:
    """Return a process's peak of resident memory, 0 once it has none.

    Not `ru_maxrss`: that begins with the size of the process that started this one (kernel, `exec_mmap`).
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
