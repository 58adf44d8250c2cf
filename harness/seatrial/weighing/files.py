"""The files of an experiment that programs read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from seatrial.record.durable import replacing, writing
from seatrial.report import experiment_json, experiment_markdown, junit, series_files
from seatrial.report.weighed import Weighed

FORMS: Mapping[str, tuple[str, Callable[[Weighed], str]]] = {
    "json": ("verdict.json", experiment_json.text),
    "markdown": ("verdict.md", experiment_markdown.render),
    "junit": ("junit.xml", junit.render),
    "benchmark": ("benchmark.json", series_files.benchmark),
    "csv": ("changes.csv", series_files.changes),
}
"""By the name of the form: its file, and what makes it."""


def save(weighed: Weighed, experiment: Path) -> None:
    """Write every form into the folder, each whole or not at all; ResultsUnwritable if the disk refuses."""
    for name, form in FORMS.values():
        with writing(experiment / name), replacing(experiment / name) as stream:
            stream.write(form(weighed).encode())
