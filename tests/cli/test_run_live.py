"""`gelu-tui run` on a terminal: what is shown while the tokens come, and what stays."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.cli.live import LiveRun
from gelu_tui.core import protocol as p
from tests.support.command import COMMAND, UNSAFE, fake_engine
from tests.support.comparisons import begun
from tests.support.terminal import Terminal

WORDS = [
    "a",
    " b",
    " word",
    "\n",
    " ",
    "  two",
    "空",
    " 空の",
    "❤️",
    "\t",
    "x" * 30,
    ".\n\n",
    "\x1b[31m",
    "",
]


def kept(pieces: list[str], width: int) -> str:
    """What stays on a terminal of this width after a stream of these pieces."""
    comparison = begun("first", "second")
    hidden: list[bool] = []
    engine = SimpleNamespace(comparison=comparison, hide_progress=lambda: hidden.append(True))
    file = io.StringIO()
    with LiveRun(cast(Any, engine), "never") as live:
        live._console = Console(file=file, width=width, force_terminal=False, color_system=None)
        for number, piece in enumerate(pieces):
            step = p.StreamStep(0, number, piece, -1.0, 1.0, None, 0.1)
            event = p.Step(number, 0.1, (step,))
            comparison.apply(event)
            live._drawn_at = 0.0
            live.take(event)
    assert hidden == [True]
    assert live.shown == ("first",)
    return file.getvalue()


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25), st.integers(20, 60))
@example(["\n", "\n", "a"], 20)
@example(["a", "\n"], 20)
def test_a_text_that_comes_in_pieces_is_wrapped_as_one(pieces: list[str], width: int) -> None:
    shown, at_once = kept(pieces, width), kept(["".join(pieces)], width)
    assert max(map(cell_len, shown.split("\n"))) <= width
    # Several blanks where a row breaks may break it elsewhere; no letter and no blank is lost.
    if max(map(cell_len, "".join(pieces).split()), default=0) < width - 2:
        assert shown.split() == at_once.split()
    else:
        assert "".join(shown.split()) == "".join(at_once.split())


def test_what_would_act_on_a_terminal_is_a_glyph() -> None:
    shown = kept(["\n", "\x1b[31mred", "\x1b]0;x\x07", " \u202eb"], 60)
    assert "  ↵\n  ␛[31mred␛]0;x␇ ⟨U+202E⟩b\n" in shown
    assert not UNSAFE.search(shown)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 50)])
def test_it_streams(env: dict[str, str], size: tuple[int, int]) -> None:
    engine = fake_engine("long", 0.02)
    words = ("run", "-a", "gelu,gelu_approx,silu,relu", "--engine-command", engine, "x")
    own = {name: value for name, value in env.items() if name != "COLUMNS"}
    shown = Terminal((*COMMAND, *words), size, own)
    try:
        shown.until_shown("─ the reference")
        shown.until_shown("The sky is blue because of a phenomenon called")
        shown.until_shown("silu diverges at 1")
        shown.until_shown("relu diverges at 0")
        shown.until_shown("tok/s of all streams")
        shown.send("\x03")
        shown.until_shown("Interrupted: these are the tokens until then.")
        assert shown.wait() == 130
        assert shown.restored()
    finally:
        shown.close()


def test_what_stays_has_every_stream_once(env: dict[str, str]) -> None:
    words = ("run", "-a", "gelu_approx,silu", "--engine-command", fake_engine("five"), "x")
    shown = Terminal((*COMMAND, *words), (100, 60), {**env, "COLUMNS": "100"})
    try:
        assert shown.wait() == 0
        assert shown.text.count("The sky is blue because") == 1
        assert shown.text.count("do not know what the question") == 1
        assert "step 4" not in shown.text and "Loading" not in shown.text
        assert "tok/s of all streams" in shown.text
    finally:
        shown.close()
