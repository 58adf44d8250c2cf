"""The commands that read stored results: show, report, list, recover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from seatrial.analysis import experiment as experiment_analysis
from seatrial.analysis.experiment import analyse
from seatrial.analysis.run import analyse_run
from seatrial.analysis.stored_runs import RunCache
from seatrial.commands.options import output_options, results_option
from seatrial.experiment import maintenance
from seatrial.record import documents
from seatrial.record import folder as folders
from seatrial.record.folder import RunFolder
from seatrial.report import ci_exports, json_export, text

FORMS = click.Choice(["text", *ci_exports.FORMS])


@click.command()
@click.argument("wanted", metavar="RUN", default="latest")
@click.option("--format", "form", type=FORMS, default="text", help="For people, or for a program.")
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@results_option
@output_options
def show(wanted: str, results: Path, form: str, **options: Any) -> int:  # noqa: ANN401
    """Print the report of a stored run or comparison again, from its folder alone."""
    form, strict = "json" if options["as_values"] else form, options["strict"]
    experiment = folders.find_experiment(results, wanted)
    if experiment is not None and experiment_analysis.compares(experiment):
        return _show_experiment(experiment, form, strict=strict)
    folder = folders.find_run(results, wanted)
    if form in ("text", "json"):
        return show_run(folder, as_values=form == "json", strict=strict)
    return _show_experiment(folder.experiment, form, strict=strict)


@click.command()
@click.argument("wanted", metavar="RUN", default="latest")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page goes (default: report.html in the experiment's folder).",
)
@results_option
def report(wanted: str, output: Path | None, results: Path) -> None:
    """Make the page of a stored run: tables and charts in one file that needs no network; print its path."""
    from seatrial.report import html  # noqa: PLC0415  (Bokeh takes a second to import)

    experiment = folders.find_experiment(results, wanted)
    if experiment is not None and experiment_analysis.compares(experiment):
        cache = RunCache()
        weighed = analyse(experiment, cache=cache)
        click.echo(html.write_experiment(weighed, experiment, output, cache))
    else:
        click.echo(html.write(folders.find_run(results, wanted), output))


@click.command("list")
@click.option("--scenarios", is_flag=True, help="The shipped scenarios instead of the runs.")
@results_option
@output_options
def list_(scenarios: bool, results: Path, as_values: bool, quiet: bool) -> None:  # noqa: FBT001, ARG001
    """List the stored runs, newest first."""
    from seatrial.scenario import reading, source  # noqa: PLC0415  (as does the grammar of scenarios)

    if scenarios:
        rows = [{"scenario": name, "question": reading.read(name).question} for name in source.shipped_names()]
    else:
        rows = maintenance.list_runs(results)
    click.echo(json.dumps(rows, indent=1) if as_values else text.table(rows))


@click.command()
@click.argument("wanted", metavar="RUN", default="latest")
@results_option
@output_options
def recover(wanted: str, results: Path, as_values: bool, quiet: bool) -> int:  # noqa: FBT001, ARG001
    """Seal a run whose harness was killed, and show what it had recorded."""
    return show_run(maintenance.recover(folders.find_run(results, wanted)), as_values=as_values)


def _show_experiment(experiment: Path, form: str, *, strict: bool) -> int:
    weighed = analyse(experiment)
    if form == "text":
        text.show_experiment(weighed)
    else:
        click.echo(ci_exports.FORMS[form][1](weighed), nl=False)
    return weighed.exit_code(strict=strict)


def show_run(folder: RunFolder, *, as_values: bool, strict: bool = False) -> int:
    """Print the report of a run, of a capacity search with its result first; return the exit code of the run."""
    review, capacity = analyse_run(folder), documents.load_capacity(folder)
    if as_values:
        searched = {} if capacity is None else {"capacity": documents.capacity_values(capacity)}
        click.echo(json.dumps({**json_export.run_json(review), **searched}, indent=1))
        return review.exit_code(strict=strict)
    if capacity is not None:
        text.show_capacities([capacity])
        click.echo()
    text.show_run(review)
    return review.exit_code(strict=strict)
