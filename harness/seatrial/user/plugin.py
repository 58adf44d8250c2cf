"""A second locustfile that records any other: `locust -f theirs.py,THIS_FILE`.

It has no user class; beside a locustfile whose users are all LeanUsers it does nothing but offer `--record`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parent)
_LOADED_AS = "plugin"
"""Locust loads this file as a module of this name, which a module of the user's project may have as well."""


def _start() -> None:
    """Listen to Locust's events.

    While Locust loads this file, its folder is first on the path, where a module of this package would shadow one
    of the same name elsewhere.
    """
    on_path = sys.path[:1] == [_FOLDER]
    if on_path:
        del sys.path[0]
    try:
        importlib.import_module("seatrial.user.locust_events").listen()
    finally:
        if on_path:
            sys.path.insert(0, _FOLDER)


if __name__ == _LOADED_AS:
    sys.modules.pop(_LOADED_AS, None)
    _start()
