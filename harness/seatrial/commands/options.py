"""Command line options that several commands share, and the request of a run that is made from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial.units import bitrate_bps, seconds, size_bytes

if TYPE_CHECKING:
    from seatrial.experiment.request import Request
F = TypeVar("F", bound=Callable[..., Any])
_ENGINES = ("auto", "compose", "local")
_LOAD_OPTIONS = ("users", "rate", "arrivals", "processes", "warmup", "duration")


class _Quantity(click.ParamType[float]):
    """A number with its unit."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = _Quantity("duration", seconds)
SIZE = _Quantity("size", size_bytes)
BITRATE = _Quantity("bitrate", bitrate_bps)
_FOLDER = click.Path(path_type=Path, resolve_path=True, file_okay=False)
_STORED_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_ATTACH = "The stack that is up: a Compose project or label=value."
_DESIGN = "Fresh stacks, or all at once by turns."
_RATE = "Arrivals: 50/s, 10/s for 10s, 20/s (steps), 1/s to 9/s for 60s."
_RESUME = "Go on with an experiment that was interrupted (default: the latest)."


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds several options, in the order of the list."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


results_option = click.option("--results", type=_FOLDER, default="results", help="Where runs are kept.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario."
)
output_options = _options(
    results_option,
    click.option("--json", "as_values", is_flag=True, help="The result as JSON."),
    click.option("--quiet", is_flag=True, help="No progress, only the result."),
)
place_options = _options(
    click.option("--port", type=int, default=0, help="Publish the front door there (default: a free port)."),
    set_option,
    click.option(
        "--engine", type=click.Choice([*_ENGINES, "attach"]), default="auto", help="Where the services run."
    ),
)
stack_options = _options(
    place_options, click.option("--variant", default="base", help="Which variant of the stack.")
)
attach_options = _options(
    click.option("--attach", default="", metavar="PROJECT", help=_ATTACH),
    click.option("--catalogue", type=_STORED_FILE, help="What is in the stack already; nothing is seeded."),
)
seed_options = _options(
    click.option("--seed", type=int, default=1, help="Where every random choice begins."),
    click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts."),
)
load_options = _options(
    click.option("--users", type=int, help="How many users at once; with a rate, at most."),
    click.option("--rate", metavar="TEXT", help=_RATE),
    click.option("--warmup", help="How long before the window: 10s, or `stable`."),
    click.option("--duration", help="How long the window is, such as 60s."),
    seed_options,
)
experiment_options = _options(
    click.option("--blocks", type=int, metavar="N", help="How many blocks at most."),
    click.option("--time", help="The budget of time, such as 10m."),
    click.option("--design", type=click.Choice(["auto", "runs", "slices"]), help=_DESIGN),
    click.option("--base", help="Which variant is the base."),
    click.option("--resume", is_flag=False, flag_value="latest", default="", metavar="[EXPERIMENT]", help=_RESUME),
    click.option("--engine", type=click.Choice(_ENGINES), default="auto", help="Where the services run."),
    set_option,
)


def request(scenario: str, options: dict[str, Any]) -> Request:
    """Return the request that the options describe."""
    # pydantic takes a tenth of a second to import, which the commands that read stored runs should not wait for
    from seatrial.experiment.request import Request, command_began_ns  # noqa: PLC0415
    from seatrial.scenario import reading, source  # noqa: PLC0415

    named = {f"load.{name}": options.get(name) for name in _LOAD_OPTIONS}
    named |= {f"compare.{name}": options.get(name) for name in ("blocks", "time", "design", "base")}
    if options.get("variants") is not None:
        named["compare.variants"] = json.dumps([name.strip() for name in options["variants"].split(",")])
    if named["load.warmup"] == "stable":
        named["load.warmup"] = "{until: stable}"
    settings = source.parse_overrides(options["settings"]) | {k: str(v) for k, v in named.items() if v is not None}
    return Request(
        scenario=reading.read(scenario, settings),
        results=options["results"],
        command_ns=command_began_ns(),
        variant=options.get("variant", "base"),
        engine="attach" if options.get("attach") else options["engine"],
        attach=options.get("attach", ""),
        catalogue=options.get("catalogue"),
        seed=options.get("seed", 1),
        port=options.get("port", 0),
        confirmed_hosts=options.get("confirmed", ()),
    )
