"""What a real nginx logs of a cache in slices is what it fetched from its origin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import factories
import pytest
from trials import is_listening, wait_until

from seatrial.load.child import free_port
from seatrial.record.access_logs import OriginLogs

CLIP = 1 << 20
DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "scenario.md"
FIELDS = {"file": "access.log", "origin": "upstream_bytes_received", "time": "msec", "took": "request_time"}
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn; {user}
events {{ }}
http {{
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  proxy_cache_path {folder}/cache keys_zone=clips:1m;
  upstream media {{ server 127.0.0.1:{closed}; server 127.0.0.1:{origin}; }}
  {logged}
  server {{ listen 127.0.0.1:{origin}; root {folder}/files; access_log off; }}
  server {{ listen 127.0.0.1:{inner}; location / {{ proxy_pass http://media; }} }}
  server {{
    listen 127.0.0.1:{front};
    access_log off;
    location / {{
      slice 256k; proxy_cache clips; proxy_cache_key $uri$slice_range; proxy_cache_valid 200 206 1h;
      proxy_set_header Range $slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:{inner};
    }}
  }}
}}
"""

pytestmark = pytest.mark.servers


@pytest.fixture
def front(tmp_path: Path) -> Iterator[int]:
    """Give the port of a proxy with the documented log, before an origin and a server that is down."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    for name in ("files", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "clip.mp4").write_bytes(bytes(CLIP))
    (logged,) = re.findall(r"```nginx\n(log_format.*?)```", DOCUMENTED.read_text(), flags=re.DOTALL)
    origin, inner, port, closed = (free_port() for _ in range(4))
    text = _CONFIGURATION.format(
        folder=tmp_path,
        user="user root;" if os.getuid() == 0 else "",
        logged=logged.replace("/var/log/nginx/", f"{tmp_path}/logs/nginx-"),
        origin=origin,
        inner=inner,
        front=port,
        closed=closed,
    )
    (tmp_path / "nginx.conf").write_text(text)
    argv = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port) and is_listening(origin), 10)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _fetch(port: int) -> int:
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(client):
        client.request("GET", "/clip.mp4", headers={"Range": "bytes=0-"})
        return len(client.getresponse().read())


def test_slices_are_counted_and_the_cache_is_not(front: int, tmp_path: Path) -> None:
    """1 MiB takes four slices of 256 KiB with their heads; the same again takes nothing.

    The line of the first slice has two servers, because one is down.
    """
    now = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
    document = factories.document(clock=now, scenario={"logs": {"nginx": FIELDS}})

    def counted() -> float:
        return float(sum(row["value"] for row in OriginLogs(tmp_path / "logs", document).rows()))

    def lines() -> int:
        return len((tmp_path / "logs" / "nginx-access.log").read_text().splitlines())

    assert _fetch(front) == CLIP
    wait_until(lambda: lines() == 4, 10, log=tmp_path / "logs" / "nginx-access.log")
    fetched = counted()
    assert CLIP < fetched < CLIP + 4 * 1024
    assert _fetch(front) == CLIP
    assert (lines(), counted()) == (4, fetched)
    stamps = [row["t_ns"] for row in OriginLogs(tmp_path / "logs", document).rows()]
    assert all(now["monotonic_ns"] - 10_000_000 <= t_ns <= time.monotonic_ns() for t_ns in stamps)
