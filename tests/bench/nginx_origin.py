"""The server of a benchmark: one nginx process on a core of its own, with two files, plain and over TLS."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.clients import on_core
from bench.job import LARGE_BYTES, SMALL_BYTES, BenchFailed

_START_S = 10.0
# One process without a master: it serves as a worker does, and its end is that of the server.
# One cipher suite for all clients: OpenSSL would choose AES-256, Go's AES-128, which is a tenth cheaper.
_CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; open_file_cache max=16;
  keepalive_timeout 3600s; keepalive_requests 1000000000;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    root {folder}/files; location = /status {{ stub_status; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The URLs of the server; `sha256` is the digest of the large file, in hex."""

    plain_url: str
    tls_url: str
    ca_file: str
    sha256: str

    @property
    def status_url(self) -> str:
        """The page of the server's counts."""
        return f"{self.plain_url}/status"


def program() -> str | None:
    """Return nginx's path, if there is one; Debian keeps it out of a user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def serving(folder: Path, core: int) -> Iterator[Origin]:
    """Run the server while the block runs; BenchFailed if it does not come up."""
    nginx = program()
    if nginx is None:
        raise BenchFailed("nginx is not installed: ./provision.sh bench")
    plain, tls = _free_ports()
    sha256 = _files(folder)
    _certificate(folder)
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, plain=plain, tls=tls))
    argv = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(on_core(core, argv), stdin=subprocess.DEVNULL)
    try:
        _wait_for(process, plain, folder / "error.log")
        yield Origin(
            plain_url=f"http://127.0.0.1:{plain}",
            tls_url=f"https://127.0.0.1:{tls}",
            ca_file=str(folder / "cert.pem"),
            sha256=sha256,
        )
    finally:
        process.kill()
        process.wait()


def _files(folder: Path) -> str:
    (folder / "files").mkdir()
    (folder / "files" / "small").write_bytes(os.urandom(SMALL_BYTES))
    piece = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with (folder / "files" / "large").open("wb") as large:
        for _ in range(LARGE_BYTES // len(piece)):
            large.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _certificate(folder: Path) -> None:
    argv = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext".split()
    argv += ["subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(argv, cwd=folder, capture_output=True, timeout=60, check=True)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as plain, socket.socket() as tls:
        plain.bind(("127.0.0.1", 0))
        tls.bind(("127.0.0.1", 0))
        return plain.getsockname()[1], tls.getsockname()[1]


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise BenchFailed(f"nginx did not come up: {log.read_text() if log.exists() else process.poll()}")
