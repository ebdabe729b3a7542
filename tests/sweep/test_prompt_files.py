"""Prompt files: good rows are prompts, bad ones are told by line, and the others run."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.protocol import ChatMessage
from gelu_tui.core.text_files import PROMPT_LIMIT
from gelu_tui.sweep import answer_text
from gelu_tui.sweep.prompt_files import PromptSet, open_prompts
from gelu_tui.sweep.prompts import BadRow, Prompt

Write = Callable[..., PromptSet]

# Everything but lone surrogates, which are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
PROMPTS = TEXT.filter(lambda text: bool(text.strip()))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and opens it as prompts."""

    def written(name: str, content: str | bytes) -> PromptSet:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return open_prompts(str(tmp_path / name), None)

    return written


def why(prompts: PromptSet, number: int = 0) -> str:
    row = prompts.get(number)
    assert isinstance(row, BadRow), row
    return row.error


def test_every_field_of_jsonl(write: Write) -> None:
    rows = write(
        "all.jsonl",
        '{"prompt": "2+2=", "id": 7, "category": "maths", "choices": ["3", "4"], "answer": 1}\n'
        '{"prompt": "Say it", "answer": "y+e?s", "match": "regex"}\n'
        '{"messages": [{"role": "system", "content": "Be short"},'
        ' {"role": "user", "content": "Hi"}], "id": "chat", "source": "mine"}\n'
        '{"prompt": "2+2=", "choices": ["3", "4"], "answer": "4"}\n',
    )
    first, second, third, fourth = rows
    assert first == Prompt(
        number=0, id="7", prompt="2+2=", category="maths", choices=("3", "4"), answer=1
    )
    assert second == Prompt(number=1, id="1", prompt="Say it", answer="y+e?s", match="regex")
    assert isinstance(third, Prompt) and third.prompt == "Hi" and third.id == "chat"
    assert third.messages == (ChatMessage("system", "Be short"), ChatMessage("user", "Hi"))
    assert isinstance(fourth, Prompt) and fourth.answer == 1
    assert (rows.name, rows.count) == ("all", 4)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "it is not JSON: Input data was truncated"),
        ("[" * 100_000, "it is not JSON: it is nested too deep"),
        ('"text"', 'it is not a JSON object such as {"prompt": "Why is the sky blue?"}'),
        ("{}", "it has no prompt"),
        ('{"promt": "x"}', "it has no prompt: “promt” is misspelt"),
        ('{"prompt": 3}', "its prompt must be text"),
        ('{"prompt": " "}', "its prompt is empty"),
        ('{"prompt": "x", "id": [1]}', "its id must be text or a whole number"),
        ('{"prompt": "x", "id": true}', "its id must be text or a whole number"),
        ('{"prompt": "x", "category": 1}', "its category must be text"),
        ('{"prompt": "x", "choices": "a"}', "its choices must be a list of texts"),
        ('{"prompt": "x", "choices": ["a"]}', "it must have 2 to 100 choices, not 1"),
        ('{"prompt": "x", "choices": ["a", " "]}', "one of its choices is empty"),
        ('{"prompt": "x", "choices": ["a", "a"]}', "two of its choices are the same"),
        (
            '{"prompt": "x", "choices": ["a", "b"], "answer": 2}',
            "its answer is 2, and its choices have the numbers 0 to 1",
        ),
        (
            '{"prompt": "x", "choices": ["a", "b"], "answer": -1}',
            "its answer is -1, and its choices have the numbers 0 to 1",
        ),
        (
            '{"prompt": "x", "choices": ["a", "b"], "answer": "c"}',
            "its answer “c” is none of its choices",
        ),
        ('{"prompt": "x", "answer": true}', "its answer must be text, or the number of a choice"),
        (
            '{"prompt": "x", "answer": 1}',
            "its answer is a number, and it has no choices: write it as text",
        ),
        ('{"prompt": "x", "answer": ""}', "its answer is empty"),
        ('{"prompt": "x", "match": "fuzzy"}', 'its match must be "exact" or "regex"'),
        ('{"prompt": "x", "match": "regex"}', "its match is regex, and it has no answer"),
        (
            '{"prompt": "x", "match": "regex", "answer": "(a"}',
            "its answer “(a” is no regular expression: missing )",
        ),
        ('{"prompt": "x", "messages": []}', "its messages must be a list with one message or more"),
        (
            '{"messages": [{"role": "bot", "content": "y"}]}',
            'a message must be {"role": "user", "content": "…"}, with the role system or user or '
            "assistant",
        ),
        ('{"messages": [{"role": "user", "content": ""}]}', "its prompt is empty"),
    ],
)
def test_a_bad_row_is_told_and_the_others_run(write: Write, row: str, told: str) -> None:
    rows = write("rows.jsonl", f'{{"prompt": "before"}}\n\n{row}\n{{"prompt": "after"}}\n')
    before, bad, after = rows
    assert isinstance(bad, BadRow) and bad.error == f"Line 3: {told}."
    assert [x.prompt for x in (before, after) if isinstance(x, Prompt)] == ["before", "after"]


def test_bytes_that_are_no_text_are_a_bad_row(write: Write) -> None:
    rows = write("rows.txt", b"fine\n\xff\xfe\xfa no\n" + b"x" * (PROMPT_LIMIT + 5) + b"\nlast")
    assert why(rows, 1) == "Line 2: it is not valid UTF-8 (byte 0)."
    assert why(rows, 2) == f"Line 3: it is longer than {PROMPT_LIMIT:,} bytes."
    last = rows.get(3)
    assert isinstance(last, Prompt) and last.prompt == "last"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl"])
def test_other_encodings_are_refused(write: Write, encoding: str, suffix: str) -> None:
    with pytest.raises(UsageError, match=r"is UTF-(16|32), not UTF-8") as caught:
        write(f"rows.{suffix}", 'prompt\n{"prompt": "x"}\n'.encode(encoding))
    assert caught.value.hint == "Convert the text to UTF-8 first."


def test_text_has_a_prompt_a_line(write: Write) -> None:
    rows = write("rows.txt", b"\xef\xbb\xbfone\r\n\r\n  two \r\nthree\xe2\x80\xa8same line")
    found = [row.prompt for row in rows if isinstance(row, Prompt)]
    assert found == ["one", "  two ", "three\u2028same line"]


def test_csv_as_spreadsheets_write_it(write: Write) -> None:
    rows = write(
        "rows.csv",
        b"\xef\xbb\xbfPrompt; ID ;choices;answer;note\r\n"
        b'"Hi; ""you""\r\nthere";a;yes|no;no;\r\n\r\n'
        b'9 - 7 =;b;"[""2"", ""1""]";1;x\r\n'
        b"9 - 7 =;b;nine|two;1;x\r\n"
        b"broken;c\r\n"
        b'"q"z;d;;;\r\n'
        b'5" disk;e;;;\r\n'
        b'"open;f;;;\r\n',
    )
    first, second, third = (rows.get(i) for i in range(3))
    assert first == Prompt(
        number=0, id="a", prompt='Hi; "you"\nthere', choices=("yes", "no"), answer=1
    )
    assert isinstance(second, Prompt) and (second.choices, second.answer) == (("2", "1"), 1)
    assert isinstance(third, Prompt) and (third.id, third.answer) == ("b#2", 1)
    assert why(rows, 3) == "Line 7: it has 2 fields, and the header 5."
    assert why(rows, 4).startswith("Line 8: it is not CSV")
    sixth = rows.get(5)
    assert isinstance(sixth, Prompt) and sixth.prompt == '5" disk'
    assert why(rows, 6) == "Line 10: a quotation mark is not closed."


@pytest.mark.parametrize(
    ("header", "told", "hint"),
    [
        ("promt,id", "has no column named prompt", "Did you mean 'prompt'?"),
        ("question,x", "has no column named prompt", "Columns may be prompt, messages"),
        ("prompt,id,id", "has two columns named id", "Rename one."),
    ],
)
def test_a_header_without_prompts_is_refused(
    write: Write, header: str, told: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        write("rows.csv", f"{header}\nx,y,z\n")
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("name", ["rows.txt", "rows.jsonl", "rows.csv"])
@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff"])
def test_a_file_without_prompts_is_refused(write: Write, name: str, content: str) -> None:
    with pytest.raises(UsageError, match="has no prompts"):
        write(name, content)


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.yaml"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[]")
    with pytest.raises(UsageError, match="is no file of prompts"):
        open_prompts(str(tmp_path / name), None)


def test_builtin_sets() -> None:
    rows = open_prompts("builtin:notebook", None)
    assert [row.prompt for row in rows if isinstance(row, Prompt)] == [
        "Why is the sky blue?",
        "空が青いのはなぜですか？",
    ]
    with pytest.raises(UsageError, match="no built-in set named 'notebok'") as caught:
        open_prompts("builtin:notebok", None)
    assert caught.value.hint == "Did you mean 'notebook'?"


@given(st.lists(PROMPTS, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n", "\n\n \n"]))
def test_jsonl_returns_the_prompts_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], end: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes("".join(json.dumps({"prompt": x}) + end for x in prompts).encode())
    found = open_prompts(str(path), None)
    assert [row.prompt for row in found if isinstance(row, Prompt)] == prompts
    listed = open_prompts(prompts, None)
    assert [row.prompt for row in listed if isinstance(row, Prompt)] == prompts


@given(st.lists(st.tuples(PROMPTS, TEXT), min_size=1, max_size=8))
def test_csv_returns_the_fields_that_python_wrote(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerows([("prompt", "category"), *rows])
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_bytes(written.getvalue().encode())
    found = open_prompts(str(path), None)
    expected = [(a.replace("\r\n", "\n"), b.replace("\r\n", "\n").strip()) for a, b in rows]
    assert [(x.prompt, x.category) for x in found if isinstance(x, Prompt)] == expected


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = ("prompt", "messages", "id", "category", "choices", "answer", "match")


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, min_size=1, max_size=6))
def test_any_json_is_a_prompt_or_a_bad_row(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    found = list(open_prompts(str(path), None))
    assert [row.number for row in found] == list(range(len(values)))
    assert all(isinstance(row, Prompt) or row.error for row in found)


@given(st.binary(max_size=200), st.sampled_from(["txt", "csv", "jsonl"]))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"rows.{suffix}"
    path.write_bytes(data)
    try:
        found = list(open_prompts(str(path), None))
    except UsageError:
        return
    assert all(isinstance(row, Prompt) or row.error for row in found)


def test_ids_that_come_again_are_numbered(write: Write) -> None:
    ids = ["a", "b", "a", None, "b", "a"]
    rows = write("rows.jsonl", "".join(json.dumps({"prompt": "x", "id": i}) + "\n" for i in ids))
    assert [row.id for row in rows] == ["a", "b", "a#2", "3", "b#2", "a#3"]


def test_the_digest_is_of_the_content(write: Write, tmp_path: Path) -> None:
    one, same, other = (write(f"{n}.txt", text) for n, text in enumerate(["x\n", "x\n", "y\n"]))
    assert one.digest == same.digest != other.digest
    assert write("x.jsonl", "x\n").digest != one.digest  # the same bytes mean other prompts


def test_a_file_that_changes_meanwhile_is_noticed(write: Write, tmp_path: Path) -> None:
    rows = write("rows.txt", "one\ntwo\n")
    with (tmp_path / "rows.txt").open("a") as file:
        file.write("three\n")
    with pytest.raises(GeluError, match=r"rows\.txt was changed while the sweep ran"):
        rows.get(0)


def test_memory_does_not_grow_with_the_text(write: Write) -> None:
    """Of 20,000 rows with 1 kB each the index holds a few dozen bytes a row."""
    content = (json.dumps({"prompt": "long " * 200}) + "\n") * 20_000
    tracemalloc.start()
    try:
        rows = write("rows.jsonl", content)
        held = tracemalloc.get_traced_memory()[0] - len(content)
    finally:
        tracemalloc.stop()
    assert rows.count == 20_000
    assert held < 100 * rows.count


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_text, "TIME_LIMIT_S", 0.05)
    assert answer_text.is_found("y+es", "yyes")
    assert not answer_text.is_found("y+es", "no")
    with pytest.raises(GeluError, match="takes longer than"):
        answer_text.is_found(r"(a|aa|aab?)+(\w\w?)+!", "a" * 5000)
