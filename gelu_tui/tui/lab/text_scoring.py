"""A text that is scored, or was: what the screen shows of it, also after it was closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.scoring.document import ScoreDocument, ScoreSource
from gelu_tui.core.scoring.measures import Measure
from gelu_tui.core.scoring.restore import restored
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.core.scoring.tokens import Figures
from gelu_tui.core.settings.run_settings import RunSettings, known_dtype
from gelu_tui.tui.lab.engine_job import Measurement

Values = npt.NDArray[np.float64]


class ShownText(Measurement[p.Score, Scoring]):
    """A scoring: asked for, running, ended or read from a file."""

    def __init__(self, command: p.Score, source: ScoreSource) -> None:
        super().__init__(command, source)
        self.saved: ScoreDocument | None = None
        self.candidates: Candidates | None = None

    def _begun(self, event: p.Event) -> Scoring | None:
        return Scoring(event) if isinstance(event, p.ScoreStarted) else None

    @classmethod
    def of(cls, document: ScoreDocument) -> ShownText:
        """A saved scoring. Raises `GeluError` if it has no tokens."""
        scoring = restored(document)
        assert document.text is not None
        settings = RunSettings(
            model=document.model.id,
            dtype=known_dtype(document.model.dtype),
            activations=tuple(document.text.activations),
            reference=document.reference,
            activation_precision=document.settings.activation_precision,
            control=document.settings.control,
        )
        shown = cls(p.Score(settings, context=document.settings.context), document.source)
        shown.state, shown.saved, shown.status = scoring, document, document.status
        shown.error = document.error
        return shown

    @property
    def settings(self) -> RunSettings:
        return self.command.settings

    @property
    def failure(self) -> ErrorInfo | None:
        """Why a function could not be scored to the end; of several, the first."""
        if self.state is None:
            return None
        started = self.state.started
        for info, row in zip(started.variants, self.state.rows, strict=True):
            if row.error is not None:
                return replace(row.error, message=f"{info.name}: {row.error.message}")
        return None

    @property
    def tokens(self) -> int:
        """How many tokens can be shown."""
        return 0 if self.state is None else len(self.state.text)

    def document(self, *, tokens: bool = False) -> ScoreDocument | None:
        """The document so far, with every token if asked; None before anything is scored."""
        if self.saved is not None:
            return self.saved
        if self.state is None or self.loaded is None:
            return None
        status = self.status or "cancelled"  # until now
        return self.state.document(
            self.loaded,
            self.source,
            status=status,
            error=self.error,
            activations=self.settings.activations if tokens else (),
        )

    # --- numbers of tokens --------------------------------------------------------------------

    def figures(self, token: int, variant: int) -> Figures:
        """The numbers of a token under a variant."""
        none = Figures(None, None, None, None)
        if self.state is None or not 0 <= token < self.tokens:
            return none
        at = self.state.text.positions[token]
        row = self.state.rows[variant]
        if not 0 <= at < len(row.logprob):
            return none
        if variant == self.state.started.reference:
            return Figures(row.logprob[at], None, None, None)
        reference = self.state.rows[self.state.started.reference].logprob[at]
        delta = 100 * float(np.exp(row.logprob[at]) - np.exp(reference))
        return Figures(row.logprob[at], row.kl[at], delta, row.same_top[at] > 0)

    def values(self, variant: int, measure: Measure) -> Values:
        """The measure at every position, shape (positions,); empty for the reference."""
        if self.state is None or variant == self.state.started.reference:
            return np.empty(0)
        row = self.state.rows[variant]
        if measure == "kl":
            return np.array(row.kl)
        if measure == "top":
            return 1.0 - np.array(row.same_top)
        reference = np.array(self.state.rows[self.state.started.reference].logprob)
        return np.asarray(100 * (np.exp(row.logprob) - np.exp(reference[: len(row.logprob)])))

    def worst(self, variant: int, measure: Measure, count: int) -> list[int]:
        """The tokens of the largest values, largest first; by KL where the measure is yes or no."""
        if self.state is None:
            return []
        values = np.abs(self.values(variant, measure))
        order = values if measure != "top" else self.values(variant, "kl") * (values > 0)
        found = np.argsort(-order, kind="stable")[:count]
        places = np.flatnonzero(np.array(self.state.text.positions) >= 0)
        return [int(places[at]) for at in found if order[at] > 0]

    def candidates_command(self, token: int, variant: int) -> p.Candidates | None:
        """What asks for the candidates of a token; None where nothing is predicted."""
        if self.state is None or variant == self.state.started.reference:
            return None
        if not 0 <= token < self.tokens or self.state.text.positions[token] < 0:
            return None
        tokens, place = self.state.text.window_of(token)
        settings = self.settings
        if self.loaded is not None:
            settings = replace(settings, model=self.loaded.model.id)
        return p.Candidates(settings, variant, tokens, place)


@dataclass(frozen=True)
class Candidates:
    """The candidates of a token, or why there are none yet."""

    token: int
    variant: int
    found: p.CandidatesFound | None = None
    error: ErrorInfo | None = None
