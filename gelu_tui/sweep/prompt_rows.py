"""One row of a prompt file: its fields, and whether they make a prompt."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import check_prompt
from gelu_tui.core.safe_text import quoted
from gelu_tui.core.settings.validation import suggestion
from gelu_tui.core.text_files import PROMPT_LIMIT
from gelu_tui.sweep.answer_text import pattern_error
from gelu_tui.sweep.prompts import BadRow, Prompt

FIELDS = ("prompt", "messages", "id", "category", "choices", "answer", "match")
MOST_CHOICES = 100

# A prompt is one field, and Python's own limit is 128 KiB.
csv.field_size_limit(max(csv.field_size_limit(), PROMPT_LIMIT))

Match = Literal["exact", "regex"]
_ROLES = ("system", "user", "assistant")


class Wrong(Exception):
    """Why a row is no prompt, as a clause."""


def decoded(data: bytes) -> str:
    """Return the text of a row. Raises `Wrong`."""
    if len(data) > PROMPT_LIMIT:
        raise Wrong(f"it is longer than {PROMPT_LIMIT:,} bytes")
    if 0 in data:
        raise Wrong("it is not text: a byte is 0")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"it is not valid UTF-8 (byte {error.start})") from None


def of_json(data: bytes) -> dict[str, Any]:
    """Return the fields of a row of JSONL. Raises `Wrong`."""
    text = decoded(data)
    try:
        fields = msgspec.json.decode(text)
    except RecursionError:
        raise Wrong("it is not JSON: it is nested too deep") from None
    except msgspec.DecodeError as error:
        why = str(error).removeprefix("JSON is malformed: ")
        raise Wrong(f"it is not JSON: {why}") from None
    if not isinstance(fields, dict):
        raise Wrong('it is not a JSON object such as {"prompt": "Why is the sky blue?"}')
    return fields


def of_csv(data: bytes, header: Sequence[str], delimiter: str) -> dict[str, Any]:
    """Return the fields of a row of CSV; what is empty is left out. Raises `Wrong`."""
    text = decoded(data)
    try:
        lines = io.StringIO(text.replace("\r\n", "\n"), newline="")
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        unclosed = "a quotation mark is not closed"
        why = unclosed if "end of data" in str(error) else f"it is not CSV: {error}"
        raise Wrong(why) from None
    cells = [cell for row in rows for cell in row]
    if len(cells) != len(header):
        fields = "1 field" if len(cells) == 1 else f"{len(cells)} fields"
        raise Wrong(f"it has {fields}, and the header {len(header)}")
    found: dict[str, Any] = {name: x for name, x in zip(header, cells, strict=True) if x.strip()}
    if "messages" in found:
        found["messages"] = _json_list("messages", found["messages"])
    if "choices" in found:
        choices = found["choices"]
        is_json = choices.lstrip().startswith("[")
        found["choices"] = (
            _json_list("choices", choices) if is_json else [x.strip() for x in choices.split("|")]
        )
        answer = found.get("answer", "").strip()
        if answer not in found["choices"] and answer.removeprefix("-").isdecimal():
            found["answer"] = int(answer)
    return found


def _json_list(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise Wrong(f"its {name} are not a JSON list") from None


def row_id(fields: Mapping[str, Any]) -> str:
    """Return the id that a row names; empty if it names none. Raises `Wrong`."""
    value = fields.get("id")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Wrong("its id must be text or a whole number")
    return _clean("id", str(value).strip()[:200])


def prompt_of(number: int, name: str, fields: Mapping[str, Any]) -> Prompt:
    """Return the prompt of these fields, whose id is `name`. Raises `Wrong`."""
    messages = _messages(fields)
    only_messages = bool(messages) and fields.get("prompt") is None
    prompt = messages[-1].content if only_messages else _prompt(fields)
    try:
        check_prompt(prompt)
    except UsageError as error:
        raise Wrong(_clause(error.info.message)) from None
    choices = _choices(fields)
    match = fields.get("match") or "exact"
    if match not in get_args(Match):
        raise Wrong('its match must be "exact" or "regex"')
    return Prompt(
        number=number,
        id=name,
        prompt=prompt,
        messages=messages,
        only_messages=only_messages,
        category=_text(fields, "category").strip(),
        choices=choices,
        answer=_answer(fields, choices, match),
        match=cast(Match, match),
    )


def _prompt(fields: Mapping[str, Any]) -> str:
    if fields.get("prompt") is None:
        names = map(str, fields)
        near = next((name for name in names if suggestion(name, FIELDS[:2])), "")
        misspelt = f": {quoted(near, 40)} is misspelt" if near and near not in FIELDS else ""
        raise Wrong(f"it has no prompt{misspelt}")
    return _text(fields, "prompt")


def _messages(fields: Mapping[str, Any]) -> tuple[p.ChatMessage, ...]:
    value = fields.get("messages")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise Wrong("its messages must be a list with one message or more")
    found = []
    for message in value:
        role, content = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else ("", "")
        )
        if role not in _ROLES or not isinstance(content, str):
            example = '{"role": "user", "content": "…"}'
            raise Wrong(f"a message must be {example}, with the role {' or '.join(_ROLES)}")
        found.append(p.ChatMessage(cast(Any, role), _clean("messages", content)))
    return tuple(found)


def _choices(fields: Mapping[str, Any]) -> tuple[str, ...]:
    value = fields.get("choices")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
        raise Wrong("its choices must be a list of texts")
    if not 2 <= len(value) <= MOST_CHOICES:
        raise Wrong(f"it must have 2 to {MOST_CHOICES} choices, not {len(value)}")
    if any(not choice.strip() for choice in value):
        raise Wrong("one of its choices is empty")
    if len(set(value)) < len(value):
        raise Wrong("two of its choices are the same")
    return tuple(_clean("choices", choice) for choice in value)


def _answer(fields: Mapping[str, Any], choices: tuple[str, ...], match: str) -> int | str | None:
    value = fields.get("answer")
    if value is None:
        if match == "regex":
            raise Wrong("its match is regex, and it has no answer")
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Wrong("its answer must be text, or the number of a choice")
    if not choices:
        if isinstance(value, int):
            raise Wrong("its answer is a number, and it has no choices: write it as text")
        if not value.strip():
            raise Wrong("its answer is empty")
        if match == "regex" and (why := pattern_error(value)):
            raise Wrong(why)
        return _clean("answer", value)
    if isinstance(value, str):
        if value not in choices:
            raise Wrong(f"its answer {quoted(value, 40)} is none of its choices")
        return choices.index(value)
    if not 0 <= value < len(choices):
        last = len(choices) - 1
        raise Wrong(f"its answer is {value}, and its choices have the numbers 0 to {last}")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Wrong(f"its {name} must be text")
    return _clean(name, value)


def _clean(name: str, text: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Wrong(f"its {name} has half of a character (a lone surrogate)")
    return text


def _clause(sentence: str) -> str:
    """A sentence about the prompt as a clause about its row."""
    return sentence.replace("The prompt", "its prompt", 1).rstrip(".")


def bad(number: int, name: str, wrong: Wrong, line: int) -> BadRow:
    """Return what is recorded for a row that is no prompt."""
    return BadRow(number=number, id=name, why=str(wrong), line=line)
