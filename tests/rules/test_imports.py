"""What importing must not do."""

import subprocess
import sys


def test_the_command_line_loads_neither_locust_nor_gevent() -> None:
    """`import locust` patches every socket and sleep of its process: a harness that does that can't be trusted."""
    program = "import sys, seatrial.cli, seatrial.observe.facts as f; f.host_facts(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert {"locust", "gevent", "seatrial.user"} & set(loaded.stdout.split()) == set()


def test_what_a_locustfile_builds_on_starts_nothing() -> None:
    """Importing it opens no file and starts no thread; that waits for the first user."""
    program = (
        "import os; os.environ['LOCUST_SKIP_MONKEY_PATCH'] = '1'; import locust, threading; "
        "before = (threading.active_count(), sorted(os.listdir('/proc/self/fd'))); import seatrial.user; "
        "print(before == (threading.active_count(), sorted(os.listdir('/proc/self/fd'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "True\n"
