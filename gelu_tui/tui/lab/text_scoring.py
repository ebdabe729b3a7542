"""A text that is scored, or was: what the screen shows of it, also after it was closed."""

from __future__ import annotations

import time
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

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A scoring that was asked for."""

    command: p.Score
    source: ScoreSource


class ShownText:
    """One scoring: asked for, running, ended or read from a file; `apply` every event of it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.loaded: p.Loaded | None = None
        self.scoring: Scoring | None = None
        self.saved: ScoreDocument | None = None
        self.status: p.Status | None = None  # None until it has ended
        self.error: ErrorInfo | None = None
        self.progress: p.Progress | None = None
        self.candidates: Candidates | None = None
        self.began = time.monotonic()

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
        shown = cls(Asked(p.Score(settings, context=document.settings.context), document.source))
        shown.scoring, shown.saved, shown.status = scoring, document, document.status
        shown.error = document.error
        return shown

    @property
    def is_live(self) -> bool:
        """Whether it waits for the engine, or runs."""
        return self.status is None

    @property
    def settings(self) -> RunSettings:
        return self.asked.command.settings

    @property
    def failure(self) -> ErrorInfo | None:
        """Why a function could not be scored to the end; of several, the first."""
        if self.scoring is None:
            return None
        started = self.scoring.started
        for info, row in zip(started.variants, self.scoring.rows, strict=True):
            if row.error is not None:
                return replace(row.error, message=f"{info.name}: {row.error.message}")
        return None

    @property
    def tokens(self) -> int:
        """How many tokens can be shown."""
        return 0 if self.scoring is None else len(self.scoring.text)

    def apply(self, event: p.Event, loaded: p.Loaded | None) -> None:
        """Apply an answer of the engine. Raises `ProtocolError`."""
        match event:
            case p.Progress():
                self.progress = event
            case p.ScoreStarted():
                self.scoring, self.loaded = Scoring(event), loaded
            case p.Failed(error):
                self.end("failed", error)
            case p.Cancelled():
                self.end("cancelled")
        if self.scoring is not None:
            self.scoring.apply(event)
        if isinstance(event, p.ScoreFinished):
            self.end(event.status, event.error)

    def end(self, status: p.Status, error: ErrorInfo | None = None) -> None:
        """It has ended; what there is stays."""
        if self.is_live:
            self.status, self.error, self.progress = status, error, None

    def document(self, *, tokens: bool = False) -> ScoreDocument | None:
        """The document so far, with every token if asked; None before anything is scored."""
        if self.saved is not None:
            return self.saved
        if self.scoring is None or self.loaded is None:
            return None
        status = self.status or "cancelled"  # until now
        return self.scoring.document(
            self.loaded,
            self.asked.source,
            status=status,
            error=self.error,
            activations=self.settings.activations if tokens else (),
        )

    # --- numbers of tokens --------------------------------------------------------------------

    def figures(self, token: int, variant: int) -> Figures:
        """The numbers of a token under a variant."""
        none = Figures(None, None, None, None)
        if self.scoring is None or not 0 <= token < self.tokens:
            return none
        at = self.scoring.text.positions[token]
        row = self.scoring.rows[variant]
        if not 0 <= at < len(row.logprob):
            return none
        if variant == self.scoring.started.reference:
            return Figures(row.logprob[at], None, None, None)
        reference = self.scoring.rows[self.scoring.started.reference].logprob[at]
        delta = 100 * float(np.exp(row.logprob[at]) - np.exp(reference))
        return Figures(row.logprob[at], row.kl[at], delta, row.same_top[at] > 0)

    def values(self, variant: int, measure: Measure) -> Values:
        """The measure at every position, shape (positions,); empty for the reference."""
        if self.scoring is None or variant == self.scoring.started.reference:
            return np.empty(0)
        row = self.scoring.rows[variant]
        if measure == "kl":
            return np.array(row.kl)
        if measure == "top":
            return 1.0 - np.array(row.same_top)
        reference = np.array(self.scoring.rows[self.scoring.started.reference].logprob)
        return np.asarray(100 * (np.exp(row.logprob) - np.exp(reference[: len(row.logprob)])))

    def worst(self, variant: int, measure: Measure, count: int) -> list[int]:
        """The tokens of the largest values, largest first; by KL where the measure is yes or no."""
        if self.scoring is None:
            return []
        values = np.abs(self.values(variant, measure))
        order = values if measure != "top" else self.values(variant, "kl") * (values > 0)
        found = np.argsort(-order, kind="stable")[:count]
        places = np.flatnonzero(np.array(self.scoring.text.positions) >= 0)
        return [int(places[at]) for at in found if order[at] > 0]

    def candidates_command(self, token: int, variant: int) -> p.Candidates | None:
        """What asks for the candidates of a token; None where nothing is predicted."""
        if self.scoring is None or variant == self.scoring.started.reference:
            return None
        if not 0 <= token < self.tokens or self.scoring.text.positions[token] < 0:
            return None
        tokens, place = self.scoring.text.window_of(token)
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
