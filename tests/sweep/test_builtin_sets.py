"""The built-in set `mixed`: eight kinds of prompts, each natural, different and readable."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from itertools import combinations, pairwise
from typing import Any

import pytest

CATEGORIES = [
    "questions",
    "stories",
    "code",
    "mathematics",
    "japanese",
    "languages",
    "lists",
    "dialogue",
]
IN_EACH = 52
BUILTIN = files("gelu_tui.sweep.builtin")
TEXT = (BUILTIN / "mixed.jsonl").read_text(encoding="utf-8")
ROWS: list[dict[str, Any]] = [json.loads(line) for line in TEXT.splitlines()]

# Scripts that put no spaces between words: there a character stands for a word.
UNSPACED = re.compile("([\u0e00-\u0e7f\u3005-\u30ff\u3400-\u9fff])")
ZERO_WIDTH_NON_JOINER = "\u200c"  # Persian is spelled with it


def turns(row: dict[str, Any]) -> list[str]:
    if "messages" in row:
        return [turn["content"] for turn in row["messages"]]
    return [row["prompt"]]


def of(category: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["category"] == category]


def words(text: str) -> list[str]:
    """The words of `text`, casefolded and without punctuation; one for each unspaced character."""
    parts = UNSPACED.sub(r" \1 ", text.casefold()).split()
    stripped = [
        "".join(c for c in part if unicodedata.category(c)[0] not in "PSC") for part in parts
    ]
    return [word for word in stripped if word]


def length(text: str) -> float:
    """The length in words, two unspaced characters counted as one."""
    return sum(0.5 if UNSPACED.fullmatch(word) else 1 for word in words(text))


def beginning(text: str) -> tuple[str, ...]:
    """The first 6 words, or 12 where the text is unspaced characters."""
    found = words(text)
    return tuple(found[: 12 if found and UNSPACED.fullmatch(found[0]) else 6])


def triples(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return set(zip(found, found[1:], found[2:], strict=False))


def alike(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of ids whose texts share more than half of all their three-word sequences."""
    sequences = {name: triples(text) for name, text in texts.items()}
    for (one, a), (other, b) in combinations(sequences.items(), 2):
        if len(a & b) > 0.5 * len(a | b):
            yield one, other


def test_the_categories_in_their_order_and_as_many_prompts_in_each() -> None:
    assert Counter(row["category"] for row in ROWS) == dict.fromkeys(CATEGORIES, IN_EACH)
    assert [row["id"] for row in ROWS] == [
        f"{category}-{number:03}" for category in CATEGORIES for number in range(1, IN_EACH + 1)
    ]


def test_a_row_is_a_prompt_or_a_conversation_that_ends_with_its_user() -> None:
    for row in ROWS:
        assert row.keys() - {"messages"} == {"id", "category", "prompt"}
        if "messages" in row:
            roles = [turn["role"] for turn in row["messages"]]
            assert all(turn.keys() == {"role", "content"} for turn in row["messages"]), row["id"]
            assert roles[0] == roles[-1] == "user", row["id"]
            assert set(roles) <= {"user", "assistant"}, row["id"]
            assert all(a != b for a, b in pairwise(roles)), row["id"]
            # for a model without a chat template
            assert all(turn["content"] in row["prompt"] for turn in row["messages"]), row["id"]
    conversations = {row["id"] for row in ROWS if "messages" in row}
    assert 10 <= len(conversations) <= IN_EACH // 2
    assert conversations <= {row["id"] for row in of("dialogue")}


def test_the_file_is_readable_text() -> None:
    assert TEXT.endswith("}\n") and len(ROWS) == TEXT.count("\n")
    assert TEXT.splitlines() == [json.dumps(row, ensure_ascii=False) for row in ROWS]


def test_texts_are_composed_trimmed_and_without_invisible_characters() -> None:
    for row in ROWS:
        for text in turns(row):
            assert text and text == text.strip(), row["id"]
            assert text == unicodedata.normalize("NFC", text), row["id"]
            assert not re.search(r" \n|\n\n\n", text), row["id"]
            odd = {c for c in text if unicodedata.category(c)[0] == "C"}
            assert odd <= {"\n", ZERO_WIDTH_NON_JOINER}, row["id"]
            assert "\ufffd" not in text, row["id"]


def scripts(text: str) -> set[str]:
    """The scripts of its letters, each by the first word of a letter's name: GREEK, CJK, …"""
    return {unicodedata.name(c).split()[0] for c in text if unicodedata.category(c)[0] == "L"}


def test_the_languages_are_written_in_many_scripts() -> None:
    used = Counter(script for row in of("languages") for script in scripts(turns(row)[0]))
    assert used.keys() >= {"LATIN", "ARABIC", "DEVANAGARI", "CYRILLIC", "GREEK", "HANGUL"}
    assert used.keys() >= {"CJK", "HEBREW", "THAI", "BENGALI", "TAMIL"}
    assert used["LATIN"] < 0.6 * IN_EACH
    assert "HIRAGANA" not in used  # Japanese is a category of its own


def test_every_japanese_prompt_is_japanese() -> None:
    for row in of("japanese"):
        assert scripts(turns(row)[0]) & {"HIRAGANA", "CJK"}, row["id"]


def test_the_sets_are_free_for_any_use() -> None:
    licence = (BUILTIN / "LICENSE").read_text(encoding="utf-8")
    assert "CC0-1.0" in licence
    assert "https://creativecommons.org/publicdomain/zero/1.0/legalcode" in licence


def test_no_prompt_comes_twice() -> None:
    plain = Counter(" ".join(" ".join(turns(row)).casefold().split()) for row in ROWS)
    assert [text for text, count in plain.items() if count > 1] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_two_prompts_of_a_category_begin_alike(category: str) -> None:
    beginnings = Counter(beginning(turns(row)[0]) for row in of(category))
    assert [words for words, count in beginnings.items() if count > 1] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_word_opens_a_fifth_of_a_category(category: str) -> None:
    """A series made from one pattern would."""
    first = Counter(" ".join(words(turns(row)[0])[:1]) for row in of(category))
    assert first.most_common(1)[0][1] <= IN_EACH // 5


def test_no_two_prompts_say_nearly_the_same() -> None:
    assert list(alike({row["id"]: " ".join(turns(row)) for row in ROWS})) == []


def test_what_counts_as_nearly_the_same() -> None:
    texts = {
        "a": "Why does the old clock in the hall lose a minute every week?",
        "b": "Why does the old clock in the hall lose a minute every month?",
        "c": "Why does bread go stale?",
        "d": "空が青いのはなぜですか。",
        "e": "海が青いのはなぜですか？",
    }
    assert list(alike(texts)) == [("a", "b"), ("d", "e")]


@pytest.mark.parametrize("category", CATEGORIES)
def test_lengths_vary(category: str) -> None:
    """Most are a sentence or two, some a paragraph with a question, some a single word."""
    lengths = [length(" ".join(turns(row))) for row in of(category)]
    assert max(lengths) <= 200
    assert sum(6 <= n <= 40 for n in lengths) > 0.7 * IN_EACH
    assert 4 <= sum(n >= 80 for n in lengths) <= 8
    assert min(lengths) <= 1
