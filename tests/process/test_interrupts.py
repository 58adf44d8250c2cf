"""Ctrl-C on the whole program: while it starts, and while a failed run is torn down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from trials import SEATRIAL

SERVICE = """
import os, signal, sys
harness = os.getppid()
signal.signal(signal.SIGTERM, lambda *_: os.kill(harness, signal.SIGINT))
if os.fork():
    sys.exit("it fell over")
signal.pause()
"""
"""Falls over, and leaves a process behind that sends Ctrl-C to the harness when it is ended."""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """Write a scenario whose stack falls over on the embedded engine."""
    local = {"command": [sys.executable, "-c", SERVICE], "port": 80}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": {"web": {"x-seatrial": {"local": local}}}}))
    (tmp_path / "drive.py").write_text("from seatrial.user import LeanUser\n\n\nclass One(LeanUser):\n    pass\n")
    values = {
        "question": "Does it end?",
        "stack": ".",
        "front_door": {"service": "web", "port": 80},
        "ready": [{"get": "/", "expect": 200, "within": "30s"}],
        "load": {"locustfile": "drive.py", "users": 1, "warmup": "0s", "duration": "1s"},
        "variants": {"other": {"compose": {"services": {"web": {"environment": {"WORD": "1"}}}}}},
        "gate": ["throughput"],
        "compare": {"blocks": 3, "design": "runs"},
    }
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_ctrl_c_while_a_failed_run_is_torn_down_ends_a_comparison(scenario: Path) -> None:
    """The run is sealed as failed, no other one is begun, and the hint is the command that resumes."""
    results = scenario.parent / "results"
    command = [*SEATRIAL, "compare", str(scenario), "--engine", "local", "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 130, done.stderr
    assert f"--resume {next(results.iterdir())}" in done.stderr
    assert "the run had failed before" in done.stderr
    assert "it fell over" in done.stderr
    (document,) = [_read(path) for path in results.glob("*/runs/*/run.json")]
    assert (document["status"], document["sealed"]) == ("failed", True)


SWALLOWING = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
except BaseException:
    pass
raise ImportError("Ctrl-C was swallowed")
"""
"""Raises SIGINT when it is imported, and turns a KeyboardInterrupt into another error, as NumPy's C code does."""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("click", ()),
        ("click", ("--help",)),
        ("numpy", ("show",)),
        ("docker", ("capacity", "registry-pull")),
    ],
)
def test_ctrl_c_while_the_program_starts_ends_it(tmp_path: Path, module: str, words: tuple[str, ...]) -> None:
    """By the signal itself (a shell shows 130) and without a traceback, whichever module is being imported."""
    (tmp_path / f"{module}.py").write_text(SWALLOWING)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*SEATRIAL, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document
