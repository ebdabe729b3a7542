"""The legend of the tokens' colours: what it says at each width, and that it stands."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from gelu_tui.tui.compare.legend import Legend, fitted
from gelu_tui.tui.text_view.levels import TOKEN_STYLES, TokenStyle, legend
from tests.support.driving import PROMPT, driven


@pytest.mark.parametrize("statistic", TOKEN_STYLES[1:])
def test_every_level_is_named_in_its_style_at_every_width(statistic: TokenStyle) -> None:
    for width in range(40, 140):
        parts = fitted(statistic, "keras_gelu_approx", width)
        assert sum(cell_len(text) for text, _ in parts) <= width
        styled = {style: text.strip() for text, style in parts if style}
        levels = legend(statistic)
        assert styled == {f"level{n}": levels[n] for n in range(1, len(levels))}
        assert levels[0] in "".join(text for text, _ in parts)
    assert fitted(statistic, "gelu", 140)[0][0].startswith("Colours: ")


async def test_it_stands_while_colours_are_on() -> None:
    async with driven(prompt=PROMPT, token_style="margin") as it:
        await it.until_finished()
        await it.until_shown("Colours: margin to the second token")
        it.app.compare.notice.clear()
        await it.press("tab", "z")
        await it.until_shown("Colours: margin to the second token")  # of a maximised pane too
        await it.press("z", "c")
        await it.until(lambda: not it.app.compare.query_one(Legend).display, "plain tokens")
        await it.press("c")
        await it.until_shown("Colours: KL against gelu_approx")
        await it.press("ctrl+r")
        await it.until_finished()
        await it.until_shown("Colours: KL against gelu_approx")
