"""Choices and conversations: what is scored, against one forward pass for each choice."""

from __future__ import annotations

import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.jobs import choices
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.batching import Jobs
from tests.support.commands import comparing
from tests.support.subclasses import with_function

NAMES = ("gelu", "relu")
CHOICES = ("blue", " the sky is blue the sky", "sky", "空が青い", "is\n")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' and loop.index > 1 %}"
    "{{ raise_exception('a system message comes first') }}{% endif %}"
    "<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{{ '<start_of_turn>model\n' }}"
)


@pytest.fixture(scope="module", params=["gemma", "gemma3_text", "gemma4_text", "recurrent_gemma"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    device.prepare()
    folder = tmp_path_factory.mktemp("m")
    return in_process.load(tiny_models.write(folder, request.param, chat_template=TEMPLATE))


def brute_force(loaded: LoadedModel, name: str, context: list[int], choice: list[int]) -> float:
    with with_function(loaded.model, name):
        logits = loaded.model(mx.array([[*context, *choice]])).astype(mx.float32)
        values = np.array(logits)[0, len(context) - 1 : -1].astype(np.float64)
    logprobs = values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
    return float(sum(logprobs[step, token] for step, token in enumerate(choice)))


@pytest.mark.parametrize("prompt", ["Why is the sky", "the sky is \n", "the", " "])
def test_a_raw_prompt_as_lm_eval_does(loaded: LoadedModel, prompt: str) -> None:
    command = structs.replace(comparing(prompt, NAMES, max_tokens=1, chat=False), choices=CHOICES)
    comparison = in_process.compare(loaded, command)
    assert comparison.choices == CHOICES
    context = prompt.rstrip()
    for stream in comparison.streams:
        assert len(stream.choices) == len(CHOICES)
        for choice, scored in zip(CHOICES, stream.choices, strict=True):
            space = "" if prompt[-1].isspace() or choice[0].isspace() else " "
            encode = loaded.tokenizer.encode
            before, whole = encode(context), encode(prompt + space + choice)
            own = whole[len(before) :]
            assert scored.tokens == len(own) > 0
            expected = brute_force(loaded, stream.name, before, own)
            assert scored.logprob == pytest.approx(expected, abs=1e-3)
    assert comparison.streams[0].choices != comparison.streams[1].choices


def test_after_a_chat_template(loaded: LoadedModel) -> None:
    command = structs.replace(comparing("Why", NAMES, max_tokens=2, chat=True), choices=CHOICES)
    comparison = in_process.compare(loaded, command)
    before = list(comparison.prompt_tokens)
    for stream in comparison.streams:
        for choice, scored in zip(CHOICES, stream.choices, strict=True):
            whole = loaded.tokenizer.encode_rendered(comparison.prompt_text + choice)
            expected = brute_force(loaded, stream.name, before, whole[len(before) :])
            assert scored.logprob == pytest.approx(expected, abs=1e-3)
    assert all(len(stream.tokens) == 2 for stream in comparison.streams)


@pytest.mark.parametrize("held", [1, 3 * 5 * 4 * 384])  # a position of three rows, and five
def test_however_many_positions_are_held_at_once(
    held: int, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tuple(f"{'the sky ' * (3 * n % 7)}is" for n in range(7))
    command = structs.replace(comparing("Why", ("gelu",), max_tokens=1, chat=False), choices=many)
    whole = in_process.compare(loaded, command).streams[0].choices
    monkeypatch.setattr(choices, "_HELD_BYTES", held)
    monkeypatch.setattr(choices, "_ROWS", 3)
    for one, other in zip(
        whole, in_process.compare(loaded, command).streams[0].choices, strict=True
    ):
        assert one.tokens == other.tokens
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_in_a_batch_as_alone(loaded: LoadedModel) -> None:
    command = comparing("Why is the", NAMES, max_tokens=3, chat=False)
    wanted = [
        structs.replace(command, choices=CHOICES, rows=4),
        structs.replace(command, prompt="the sky", choices=CHOICES[:2], rows=4),
    ]
    jobs = Jobs(wanted).run(loaded)
    for number, asked in enumerate(wanted):
        alone, together = in_process.compare(loaded, asked), jobs.comparison(number)
        assert [s.choices for s in alone.streams] == [s.choices for s in together.streams]


def test_a_function_without_numbers_has_no_scores(loaded: LoadedModel) -> None:
    wanted = resolve(
        loaded, structs.replace(comparing("Why", NAMES, chat=False), choices=CHOICES)
    ).continuations
    assert wanted is not None

    def infinite(x: mx.array) -> mx.array:
        return x * math.inf

    from gelu_tui.engine.compute.decode import prefill

    with rowwise(loaded.model) as sites:
        with sites.use(infinite):
            cache = prefill(loaded.model, wanted.context, 16, lambda _: None, lambda: False)
        found = choices.score_choices(loaded.model, sites, infinite, cache, wanted, lambda: False)
    assert found == ()


def refusal(loaded: LoadedModel, command: p.Compare) -> GeluError:
    with pytest.raises(GeluError) as caught:
        resolve(loaded, command)
    assert caught.value.info.hint
    return caught.value


def test_choices_that_cannot_be_scored_are_refused(loaded: LoadedModel) -> None:
    command = comparing("Why", NAMES, chat=True, max_tokens=1)
    empty = refusal(loaded, structs.replace(command, choices=("is", "")))
    assert empty.info.message == "The choice '' adds no tokens to the prompt."
    long = refusal(loaded, structs.replace(command, choices=("is " * 300,)))
    assert long.info.kind == "prompt_too_long" and len(long.info.message) < 300


SYSTEM = p.ChatMessage("system", "the sky")
ASKS = p.ChatMessage("user", "Why is it blue?")
ANSWERS = p.ChatMessage("assistant", "is")


def test_messages_are_fed_through_the_template(loaded: LoadedModel) -> None:
    messages = (SYSTEM, ASKS, ANSWERS, ASKS)
    command = structs.replace(comparing("", NAMES, max_tokens=2), messages=messages)
    started = resolve(loaded, command).started
    turns = "".join(f"<start_of_turn>{m.role}\n{m.content}<end_of_turn>\n" for m in messages)
    assert started.prompt_text == f"<bos>{turns}<start_of_turn>model\n"
    assert started.messages == messages
    assert started.prompt == ASKS.content
    assert started.settings.chat is True
    assert in_process.compare(loaded, command).messages == messages
    one = structs.replace(command, messages=(ASKS,))
    as_prompt = resolve(loaded, comparing(ASKS.content, NAMES, max_tokens=2)).started
    assert resolve(loaded, one).started.prompt_text == as_prompt.prompt_text


def test_messages_that_cannot_be_fed_are_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    command = structs.replace(comparing("", NAMES, max_tokens=1), messages=(ASKS,))
    raw = structs.replace(command, settings=structs.replace(command.settings, chat=False))
    error = refusal(loaded, raw)
    assert error.info.message == (
        "Messages need the chat template, and this run feeds its prompt as it is."
    )
    as_text = structs.replace(raw, prompt="Once")
    started = in_process.compare(loaded, as_text)
    assert (started.prompt, started.messages) == ("Once", ())
    misplaced = refusal(loaded, structs.replace(command, messages=(ASKS, SYSTEM)))
    assert "a system message comes first" in misplaced.info.message
    assert "--raw" not in misplaced.info.hint
    bare = in_process.load(tiny_models.write(tmp_path, "gemma"))
    assert refusal(bare, command).info.message == (
        "This model has no chat template, which messages need."
    )
