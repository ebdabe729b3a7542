"""The exact text that the model is fed, as the screen shows it."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.fed_text.content import TOKENS_SHOWN, Signs, as_ids, as_text, as_tokens
from gelu_tui.tui.fed_text.screen import FedTextScreen
from tests.support.driving import alone
from tests.support.text_engine import rendered


def fed(prompt: str = "Why is  it?\n\tblue", *, chat: bool = False) -> p.PromptRendered:
    return rendered(p.RenderPrompt(prompt, chat))


STARTED = Comparison.begin(
    p.Started(
        "x",
        "<bos>user\nx",
        (2, 7, 9),
        (p.VariantInfo("gelu", "x", "float32"),),
        0,
        RunSettings(max_tokens=9, chat=True),
    )
)


async def test_raw_text_with_blanks_and_bos() -> None:
    async with alone(FedTextScreen(fed())) as it:
        await it.until_shown(
            "raw text · 7 tokens",
            "Your prompt as it is, with <bos> in front, as the tokenizer does.",
            "chat template is not used",
            "<bos>Why·is··it?↵ →blue",
        )


async def test_chat_text_shows_what_the_template_added() -> None:
    async with alone(FedTextScreen(fed("Why?", chat=True))) as it:
        await it.until_shown(
            "chat template · 10 tokens",
            "<bos><start_of_turn>user↵ Why?<end_of_turn>↵ <start_of_turn>model↵",
        )


async def test_token_boundaries_and_ids_on_demand() -> None:
    async with alone(FedTextScreen(fed("Why is", chat=False))) as it:
        await it.press("2")
        await it.until_shown("Every second token is underlined.", "<bos>Why·is")
        await it.press("3")
        await it.until_shown("# id token", "0 2 <bos>", "1 322 Why", "2 262 ·is")
        await it.press("t")
        await it.until_shown("· is a blank")


def test_every_second_token_is_underlined() -> None:
    content = as_tokens(fed("a b c d"))
    underlined = [
        content.plain[span.start : span.end] for span in content.spans if span.style == "underline"
    ]
    assert content.plain == "<bos>a·b·c·d"
    assert underlined == ["a", "·c"]


def test_special_tokens_have_a_look_of_their_own_and_a_typed_dot_is_no_blank() -> None:
    content = as_text(fed("a · b"))
    assert content.plain == "<bos>a␣·␣b"
    bold = [content.plain[s.start : s.end] for s in content.spans if "bold" in str(s.style)]
    assert bold == ["<bos>"]


def test_a_sign_is_never_a_character_of_the_text() -> None:
    assert as_text(fed("a b\tc\n")).plain == "<bos>a·b→c↵\n"
    assert as_text(fed("·␣ →\t↵¶\n")).plain == "<bos>·␣░→⇥↵¶¬\n"
    assert as_text(fed("·␣░ ")).plain == "<bos>·␣░⟨U+0020⟩"
    typed = fed("a · b")  # a token of it has no dot: it is shown by the same signs
    assert as_tokens(typed).plain == "<bos>a␣·␣b"
    assert "␣b" in as_ids(typed).plain


async def test_every_view_has_the_legend_of_its_own_signs() -> None:
    async with alone(FedTextScreen(fed("a · b"))) as it:
        for view in "123":
            await it.press(view)
            await it.until_shown("␣ is a blank, ↵ a line break, → a tab.")


words = st.text("ab·→é", min_size=1, max_size=12)
parts_ = st.lists(words | st.sampled_from([" ", "  ", "\t", "\n", "\u2003", "空の"]))


@given(parts_, st.integers(8, 30))
def test_rows_end_between_words_and_hold_the_whole_text(parts: list[str], width: int) -> None:
    shown = fed("".join(parts))
    signs, content = Signs.of(shown), as_text(shown)
    rows = signs.wrapped(content, width).plain.split("\n")
    whole = content.plain.replace("\n", "")
    assert "".join(rows) == whole
    assert max(map(cell_len, rows)) <= width
    blanks = {*signs, "空", "の"}
    at = 0
    for row in rows[:-1]:
        at += len(row)
        if row[-1] not in blanks and whole[at] not in blanks:
            begun = re.search(r"[^空の" + "".join(signs) + "]*$", whole[:at])
            rest = re.match(r"[^空の" + "".join(signs) + "]*", whole[at:])
            assert begun and rest
            assert cell_len(begun[0] + rest[0]) >= width, "only a word that is wider than a row"


def test_hostile_text_is_visible_in_every_view() -> None:
    hostile = fed("\x1b[31m \u202e\u00a0[bold]x[/] \x00")
    for content in (as_text(hostile), as_tokens(hostile), as_ids(hostile)):
        assert not set("\x1b\u202e\u00a0\x00") & set(content.plain)
        for shown_as in ("␛[31m", "⟨U+202E⟩", "⟨U+00A0⟩", "[bold]x[/]", "␀"):
            assert shown_as in content.plain


async def test_it_waits_and_then_shows() -> None:
    screen = FedTextScreen()
    async with alone(screen) as it:
        await it.until_shown("The engine is asked.")
        screen.answer(fed("Why?"))
        await it.until_shown("<bos>Why?")


async def test_a_failure_is_told_and_an_answer_replaces_it() -> None:
    screen = FedTextScreen()
    async with alone(screen) as it:
        screen.answer(ErrorInfo("chat_template", "The template \x1b fails.", "Use raw."))
        await it.until_shown("✗ The template ␛ fails. Use raw.")
        screen.answer(fed("Why?"))
        await it.until_shown("<bos>Why?")


async def test_answers_to_other_questions_are_not_shown() -> None:
    screen = FedTextScreen(question=7)
    error = ErrorInfo("chat_template", "The template fails.", "Use raw.")
    async with alone(screen) as it:
        for other in (fed("Older?"), p.Failed(error, "render_prompt"), p.Cancelled("render")):
            screen.answer(msgspec.structs.replace(other, id=6))
        await it.settle()
        assert "The engine is asked." in it.flat()
        screen.answer(p.Failed(error, "render_prompt", id=7))
        await it.until_shown("✗ The template fails. Use raw.")
        screen.answer(msgspec.structs.replace(fed("Mine?"), id=7))
        await it.until_shown("<bos>Mine?")


async def test_what_comes_before_the_screen_is_there_is_shown_too() -> None:
    screen = FedTextScreen()
    screen.answer(fed("early"))
    async with alone(screen) as it:
        await it.until_shown("<bos>early")


async def test_of_a_run_the_text_and_the_ids_are_known() -> None:
    async with alone(FedTextScreen(STARTED)) as it:
        await it.until_shown("chat template · 3 tokens", "<bos>user↵ x")
        await it.press("2")
        await it.until_shown("only the ids are known")
        await it.press("3")
        await it.until_shown("0 2", "2 9")


def test_of_a_long_prompt_both_ends_are_shown() -> None:
    long = fed("first " + "word " * 30_000 + "last")
    for content in (as_tokens(long), as_ids(long)):
        assert "first" in content.plain
        assert "last" in content.plain
        assert f"{len(long.pieces) - TOKENS_SHOWN:,} tokens are not shown here" in content.plain
    text = as_text(long).plain
    assert "characters are not shown here" in text
    assert text.endswith("last")


async def test_a_prompt_beyond_the_context_is_told() -> None:
    async with alone(FedTextScreen(fed("word " * 33_000))) as it:
        await it.until_shown("tokens, and the model's context holds 32,768")


@pytest.mark.parametrize("key", ["q", "escape", "f10"])
async def test_it_can_be_left(key: str) -> None:
    async with alone(FedTextScreen(fed())) as it:
        await it.press(key)
        assert await it.result() is None


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (200, 50)])
async def test_it_fits(size: tuple[int, int]) -> None:
    async with alone(FedTextScreen(fed()), size) as it:
        await it.until_shown("What the model is fed", "<bos>Why·is", "1 text · 2 token")
