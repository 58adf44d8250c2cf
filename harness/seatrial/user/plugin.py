"""The second locustfile, which records a locustfile that knows nothing of Seatrial.

`locust -f theirs.py,THIS_FILE`. It has no user class; beside a locustfile whose users are all LeanUsers it does
nothing but offer `--record`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parent)
_BORROWED = "plugin"
"""The name under which Locust loads this file; a module of the user's project may have it as well."""


def _start() -> None:
    """Listen to Locust.

    Locust puts this file's folder first on the path while it loads it; there a module of ours would be taken for
    the standard library's `statistics`.
    """
    here = sys.path[:1] == [_FOLDER]
    if here:
        del sys.path[0]
    try:
        importlib.import_module("seatrial.user.locust_events").listen()
    finally:
        if here:
            sys.path.insert(0, _FOLDER)


if __name__ == _BORROWED:
    sys.modules.pop(_BORROWED, None)
    _start()
