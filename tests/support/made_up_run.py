"""The events of a run that never happened: every figure in it is chosen, none is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.fake_engine import BASE, RELU, SILU, pieces

PROMPT = "Why is the sky blue?"
FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
EIGHT = (*FIVE, "mish", "keras_gelu_approx", "wide=x*sigmoid(1.2*x)")
MAX_TOKENS = 128
NATIVE = "gelu_approx"

HELLO = p.Hello(p.PROTOCOL_VERSION, {"gelu_tui": "0.1.0"}, 1, "engine.log")
LOADED = p.Loaded(
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
_BASE = [*BASE, *_MORE]
_TEXTS = {
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


def token_id(text: str) -> int:
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 262_144


def run(activations: Sequence[str] = FIVE, steps: int = MAX_TOKENS) -> Iterator[p.Event]:
    """A run from its start on; one of `MAX_TOKENS` steps comes to its end."""
    variants = parse_variants(activations)
    reference = resolve_reference(variants, None, NATIVE)
    infos = tuple(p.VariantInfo.of(variant, "float32", NATIVE) for variant in variants)
    fed = f"<bos><start_of_turn>user\n{PROMPT}<end_of_turn>\n<start_of_turn>model\n"
    yield p.Started(
        PROMPT,
        fed,
        tuple(range(2, 16)),
        infos,
        reference,
        RunSettings(max_tokens=MAX_TOKENS, chat=True),
    )
    for stream in range(len(variants)):
        yield p.Prefilled(stream, 0.04, 320.0)
    texts = [_TEXTS.get(variant.name, _BASE)[:MAX_TOKENS] for variant in variants]
    forked = {reference}
    for step in range(min(steps, max(map(len, texts)))):
        yield _step(step, texts, forked)
        a = texts[reference][step : step + 1]
        for stream, text in enumerate(texts):
            if stream not in forked and a and text[step : step + 1] not in ([], a):
                forked.add(stream)
                yield fork(stream, step, a[0], text[step])
        for stream, text in enumerate(texts):
            if step == len(text) - 1:
                yield p.StreamFinished(stream, "length" if len(text) == MAX_TOKENS else "stop")
    if steps >= MAX_TOKENS:
        yield from (replayed(stream) for stream in sorted(forked - {reference}))
        yield p.Finished("completed", p.Timing(1.3, 0.2, 3.2, 128, 200.0), 1_310_000_000)


def _step(step: int, texts: list[list[str]], forked: set[int]) -> p.Step:
    elapsed_s = 0.25 + step * 0.025
    said = []
    for stream, text in enumerate(texts):
        if step >= len(text):
            continue
        turn = step * 5 + stream * 3
        said.append(
            p.StreamStep(
                stream,
                token_id(text[step]),
                text[step],
                _LOGPROB[turn % len(_LOGPROB)],
                _MARGIN[turn % len(_MARGIN)],
                None if stream in forked else _KL[turn % len(_KL)],
                elapsed_s,
            )
        )
    return p.Step(step, elapsed_s, tuple(said), 1_180_000_000)


def fork(stream: int, step: int, a: str, b: str) -> p.ForkFound:
    """A close call; the candidates are those of the fork that is looked at."""
    tops = []
    for first, top in ((a, _REFERENCE_TOP), (b, _VARIANT_TOP)):
        texts = [first, *(text for text, _ in top if text != first)]
        tops.append(
            tuple(
                p.Candidate(token_id(text), text, chance)
                for text, (_, chance) in zip(texts, top, strict=False)
            )
        )
    return p.ForkFound(
        stream,
        p.Fork(
            step,
            token_id(a),
            token_id(b),
            a,
            b,
            *tops,
            {"reference": 0.108, "variant": 0.19},
            {"reference_a": 0.312, "reference_b": 0.28, "variant_a": 0.249, "variant_b": 0.301},
            {"b_in_reference": 1, "a_in_variant": 1},
            reason="there is no replay of it in float32 so far",
        ),
    )


def replayed(stream: int) -> p.ForkReplayed:
    """A replay in which the formula decides, nearly as the run saw it."""
    seen = fork(stream, 0, " a", " b").fork
    margins = {"reference": 0.112, "variant": 0.187}
    again = p.ForkReplay(
        margins,
        {**margins},
        seen.probabilities,
        seen.ranks,
        seen.reference_top,
        seen.variant_top,
    )
    return p.ForkReplayed(stream, "formula", replay=again)


def rendered() -> p.PromptRendered:
    """The prompt as a chat template feeds it."""
    texts = [
        "<bos>", "<start_of_turn>", "user", "\n", "Why", " is", " the", " sky", " blue", "?",
        "<end_of_turn>", "\n", "<start_of_turn>", "model", "\n",
    ]  # fmt: skip
    special = tuple(sorted({token_id(text) for text in texts if text.startswith("<")}))
    ids = tuple(map(token_id, texts))
    return p.PromptRendered(PROMPT, "".join(texts), ids, tuple(texts), special, True, True, 32768)
