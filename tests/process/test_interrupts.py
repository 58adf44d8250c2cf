"""Ctrl-C on the whole program: while it starts, and while a failed run is torn down."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import trials

SERVICE = """
import os, signal, sys
harness = os.getppid()
signal.signal(signal.SIGTERM, lambda *_: os.kill(harness, signal.SIGINT))
if os.fork():
    sys.exit("it fell over")
signal.pause()
"""
"""Falls over, and leaves a process behind that sends Ctrl-C to the harness when it is ended."""


def test_ctrl_c_while_a_failed_run_is_torn_down_ends_a_comparison(tmp_path: Path) -> None:
    """The run is sealed as failed, no other one is begun, and the hint is the command that resumes."""
    scenario = trials.write_scenario(
        tmp_path,
        {"web": {"x-seatrial": {"local": {"command": [sys.executable, "-c", SERVICE], "port": 80}}}},
        "from seatrial.user import LeanUser\n\n\nclass One(LeanUser):\n    pass\n",
        {"users": 1, "warmup": "0s", "duration": "1s"},
        front_door={"service": "web", "port": 80},
        ready=[{"get": "/", "expect": 200, "within": "30s"}],
        variants={"other": {"compose": {"services": {"web": {"environment": {"WORD": "1"}}}}}},
        gate=["throughput"],
        compare={"blocks": 3, "design": "runs"},
    )
    trial = trials.run_scenario(scenario, "local", verb="compare")

    assert trial.done.returncode == 130, trial.done.stderr
    assert f"--resume {next(trial.results.iterdir())}" in trial.done.stderr
    assert "the run had failed before" in trial.done.stderr
    assert "it fell over" in trial.done.stderr
    assert (trial.document["status"], trial.document["sealed"]) == ("failed", True)


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
    [("click", ()), ("click", ("--help",)), ("numpy", ("show",)), ("docker", ("capacity", "registry-pull"))],
)
def test_ctrl_c_while_the_program_starts_ends_it(tmp_path: Path, module: str, words: tuple[str, ...]) -> None:
    """By the signal itself (a shell shows 130) and without a traceback, whichever module is being imported."""
    (tmp_path / f"{module}.py").write_text(SWALLOWING)
    done = trials.seatrial(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path))

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
