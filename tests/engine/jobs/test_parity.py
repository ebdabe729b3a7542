"""The engine against mlx-lm itself: the same tokens, for every function, family and schedule."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_tokenizer

from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import decode, prefill
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

PROMPT = "Why is the sky blue?"
TOKENS = 9  # alone more than the sliding windows; the first prompt is longer, too
OTHER_PROMPTS = ("空が青いのはなぜですか？", "the sky\n\n\tis é🌍")
FEWER = 6
NAMES = list(REGISTRY)

# Wrappers compute what their text models compute: they need not be tried in every way.
WRAPPERS = ("gemma3", "gemma4", "gemma4_unified")
IN_8_BIT = ("gemma", "gemma2", "gemma3_text")
KINDS = [
    *((family, None) for family in tiny_models.CONFIGS),
    *((family, 4) for family in tiny_models.CONFIGS if family not in WRAPPERS),
    *((family, 8) for family in IN_8_BIT),
]


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


def functions_of(number: int, count: int) -> list[str]:
    """A model's code is the same for all functions: some for each, and every one for several."""
    return [NAMES[(number + 2 * turn) % len(NAMES)] for turn in range(count)]


@pytest.mark.parametrize(
    ("number", "family", "bits"),
    [(number, *kind) for number, kind in enumerate(KINDS)],
    ids=[f"{family}-{bits or 'plain'}" for family, bits in KINDS],
)
def test_tokens_equal_mlx_lm(number: int, family: str, bits: int | None, tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, family, bits=bits), "float32")
    tokenizer = load_tokenizer(tmp_path)
    in_every_way = bits is None and family not in WRAPPERS
    names = functions_of(number, 5 if in_every_way else 3)
    tried = [(PROMPT, TOKENS, names)]
    if in_every_way:
        tried += [(prompt, FEWER, names[at::2][:2]) for at, prompt in enumerate(OTHER_PROMPTS)]
    streams = set()
    for prompt, count, batch in tried:
        ids = loaded.tokenizer.encode(prompt)
        assert ids == tokenizer.encode(prompt)
        expected = {
            name: in_process.plain_tokens(loaded.model, tokenizer, name, ids, count)
            for name in batch
        }
        for schedule, rows in (("lockstep", batch), ("solo", batch[:2])):
            command = comparing(prompt, rows, max_tokens=count, schedule=schedule, replay=False)
            comparison = in_process.compare(loaded, command)
            found = {stream.name: stream.tokens for stream in comparison.streams}
            assert found == {name: expected[name] for name in rows}, (schedule, prompt)
        streams |= {(prompt, *tokens) for tokens in expected.values()}
    # The functions must matter in this model, or equality would prove nothing.
    assert len(streams) > sum(len(batch) for *_, batch in tried) / 2


def test_every_function_is_tried_in_several_families() -> None:
    kinds = range(len(tiny_models.CONFIGS))
    tried = Counter(name for number in kinds for name in functions_of(number, 3))
    assert set(tried) == set(NAMES) and min(tried.values()) >= 3


def test_the_sliding_window_was_exceeded() -> None:
    windows = [
        text[key]
        for config in tiny_models.CONFIGS.values()
        for text in (config, config.get("text_config", {}))
        for key in ("sliding_window", "attention_window_size")
        if key in text
    ]
    assert len(windows) >= 7 and max(windows) < TOKENS


# MLX's CPU backend has matrix products of experts in float32 only.
IN_BFLOAT16 = [family for family in tiny_models.CONFIGS if "experts" not in family]


@pytest.mark.parametrize("family", IN_BFLOAT16)
def test_model_precision_of_the_native_function_is_plain_mlx_lm_in_bfloat16(
    family: str, tmp_path: Path
) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, family, dtype=mx.bfloat16), "bfloat16")
    tokenizer = load_tokenizer(tmp_path)
    native = loaded.info.native_activation
    ids = loaded.tokenizer.encode(PROMPT)
    from mlx_lm import stream_generate

    plain = [r.token for r in stream_generate(loaded.model, tokenizer, ids, max_tokens=TOKENS)]
    comparison = in_process.compare(
        loaded,
        comparing(
            PROMPT, (native,), max_tokens=TOKENS, schedule="solo", activation_precision="model"
        ),
    )
    assert comparison.streams[0].tokens == plain


def test_every_row_breaks_ties_as_plain_mlx_lm_does(tmp_path: Path) -> None:
    """In bfloat16 ties are common; tokens differ from mlx-lm's at most where the logits do."""
    compared = 0
    changed_by_subtraction = 0
    for family in ("gemma", "gemma2", "gemma3_text", "gemma3n", "gemma4_text"):
        folder = tiny_models.write(tmp_path / family, family, dtype=mx.bfloat16)
        model = in_process.load(folder, "bfloat16").model
        for ids in ([2, *range(10, 22)], [2, *range(31, 43)]):
            plain = generate_step(mx.array(ids), model, max_tokens=TOKENS)
            one = prefill(model, ids, 512, lambda _: None, lambda: False)
            rows = decode(model, caches.join([one] * 3), [ids[-1]] * 3, ahead=False)
            for (token, logprobs), decoded in zip(plain, rows, strict=False):
                logits = mx.array(decoded.logits).astype(mx.bfloat16)
                ours = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
                if not mx.array_equal(ours, mx.broadcast_to(logprobs, ours.shape)):
                    break
                assert decoded.tokens == [token] * 3
                compared += 1
                changed_by_subtraction += mx.argmax(logits[0]).item() != token
    # Ties must have mattered, or equality would prove nothing.
    assert compared > TOKENS and changed_by_subtraction > 0
