"""`seatrial` and `python -m seatrial`: loads the command line, and hands over to it."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code.

    What it needs is loaded in here: Ctrl-C during the imports is a Ctrl-C like any other.
    """
    try:
        from seatrial import starting  # noqa: PLC0415  (see above)

        with starting.ended_at_once():
            from seatrial import cli  # noqa: PLC0415  (the same)
        return cli.run()
    except KeyboardInterrupt:
        sys.stderr.write("seatrial: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())  # noqa: TID251  (the entry point of `python -m seatrial`)
