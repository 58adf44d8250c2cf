"""Runs of a tiny stack, one nginx that answers at once, and at most 50 times a second under `/limited`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from trials import SEATRIAL

ROOT = Path(__file__).parents[2]
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
    client_body_temp_path /var/lib/nginx/body;
    proxy_temp_path /var/lib/nginx/proxy;
    fastcgi_temp_path /var/lib/nginx/fastcgi;
    scgi_temp_path /var/lib/nginx/scgi;
    uwsgi_temp_path /var/lib/nginx/uwsgi;
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
class Ran:
    """A command's end and its report."""

    code: int
    report: dict[str, Any]
    said: str

    @property
    def invalid_for(self) -> set[str]:
        """The kinds of the notes that invalidate the run."""
        return {note["kind"] for note in self.report["notes"] if note["invalidates"]}

    @property
    def p95_ns(self) -> int | None:
        """The p95 of the latency, as it is shown."""
        value: int | None = self.report["requests"]["latency_ns"]["p95"]
        return value


def run(folder: Path, engine: str, *words: str, core: int | None = None) -> Ran:
    """Run for four seconds; with `core`, harness, load and what of the stack is no container share it."""
    folder.mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(_NGINX)
    (folder / "visiting.py").write_text(_VISITING)
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": {"nginx": _SERVICE}}))
    load = {"locustfile": "visiting.py", "users": 1, "warmup": "1s", "duration": "4s", "drain": "1s"}
    scenario: dict[str, Any] = {"question": "Who is the bottleneck?", "stack": "compose.yaml", "load": load}
    scenario |= {"front_door": {"service": "nginx", "port": 80}, "ready": [{"get": "/", "within": "20s"}]}
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    command = [*SEATRIAL, "run", str(folder / "scenario.yaml"), "--engine", engine, "--json", *words]
    command += ["--results", str(folder / "results")]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stderr
    return Ran(done.returncode, json.loads(done.stdout), done.stderr)


def valid(folder: Path, engine: str, *words: str) -> Ran:
    """Return the first of up to three runs that is valid, else the last: a busy machine may disturb one."""
    for number in range(3):
        ran = run(folder / str(number), engine, *words)
        if ran.code == 0:
            break
    return ran
