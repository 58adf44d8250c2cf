"""Where reports are printed."""

from __future__ import annotations

import os

from rich.console import Console

_WIDTH_OF_A_FILE = 100


def standard_output() -> Console:
    """Return the console of standard output; where that is no terminal, wide enough for the tables."""
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=_WIDTH_OF_A_FILE)
