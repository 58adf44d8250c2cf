"""The command line: words to values, one call, an exit code. One short function for each verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from seatrial import review as reviews
from seatrial import upkeep, weighing
from seatrial.campaign import capacity, comparing, resuming, running, standing, watching
from seatrial.campaign.clock import command_began_ns
from seatrial.campaign.request import Request
from seatrial.campaign.wanted import Wanted, effort
from seatrial.campaign.watching import Watching
from seatrial.host import builds
from seatrial.host import doctor as doctors
from seatrial.host import images as image_store
from seatrial.judge import carrying, metric, noise, pairing
from seatrial.load import command as load_command
from seatrial.record import capacities
from seatrial.record import folder as folders
from seatrial.record.folder import RunFolder
from seatrial.report import as_json, capacity_text, doctor_text, experiment_json, experiment_text, text
from seatrial.report.progress import Progress
from seatrial.report.weighed import Weighed
from seatrial.scenario import grammar, overrides, reading, shipped
from seatrial.units import seconds
from seatrial.weighing import files

F = TypeVar("F", bound=Callable[..., Any])
FORMS = click.Choice(["text", *files.FORMS])
ENGINES = click.Choice(["auto", "compose", "local", "attach"])
STACK_ENGINES = click.Choice(["auto", "compose", "local"])
_UNSEEN = 7
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


def _load(command: F) -> F:
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


def _experiment(command: F) -> F:
    """Add what `compare` and `selfcheck` have in common."""
    resume = "Go on with an experiment that was interrupted (default: the latest)."
    for option in (
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario."
        ),
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


@seatrial.command()
@click.argument("scenario")
@_stack
@click.option("--users", type=int, help="How many users at once; with a rate, at most.")
@click.option("--rate", metavar="TEXT", help="Arrivals: 50/s, 10/s for 10s, 20/s (steps), 1/s to 9/s for 60s.")
@click.option("--arrivals", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@click.option("--warmup", help="How long before the window: 10s, or `stable`.")
@click.option("--duration", help="How long the window is, such as 60s.")
@click.option(
    "--attach", default="", metavar="PROJECT", help="The stack that is up: a Compose project or label=value."
)
@click.option(
    "--catalogue", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="What is in the stack already; nothing is seeded."
)
@click.option("--seed", type=int, default=1, help="Where every random choice begins.")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts.")
@click.option("--strict", is_flag=True, help="Exit code 7 where a budget is not decided.")
@_results
@_output
def run(scenario: str, **options: Any) -> int:  # noqa: ANN401  (click hands over what the options above declare)
    """Bring SCENARIO's stack up, drive it, watch it, judge it, and tear it down."""
    request = _request(scenario, options)
    with Progress(quiet=options["quiet"]) as progress:
        folder = running.run(request, progress)
    return _show(folder, as_values=options["as_values"], strict=options["strict"])


@seatrial.command()
@click.argument("scenario")
@click.option("--variants", metavar="A,B", help="Which variants (default: those of the scenario).")
@_experiment
@click.option("--against", default="", metavar="RUN", help="A stored experiment or run that stands for the base.")
@_load
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@_results
@_output
def compare(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's variants in blocks, and say in words which is better, worse, or not to be told apart."""
    return _compare("compare", scenario, options)


@seatrial.command()
@click.argument("scenario")
@_experiment
@_load
@_results
@_output
def selfcheck(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's base with itself: how much this machine scatters, and what it can't see."""
    return _compare("selfcheck", scenario, options)


@seatrial.command("capacity")
@click.argument("scenario")
@click.option("--variant", "names", multiple=True, metavar="NAME", help="Which variants, one after the other.")
@click.option("--budget", "budgets", multiple=True, metavar="TEXT", help="In place of the scenario's budgets.")
@click.option("--users", "pool", type=int, metavar="N", help="How many requests may be in flight at most.")
@click.option("--arrivals", "spacing", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@click.option("--warmup", help="How long at the lowest rate before the search, such as 10s.")
@click.option("--validate", "validate_s", type=DURATION, default="60s", help="How long below the bound; 0s: not.")
@click.option("--trial", "trial_s", type=DURATION, default="5s", help="How long one trial is.")
@click.option("--sum", "sum_s", type=DURATION, default="30s", help="How many seconds of trials make a bound.")
@click.option("--width", type=float, default=4.0, help="How close the bounds have to be, in per cent.")
@click.option("--most", "most_per_s", type=float, default=20_000.0, help="The highest rate that is tried.")
@click.option("--limit", "limit_s", type=DURATION, default="6m", help="How many seconds of trials at most.")
@click.option("--strict", is_flag=True, help="Exit code 7 where no bounds could be found.")
@click.option("--engine", type=ENGINES, default="auto", help="Where the services run.")
@click.option("--attach", default="", metavar="PROJECT", help="The stack that is up.")
@click.option("--catalogue", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="What is in the stack already.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the scenario.")
@click.option("--port", type=int, default=0, help="Publish the front door there (default: a free port).")
@click.option("--seed", type=int, default=1, help="Where every random choice begins.")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts.")
@_results
@_output
def capacity_(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Search the highest rate at which SCENARIO's stack keeps its budgets, and validate it."""
    from seatrial import paging  # noqa: PLC0415  (Bokeh takes a second to import, which no other verb should)

    names = options["names"] or ("base",)
    asked = Wanted(
        request=_request(scenario, {**options, "variant": names[0]}),
        variants=tuple(dict.fromkeys(names)),
        budgets=options["budgets"],
        spacing=options["spacing"],
        users=options["pool"],
        validate_s=options["validate_s"],
        effort=effort(options),
    )
    with Progress(quiet=options["quiet"]) as progress:
        searched = capacity.search(asked, progress)
        progress.say(f"the page: {paging.write(searched.folders[-1])}")
    if options["as_values"]:
        click.echo(json.dumps([capacities.values(one) for one in searched.found], indent=1))
    else:
        capacity_text.show(searched.found)
    return carrying.exit_code(searched.found, strict=options["strict"])


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
@click.option("--format", "form", type=FORMS, default="text", help="For people, or for a program.")
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@_results
@_output
def show(wanted: str, results: Path, form: str, **options: Any) -> int:  # noqa: ANN401
    """Print the report of a stored run or comparison again, from its folder alone."""
    form, strict = "json" if options["as_values"] else form, options["strict"]
    experiment = folders.find_experiment(results, wanted)
    if experiment is not None and weighing.compares(experiment):
        return _show_experiment(experiment, form, strict=strict)
    folder = folders.find_run(results, wanted)
    if form in ("text", "json"):
        return _show(folder, as_values=form == "json", strict=strict)
    return _show_experiment(folder.experiment, form, strict=strict)


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

    experiment = folders.find_experiment(results, wanted)
    if experiment is not None and weighing.compares(experiment):
        click.echo(paging.write_experiment(weighing.weigh(experiment), experiment, output))
    else:
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
    named |= {f"compare.{name}": options.get(name) for name in ("blocks", "time", "design", "base")}
    if options.get("variants"):
        named["compare.variants"] = f"[{options['variants']}]"
    if named["load.warmup"] == "stable":
        named["load.warmup"] = "{until: stable}"
    settings = overrides.parse(options["settings"]) | {k: str(v) for k, v in named.items() if v is not None}
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


def _compare(command: str, scenario: str, options: dict[str, Any]) -> int:
    from seatrial import paging  # noqa: PLC0415  (Bokeh takes a second to import, which no other verb should)

    asked = comparing.Asked(
        request=_request(scenario, options),
        command=command,
        resume=options["resume"],
        against=options.get("against", ""),
        again=resuming.without_resume(sys.argv),
    )
    seams = comparing.Seams(weigh=lambda experiment, alpha: weighing.weigh(experiment, alpha=alpha))
    with Progress(quiet=options["quiet"]) as progress:
        done = comparing.compare(asked, progress, seams)
        weighed = weighing.weigh(done.folder)
        weighing.save(weighed, done.folder)
        paging.write_experiment(weighed, done.folder)
    if options["as_values"]:
        click.echo(json.dumps(experiment_json.render(weighed), indent=1))
    else:
        experiment_text.show(weighed)
    if done.failure is not None:
        raise done.failure
    if command == "selfcheck":
        return weighed.exit_code() or _unseen(weighed)
    return weighed.exit_code(strict=options["strict"])


def _unseen(weighed: Weighed) -> int:
    """Tell the thresholds of the gate that are below what can be seen; return the exit code that says so.

    Failures always gate; nobody asked for their threshold who has not named them.
    """
    named = {metric.parse(one).text for one in weighed.plan.gate}
    gated = {one.metric.text for one in weighed.comparison.gated} if weighed.comparison else set()
    gated -= {pairing.FAILURES.text} - named
    refused = noise.refused([one for one in weighed.floors if one.metric.text in gated])
    for refusal in refused:
        click.echo(f"seatrial: {refusal}", err=True)
    return _UNSEEN if refused else 0


def _show_experiment(experiment: Path, form: str, *, strict: bool) -> int:
    weighed = weighing.weigh(experiment)
    if form == "text":
        experiment_text.show(weighed)
    else:
        click.echo(files.FORMS[form][1](weighed), nl=False)
    return weighed.exit_code(strict=strict)


def _show(folder: RunFolder, *, as_values: bool, strict: bool = False) -> int:
    review = reviews.review(folder)
    if as_values:
        click.echo(json.dumps(as_json.render(review), indent=1))
    else:
        text.show(review)
    return review.exit_code(strict=strict)
