"""The presets can be run as they are."""

from __future__ import annotations

from gelu_tui.core.protocol.requests import check_prompt
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.tui.prompts.presets import PRESETS


def test_the_notebooks_two_prompts_come_first() -> None:
    first, second, *_ = PRESETS
    assert first.prompt == "Why is the sky blue?"
    assert second.prompt == "空が青いのはなぜですか？"


def test_every_preset_can_be_run_and_shown() -> None:
    for preset in PRESETS:
        check_prompt(preset.prompt)
        assert visible(preset.prompt) == preset.prompt
        for text in (preset.title, preset.why):
            assert visible_line(text) == text
        assert len(preset.title) <= 24
        assert preset.why.endswith(".")


def test_no_preset_is_there_twice() -> None:
    assert len({preset.prompt for preset in PRESETS}) == len(PRESETS)
    assert len({preset.title for preset in PRESETS}) == len(PRESETS)


def test_code_japanese_and_more_than_one_line_are_among_them() -> None:
    prompts = [preset.prompt for preset in PRESETS]
    assert any("def " in prompt for prompt in prompts)
    assert any(any(ord(char) > 0x3000 for char in prompt) for prompt in prompts)
    assert any("\n" in prompt for prompt in prompts)
