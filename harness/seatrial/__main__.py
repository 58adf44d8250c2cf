"""`seatrial` and `python -m seatrial`: loads the command line and runs it."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line and return its exit code.

    Until a command is imported, Ctrl-C has the kernel's default action: a KeyboardInterrupt during imports may be
    lost, since callbacks of the import system and modules in C (`import_array` of NumPy) swallow it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from seatrial import cli  # noqa: PLC0415  (see above)

    return cli.run()


if __name__ == "__main__":
    sys.exit(main())  # noqa: TID251  (the entry point of `python -m seatrial`)
