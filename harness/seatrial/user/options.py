"""Locust options added by Seatrial: `--rate`, `--arrivals`, `--rate-file`, `--record`."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import locust
from locust.env import Environment

from seatrial.errors import SeatrialError, UsageError
from seatrial.user import distributed, standalone
from seatrial.wire import rates
from seatrial.wire.control import PLAN_VARIABLE, Plan
from seatrial.wire.rates import ENCODING, Rate, Stretch

_RATE, _ARRIVALS, _FILE = "arrival_rate", "arrival_spacing", "arrival_rate_file"
_KINDS = ("constant", "poisson")
_offered: list[bool] = []


def offer() -> None:
    """Have Locust offer the options; a second call does nothing."""
    if not _offered:
        _offered.append(True)
        events: Any = locust.events
        events.init_command_line_parser.add_listener(_when_read)
        events.init.add_listener(_on_init)


def add_options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser takes more than argparse's)
    """Add the options; one whose name the locustfile has taken stays the locustfile's."""
    _add(
        parser,
        "--rate",
        type=_checked,
        default=None,
        dest=_RATE,
        env_var="LOCUST_RATE",
        metavar="TEXT",
        help=f"Seatrial: tasks begin at this rate, whatever the server does: {rates.EXPECTED}",
    )
    _add(
        parser,
        "--arrivals",
        choices=_KINDS,
        default=None,
        dest=_ARRIVALS,
        env_var="LOCUST_ARRIVALS",
        help="Seatrial: arrivals of --rate evenly spaced (as without this), or independent of each other",
    )
    _add(
        parser,
        "--rate-file",
        default="",
        dest=_FILE,
        env_var="LOCUST_RATE_FILE",
        metavar="FILE",
        help="Seatrial: like --rate, from lines `second,rate`: from each second on its rate (a second) holds",
    )
    standalone.add_option(parser)


def rate_of(options: object) -> Rate | None:
    """Return the rate that the options ask for; UsageError if they contradict each other, or are not readable."""
    text, file, spacing = (getattr(options, name, None) for name in (_RATE, _FILE, _ARRIVALS))
    if text and file:
        raise UsageError("the rate is told twice", seen=f"--rate {text} and --rate-file {file}", expected="one")
    if text or file:
        return Rate(_stretches(text, file), poisson=spacing == "poisson")
    if spacing == "poisson":  # a form of the web UI tells `constant` of its own accord
        raise UsageError(
            "arrivals are told without their rate",
            seen=f"--arrivals {spacing}",
            hint=f"--rate 50/s --arrivals {spacing}",
        )
    return None


def _stretches(text: str | None, file: str | None) -> tuple[Stretch, ...]:
    try:
        return rates.parse(text) if text else rates.parse_lines(Path(file or "").read_text(ENCODING).splitlines())
    except (OSError, ValueError) as error:
        seen = (error.strerror or "") if isinstance(error, OSError) else str(error)
        expected = rates.EXPECTED if text else rates.EXPECTED_LINES
        where = "--rate" if text else file or ""
        raise UsageError("the rate can't be read", where=where, seen=seen, expected=expected) from error


def steered() -> bool:
    """Tell whether a harness steers this process."""
    text = os.environ.get(PLAN_VARIABLE)
    return bool(text and Plan.decode(text).control)


def _add(parser: Any, name: str, **settings: Any) -> None:  # noqa: ANN401  (as above)
    try:
        parser.add_argument(name, **settings)
    except argparse.ArgumentError:  # the locustfile has an option of this name
        return


def _checked(text: str) -> str:
    try:
        rates.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _when_read(parser: Any, **_: object) -> None:  # noqa: ANN401  (as above)
    """Add the options just before the command line is read, when the locustfile has added all of its own."""
    read = parser.parse_known_args

    def read_with_ours(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (argparse's)
        parser.parse_known_args = read
        add_options(parser)
        return read(*args, **kwargs)

    parser.parse_known_args = read_with_ours


def _on_init(environment: Environment, **_: object) -> None:
    """Refuse a rate that can't be read, which Locust would only log; and take part in a distributed run."""
    try:
        rate_of(environment.parsed_options)
    except SeatrialError as error:
        sys.stderr.write(f"seatrial: {error}\n")
        raise SystemExit(error.exit_code) from None
    distributed.attend_shares(environment, partial(_rate_of, environment))
    standalone.hear_refusals(environment)


def _rate_of(environment: Environment) -> Rate | None:
    return None if steered() else rate_of(environment.parsed_options)
