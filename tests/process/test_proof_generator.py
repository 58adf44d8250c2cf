"""Which side is the bottleneck: a busy load generator is reported; a saturated server has no percentiles."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trials
from process.plain_locust import ROOT

pytestmark = pytest.mark.alone

ENGINES = pytest.mark.parametrize(
    "engine",
    [
        pytest.param("local", marks=pytest.mark.servers),
        pytest.param("compose", marks=[pytest.mark.docker, pytest.mark.long]),
    ],
)
LIMITED = ("--set", "load.parameters.path=/limited", "--users", "600")
CEILING_PER_S = 50
# `limit_req` without `nodelay` holds requests back until it is their turn: a queue whose rate no machine changes.
_NGINX = f"""
worker_processes 1;
pid /run/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path /var/lib/nginx/t; proxy_temp_path /var/lib/nginx/t; fastcgi_temp_path /var/lib/nginx/t;
    scgi_temp_path /var/lib/nginx/t; uwsgi_temp_path /var/lib/nginx/t;
    limit_req_zone $server_name zone=all:1m rate={CEILING_PER_S}r/s;
    server {{
        listen 80;
        server_name all;
        location / {{ return 200 "hello"; }}
        location /limited {{ limit_req zone=all burst=100000; try_files /none @hello; }}
        location @hello {{ return 200 "hello"; }}
    }}
}}
"""
_VISITING = """
from locust import events, task
from seatrial.user import LeanUser

@events.init_command_line_parser.add_listener
def options(parser, **_):
    parser.add_argument("--path", default="/")
    parser.add_argument("--pause", type=float, default=0.0)

class Visitor(LeanUser):
    endpoints = ("page",)

    def wait_time(self):
        return self.environment.parsed_options.pause

    @task
    def visit(self):
        self.client.get(self.environment.parsed_options.path, endpoint="page")
"""
_COMMAND = "/usr/sbin/nginx -e stderr -p $${data} -c $${config}/nginx.conf -g"
_LOCAL = {
    "command": [*_COMMAND.split(), "daemon off; user root;"],
    "port": 80,
    "files": ["nginx.conf"],
    "replace": {
        "/run/nginx.pid": "$${data}/nginx.pid",
        "/var/lib/nginx/": "$${data}/",
        "listen 80;": "listen 127.0.0.1:$${port};",
    },
}
_SERVICE = {
    "image": "seatrial/registry-nginx",
    "build": {"context": str(ROOT / "scenarios" / "stacks" / "registry"), "target": "nginx"},
    "pull_policy": "never",
    "volumes": ["./nginx.conf:/etc/nginx/nginx.conf:ro"],
    "tmpfs": ["/run", "/var/lib/nginx"],
    "read_only": True,
    "stop_signal": "SIGTERM",
    "x-seatrial": {"local": _LOCAL},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a command, and its report."""

    code: int
    report: dict[str, Any]
    stderr: str

    @property
    def invalid_for(self) -> set[str]:
        """The kinds of the notes that invalidate the run."""
        return {note["kind"] for note in self.report["notes"] if note["invalidates"]}

    @property
    def p95_ns(self) -> int | None:
        """The p95 of the latency, as reported."""
        value: int | None = self.report["requests"]["latency_ns"]["p95"]
        return value


def _run(folder: Path, engine: str, *words: str, core: int | None = None) -> Outcome:
    """Run for four seconds; with `core` on that one alone, except for containers."""
    folder.mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(_NGINX)
    load = {"users": 1, "warmup": "1s", "duration": "4s", "drain": "1s"}
    door = {"front_door": {"service": "nginx", "port": 80}, "ready": [{"get": "/", "within": "20s"}]}
    scenario = trials.write_scenario(folder, {"nginx": _SERVICE}, _VISITING, load, **door)
    command = trials.command_of(scenario, engine, "--json", *words)
    on_core = [] if core is None else ["taskset", "-c", str(core)]
    done = subprocess.run([*on_core, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stderr
    return Outcome(done.returncode, json.loads(done.stdout), done.stderr)


def _valid(folder: Path, engine: str, *words: str) -> Outcome:
    """Return the first of up to three runs that is valid, else the last: a busy machine may disturb one."""
    for number in range(3):
        outcome = _run(folder / str(number), engine, *words)
        if outcome.code == 0:
            break
    return outcome


@ENGINES
def test_a_generator_without_a_pause_on_one_core_is_reported(tmp_path: Path, engine: str) -> None:
    """200 users without waits fill the core, also where the stack takes a part of it; the run is INVALID."""
    outcome = _run(tmp_path, engine, "--users", "200", core=min(os.sched_getaffinity(0)))
    assert outcome.code == 5, outcome.stderr
    assert outcome.report["verdict"] == "invalid"
    assert outcome.invalid_for
    assert outcome.invalid_for <= {"generator busy", "generator late"}


@ENGINES
def test_a_generator_within_its_means_is_trusted(tmp_path: Path, engine: str) -> None:
    """20 users that wait 0.2 s: the same client, the same server, and a valid run."""
    outcome = _valid(tmp_path, engine, "--users", "20", "--set", "load.parameters.pause=0.2")
    assert (outcome.code, outcome.invalid_for) == (0, set()), outcome.stderr
    assert outcome.report["verdict"] == "valid"
    assert outcome.p95_ns is not None


@ENGINES
def test_three_times_the_ceiling_is_saturated(tmp_path: Path, engine: str) -> None:
    """Two thirds of the arrivals pile up: no percentile is shown, but the share that was completed."""
    outcome = _run(tmp_path, engine, "--rate", f"{3 * CEILING_PER_S}/s", *LIMITED)
    assert outcome.code == 5, outcome.stderr
    assert "saturated" in outcome.invalid_for
    assert outcome.report["saturated"]
    for shown in (outcome.report["requests"], *outcome.report["endpoints"]):
        for name in ("latency_ns", "service_ns", "first_byte_ns"):
            assert [shown[name][key] for key in ("p50", "p95", "p99", "max")] == [None] * 4, name
    arrivals = outcome.report["generator"]["arrivals"]
    assert 0.25 < arrivals["completed_share"] < 0.4
    assert outcome.report["requests"]["count"] > 0


@pytest.mark.servers
@pytest.mark.long
def test_just_below_the_ceiling_is_valid(tmp_path: Path) -> None:
    """Nine tenths of it are served as they come."""
    outcome = _valid(tmp_path, "local", "--rate", f"{CEILING_PER_S * 9 // 10}/s", *LIMITED)
    assert (outcome.code, outcome.invalid_for) == (0, set()), outcome.stderr
    assert outcome.p95_ns is not None
