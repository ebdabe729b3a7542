"""Comparisons that no engine made: live ones, saved ones, and the events of a long run.

Every figure is chosen, none is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.limits import parse_limits
from gelu_tui.core.functions.variants import CONTROL, parse_variants, resolve_reference
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.made_up import (
    BASE,
    RELU,
    SILU,
    fork_between,
    fork_found,
    fork_replayed,
    pieces,
    token_id,
)

PROMPT = "Why is the sky blue?"
NATIVE = "gelu_approx"
FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
EIGHT = (*FIVE, "mish", "keras_gelu_approx", "wide=x*sigmoid(1.2*x)")

LOADED = p.Loaded(
    p.ModelInfo("demo", "gemma3_text", "float32", None, NATIVE),
    "/models/demo",
    "cpu",
    None,
    {"gelu_tui": "0.1.0"},
    1.5,
    32768,
    False,
    10**9,
)

Texts = Sequence[str]
Kls = Mapping[str, Sequence[float | None]]
Top = Sequence[tuple[str, float]]

# --- live comparisons -----------------------------------------------------------------------------


def begun(
    *names: str,
    reference: int = 0,
    prompt: str = PROMPT,
    formulas: Mapping[str, str] | None = None,
    control: str = "",
    **settings: Any,
) -> Comparison:
    """A raw prompt's comparison without tokens; `settings` are those of `RunSettings`."""
    own = formulas or {}
    variants = tuple(
        p.VariantInfo(
            name,
            own.get(name, "f(x)"),
            "float32",
            name == NATIVE,
            name == control,
            parse_limits(name.partition("@")[2]) if "@" in name else None,
        )
        for name in names
    )
    specs = (f"{name}={own[name]}" if name in own else name for name in names if name != CONTROL)
    chosen = RunSettings(
        model=LOADED.model.id,
        dtype=LOADED.model.dtype,
        activations=tuple(specs),
        reference=dict(enumerate(names)).get(reference),
        control=bool(control),
        chat=False,
        **settings,
    )
    return Comparison.begin(p.Started(prompt, prompt, (2, 5), variants, reference, chosen))


def feed(
    comparison: Comparison, *texts: Texts, kls: Kls | None = None, step_s: float = 0.025
) -> None:
    """Apply one step after another for all streams, as long as their texts go.

    Equal texts are equal tokens. `kls` has the KLs of streams by name, one a step.
    """

    def figures(stream: int, step: int) -> tuple[float, float, float | None]:
        own = (kls or {}).get(comparison.streams[stream].name)
        kl = None if stream == comparison.reference_index else 0.001 * stream
        return -0.5, 1.5, kl if own is None else own[step]

    first = max(len(stream.tokens) for stream in comparison.streams)
    for step in range(max(map(len, texts))):
        number = first + step
        comparison.apply(_step(number, texts, step, (number + 1) * step_s, figures))


def fork(
    comparison: Comparison, stream: int, reference_top: Top, variant_top: Top, **fields: Any
) -> None:
    """Apply the fork of a stream; each side took the first of its list."""
    step = comparison.streams[stream].first_divergent_token
    assert step is not None
    own = {"margins": {"reference": 0.05, "variant": 0.12}, "reason": "forks are not replayed yet"}
    tops = _candidates(reference_top), _candidates(variant_top)
    comparison.apply(fork_found(stream, step, *tops, **{**own, **fields}))


def what_if(comparison: Comparison, stream: int, agreed: int | None = None) -> None:
    """Apply what came of the reference's token at a fork.

    The stream goes on as the reference for `agreed` tokens and then parts again; None: to the end.
    """
    found, reference = comparison.streams[stream].fork, comparison.reference
    assert found is not None
    first = found.step + 1
    parts = None if agreed is None else first + agreed
    texts = [*reference.segments[first:parts], *([] if parts is None else [" other", " words"])]
    again = None
    if parts is not None:
        sides = ((token_id(text), text) for text in (reference.segments[parts], " other"))
        again = fork_between(stream, parts, *sides).fork
    tokens = tuple(map(token_id, texts))
    answer = (tokens, "".join(texts), "length", parts is not None, parts, again)
    comparison.apply(p.WhatIfAnswered(stream, p.Counterfactual((found.step,), *answer)))
    comparison.check()


def finish(comparison: Comparison, reason: p.FinishReason = "length") -> None:
    """End all streams."""
    for stream in range(len(comparison.streams)):
        comparison.apply(p.StreamFinished(stream, reason))


SCATTERING: Top = [(" scattering", 0.312), (" light", 0.28), *((f" r{i}", 0.03) for i in range(8))]
LIGHT: Top = [(" light", 0.28), (" scattering", 0.249), *((f" v{i}", 0.02) for i in range(8))]


def five(tokens: int = 40) -> Comparison:
    """gelu = gelu_approx; gelu_fast_approx forks at 10 and rejoins, silu at 1, relu at 0."""
    comparison = begun(*FIVE, reference=1, max_tokens=40)
    fast = [*BASE[:10], " light", " scattering", *BASE[11:]]
    silu, relu = [BASE[0], *SILU, *SILU], RELU * 5
    texts = [text[:tokens] for text in (BASE, BASE, fast, silu, relu)]
    feed(comparison, *texts, kls=dict.fromkeys(FIVE, [0.25] * tokens))
    if tokens > 10:
        fork(comparison, 2, SCATTERING, LIGHT)
    return comparison


def _candidates(top: Top) -> tuple[p.Candidate, ...]:
    return tuple(p.Candidate(token_id(text), text, chance) for text, chance in top)


def _step(
    number: int,
    texts: Sequence[Texts],
    at: int,
    elapsed_s: float,
    figures: Callable[[int, int], tuple[float, float, float | None]],
    memory_bytes: int = 0,
) -> p.Step:
    """The step with the tokens of `texts` at `at`; `figures` are logprob, margin and KL."""
    tokens = tuple(
        p.StreamStep(stream, token_id(text[at]), text[at], *figures(stream, at), elapsed_s)
        for stream, text in enumerate(texts)
        if at < len(text)
    )
    return p.Step(number, elapsed_s, tokens, memory_bytes)


# --- whole runs and their documents ---------------------------------------------------------------

_SKY: Mapping[str, Texts] = {
    "gelu_approx": ["The", " sky", " is", " blue", "."],
    "gelu": ["The", " sky", " is", " blue", "."],
    "silu": ["The", " sky", " was", " grey", "."],
}


def run_comparison(
    prompt: str = PROMPT,
    *,
    texts: Mapping[str, Texts] = _SKY,
    formulas: Mapping[str, str] | None = None,
    control: str = "",
    kls: Kls | None = None,
    finish: p.FinishReason = "length",
) -> Comparison:
    """Streams that hold `texts` by name, ended, their forks known; the first is the reference."""
    comparison = begun(*texts, prompt=prompt, formulas=formulas, control=control)
    streams = list(texts.values())
    feed(comparison, *streams, kls=kls)
    for i, stream in enumerate(comparison.streams):
        comparison.apply(p.StreamFinished(i, finish))
        at = stream.first_divergent_token
        if at is not None and at < min(len(streams[i]), len(streams[0])):
            a, b = ((token_id(text), text) for text in (streams[0][at], streams[i][at]))
            reason = "forks are not replayed in float32 yet"
            comparison.apply(fork_between(i, at, a, b, reason=reason))
    return comparison


def run_document(
    prompt: str = PROMPT,
    *,
    status: p.Status = "completed",
    created: datetime = datetime(2025, 11, 22, 0, 12, tzinfo=UTC),
    **parts: Any,
) -> ComparisonDocument:
    """The document of such a run; `parts` are those of `run_comparison`."""
    finish: p.FinishReason = "length" if status == "completed" else "cancelled"
    comparison = run_comparison(prompt, finish=finish, **parts)
    timing = p.Timing(1.5, 0.2, 0.125, 5, 120.0)
    comparison.apply(p.Finished(status, timing, 2 * 10**9))
    return document(comparison, LOADED, created=created)


def as_older(saved: ComparisonDocument) -> ComparisonDocument:
    """The same, read from the JSON of a version whose documents had fewer settings."""
    raw = json.loads(to_json(saved))
    for name in ("model", "dtype", "activations", "reference"):
        del raw["settings"][name]
    return read_document(json.dumps(raw).encode())


# --- the events of a long run on a Mac, for pictures ----------------------------------------------

MAX_TOKENS = 128
HELLO = p.Hello(p.PROTOCOL_VERSION, {"gelu_tui": "0.1.0"}, 1, "engine.log")
LOADED_ON_MAC = p.Loaded(
    p.ModelInfo("mlx-community/gemma-3-270m-it-bf16", "gemma3_text", "bfloat16", None, NATIVE),
    "/models/gemma-3-270m-it-bf16",
    "Apple M3 Max",
    None,
    {"gelu_tui": "0.1.0"},
    1.3,
    32768,
    True,
    536_000_000,
)

_MORE = pieces(
    "\n\n|At| sunset| the| light| comes| a| longer| way| through| the| air|.| Most| of| the| blue"
    "| is| scattered| out| of| it| before| it| reaches| your| eyes|,| and| what| is| left| is| red"
    "| and| orange|.| A| cloud| is| white| because| its| drops| are| so| large| that| they| send"
    "| every| colour| the| same| way|."
)
_LONG_BASE = [*BASE, *_MORE]
_LONG = {
    "gelu_fast_approx": [*BASE[:10], " light", " scattering", *BASE[11:], *_MORE],
    "silu": [BASE[0], *SILU, *SILU[3:], *SILU],
    "relu": [*RELU, *([" of", " the"] * MAX_TOKENS)],
    "mish": [*BASE[:23], " every", " wave", " of", " light", ".", *_MORE],
    "wide": [*BASE[:14], "The", " light", " of", " the", " sun", *BASE[16:30], *_MORE[:40]],
}

_KL = (3e-7, 2.1e-6, 0.0, 4.4e-5, 8e-6, 3.3e-4, 1.2e-3, 6e-5, 2.2e-2, 7e-7, 5e-6, 0.31)
_LOGPROB = (-0.02, -0.31, -1.1, -0.08, -2.9, -0.6, -0.01, -5.2, -0.4, -0.2, -1.7)
_MARGIN = (7.5, 3.1, 0.4, 5.2, 0.05, 1.9, 9.0, 2.4, 0.3)

_REFERENCE_TOP = (
    (" scattering", 0.312), (" light", 0.28), (" sc", 0.093), ("scattering", 0.051), (",", 0.03),
    (" \u201c", 0.021), (" effect", 0.012), (" dispersion", 0.009), ("'", 0.006), ("\n", 0.004),
)  # fmt: skip
_VARIANT_TOP = (
    (" light", 0.301), (" scattering", 0.249), (" sc", 0.11), (",", 0.04), (" effect", 0.022),
    ("scattering", 0.019), (" waves", 0.015), (" \u201c", 0.008), ("\n", 0.005), (" sky", 0.003),
)  # fmt: skip


def run_events(activations: Sequence[str] = FIVE, steps: int = MAX_TOKENS) -> Iterator[p.Event]:
    """A run from its start on; one of `MAX_TOKENS` steps comes to its end."""
    variants = parse_variants(activations)
    reference = resolve_reference(variants, None, NATIVE)
    infos = tuple(p.VariantInfo.of(variant, "float32", NATIVE) for variant in variants)
    fed = f"<bos><start_of_turn>user\n{PROMPT}<end_of_turn>\n<start_of_turn>model\n"
    chosen = RunSettings(max_tokens=MAX_TOKENS, chat=True)
    yield p.Started(PROMPT, fed, tuple(range(2, 16)), infos, reference, chosen)
    for stream in range(len(variants)):
        yield p.Prefilled(stream, 0.04, 320.0)
    texts = [_LONG.get(variant.name, _LONG_BASE)[:MAX_TOKENS] for variant in variants]
    forks: dict[int, p.ForkFound] = {}

    def figures(stream: int, step: int) -> tuple[float, float, float | None]:
        turn = step * 5 + stream * 3
        logprob, margin = _LOGPROB[turn % len(_LOGPROB)], _MARGIN[turn % len(_MARGIN)]
        quiet = stream == reference or stream in forks
        return logprob, margin, None if quiet else _KL[turn % len(_KL)]

    for step in range(min(steps, max(map(len, texts)))):
        yield _step(step, texts, step, 0.25 + step * 0.025, figures, 1_180_000_000)
        a = texts[reference][step : step + 1]
        for stream, text in enumerate(texts):
            if stream not in forks and a and text[step : step + 1] not in ([], a):
                forks[stream] = _close_call(stream, step, a[0], text[step])
                yield forks[stream]
        for stream, text in enumerate(texts):
            if step == len(text) - 1:
                yield p.StreamFinished(stream, "length" if len(text) == MAX_TOKENS else "stop")
    if steps >= MAX_TOKENS:
        for _, found in sorted(forks.items()):
            yield fork_replayed(found, "formula", {"reference": 0.112, "variant": 0.187})
        yield p.Finished("completed", p.Timing(1.3, 0.2, 3.2, 128, 200.0), 1_310_000_000)


def _close_call(stream: int, step: int, a: str, b: str) -> p.ForkFound:
    """A fork whose candidates are, but for the first, those of the fork that is looked at."""
    tops = []
    for first, top in ((a, _REFERENCE_TOP), (b, _VARIANT_TOP)):
        texts = [first, *(text for text, _ in top if text != first)]
        chances = (chance for _, chance in top)
        tops.append(_candidates(list(zip(texts, chances, strict=False))))
    return fork_found(
        stream,
        step,
        *tops,
        margins={"reference": 0.108, "variant": 0.19},
        probabilities={
            "reference_a": 0.312,
            "reference_b": 0.28,
            "variant_a": 0.249,
            "variant_b": 0.301,
        },
        reason="there is no replay of it in float32 so far",
    )
