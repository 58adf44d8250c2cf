"""The origin of captures that need no stack: nginx with its defaults, serving a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trials import is_listening, wait_until

from seatrial.load.child import free_port

_WITHIN_S = 10.0
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
{user}
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; types {{ video/mp4 mp4; }}
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{port};
    location /media/ {{ alias {files}/; }}
    location /no-store/ {{ alias {files}/; add_header Cache-Control no-store; }}
  }}
}}
"""


@contextmanager
def static_origin(folder: Path, files: Path) -> Iterator[tuple[str, int]]:
    """Serve `files` under /media/, and under /no-store/ for no cache to keep, while the block runs.

    nginx's own files go to `folder`.
    """
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # its worker has to reach the files
    settings = folder / "nginx.conf"
    settings.write_text(_CONFIGURATION.format(folder=folder, port=port, user=user, files=files), encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise FileNotFoundError("nginx")
    argv = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(settings)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port) or process.poll() is not None, _WITHIN_S)
        if process.poll() is not None:
            raise RuntimeError((folder / "error.log").read_text(encoding="utf-8"))
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(_WITHIN_S)
