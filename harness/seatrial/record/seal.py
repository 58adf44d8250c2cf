"""Sealing a run: its recorded streams become Parquet tables, and run.json complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from seatrial.model import Note, NoteKind, Span
from seatrial.record.access_logs import OriginLogs
from seatrial.record.documents import RunDocument, load_document, save_document
from seatrial.record.folder import RunFolder, replacing, writing
from seatrial.record.tables import (
    SCHEMAS,
    Arrow,
    Columns,
    LineFile,
    in_order,
    open_part,
    sorted_table,
    tier_rows,
    writer_options,
)
from seatrial.wire.streams import NULL, TABLES

_CUT_SHORT = frozenset({"interrupted", "failed", "recovered"})
_STAMPS = {"requests": "t_end_ns", "samples": "t_ns"}
_SHOWN_CHARACTERS = 300
_ROWS_IN_GROUP = 262_144
_BINARY = ("requests", "samples")
_LINES = ("flows", "generator")
_OPENED = TypeVar("_OPENED")


def seal(folder: RunFolder, document: RunDocument) -> RunDocument:
    """Write every table, then run.json, then remove the streams; ResultsUnwritable if the disk refuses.

    The phases of a run that was cut short end with its last stamp. After a crash at any point it may be repeated:
    tables are replaced whole, the streams are removed last, and a sealed run stays as it is.
    """
    stored = load_document(folder) if folder.document.exists() else document
    with writing(folder.root):
        if stored.sealed:
            _remove_streams(folder)
            return stored
        if not folder.streams.exists() and all(folder.table(name).exists() for name in TABLES):
            counts = {name: pq.read_metadata(folder.table(name)).num_rows for name in TABLES}
            return _saved(folder, replace(document, sealed=True, rows={**document.rows, **counts}))
        if document.status in _CUT_SHORT:
            document = replace(document, spans=_cut_until(document.spans, _last_stamp(folder.streams)))
        work = _Sealing(folder, document.spans)
        rows = {name: work.binary(name) for name in _BINARY} | {name: work.lines(name) for name in _LINES}
        rows |= {"tiers": work.tiers(document), "errors": work.errors(document.rows.get("errors", 0))}
        facts, notes = _with_sampler(folder, document.facts), work.notes(document.notes)
        sealed = _saved(folder, replace(document, sealed=True, rows=rows, facts=facts, notes=notes))
        _remove_streams(folder)
        return sealed


@dataclass(slots=True)
class _Sealing:
    """The tables of one run; collects what is torn, and the exceptions of tasks, for the notes."""

    folder: RunFolder
    spans: Sequence[Span]
    torn: list[str] = field(default_factory=list)
    task_errors: str = ""
    unread_logs: list[str] = field(default_factory=list)

    def binary(self, name: str) -> int:
        """Seal the binary streams of one table; return the number of rows."""
        parts = self._opened(f"{name}-*.bin", open_part)
        self.torn += [f"{path.name} ({part.torn_bytes} bytes)" for path, part in parts if part.torn_bytes]
        filled = [part for _, part in parts if len(part.rows)]
        columns = Columns(SCHEMAS[name], filled, name, self.spans)
        return self.write(name, (columns.arrow(chunk) for chunk in in_order(filled, name, _ROWS_IN_GROUP)))

    def lines(self, name: str) -> int:
        """Seal the line streams of one table; return the number of rows."""
        files = [file for _, file in self._opened(f"{name}-*.jsonl", _line_file)]
        count = self.write(name, _tables_of_lines(name, files, self.spans))
        self._note_torn(files)
        return count

    def tiers(self, document: RunDocument) -> int:
        """Seal what the declared access logs tell; return the number of rows."""
        logs = OriginLogs(self.folder.logs, document)
        table = tier_rows(logs.rows(), self.spans)
        self.unread_logs = logs.unread
        return self.write("tiers", (table,) if table.num_rows else ())

    def errors(self, reported: int) -> int:
        """Keep the exceptions of tasks as a log; return how many there were.

        A process that was killed has not `reported` its number, but has written rows.
        """
        files = [file for _, file in self._opened("errors-*.jsonl", _line_file)]
        rows = [row for file in files for row in file]
        self._note_torn(files)
        if rows:
            self.folder.logs.mkdir(exist_ok=True)
            with replacing(self.folder.logs / "task-errors.jsonl") as stream:
                stream.writelines(json.dumps(row).encode() + b"\n" for row in rows)
        count = max(reported, len(rows))
        self.task_errors = task_errors_text(rows, count) if count else ""
        return count

    def write(self, name: str, tables: Iterable[Arrow]) -> int:
        """Write one Parquet file, whole or not at all, one row group for each of `tables`."""
        count = 0
        schema = SCHEMAS[name]
        with (
            replacing(self.folder.table(name)) as stream,
            pq.ParquetWriter(stream, schema, **writer_options(schema)) as writer,
        ):
            for table in tables:
                writer.write_table(table, row_group_size=_ROWS_IN_GROUP)
                count += table.num_rows
        return count

    def notes(self, before: Sequence[Note]) -> tuple[Note, ...]:
        """Return the run's notes with those that sealing adds."""
        torn = f"left out, because cut off while being written: {', '.join(self.torn)}" if self.torn else ""
        texts = {
            NoteKind.TORN_RECORDS: torn,
            NoteKind.TASK_EXCEPTION: self.task_errors,
            NoteKind.LOG_UNREAD: "; ".join(self.unread_logs),
        }
        known = {note.kind for note in before}
        return (
            *before,
            *(Note(kind=kind, text=text) for kind, text in texts.items() if text and kind not in known),
        )

    def _opened(self, pattern: str, opener: Callable[[Path], _OPENED]) -> list[tuple[Path, _OPENED]]:
        """Open every stream that has a header; a process that was killed early has left one without."""
        opened = []
        for path in sorted(self.folder.streams.glob(pattern)):
            try:
                opened.append((path, opener(path)))
            except ValueError:
                if path.stat().st_size:
                    self.torn.append(f"{path.name} (no header)")
        return opened

    def _note_torn(self, files: Sequence[LineFile]) -> None:
        self.torn += [f"{file.path.name} ({file.torn} lines)" for file in files if file.torn]


def task_errors_text(rows: Sequence[Mapping[str, Any]], total: int) -> str:
    """Return how many exceptions of tasks there were, of how many kinds, where they are, and the first one."""
    count = "1 exception" if total == 1 else f"{total:,} exceptions"
    if not rows:
        return f"{count}, none of which was written down"
    texts = [_task_error(row) for row in rows]
    number = len({row.get("traceback", text) for row, text in zip(rows, texts, strict=True)})
    kinds = "1 kind" if number == 1 else f"{number} kinds"
    return f"{count}, {kinds}; see logs/task-errors.jsonl; first: {texts[0]}"


def _task_error(row: Mapping[str, Any]) -> str:
    texts = (value for name, value in row.items() if isinstance(value, str) and name != "traceback")
    return ": ".join(texts)[:_SHOWN_CHARACTERS]


def _cut_until(spans: Sequence[Span], last_ns: int) -> tuple[Span, ...]:
    """Return the spans as far as `last_ns`, without those that had not begun."""
    begun = [span for span in spans if span.from_ns < last_ns]
    return tuple(replace(span, until_ns=min(span.until_ns, last_ns + 1)) for span in begun)


def _last_stamp(streams: Path) -> int:
    last_ns = NULL
    for path in (path for name in _BINARY for path in streams.glob(f"{name}-*.bin")):
        with suppress(ValueError):  # no header: sealing notes that
            part = open_part(path)
            if len(part.rows):
                last_ns = max(last_ns, int(part.rows[_STAMPS[part.layout.table]].max()))
    return last_ns


def _line_file(path: Path) -> LineFile:
    file = LineFile(path)
    next(iter(file), None)
    return file


def _tables_of_lines(name: str, files: Sequence[LineFile], spans: Sequence[Span]) -> Iterator[Arrow]:
    table = sorted_table(SCHEMAS[name], files, name, spans)
    for begin in range(0, table.num_rows, _ROWS_IN_GROUP):
        yield pa.table(table.slice(begin, _ROWS_IN_GROUP))


def _with_sampler(folder: RunFolder, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts with those about the sampler, which are a file among the streams."""
    path = folder.streams / "sampler.json"
    if "sampler" in facts or not path.exists():
        return facts
    try:
        return {**facts, "sampler": json.loads(path.read_bytes())}
    except ValueError:  # killed while it wrote; the samples themselves are whole
        return facts


def _saved(folder: RunFolder, document: RunDocument) -> RunDocument:
    save_document(folder, document)
    return document


def _remove_streams(folder: RunFolder) -> None:
    if folder.streams.exists():
        shutil.rmtree(folder.streams)
