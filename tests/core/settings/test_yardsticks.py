"""Names of yardsticks, as they are typed in many ways."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.validation import convert
from gelu_tui.core.settings.yardsticks import YARDSTICKS, WithYardsticks, YardstickName

FIELD = fields_of(WithYardsticks)["yardsticks"]
BLANKS = st.sampled_from(["", " ", "  "])


@given(st.data(), st.lists(st.lists(st.sampled_from(list(YARDSTICKS)), max_size=6), max_size=4))
def test_commas_and_lists_mean_the_same(data: st.DataObject, groups: list[list[str]]) -> None:
    typed = [
        ",".join(f"{data.draw(BLANKS)}{name}{data.draw(BLANKS)}" for name in group)
        for group in groups
    ]
    named = tuple(dict.fromkeys(name for group in groups for name in group))
    assert convert(FIELD, typed) == named
    assert convert(FIELD, tuple(typed), text=True) == named
    assert convert(FIELD, ",".join(typed)) == named
    assert convert(FIELD, list(named)) == named


@given(st.text(max_size=30), st.lists(st.sampled_from(list(YARDSTICKS)), max_size=3))
def test_any_other_name_is_refused_by_itself(name: str, before: list[str]) -> None:
    parts = [part.strip() for part in name.split(",") if part.strip()]
    wrong = [part for part in parts if part not in YARDSTICKS]
    if not wrong:
        return
    with pytest.raises(UsageError) as caught:
        convert(FIELD, [*before, name], "--yardstick")
    said = caught.value.info.message
    assert said.startswith("--yardstick must be q8, q4, bf16, embed-scale or again, or some of")
    assert caught.value.info.kind == "yardsticks"


def test_all_have_a_name_in_reports() -> None:
    assert set(YARDSTICKS) == set(get_args(YardstickName))
    assert all(name in FIELD.description and name in FIELD.form for name in YARDSTICKS)
