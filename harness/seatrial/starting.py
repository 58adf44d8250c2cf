"""Ctrl-C while modules are loaded: nothing is up yet that would have to be torn down."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that was interrupted, as of `errors.Interrupted`."""

SAID = "seatrial: interrupted\n"


@contextmanager
def ended_at_once() -> Iterator[None]:
    """End the process at the first Ctrl-C, with one line: around imports only.

    A KeyboardInterrupt that is raised there is not sure to get through: callbacks of the import system swallow it
    with a traceback (`_get_module_lock.<locals>.cb`), and so do modules in C that import others (`import_array` of
    NumPy). A handler that is not Python's own stays, and so does it that Ctrl-C is ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    with suppress(ValueError):  # not the main thread, which alone gets signals
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _end and before is not _end:
            signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, SAID.encode())
    os._exit(INTERRUPTED)
