"""What a run's command asks for, resolved against the loaded model."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import (
    Variant,
    check_limits,
    parse_variants,
    resolve_reference,
)
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings, known_dtype
from gelu_tui.engine.compute.statistics import Distribution, Logits
from gelu_tui.engine.compute.token_selection import seeded
from gelu_tui.engine.failures import IsCancelled
from gelu_tui.engine.jobs.choices import Continuations, continuations
from gelu_tui.engine.jobs.prompt import check_tokens, feed, feed_messages, uses_template
from gelu_tui.engine.models.loading import LoadedModel

_SAME_NATS = 1e-3  # on one machine a step decoded again is equal to the bit


def resolve_variants(
    loaded: LoadedModel, settings: RunSettings, *, room: bool = True
) -> tuple[list[Variant], tuple[p.VariantInfo, ...], int]:
    """The chosen functions, the control included, their descriptions, and the reference's index.

    Raises `GeluError`; also for too many variants, unless `room` is False.
    """
    variants = parse_variants(settings.activations)
    native, precision = loaded.info.native_activation, settings.activation_precision
    reference = resolve_reference(variants, settings.reference, native)
    check_limits(variants, loaded.places)
    variants, control = with_control(variants, reference, wanted=settings.control, room=room)
    infos = (
        p.VariantInfo.of(variant, precision, native, control=index == control)
        for index, variant in enumerate(variants)
    )
    return variants, tuple(infos), reference


class Request(NamedTuple):
    """A command with names, reference, chat and prompt tokens resolved."""

    variants: list[Variant]
    started: p.Started
    goes_on: p.Continue | None = None  # of a run that has tokens already
    continuations: Continuations | None = None  # the choices of a prompt that has some


def resolve(
    loaded: LoadedModel, command: p.Compare, cancelled: IsCancelled = lambda: False
) -> Request:
    """Resolve a command against the loaded model. Raises `GeluError` and `Interrupted`."""
    asked = command.settings
    variants, infos, reference = resolve_variants(loaded, asked)
    tokenizer, prompt, messages = loaded.tokenizer, command.prompt, command.messages
    if messages and not (prompt and not uses_template(tokenizer, asked.chat)):
        text, tokens, chat = feed_messages(tokenizer, messages, asked.chat, cancelled)
        prompt = prompt or messages[-1].content
    else:
        messages = ()
        text, tokens, chat = feed(tokenizer, prompt, asked.chat, cancelled)
    if not tokens:
        message = "This model's tokenizer makes no tokens of the prompt."
        raise GeluError("empty_prompt", message, "Choose another prompt.")
    check_tokens(loaded, tokens)
    room = loaded.context_length - len(tokens)
    if room < 1:
        raise GeluError(
            "prompt_too_long",
            f"The prompt has {len(tokens)} tokens; this model's context holds "
            f"{loaded.context_length} with what it generates.",
            "Shorten the prompt.",
        )
    settings = replace(
        seeded(asked),
        model=loaded.info.id,
        dtype=known_dtype(loaded.info.dtype),
        reference=variants[reference].name,
        max_tokens=min(asked.max_tokens, room),
        chat=chat,
    )
    started = p.Started(
        prompt, text, tuple(tokens), infos, reference, settings, messages, command.choices
    )
    return Request(variants, started, continuations=continuations(loaded, started))


def resolve_again(loaded: LoadedModel, command: p.Continue) -> Request:
    """The request of a run that has tokens already, on the model that it was made with.

    Raises `GeluError` where anything differs that its tokens depend on.
    """
    started = command.started
    _check_model(loaded.info, command.model)
    variants, infos, reference = resolve_variants(loaded, started.settings)
    if infos != started.variants or reference != started.reference:
        made = ", ".join(visible_line(info.name) for info in started.variants)
        message = f"The functions of this run ({made}) are not those that its settings make here."
        hint = "Two runs that are shown as one, and runs of older versions, may not go on."
        raise GeluError("other_functions", message, hint)
    for tokens in (started.prompt_tokens, *(stream.tokens for stream in command.streams)):
        check_tokens(loaded, list(tokens))
    room = loaded.context_length - len(started.prompt_tokens)
    if started.settings.max_tokens > command.first_step >= room:
        message = f"This model's context of {loaded.context_length} tokens is full."
        raise GeluError("prompt_too_long", message, "The run cannot go on.")
    settings = replace(started.settings, max_tokens=min(started.settings.max_tokens, room))
    return Request(variants, replace(started, settings=settings), command)


def _check_model(loaded: p.ModelInfo, wanted: p.ModelInfo) -> None:
    if replace(loaded, warnings=()) == replace(wanted, warnings=()):
        return
    made, here = (
        " ".join(filter(None, (visible_line(model.id), model.dtype, model.bits)))
        for model in (wanted, loaded)
    )
    if made == here:
        message = f"This run was made with another model that was named {made}."
        raise GeluError("other_model", message, "Run the prompt again.")
    message = f"This run was made with {made}, and {here} is loaded."
    raise GeluError("other_model", message, "Load that model first.")


def check_same_numbers(earlier: p.EarlierStream, logits: Logits) -> None:
    """Check that a stream's last token is as probable as it was; `logits` of shape (vocabulary,).

    Raises `GeluError`.
    """
    if earlier.logprob is None or not earlier.tokens:
        return
    now = Distribution.of(logits).logprob(earlier.tokens[-1])
    if abs(now - earlier.logprob) > _SAME_NATS:
        message = "This model computes other numbers here than when the run was made."
        hint = "Its files, the libraries or the machine have changed: run the prompt again."
        raise GeluError("other_numbers", message, hint)
