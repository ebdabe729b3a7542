"""Choosing the text that is shown in colour."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreSource, read_score
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.lab.text_choice import TextChoice
from gelu_tui.tui.lab.text_scoring import ShownText


class ScoreChoice(TextChoice[ShownText]):
    """Asks for a text to score, or for a scoring that was saved."""

    question = "Which text do the functions read?"
    verb = "scores"

    def how(self, choices: RunSettings) -> str:
        functions = ", ".join(map(visible_line, choices.activations))
        return (
            f"{functions} and a control read it, on {visible_line(choices.model)}, in windows of "
            "512 tokens; each token is coloured by how much its prediction differs from the "
            "reference's."
        )

    def measurement(
        self, settings: RunSettings, source: ScoreSource, *, prompt: int = 0, **text: Any
    ) -> ShownText:
        return ShownText(over_text(p.Score, replace(settings, control=True), **text), source)

    def saved(self, data: bytes) -> ShownText | None:
        scored = read_score(data)
        return None if scored is None else ShownText.of(scored)
