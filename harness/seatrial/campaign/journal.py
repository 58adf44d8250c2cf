"""The written memory of one run while it goes on: run.json is saved at each step, so that a kill loses nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from seatrial.model import Note, NoteKind
from seatrial.record import document as documents
from seatrial.record import seal
from seatrial.record.document import RunDocument, Status
from seatrial.record.folder import RunFolder


class Journal:
    """The current run.json of a run folder."""

    def __init__(self, folder: RunFolder, document: RunDocument) -> None:
        self.folder = folder
        self.document = document
        documents.save(folder, document)

    def change(self, **values: Any) -> None:  # noqa: ANN401  (the fields of RunDocument, checked by its constructor)
        """Replace fields of run.json and save it."""
        self.document = replace(self.document, **values)
        documents.save(self.folder, self.document)

    def stamp(self, name: str) -> None:
        """Note when a step happened, in `timing`."""
        self.change(timing={**self.document.timing, name: time.monotonic_ns()})

    def note(self, kind: NoteKind, text: str) -> None:
        """Add one warning."""
        self.change(notes=(*self.document.notes, Note(kind=kind, text=text)))

    def seal(self, status: Status, error: str = "") -> None:
        """Make tables of the streams; after this the run is finished, whatever became of it."""
        self.document = replace(self.document, status=status, error=error)
        self.document = seal.seal(self.folder, self.document)
