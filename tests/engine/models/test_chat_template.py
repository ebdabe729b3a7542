"""Where the chat template is found, what is wrong with it, and that it cannot harm the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import JsonObject
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.models import template_process
from gelu_tui.engine.models.chat_template import ChatTemplate, read_template
from gelu_tui.engine.models.tokenizer import Tokenizer
from tests.support import tiny_models
from tests.support import tokenizer_variations as variations
from tests.support.engine_process import EngineProcess, compare, environment, failure, load

FOR_EVER = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)
NAMED = [{"name": "default", "template": "hi"}, {"name": "tool_use", "template": "no"}]


def config(folder: Path, **content: Any) -> JsonObject:
    return JsonObject(folder / "tokenizer_config.json", content, "tokenizer")


def never() -> bool:
    return False


@pytest.mark.parametrize("value", ["hi", NAMED, {"default": "hi", "tool_use": "no"}], ids=str)
def test_the_default_template_is_taken(value: Any, tmp_path: Path) -> None:
    assert read_template(tmp_path, config(tmp_path, chat_template=value)) == ChatTemplate("hi")


def test_a_file_goes_before_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes("{# 空 #}\r\nhi".encode())
    found = read_template(tmp_path, config(tmp_path, chat_template="no"))
    assert found == ChatTemplate("{# 空 #}\nhi")
    assert read_template(tmp_path, None) == found


@pytest.mark.parametrize(
    ("value", "sentence"),
    {
        "text in a list": (
            ["plain string"],
            'chat_template is ["plain string"] in tokenizer_config.json, not text, or a list of '
            "objects with name and template.",
        ),
        "a number": (
            {"default": 5},
            'chat_template is {"default": 5} in tokenizer_config.json, not text, or a list of '
            "objects with name and template.",
        ),
        "no default": (
            {"tool_use": "x", "\x1b": "y"},
            "This model has no default chat template, only others: ␛, tool_use.",
        ),
        "not UTF-8": (b"\xff", "chat_template.jinja is not valid UTF-8 (byte 0)."),
        "half of a character": (
            "{{ '\ud800' }}",
            "The chat template of this model writes half of a character (U+D800).",
        ),
        "empty": ("", "The chat template of this model writes nothing."),
        "a comment": ("{# nothing #}", "The chat template of this model writes nothing."),
        "no reason": (
            "{{ raise_exception('') }}",
            "The chat template of this model fails: TemplateError.",
        ),
        "control characters": (
            "{{ raise_exception('\x1b[31m') }}",
            "The chat template of this model fails: ␛[31m.",
        ),
        "a text that no memory holds": (
            "{{ 'a' * 10 ** 15 }}",
            "The chat template of this model takes more memory than there is.",
        ),
        "a long text": (
            "{{ 'a' * 9000000 }}",
            "The chat template of this model writes more than 8,388,608 characters.",
        ),
    }.values(),
)
def test_only_who_needs_a_template_is_refused(value: Any, sentence: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "model", "gemma")
    if isinstance(value, bytes):
        (folder / "chat_template.jinja").write_bytes(value)
    else:
        variations.config(folder, chat_template=value)
    tokenizer = Tokenizer.load(folder)
    with pytest.raises(GeluError) as caught:
        tokenizer.chat("hello")
    assert caught.value.info.message == sentence
    assert caught.value.info.hint == "Use --raw to feed the prompt as it is."
    assert tokenizer.encode("the sky")[0] == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("default", "name", "template", "x")), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(value=JSON)
def test_any_value_is_a_template_or_a_sentence(
    value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    found = read_template(folder, config(folder, chat_template=json.loads(json.dumps(value))))
    assert (found is None) == (value is None or (value == {"default": None}) or _null(value))
    assert found is None or found.error is not None or isinstance(found.text, str)


def _null(value: Any) -> bool:
    """Several templates, of which the default one is null."""
    try:
        named = {entry["name"]: entry["template"] for entry in value}
    except (TypeError, KeyError):
        named = value if isinstance(value, dict) else {}
    return "default" in named and named["default"] is None


# --- limits ---------------------------------------------------------------------------------------


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "spawn" in str(child.cmdline())}


def test_a_template_that_never_ends_fails_and_the_next_is_rendered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(template_process, "_CPU_LIMIT_S", 0.2)
    with pytest.raises(GeluError, match=r"takes more than 0\.2 seconds of computing"):
        ChatTemplate(FOR_EVER).render("", {}, never)
    monkeypatch.undo()
    assert ChatTemplate("{{ x }}!").render("", {"x": "hi"}, never) == "hi!"


def test_a_template_that_fills_the_memory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_process, "_MEMORY_LIMIT", 50_000_000)
    doubled = "{% for a in range(27) %}{% set n.text = n.text + n.text %}{% endfor %}"
    grows = "{% set n = namespace(text='a') %}" + doubled + FOR_EVER
    with pytest.raises(GeluError, match=r"takes more than 0\.05 GB of memory"):
        ChatTemplate(grows).render("", {}, never)


def test_a_cancel_ends_the_template() -> None:
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        ChatTemplate(FOR_EVER).render("", {}, lambda: next(asked) > 2)
    assert template_process._renderer is None


def test_one_process_renders_all_templates_that_end() -> None:
    ChatTemplate("one").render("", {}, never)
    before = children()
    with pytest.raises(GeluError, match="fails: no"):
        ChatTemplate("{{ raise_exception('no') }}").render("", {}, never)
    assert ChatTemplate("{{ messages[0].content }}").render("two", {}, never) == "two"
    assert children() == before


def test_a_process_that_was_killed_is_started_again() -> None:
    ChatTemplate("one").render("", {}, never)
    renderer = template_process._renderer
    assert renderer is not None
    renderer._process.kill()
    renderer._process.join()
    assert ChatTemplate("two").render("", {}, never) == "two"


# --- in an engine ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(environment(tmp_path_factory.mktemp("home"))) as process:
        assert process.next()["event"] == "hello"
        yield process


def test_the_engine_outlives_a_template_that_never_ends(
    engine: EngineProcess, tmp_path: Path
) -> None:
    folder = tiny_models.write(tmp_path, "gemma", chat_template=FOR_EVER)
    load(engine, str(folder))
    engine.send({"command": "render_prompt", "prompt": "x"})
    engine.send({"command": "cancel"})
    assert engine.until("cancelled")[-1]["command"] == "render_prompt"
    engine.send(compare("the sky", max_tokens=1, chat=False))
    assert engine.until("finished")[-1]["status"] == "completed"


def test_the_engine_outlives_a_tokenizer_that_panics(engine: EngineProcess, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    pattern = {"Regex": "(a+)+$"}
    normalizer = {"type": "Replace", "pattern": pattern, "content": "b"}
    variations.tokenizer(folder, normalizer=normalizer)
    load(engine, str(folder))
    engine.send(compare("a" * 60 + "!"))
    failed = failure(engine)
    assert failed["kind"] == "tokenizer"
    assert "fails on this text: Onig: Regex search error" in failed["message"]
    engine.send(compare("the sky", max_tokens=1))
    assert engine.until("finished")[-1]["status"] == "completed"
