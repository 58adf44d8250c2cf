"""Command line options that several commands share, and the run request they are read into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial.experiment.request import command_began_ns
from seatrial.scenario import reading, source
from seatrial.units import seconds

if TYPE_CHECKING:
    from seatrial.experiment.request import Request
F = TypeVar("F", bound=Callable[..., Any])
ENGINES = click.Choice(["auto", "compose", "local", "attach"])
STACK_ENGINES = click.Choice(["auto", "compose", "local"])
STORED_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_LOAD_OPTIONS = ("users", "rate", "arrivals", "processes", "warmup", "duration")


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        try:
            return value if isinstance(value, float) else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = _Duration()
_FOLDER = click.Path(path_type=Path, resolve_path=True, file_okay=False)
results_option = click.option("--results", type=_FOLDER, default="results", help="Where runs are kept.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario."
)


def output_options(command: F) -> F:
    """Add the form of the output."""
    command = click.option("--quiet", is_flag=True, help="No progress, only the result.")(command)
    return click.option("--json", "as_values", is_flag=True, help="The result as JSON.")(command)


def stack_options(command: F) -> F:
    """Add the options of the stack."""
    for option in (
        click.option("--variant", default="base", help="Which variant of the stack."),
        click.option("--engine", type=ENGINES, default="auto", help="Where the services run."),
        set_option,
        click.option("--port", type=int, default=0, help="Publish the front door there (default: a free port)."),
    ):
        command = option(command)
    return command


def load_options(command: F) -> F:
    """Add the options of the load."""
    for option in (
        click.option("--seed", type=int, default=1, help="Where every random choice begins."),
        click.option(
            "--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts."
        ),
        click.option("--duration", help="How long the window is, such as 60s."),
        click.option("--warmup", help="How long before the window: 10s, or `stable`."),
        click.option(
            "--rate", metavar="TEXT", help="Arrivals: 50/s, 10/s for 10s, 20/s (steps), 1/s to 9/s for 60s."
        ),
        click.option("--users", type=int, help="How many users at once; with a rate, at most."),
    ):
        command = option(command)
    return command


def experiment_options(command: F) -> F:
    """Add the options of `compare` and `selfcheck`."""
    resume = "Go on with an experiment that was interrupted (default: the latest)."
    for option in (
        set_option,
        click.option("--engine", type=STACK_ENGINES, default="auto", help="Where the services run."),
        click.option(
            "--resume", is_flag=False, flag_value="latest", default="", metavar="[EXPERIMENT]", help=resume
        ),
        click.option("--base", help="Which variant is the base."),
        click.option(
            "--design",
            type=click.Choice(["auto", "runs", "slices"]),
            help="Fresh stacks, or all at once by turns.",
        ),
        click.option("--time", help="The budget of time, such as 10m."),
        click.option("--blocks", type=int, metavar="N", help="How many blocks at most."),
    ):
        command = option(command)
    return command


def request(scenario: str, options: dict[str, Any]) -> Request:
    """Return what the options ask for."""
    # pydantic takes a tenth of a second, which what only reads stored runs should not
    from seatrial.experiment.request import Request  # noqa: PLC0415

    named = {f"load.{name}": options.get(name) for name in _LOAD_OPTIONS}
    named |= {f"compare.{name}": options.get(name) for name in ("blocks", "time", "design", "base")}
    if options.get("variants") is not None:
        named["compare.variants"] = json.dumps([name.strip() for name in options["variants"].split(",")])
    if named["load.warmup"] == "stable":
        named["load.warmup"] = "{until: stable}"
    settings = source.parse_overrides(options["settings"]) | {k: str(v) for k, v in named.items() if v is not None}
    engine = "attach" if options.get("attach") else options["engine"]
    return Request(
        scenario=reading.read(scenario, settings),
        results=options["results"],
        command_ns=command_began_ns(),
        variant=options.get("variant", "base"),
        engine=engine,
        attach=options.get("attach", ""),
        catalogue=options.get("catalogue"),
        seed=options.get("seed", 1),
        port=options.get("port", 0),
        confirmed_hosts=options.get("confirmed", ()),
    )
