"""The command line: words to values, one call, an exit code. One short function for each verb."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from seatrial import review as reviews
from seatrial import upkeep
from seatrial.campaign import running, standing, watching
from seatrial.campaign.clock import command_began_ns
from seatrial.campaign.request import Request
from seatrial.campaign.watching import Watching
from seatrial.errors import MeasurementInvalid
from seatrial.host import builds
from seatrial.host import doctor as doctors
from seatrial.host import images as image_store
from seatrial.load import command as load_command
from seatrial.record import folder as folders
from seatrial.record.folder import RunFolder
from seatrial.report import as_json, doctor_text, text
from seatrial.report.progress import Progress
from seatrial.scenario import grammar, overrides, reading, shipped
from seatrial.units import seconds

F = TypeVar("F", bound=Callable[..., Any])
ENGINES = click.Choice(["auto", "compose", "local", "attach"])
_INVALID = MeasurementInvalid.exit_code
_LOAD_OPTIONS = ("users", "rate", "arrivals", "processes", "warmup", "duration")


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        try:
            return value if isinstance(value, float) else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = _Duration()


def _results(command: F) -> F:
    place = click.Path(path_type=Path, resolve_path=True, file_okay=False)
    return click.option("--results", type=place, default="results", help="Where runs are kept.")(command)


def _output(command: F) -> F:
    command = click.option("--quiet", is_flag=True, help="No progress, only the result.")(command)
    return click.option("--json", "as_values", is_flag=True, help="The result as JSON.")(command)


def _stack(command: F) -> F:
    for option in (
        click.option("--variant", default="base", help="Which variant of the stack."),
        click.option("--engine", type=ENGINES, default="auto", help="Where the services run."),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario."
        ),
        click.option("--port", type=int, default=0, help="Publish the front door there (default: a free port)."),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seatrial")
def seatrial() -> None:
    """Load tests of container stacks: request latency and container memory on one clock, with a verdict."""


@seatrial.command()
@click.argument("scenario")
@_stack
@click.option("--users", type=int, help="How many users at once; with a rate, at most.")
@click.option("--rate", metavar="TEXT", help="Arrivals: 50/s, 10/s for 10s, 20/s (steps), 1/s to 9/s for 60s.")
@click.option("--arrivals", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@click.option("--warmup", help="How long before the window, such as 10s.")
@click.option("--duration", help="How long the window is, such as 60s.")
@click.option(
    "--attach", default="", metavar="PROJECT", help="The stack that is up: a Compose project or label=value."
)
@click.option(
    "--catalogue", type=click.Path(path_type=Path), help="What is in the stack already; nothing is seeded."
)
@click.option("--seed", type=int, default=1, help="Where every random choice begins.")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts.")
@_results
@_output
def run(scenario: str, **options: Any) -> int:  # noqa: ANN401  (click hands over what the options above declare)
    """Bring SCENARIO's stack up, drive it, watch it, judge it, and tear it down."""
    request = _request(scenario, options)
    with Progress(quiet=options["quiet"]) as progress:
        folder = running.run(request, progress)
    return _show(folder, as_values=options["as_values"])


@seatrial.command()
@click.option("--attach", required=True, metavar="PROJECT", help="A Compose project, or label=value.")
@click.option("--duration", type=DURATION, default="30s", help="How long.")
@_results
@_output
def observe(attach: str, duration: float, results: Path, **options: Any) -> int:  # noqa: ANN401
    """Watch a stack that is already up, without any load; nothing of it is touched."""
    wanted = Watching(project=attach, results=results, duration_s=duration, command_ns=command_began_ns())
    with Progress(quiet=options["quiet"]) as progress:
        folder = watching.watch(wanted, progress)
    return _show(folder, as_values=options["as_values"])


@seatrial.command()
@click.argument("wanted", metavar="RUN", default="latest")
@_results
@_output
def show(wanted: str, results: Path, as_values: bool, quiet: bool) -> int:  # noqa: FBT001, ARG001
    """Print the report of a stored run again, from its folder alone."""
    return _show(folders.find_run(results, wanted), as_values=as_values)


@seatrial.command()
@click.argument("wanted", metavar="RUN", default="latest")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page goes (default: report.html in the experiment's folder).",
)
@_results
def report(wanted: str, output: Path | None, results: Path) -> None:
    """Make the page of a stored run: tables and charts in one file that needs no network; print its path."""
    from seatrial import paging  # noqa: PLC0415  (Bokeh takes a second to import, which no other verb should)

    click.echo(paging.write(folders.find_run(results, wanted), output))


@seatrial.command("list")
@click.option("--scenarios", is_flag=True, help="The shipped scenarios instead of the runs.")
@_results
@_output
def list_(scenarios: bool, results: Path, as_values: bool, quiet: bool) -> None:  # noqa: FBT001, ARG001
    """List the stored runs, newest first."""
    if scenarios:
        rows = [{"scenario": name, "question": reading.read(name).question} for name in shipped.names()]
    else:
        rows = upkeep.stored_runs(results)
    click.echo(json.dumps(rows, indent=1) if as_values else text.table(rows))


@seatrial.command()
@click.argument("scenario")
@_stack
@click.option("--for", "kept_s", type=DURATION, default="8h", help="After which time `clean` may remove it.")
@_results
def up(scenario: str, kept_s: float, **options: Any) -> None:  # noqa: ANN401
    """Bring SCENARIO's stack up, seed it, leave it there, and print the locust line for it."""
    with Progress() as progress:
        left = standing.up(_request(scenario, options), kept_s, progress)
    click.echo(f"{left.project} is up at {left.public_url}; its files: {left.folder}")
    click.echo(left.locust_line)
    click.echo(f"seatrial down {left.project}")


@seatrial.command()
@click.argument("project", required=False)
def down(project: str | None) -> None:
    """Remove the stack that `up` left (or all of them, if no PROJECT is named)."""
    for line in upkeep.down(project):
        click.echo(line)


@seatrial.group()
def images() -> None:
    """Make the images that stacks are built from."""


@images.command()
def bootstrap() -> None:
    """Make debian:trixie-slim available: present, pulled, or made with mmdebstrap."""
    click.echo(f"debian:trixie-slim: {image_store.bootstrap(say=click.echo)}")


@images.command()
@click.argument("scenario")
def build(scenario: str) -> None:
    """Build the images of SCENARIO's stack."""
    builds.build(reading.read(scenario).compose_file)


@seatrial.command()
@click.argument("scenario")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario.")
def validate(scenario: str, settings: tuple[str, ...]) -> None:
    """Check SCENARIO and tell every problem at once."""
    checked = reading.read(scenario, overrides.parse(settings))
    click.echo(f"{checked.path}: valid; variants: {', '.join(checked.variants)}")


@seatrial.command()
@click.argument("wanted", metavar="RUN", default="latest")
@_results
@_output
def recover(wanted: str, results: Path, as_values: bool, quiet: bool) -> int:  # noqa: FBT001, ARG001
    """Seal a run whose harness was killed, and show what it had recorded."""
    return _show(upkeep.recover(folders.find_run(results, wanted)), as_values=as_values)


@seatrial.command()
def clean() -> None:
    """Remove what a killed run left: labelled objects whose owner is dead or whose deadline has passed."""
    for line in upkeep.clean():
        click.echo(line)


@seatrial.command()
@click.option("--json", "as_values", is_flag=True, help="The result as JSON.")
def doctor(as_values: bool) -> None:  # noqa: FBT001
    """Tell what this host has and lacks, and what will distort a measurement here."""
    findings = doctors.examine(results=Path("results"))
    click.echo(doctor_text.render_json(findings) if as_values else doctor_text.render(findings))


@seatrial.command()
def plugin() -> None:
    """Print the path of the file that gives any locustfile a recorder, a rate and a gate."""
    click.echo(load_command.plugin())


@seatrial.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, for editors."""
    click.echo(json.dumps(grammar.json_schema(), indent=1))


def _request(scenario: str, options: dict[str, Any]) -> Request:
    named = {f"load.{name}": options.get(name) for name in _LOAD_OPTIONS}
    settings = overrides.parse(options["settings"]) | {k: str(v) for k, v in named.items() if v is not None}
    engine = "attach" if options.get("attach") else options["engine"]
    return Request(
        scenario=reading.read(scenario, settings),
        results=options["results"],
        command_ns=command_began_ns(),
        variant=options["variant"],
        engine=engine,
        attach=options.get("attach", ""),
        catalogue=options.get("catalogue"),
        seed=options.get("seed", 1),
        port=options["port"],
        confirmed_hosts=options.get("confirmed", ()),
    )


def _show(folder: RunFolder, *, as_values: bool) -> int:
    review = reviews.review(folder)
    if as_values:
        click.echo(json.dumps(as_json.render(review), indent=1))
    else:
        text.show(review)
    return 0 if review.valid else _INVALID
