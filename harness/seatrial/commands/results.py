"""The commands that read stored results: show, report, list, recover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from seatrial.analysis.run import analyse_run
from seatrial.commands.options import output_options, results_option
from seatrial.errors import UsageError
from seatrial.record import documents
from seatrial.record import folder as run_folder
from seatrial.record.folder import RunFolder, writing
from seatrial.report import ci_exports, json_export, text

P1203 = "p1203"
FORMS = click.Choice(["text", *ci_exports.FORMS, P1203])
_SESSIONS = "With p1203: a new folder, for one file a session in place of one line each."
_OUTPUT = "Where the page goes (default: report.html in the experiment's folder)."
run_argument = click.argument("name", metavar="RUN", default="latest")


@click.command()
@run_argument
@click.option("--format", "form", type=FORMS, default="text", help="For people, or for a program.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help=_SESSIONS)
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@output_options
def show(name: str, results: Path, form: str, **options: Any) -> int:  # noqa: ANN401
    """Print the report of a stored run or comparison again, from its folder alone."""
    from seatrial.analysis import experiment as experiment_analysis  # noqa: PLC0415

    form, strict, output = "json" if options["as_values"] else form, options["strict"], options["output"]
    if output is not None and form != P1203:
        raise UsageError(
            "--output is for --format p1203 alone", where="seatrial show", hint="redirect the output: > FILE"
        )
    if form == P1203:
        return _show_p1203(run_folder.find_run(results, name), output, quiet=options["quiet"], strict=strict)
    folder = run_folder.find_experiment(results, name)
    if folder is None or not experiment_analysis.compares(folder):
        run = run_folder.find_run(results, name)
        if form in ("text", "json"):
            return show_run(run, as_values=form == "json", strict=strict)
        folder = run.experiment
    result = experiment_analysis.analyse(folder)
    if form == "text":
        text.show_experiment(result)
    else:
        click.echo(ci_exports.FORMS[form][1](result), nl=False)
    return result.exit_code(strict=strict)


@click.command()
@run_argument
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help=_OUTPUT)
@results_option
def report(name: str, output: Path | None, results: Path) -> None:
    """Make the page of a stored run: tables and charts in one file that needs no network; print its path."""
    from seatrial.analysis import experiment as experiment_analysis  # noqa: PLC0415
    from seatrial.analysis.stored_runs import RunCache  # noqa: PLC0415
    from seatrial.report import html  # noqa: PLC0415  (Bokeh takes a second to import)

    folder = run_folder.find_experiment(results, name)
    if folder is not None and experiment_analysis.compares(folder):
        cache = RunCache()
        result = experiment_analysis.analyse(folder, cache=cache)
        click.echo(html.write_experiment(result, folder, output, cache))
    else:
        click.echo(html.write_run(run_folder.find_run(results, name), output))


@click.command("list")
@click.option("--scenarios", is_flag=True, help="The shipped scenarios instead of the runs.")
@output_options
def list_(scenarios: bool, results: Path, as_values: bool, quiet: bool) -> None:  # noqa: FBT001, ARG001
    """List the stored runs, newest first."""
    from seatrial.experiment import maintenance  # noqa: PLC0415
    from seatrial.scenario import reading, source  # noqa: PLC0415

    if scenarios:
        rows = [{"scenario": name, "question": reading.read(name).question} for name in source.shipped_names()]
    else:
        rows = maintenance.list_runs(results)
    click.echo(json.dumps(rows, indent=1) if as_values else text.table(rows))


@click.command()
@run_argument
@output_options
def recover(name: str, results: Path, as_values: bool, quiet: bool) -> int:  # noqa: FBT001, ARG001
    """Seal a run whose harness was killed, and show what it had recorded."""
    from seatrial.experiment import maintenance  # noqa: PLC0415

    return show_run(maintenance.recover(run_folder.find_run(results, name)), as_values=as_values)


def _show_p1203(folder: RunFolder, output: Path | None, *, quiet: bool, strict: bool) -> int:
    """Write the sessions of a run for P.1203: a line each, or a file each; return the exit code of the run."""
    from seatrial.report import p1203  # noqa: PLC0415

    if output is not None and output.exists() and any(output.iterdir()):
        raise UsageError(
            "the folder is not empty", where=str(output), expected="a new folder, for the sessions of one run"
        )
    result, done = analyse_run(folder), p1203.Exported()
    for name, session in p1203.export(folder, done, opened=result.window.opened):
        if output is None:
            click.echo(json.dumps(session))
            continue
        with writing(output):
            output.mkdir(parents=True, exist_ok=True)
            (output / f"{name}.json").write_text(json.dumps(session, indent=1) + "\n")
    if not quiet:
        click.echo(done.text(), err=True)
    return result.exit_code(strict=strict)


def show_run(folder: RunFolder, *, as_values: bool, strict: bool = False) -> int:
    """Print the report of a run, of a capacity search with its result first; return the exit code of the run."""
    result, capacity = analyse_run(folder), documents.load_capacity(folder)
    if as_values:
        more = {} if capacity is None else {"capacity": documents.capacity_values(capacity)}
        click.echo(json.dumps({**json_export.run_json(result), **more}, indent=1))
        return result.exit_code(strict=strict)
    if capacity is not None:
        text.show_capacities([capacity])
        click.echo()
    text.show_run(result)
    return result.exit_code(strict=strict)
