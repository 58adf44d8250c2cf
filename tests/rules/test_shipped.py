"""Shipped scenarios are valid, and are found in an installed wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from seatrial.scenario import reading, source

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", source.shipped_names())
def test_every_shipped_scenario_is_valid(name: str) -> None:
    """It can be compared, its locustfile exists, and two cores are enough for its load."""
    scenario = reading.check_comparable(name, {})

    assert scenario.question.endswith("?")
    assert scenario.load.locustfile.is_file()
    assert (scenario.load.processes, scenario.load.pinning != "on") == (1, True)


def test_the_wheel_carries_scenarios_and_locustfiles(tmp_path: Path) -> None:
    """From an empty folder, with only the wheel's content, a shipped scenario is found."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()

    done = subprocess.run(
        [sys.executable, "-m", "seatrial", "validate", "registry-pull"],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        cwd=empty,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.startswith(str(tmp_path / "site" / "seatrial" / "_shipped")), done.stderr
