"""The exact text that the model is fed, told without a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import odd_models, tiny_models
from tests.support.engine_process import ENDLESS, EngineProcess, compare, environment, failure, load

# One engine serves all of them, so they stay on one worker.

BOS, END_OF_TURN = 2, 5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    failing = "{{ raise_exception('no users here') }}"
    made = {
        "raw": odd_models.long_running(folder / "raw"),
        "chat": tiny_models.write(
            folder / "chat", "gemma2", chat_template=odd_models.CHAT_TEMPLATE
        ),
        "failing": tiny_models.write(folder / "failing", "gemma2", chat_template=failing),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(environment(tmp_path_factory.mktemp("home"))) as process:
        assert process.next()["event"] == "hello"
        yield process


def render(engine: EngineProcess, prompt: str, **more: Any) -> dict[str, Any]:
    engine.send({"command": "render_prompt", "prompt": prompt, **more})
    return engine.until("prompt_rendered")[-1]


def prompt_of_a_run(engine: EngineProcess, prompt: str, **more: Any) -> dict[str, Any]:
    engine.send(compare(prompt, max_tokens=1, **more))
    return next(e for e in engine.until("finished") if e["event"] == "started")


def test_without_a_model_it_is_refused(engine: EngineProcess) -> None:
    # The first test of this module: nothing is loaded yet.
    engine.send({"command": "render_prompt", "prompt": "x"})
    failed = failure(engine)
    assert (failed["command"], failed["kind"]) == ("render_prompt", "no_model")


def test_a_raw_prompt_gets_bos_in_front(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["raw"])
    found = render(engine, "the sky is 青い\x00")
    assert found["prompt"] == "the sky is 青い\x00"
    assert found["prompt_text"] == "<bos>the sky is 青い\x00"
    assert found["pieces"][:4] == ["<bos>", "the", " ", "sky"]
    assert found["pieces"][-1] == "<0x00>"
    assert (found["chat"], found["has_chat_template"]) == (False, False)
    assert found["special_ids"] == [BOS]
    assert found["context_length"] == 1_000_000
    run = prompt_of_a_run(engine, "the sky is 青い\x00")
    assert found["prompt_tokens"] == run["prompt_tokens"]
    assert found["prompt_text"] == run["prompt_text"]


def test_bos_that_the_user_typed_is_not_doubled(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["raw"])
    found = render(engine, "<bos>the sky")
    assert found["prompt_text"] == "<bos>the sky"
    assert found["prompt_tokens"].count(BOS) == 1


def test_a_chat_prompt_is_what_the_template_makes_of_it(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["chat"])
    found = render(engine, "Why")
    whole = "<bos><start_of_turn>user\nWhy<end_of_turn>\n<start_of_turn>model\n"
    assert found["prompt_text"] == whole
    assert END_OF_TURN in found["special_ids"]
    assert (found["chat"], found["has_chat_template"]) == (True, True)
    assert found["prompt_tokens"] == prompt_of_a_run(engine, "Why")["prompt_tokens"]
    raw = render(engine, "Why", chat=False)
    assert (raw["prompt_text"], raw["chat"]) == ("<bos>Why", False)


def test_no_template_and_a_template_that_fails_are_told(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["raw"])
    engine.send({"command": "render_prompt", "prompt": "x", "chat": True})
    assert failure(engine)["kind"] == "no_chat_template"
    load(engine, models["failing"])
    engine.send({"command": "render_prompt", "prompt": "x"})
    failed = failure(engine)
    assert failed["kind"] == "chat_template"
    assert "no users here" in failed["message"]
    assert render(engine, "x", chat=False)["prompt_text"] == "<bos>x"


def test_a_prompt_beyond_the_context_is_rendered_too(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["chat"])
    found = render(engine, "sky " * 400, chat=False)
    assert len(found["prompt_tokens"]) > found["context_length"] == 256


def test_during_a_run_it_is_answered_after_the_run(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["raw"])
    engine.send(compare("the", max_tokens=ENDLESS))
    engine.until("step")
    engine.send({"command": "render_prompt", "prompt": "sky"}, {"command": "cancel"})
    # A cancel is for everything that waits.
    names = [event["event"] for event in engine.until("cancelled")]
    assert names[-2:] == ["finished", "cancelled"]
    assert render(engine, "sky")["prompt_text"] == "<bos>sky"
