"""Building a `Compare` command from what a user gave, with every check that needs no model."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.activations import parse_variants, resolve_reference
from gelu_tui.core.controls import check_room
from gelu_tui.core.errors import UsageError
from gelu_tui.core.registry import NATIVE_OF

MAX_TOKENS_LIMIT = 100_000
MAX_TEMPERATURE = 100.0
MAX_SEED = 2**63 - 1
MAX_TOP_K = 2**31 - 1


def check_prompt(prompt: str) -> None:
    """Raises `UsageError` for a prompt that no model can continue."""
    if not prompt.strip():
        raise UsageError("The prompt is empty.", "Give some text to continue.", kind="empty_prompt")
    if any("\ud800" <= char <= "\udfff" for char in prompt):
        raise UsageError(
            "The prompt is not valid UTF-8.", "Convert the text to UTF-8 first.", kind="encoding"
        )


def check_sampling(sampling: p.Sampling) -> None:
    """Raises `UsageError` for what nothing can be drawn with."""
    temperature, seed = sampling.temperature, sampling.seed
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise UsageError(
            f"{temperature:g} is not a temperature to draw with.",
            f"Choose 0, which takes the most probable token, to {MAX_TEMPERATURE:g}.",
            kind="sampling",
        )
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise UsageError(
            f"{seed} is not a seed of the random numbers.",
            f"Choose 0 to {MAX_SEED}.",
            kind="sampling",
        )
    for name, share, off in (("top-p", sampling.top_p, 1), ("min-p", sampling.min_p, 0)):
        if not 0 <= share <= 1:
            raise UsageError(
                f"{name} is a probability, not {share:g}.",
                f"Choose 0 to 1; {off} is off.",
                kind="sampling",
            )
    if not 0 <= sampling.top_k <= MAX_TOP_K:
        raise UsageError(
            f"top-k is a number of tokens, not {sampling.top_k}.",
            f"Choose 1 to {MAX_TOP_K}; 0 is off.",
            kind="sampling",
        )


def compare_command(
    prompt: str,
    activations: Sequence[str],
    *,
    reference: str | None = None,
    max_tokens: int = 256,
    schedule: p.Schedule = "lockstep",
    chat: bool | None = None,
    activation_precision: p.Precision = "float32",
    sampling: p.Sampling = p.GREEDY,
    control: bool = False,
    replay: bool = True,
) -> p.Compare:
    """Check the parts and return the command. Raises `UsageError`."""
    check_prompt(prompt)
    if not 1 <= max_tokens <= MAX_TOKENS_LIMIT:
        raise UsageError(
            f"{max_tokens} is not a number of tokens that can be generated.",
            f"Choose 1 to {MAX_TOKENS_LIMIT}.",
            kind="max_tokens",
        )
    check_sampling(sampling)
    variants = parse_variants(activations)
    # Which function is native, only the engine knows.
    references = {resolve_reference(variants, reference, native) for native in NATIVE_OF}
    if control:
        check_room(variants, references)
    return p.Compare(
        prompt=prompt,
        activations=tuple(activations),
        reference=reference,
        max_tokens=max_tokens,
        schedule=schedule,
        chat=chat,
        activation_precision=activation_precision,
        sampling=sampling,
        control=control,
        replay=replay,
    )


def score_command(
    activations: Sequence[str],
    *,
    text: str = "",
    tokens: Sequence[int] = (),
    reference: str | None = None,
    activation_precision: p.Precision = "float32",
    control: bool = True,
    context: int | None = None,
) -> p.Score:
    """Check the parts and return the command. Raises `UsageError`."""
    if not tokens and not text.strip():
        raise UsageError("The text is empty.", "Give some text to score.", kind="empty_text")
    if context is not None and context < 2:
        raise UsageError(
            f"A window of {context} tokens has no token with another one before it.",
            "Choose 2 or more.",
            kind="context",
        )
    variants = parse_variants(activations)
    resolve_reference(variants, reference, None)
    return p.Score(
        activations=tuple(activations),
        text=text,
        tokens=tuple(tokens),
        reference=reference,
        activation_precision=activation_precision,
        control=control,
        context=context,
    )
