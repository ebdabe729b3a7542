"""Choosing the text over which layers are swapped."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.layers import with_reference
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.lab.measurements import MeasuredLayers
from gelu_tui.tui.lab.text_choice import TextChoice


class LayersChoice(TextChoice[MeasuredLayers]):
    """Asks over which text layers are swapped."""

    question = "Over which text?"
    verb = "measures"

    def how(self, choices: RunSettings) -> str:
        functions = ", ".join(map(visible_line, choices.activations))
        return (
            f"Each chosen function ({functions}) takes the reference's place in one layer at a "
            f"time, and in all but one, on {visible_line(choices.model)}. That is two passes for "
            "each layer, so it takes a while; what is stopped can go on later."
        )

    def measurement(
        self, settings: RunSettings, source: ScoreSource, *, prompt: int = 0, **text: Any
    ) -> MeasuredLayers:
        settings = with_reference(replace(settings, control=False))
        return MeasuredLayers(over_text(p.Layers, settings, prompt=prompt, **text), source)
