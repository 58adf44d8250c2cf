"""Locust options added by Seatrial: `--rate`, `--arrivals`, `--rate-file`, `--record`."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import locust
from locust.env import Environment

from seatrial.errors import UsageError
from seatrial.user import distributed, standalone
from seatrial.wire import rates
from seatrial.wire.control import PLAN_VARIABLE, Plan
from seatrial.wire.rates import Rate

_RATE, _ARRIVALS, _FILE = "arrival_rate", "arrival_spacing", "arrival_rate_file"


@cache
def offer() -> None:
    """Have Locust offer the options; a second call does nothing."""
    events: Any = locust.events
    events.init_command_line_parser.add_listener(_add_options_last)
    events.init.add_listener(_on_init)


def add_options(parser: Any) -> None:  # noqa: ANN401  (Locust's parser takes more than argparse's)
    """Add the options; one whose name the locustfile has taken stays the locustfile's."""
    rate = f"Seatrial: tasks begin at this rate, whatever the server does: {rates.EXPECTED}"
    arrivals = "Seatrial: arrivals of --rate evenly spaced (as without this), or independent of each other"
    file = "Seatrial: like --rate, from lines `second,rate`: from each second on its rate (a second) holds"
    options: dict[str, dict[str, Any]] = {
        "--rate": {"dest": _RATE, "type": _checked, "metavar": "TEXT", "help": rate},
        "--arrivals": {"dest": _ARRIVALS, "choices": ("constant", "poisson"), "help": arrivals},
        "--rate-file": {"dest": _FILE, "default": "", "metavar": "FILE", "help": file},
    }
    for name, settings in options.items():
        with suppress(argparse.ArgumentError):  # the locustfile has an option of this name
            env_var = "LOCUST_" + name[2:].upper().replace("-", "_")
            parser.add_argument(name, **{"default": None, "env_var": env_var, **settings})
    standalone.add_option(parser)


def rate_of(options: object) -> Rate | None:
    """Return the rate of the options; UsageError if they contradict each other, or can't be read."""
    text, file, spacing = (getattr(options, name, None) or "" for name in (_RATE, _FILE, _ARRIVALS))
    if text and file:
        raise UsageError("the rate is given twice", seen=f"--rate {text} and --rate-file {file}", expected="one")
    poisson = spacing == "poisson"
    if not text and not file:
        if poisson:  # a form of the web UI has `constant` by default
            raise UsageError(
                "arrivals are given without their rate",
                seen=f"--arrivals {spacing}",
                hint=f"--rate 50/s --arrivals {spacing}",
            )
        return None
    try:
        if text:
            return Rate(rates.parse(text), poisson)
        return Rate(rates.parse_lines(Path(file).read_text(rates.ENCODING).splitlines()), poisson)
    except (OSError, ValueError) as error:
        seen = (error.strerror or "") if isinstance(error, OSError) else str(error)
        expected = rates.EXPECTED if text else rates.EXPECTED_LINES
        where = "--rate" if text else file
        raise UsageError("the rate can't be read", where=where, seen=seen, expected=expected) from error


def steered() -> bool:
    """Return whether a harness steers this process."""
    text = os.environ.get(PLAN_VARIABLE)
    return bool(text and Plan.decode(text).control)


def _checked(text: str) -> str:
    try:
        rates.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _add_options_last(parser: Any, **_: object) -> None:  # noqa: ANN401  (as above)
    """Add the options when the command line is read: by then the locustfile has added all of its own."""
    read = parser.parse_known_args

    def read_with_ours(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (argparse's)
        parser.parse_known_args = read
        add_options(parser)
        return read(*args, **kwargs)

    parser.parse_known_args = read_with_ours


def _on_init(environment: Environment, **_: object) -> None:
    """Refuse a rate that can't be read, which Locust would only log; and take part in a distributed run."""
    with standalone.exit_on_error():
        rate_of(environment.parsed_options)
    distributed.attend_shares(environment, lambda: None if steered() else rate_of(environment.parsed_options))
    standalone.accept_refusals(environment)
