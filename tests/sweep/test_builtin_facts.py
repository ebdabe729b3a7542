"""The built-in set `facts`: multiple choice, in which nothing but knowledge gives answers away."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.resources import files
from itertools import permutations
from typing import Any

import pytest

from gelu_tui.sweep.prompt_files import open_prompts
from gelu_tui.sweep.prompts import Prompt

CATEGORIES = [
    "geography",
    "science",
    "mathematics",
    "language",
    "history",
    "nature",
    "everyday",
    "technology",
]
IN_EACH = 40
TEXT = (files("gelu_tui.sweep.builtin") / "facts.jsonl").read_text(encoding="utf-8")
ROWS: list[dict[str, Any]] = [json.loads(line) for line in TEXT.splitlines()]
ANSWERS = [row["answer"] for row in ROWS]


def right(row: dict[str, Any]) -> str:
    return str(row["choices"][row["answer"]])


def share(chosen: Callable[[Iterable[int]], int]) -> float:
    """How often the right choice has the length that `chosen` picks; of n equals each has 1/n."""
    parts = []
    for row in ROWS:
        lengths = [len(choice) for choice in row["choices"]]
        target = chosen(lengths)
        parts.append((len(right(row)) == target) / lengths.count(target))
    return sum(parts) / len(parts)


def test_the_categories_in_their_order_and_as_many_items_in_each() -> None:
    assert [row["id"] for row in ROWS] == [
        f"{category}-{number:03}" for category in CATEGORIES for number in range(1, IN_EACH + 1)
    ]
    assert all(row["id"].startswith(f"{row['category']}-") for row in ROWS)
    assert len(ROWS) >= 240


def test_the_file_is_readable_text() -> None:
    assert TEXT.endswith("}\n") and len(ROWS) == TEXT.count("\n")
    assert TEXT.splitlines() == [json.dumps(row, ensure_ascii=False) for row in ROWS]
    for row in ROWS:
        assert list(row) == ["id", "category", "prompt", "choices", "answer"], row["id"]


def test_a_sweep_reads_every_row_as_it_is_written() -> None:
    for prompt, row in zip(open_prompts("builtin:facts", None), ROWS, strict=True):
        assert isinstance(prompt, Prompt), row["id"]
        read = [prompt.id, prompt.category, prompt.prompt, list(prompt.choices), prompt.answer]
        assert read == list(row.values())


def test_no_prompt_comes_twice() -> None:
    plain = Counter(" ".join(row["prompt"].casefold().split()) for row in ROWS)
    assert [text for text, count in plain.items() if count > 1] == []


def test_a_prompt_is_a_question_or_a_sentence_to_be_completed() -> None:
    questions = [row for row in ROWS if row["prompt"].startswith("Question: ")]
    for row in questions:
        question, answer = row["prompt"].split("\n")
        assert question.endswith("?") and answer == "Answer:", row["id"]
    sentences = [row for row in ROWS if row not in questions]
    for row in sentences:
        assert "\n" not in row["prompt"] and row["prompt"][-1] not in ".?!", row["id"]
    assert 0.2 <= len(sentences) / len(ROWS) <= 0.3


def test_texts_are_trimmed_and_without_control_characters() -> None:
    for row in ROWS:
        for text in [row["prompt"].replace("\nAnswer:", " Answer:"), *row["choices"]]:
            assert text and text == " ".join(text.split()), row["id"]
            assert text == unicodedata.normalize("NFC", text), row["id"]
            assert not any(unicodedata.category(c)[0] == "C" for c in text), row["id"]


def test_four_choices_none_the_beginning_of_another_and_one_answer() -> None:
    for row in ROWS:
        assert len(row["choices"]) == 4, row["id"]
        assert type(row["answer"]) is int and 0 <= row["answer"] <= 3, row["id"]
        for one, other in permutations(row["choices"], 2):
            assert not other.casefold().startswith(one.casefold()), row["id"]


def test_the_choices_of_an_item_are_about_equally_long() -> None:
    for row in ROWS:
        lengths = [len(choice) for choice in row["choices"]]
        assert max(lengths) <= 2.5 * min(lengths), row["id"]
        assert max(lengths) - min(lengths) <= 8, row["id"]


@pytest.mark.parametrize("chosen", [max, min])
def test_the_length_of_a_choice_tells_nothing(chosen: Callable[[Iterable[int]], int]) -> None:
    assert 0.2 <= share(chosen) <= 0.3


def test_the_right_choice_is_the_only_longest_as_often_as_the_only_shortest() -> None:
    only = Counter(
        chosen.__name__
        for row in ROWS
        for chosen in (max, min)
        if [c for c in row["choices"] if len(c) == chosen(map(len, row["choices"]))] == [right(row)]
    )
    assert all(0.1 <= only[name] / len(ROWS) <= 0.2 for name in ("max", "min"))


def test_every_place_has_a_fourth_of_the_answers() -> None:
    for category in [*CATEGORIES, ""]:
        places = Counter(row["answer"] for row in ROWS if category in ("", row["category"]))
        assert places.keys() == {0, 1, 2, 3}
        assert all(0.2 <= count / places.total() <= 0.3 for count in places.values()), category


@pytest.mark.parametrize("distance", range(1, 9))
def test_the_places_of_answers_follow_no_pattern(distance: int) -> None:
    """In a pattern of that length, each answer would tell the one after it."""
    pairs = list(zip(ANSWERS, ANSWERS[distance:], strict=False))
    for step in range(4):
        found = sum((b - a) % 4 == step for a, b in pairs) / len(pairs)
        assert 0.15 <= found <= 0.35, step
