"""The commands of the pages about CI, in two checkouts of a repository with a stack of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ci_pages
import pytest

pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.long]

STACK = Path(__file__).parents[2] / "scenarios" / "stacks" / "known"
SHORT = " --blocks 1 --warmup 1s --duration 1s"
PAGES = ("ci-github-actions.md", "ci-gitlab.md")


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make base and head: the same stack, whose service costs more in head."""
    root = tmp_path_factory.mktemp("job")
    for side in ("base", "head"):
        shutil.copytree(STACK, root / side / "deploy")
    scenario = root / "head" / "ci" / "loadtest.yaml"
    scenario.parent.mkdir()
    scenario.write_text(ci_pages.scenario(), encoding="utf-8")
    return root


def _run(line: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run one line of a page as a CI job would, with a short load."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    environment["GITHUB_STEP_SUMMARY"] = str(root / "summary.md")
    words = line + (SHORT if line.startswith("seatrial compare") else "")
    return subprocess.run(
        ["bash", "-c", words], cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_every_command_of_the_pages_works(checkouts: Path) -> None:
    """From validate to clean, each line once; one block decides nothing, and that is no failure."""
    for line in dict.fromkeys(line for page in PAGES for line in ci_pages.commands(page)):
        done = _run(line, checkouts)
        assert done.returncode in ((0, 5) if "compare" in line else (0,)), (line, done.stderr)

    latest = max((checkouts / "results").iterdir())
    verdict = json.loads((latest / "verdict.json").read_text(encoding="utf-8"))
    assert {run["variant"] for run in verdict["runs"]} == {"base", "head"}
    assert (checkouts / "junit.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert (latest / "report.html").exists()
