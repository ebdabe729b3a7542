"""The results of a sweep, as the Python API shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gelu_tui.api.results import Run, report_text
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.paths import expanded
from gelu_tui.core.reports.export import export
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import SweepDocument, SweepResult
from gelu_tui.sweep.report.formats import SWEEP_FORMATS
from gelu_tui.sweep.report.html import sweep_fragment
from gelu_tui.sweep.report.rows import PROMPT_COLUMNS, SweepData, prompt_rows
from gelu_tui.sweep.report.text import sweep_report
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document

if TYPE_CHECKING:
    from pandas import DataFrame


class Sweep:
    """The results of a sweep; iterating yields its saved runs, each read when it is reached.

    `document` has all statistics, as the JSON document does, `results` those of each function and
    model. Saved as .json, .md, .html, .csv or .parquet.
    """

    def __init__(self, store: SweepStore, error: ErrorInfo | None = None) -> None:
        self._store = store
        self.document: SweepDocument = stored_document(store, error=error)

    @property
    def results(self) -> tuple[SweepResult, ...]:
        """The statistics of each function on each model."""
        return self.document.results

    @property
    def id(self) -> str:
        """What `gelu-tui show` takes."""
        return self.document.id

    def __len__(self) -> int:
        """The number of saved runs: finished prompts, of all models."""
        return self.document.completed

    def __iter__(self) -> Iterator[Run]:
        for outcome in self._store.outcomes():
            yield self.run(outcome.number, outcome.model)

    def run(self, number: int, model: int = 0) -> Run:
        """Return the run of a prompt on a model, by their numbers from 0. Raises `GeluError`."""
        return Run(self._store.load(model, number))

    def to_pandas(self) -> DataFrame:
        """Return a data frame with a row for each prompt, model and function.

        Raises `GeluError` where pandas is missing.
        """
        try:
            import pandas
        except ImportError:
            message = "Data frames are made with pandas, which is not installed."
            raise GeluError("no_pandas", message, "Install it: pip install pandas.") from None
        return pandas.DataFrame.from_records(
            list(prompt_rows(self._data)), columns=list(PROMPT_COLUMNS)
        )

    def to_json(self) -> str:
        """The JSON document, as `--format json` prints it."""
        return SWEEP_FORMATS["json"].text(self._data)

    def save(self, file: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a file in the format of its suffix, and return its path.

        Raises `GeluError` where it cannot be written, is there already, or has another suffix.
        """
        path = expanded(os.fspath(file))
        export(self._data, path, SWEEP_FORMATS, overwrite=overwrite)
        return path

    @property
    def _data(self) -> SweepData:
        return SweepData(self.document, self._store)

    def __str__(self) -> str:
        """The report that the command prints."""
        return report_text(sweep_report(self.document))

    def __repr__(self) -> str:
        document = self.document
        count = f"{document.completed:,} of {document.prompts * len(document.settings.models):,}"
        return visible_line(f"<Sweep {document.id}: {count} prompts, {document.status}>")

    def _repr_html_(self) -> str:
        return sweep_fragment(self.document, self._data.run)
