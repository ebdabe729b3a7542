"""Pictures of a text in colour: asked for, in the middle, finished, with candidates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from gelu_tui.core import protocol as p
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.lab.text_pane import ScoredPane
from gelu_tui.tui.lab.text_scoring import Candidates, ShownText
from gelu_tui.tui.lab.text_screen import TextScreen
from tests.support.comparisons import LOADED_ON_MAC
from tests.support.made_up import BASE, HOSTILE
from tests.support.text_engine import candidates_of, score_chunk

if TYPE_CHECKING:
    from tests.support.scenes import Scene

_NAMES = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "control")
_TEXTS = (*BASE, "\n", *HOSTILE, "\n", *BASE, " ", *BASE)


def a_text(share: float = 1.0) -> ShownText:
    """A scoring, of which a share is done."""
    settings = RunSettings(model=LOADED_ON_MAC.model.id, activations=_NAMES[:-1], control=True)
    shown = ShownText(p.Score(settings, "x"), ScoreSource("text", "sky.txt"))
    variants = tuple(
        p.VariantInfo(name, "f(x)", "float32", control=name == "control") for name in _NAMES
    )
    count = len(_TEXTS)
    shown.apply(p.ScoreStarted(variants, 1, count, 4, count, 41, bos=(2,)), LOADED_ON_MAC)
    done = int(share * count) // 2 * 2
    for start in range(0, done if share < 1 else count, 2):
        shown.apply(score_chunk(_TEXTS[start : start + 2], start, variants, 1), LOADED_ON_MAC)
    if share < 1:
        shown.apply(p.Progress("score", "window", done, count, "tokens", 45.0), LOADED_ON_MAC)
    else:
        shown.apply(p.ScoreFinished("completed", 3.0, 2_000_000_000), LOADED_ON_MAC)
    return shown


async def _shown(it: Scene, text: ShownText | None, *said: str) -> ScoredPane:
    await it.loaded()
    await it.app.navigation.lab.open_text(text)

    def there() -> bool:
        return isinstance(it.app.screen, TextScreen) and bool(it.app.screen.query("#lists"))

    await it.until(there, "the screen")
    await it.until_shown(*said)
    return it.app.screen.query_one(ScoredPane)


async def text_asked(it: Scene) -> None:
    await _shown(it, None, "Which text do the functions read?")


async def text_running(it: Scene) -> None:
    await _shown(it, a_text(0.4), "Scoring")
    await it.press("n", "c")
    await it.until_shown("gelu_fast_approx: Δp")


async def text_finished(it: Scene) -> None:
    """The text at one of its worst tokens, with the candidates there."""
    shown = a_text()
    pane = await _shown(it, shown, "Done")
    await it.press("n", "full_stop", "full_stop")
    assert pane.cursor is not None
    command = shown.candidates_command(pane.cursor, 2)
    assert command is not None
    shown.candidates = Candidates(pane.cursor, 2, candidates_of(command))
    await it.press("4")
    assert isinstance(it.app.screen, TextScreen)
    it.app.screen._redraw()
    await it.until_shown("40.0 %")


async def text_worst(it: Scene) -> None:
    """The list of the worst tokens, by whether another one is the most probable."""
    await _shown(it, a_text(), "Done")
    await it.press("p", "p", "c", "c", "3", "down")
    await it.until_shown("other top-1")


SCENES: Mapping[str, Callable[[Any], Awaitable[None]]] = {
    each.__name__.replace("_", "-"): each
    for each in (text_asked, text_running, text_finished, text_worst)
}
