"""Setup of all tests: Locust must not patch this process, and a test is skipped where a part is missing."""

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # before anything else: `import locust` would patch every socket

import shutil
import subprocess
from functools import cache

import chromium
import hypothesis
import pytest

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy processor is no failure of the code
hypothesis.settings.load_profile("any machine")
SERVERS = ("nginx", "docker-registry", "redis-server", "gunicorn")


@cache
def _missing(marker: str) -> str:
    """Return why tests with this marker can't run here; empty if they can."""
    if marker == "servers":
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
        absent = [name for name in SERVERS if shutil.which(name, path=path) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""
    if marker == "browser":
        return "" if chromium.found() else f"none of these is on the PATH: {', '.join(chromium.NAMES)}"
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(command)}: {error}"
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that can't run here, with the reason; where CI promises the parts, their absence is a failure."""
    for marker in ("docker", "servers", "browser"):
        if item.get_closest_marker(marker) is None or not (reason := _missing(marker)):
            continue
        if os.environ.get("SEATRIAL_REQUIRE_ALL") == "1":
            pytest.fail(f"this run promises every part, but {reason}", pytrace=False)
        pytest.skip(reason)
