"""A text in colour: chosen, scored, stopped, read from a file, pointed at and exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual import events

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.scoring.document import ScoreDocument, read_score
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.lab.text_choice import PathField
from gelu_tui.tui.lab.text_pane import ScoredPane
from gelu_tui.tui.lab.text_scoring import ShownText
from gelu_tui.tui.lab.text_screen import TextScreen
from tests.support.comparisons import LOADED_ON_MAC
from tests.support.driving import PROMPT, Driven, driven, ready
from tests.support.text_scenes import a_text

TEXT = "The sky is blue because\nof a phenomenon called Rayleigh scattering . " * 12
WORDS = len(re.findall(r"\s?[^\s]+|\s", TEXT))


async def is_open(it: Driven) -> None:
    def there() -> bool:
        return isinstance(it.app.screen, TextScreen) and bool(it.app.screen.query("#lists"))

    await it.until(there, "the screen is open")


async def opened(it: Driven) -> TextScreen:
    await it.app.run_action("app.open('text')")
    await is_open(it)
    assert isinstance(it.app.screen, TextScreen)
    return it.app.screen


async def scoring(it: Driven, folder: Path, text: str = TEXT) -> TextScreen:
    screen = await opened(it)
    file = folder / "sky.txt"
    file.write_text(text)
    await it.until_shown("Which text do the functions read?")
    await it.type(str(file))
    await it.press("enter")
    return screen


def pane(it: Driven) -> ScoredPane:
    return it.app.screen.query_one(ScoredPane)


async def shown(it: Driven, tokens: int = WORDS) -> ScoredPane:
    await it.until(lambda: pane(it).tokens == tokens, "all tokens are shown")
    return pane(it)


async def test_a_file_is_scored_and_the_worst_token_is_found(tmp_path: Path) -> None:
    async with ready() as it:
        await scoring(it, tmp_path)
        await it.until_shown(f"Done: {WORDS} tokens in 4 windows", "against gelu_approx")
        await shown(it)
        await it.until_shown("gelu: KL (own scale)", "mean KL", "control")
        await it.press("full_stop")
        assert pane(it).cursor is not None
        worst = pane(it).buffer.text[slice(*pane(it).buffer.span(pane(it).cursor or 0))]
        assert "scattering" in worst or "phenomenon" in worst, "the longest words"
        await it.until_shown("KL 1.00e−02", "same top-1")
        assert it.phase is Phase.READY


async def test_functions_and_measures_change_the_colours(tmp_path: Path) -> None:
    async with ready() as it:
        await scoring(it, tmp_path)
        text = await shown(it)
        await it.until_shown("Done:")
        seen = set()
        for key in ("n", "c", "s", "c", "c", "n"):
            await it.press(key)
            seen.add((text._key, tuple(text._level_of(token) for token in range(20))))
        assert len(seen) == 6
        await it.until_shown("silu: KL")
        await it.press("2", "down")
        await it.until_shown("relu: KL")
        await it.press("c")
        await it.until_shown("relu: Δp", "gains")


async def test_a_jump_from_the_list_and_candidates(tmp_path: Path) -> None:
    async with ready() as it:
        await scoring(it, tmp_path)
        await it.until_shown("Done:")
        await it.press("3", "down")
        await it.until(lambda: pane(it).cursor is not None, "the text goes to it")
        await it.press("enter")
        await it.until_shown("own", "the text's: number 4,311", "␛[31m")
        await it.press("4")
        await it.until_shown("the text's: number")
        await it.press("escape")
        await it.until_gone("the text's: number")
        assert it.app.screen is not it.app.compare, "they alone are closed"
        await it.press("escape")
        await it.until(lambda: it.app.screen is it.app.compare, "the screen is closed")


async def test_stopping_keeps_what_is_there_and_the_second_escape_leaves(tmp_path: Path) -> None:
    async with ready(step_s=0.05) as it:
        await scoring(it, tmp_path)
        await it.until(lambda: pane(it).tokens > 4, "some tokens are scored")
        await it.press("escape")
        await it.until_shown("Stopped after", "what is scored stays")
        await it.until_gone("Once more goes back")
        assert it.phase is Phase.READY
        scorer = it.app.navigation.lab.texts
        assert scorer is not None and scorer.shown is not None
        kept = scorer.shown.tokens
        await shown(it, kept)
        assert 4 < kept < WORDS
        await it.press("escape")
        await it.until(lambda: it.app.screen is it.app.compare, "the screen is closed")
        await opened(it)
        await shown(it, kept)
        await it.app.run_action("screen.candidates")
        await it.until_shown("Put the cursor on a token")


async def test_the_engine_dies_in_the_middle(tmp_path: Path) -> None:
    async with ready() as it:
        await scoring(it, tmp_path, TEXT + "BANG" + TEXT)
        await it.until_shown("out of memory", "what is scored stays")
        text = await shown(it, WORDS - WORDS % 2)
        assert it.phase is Phase.LOST
        text.point(3)
        it.engines.scenario = "five"
        await it.press("enter")
        await it.until_shown("␣own")
        assert it.phase is Phase.READY, "the question has started a new engine"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/nowhere/x.txt", "There is no file"),
        ("999", "999"),
        ("last", "no saved run"),
        ("no-such-sweep/3", "no-such-sweep"),
    ],
)
async def test_what_is_no_text(
    typed: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with ready(save_runs=False) as it:
        await opened(it)
        await it.until(lambda: isinstance(it.app.focused, PathField), "the field has the focus")
        await it.type(typed)
        await it.press("enter")
        await it.until_shown(said)


async def test_an_empty_text_and_one_of_one_token(tmp_path: Path) -> None:
    async with ready() as it:
        screen = await scoring(it, tmp_path, "  \n")
        await it.until_shown("The text is empty.")
        (tmp_path / "sky.txt").write_text("one")
        await it.press("enter")
        await it.until_shown("no token with another one before it")
        await it.press("o")
        assert screen._is_choosing


async def test_words_and_what_is_pasted_are_texts() -> None:
    async with ready() as it:
        await opened(it)
        await it.until(lambda: isinstance(it.app.focused, PathField), "the field has the focus")
        await it.type("The sky is blue")
        await it.press("enter")
        await it.until_shown("Enter once more scores these words themselves.")
        await it.press("enter")
        await shown(it, 4)
        await it.press("o")
        field = it.app.screen.query_one("#file")
        field.value = ""  # type: ignore[attr-defined]
        await it.settle()
        it.app.post_message(events.Paste("One two\nthree four five"))
        await it.until_shown("Pasted: 23 characters")
        await it.press("enter")
        await shown(it, 5)


async def test_the_run_that_is_shown(tmp_path: Path) -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await opened(it)
        await it.until_shown("^r the run that is shown:", "40 tokens of gelu_approx")
        await it.press("ctrl+r")
        await shown(it, 42)
        await it.until_shown("as shown")


async def test_a_function_that_fails_is_told_and_the_others_stay() -> None:
    text = a_text(0.5)
    error = ErrorInfo("not_finite", "The logits are not numbers.", "Try float32.")
    text.apply(p.ScoreFailed(3, error), LOADED_ON_MAC)
    text.apply(p.ScoreFinished("completed", 1.0, 1), LOADED_ON_MAC)
    async with driven(text=text) as it:
        await is_open(it)
        await it.until_shown("silu: The logits are not numbers. Try float32.", "failed")
        await it.press("n", "n", "c")
        await it.until_shown("silu: Δp")
        assert any(pane(it)._level_of(token) for token in range(40)), "as far as it was scored"
        await it.press("e")
        await it.until_shown("Export the text")


async def test_exports(tmp_path: Path) -> None:
    async with ready() as it:
        await scoring(it, tmp_path)
        await it.until_shown("Done:")
        for suffix in ("json", "csv", "html"):
            file = tmp_path / f"out.{suffix}"
            await it.press("e")
            field = it.app.screen.query_one("#path")
            field.value = str(file)  # type: ignore[attr-defined]
            await it.press("enter")
            await it.until(file.exists, "the file is written")
            await it.until_shown("Written:")
        made = read_score((tmp_path / "out.json").read_bytes())
        assert isinstance(made, ScoreDocument) and made.text is not None
        assert "".join(made.text.texts) == TEXT
        assert (tmp_path / "out.csv").read_text().count("\n") == WORDS * 6 + 1
        assert "The text in colour" in (tmp_path / "out.html").read_text()
        saved = ShownText.of(made)
    async with driven(text=saved) as it:
        await is_open(it)
        await shown(it)
        await it.until_shown("Done:", "mean KL")
        assert it.phase is Phase.ASLEEP
        pane(it).point(5)
        await it.press("enter")
        await it.until_shown("␣own")
