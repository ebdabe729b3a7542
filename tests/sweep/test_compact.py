"""A run in few bytes is read back as it was; damaged and hostile bytes are refused."""

from __future__ import annotations

import random
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import TokenStep
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.restore import with_statistics
from gelu_tui.sweep.compact import pack, unpack
from tests.support.comparisons import run_document
from tests.support.stored_sweeps import with_other_numbers

LARGEST = float(np.finfo(np.float32).max)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.none() | st.floats(-1e50, 1e50) | st.floats(-30, 30)
STEP = st.builds(TokenStep, NUMBER, NUMBER, st.none() | st.floats(0, 1e3), TEXT, st.floats(0, 1e9))
TOKENS = st.integers(0, 2**31)
STREAM = st.lists(st.tuples(TOKENS, STEP), max_size=40)


def float32(value: float | None) -> float | None:
    return None if value is None else float(np.float32(np.clip(value, -LARGEST, LARGEST)))


def rounded(document: ComparisonDocument) -> ComparisonDocument:
    """The document with its steps' numbers as float32, and its statistics of those."""

    def step(of: TokenStep) -> TokenStep:
        numbers = (float32(value) for value in (of.logprob, of.margin, of.kl))
        return TokenStep(*numbers, of.text, float32(of.decode_s) or 0.0)

    variants = [replace(v, steps=[step(each) for each in v.steps]) for v in document.variants]
    return with_statistics(replace(document, variants=variants))


@st.composite
def documents(draw: st.DrawFn) -> ComparisonDocument:
    """Documents of any tokens, texts and numbers; a fork where streams can have one."""
    base = run_document(draw(TEXT))
    streams = draw(st.lists(STREAM, min_size=1, max_size=4))
    variants: list[VariantDocument] = []
    for number, stream in enumerate(streams):
        steps = [step for _, step in stream]
        text = "".join(step.text for step in steps) + draw(TEXT)
        choices = draw(st.lists(st.builds(p.ChoiceScore, st.floats(-1e4, 0), st.integers(0, 9))))
        variants.append(
            replace(
                base.variants[0],
                name=f"f{number}",
                tokens=[token for token, _ in stream],
                steps=steps,
                text=text,
                fork=None,
                finish_reason=draw(st.sampled_from(["stop", "length", "cancelled"])),
                error=draw(st.none() | st.builds(ErrorInfo, TEXT, TEXT, TEXT)),
                choices=tuple(choices),
            )
        )
    prompt_tokens = tuple(draw(st.lists(TOKENS, max_size=5)))
    return replace(base, variants=variants, reference="f0", prompt_tokens=prompt_tokens)


@settings(max_examples=150)
@given(documents())
def test_read_back_as_it_was(document: ComparisonDocument) -> None:
    assert unpack(pack(document)) == rounded(document)


def test_forks_replays_and_timing_are_exact() -> None:
    texts = {"gelu": ["The", " sky"], "silu": ["The", " sea"], "control": ["The", " sky"]}
    document = run_document(texts=texts, control="control")
    fork = document.variants[1].fork
    assert fork is not None
    top = tuple(p.Candidate(number, f"<{number}>", 1 / (3 + number)) for number in range(10))
    keys = ("reference_a", "reference_b", "variant_a", "variant_b")
    replay = p.ForkReplay(
        {"reference": 0.1, "variant": 1 / 3},
        {"reference": None, "variant": 1 / 3},
        dict.fromkeys(keys, 1 / 7),
        {"b_in_reference": 1, "a_in_variant": 2},
        top,
        top,
    )
    fork = replace(fork, reference_top=top, variant_top=top, replay=replay, verdict="formula")
    variants = [replace(v, fork=fork if v.fork else None) for v in document.variants]
    check = p.SelfCheckReport(4, 8, False, 1 / 3)
    document = replace(document, variants=variants, self_check=check)
    again = unpack(pack(document))
    assert again == rounded(document)
    assert again.variants[1].fork == fork and again.self_check == check
    assert again.timing == document.timing


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack(run_document())


@settings(max_examples=150)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit(packed: bytes, place: float, bit: int) -> None:
    content = bytearray(packed)
    content[int(place * len(content))] ^= 1 << bit
    with pytest.raises(GeluError) as caught:
        unpack(bytes(content))
    assert caught.value.info.kind in ("not_a_document", "too_new")


def _reached(value: Any, path: tuple[int, ...]) -> tuple[Any, Any]:
    """The container and the key of a part, where `path` chooses at every depth."""
    container, key = [value], 0
    for choice in path:
        inner = container[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        container, key = inner, keys[choice % len(keys)]
    return container, key


HOSTILE = st.sampled_from([None, -1, 1e300, float("nan"), "x", b"", b"abc", b"\xff" * 8, [], {}])


@settings(max_examples=200)
@given(path=st.lists(st.integers(0, 30), max_size=7).map(tuple), value=HOSTILE)
def test_hostile_contents(packed: bytes, path: tuple[int, ...], value: Any) -> None:
    whole = msgspec.msgpack.decode(zlib.decompress(packed[1:]))
    container, key = _reached(whole, path)
    container[key] = value
    hostile = packed[:1] + zlib.compress(msgspec.msgpack.encode(whole))
    try:
        document = unpack(hostile)
    except GeluError as error:
        assert error.info.kind in ("not_a_document", "too_new")
    else:
        unpack(pack(document))


@pytest.mark.parametrize("data", [b"", b"\1", b"\1x", b"\0", bytes([1]) + zlib.compress(b"\xc1")])
def test_no_document(data: bytes) -> None:
    with pytest.raises(GeluError, match="not a saved run"):
        unpack(data)


def test_a_later_version() -> None:
    with pytest.raises(GeluError, match="newer gelu-tui"):
        unpack(b"\2whatever")


def test_the_size_of_1000_prompts_with_4_functions_and_256_tokens() -> None:
    seed = random.Random(1)
    words = [f" word{number}" for number in range(4000)]
    size = 0
    for _ in range(5):
        first = seed.choices(words, k=256)
        texts = {"gelu": first}
        for at, name in ((40, "gelu_approx"), (100, "silu"), (256, "relu")):
            texts[name] = first[:at] + seed.choices(words, k=256 - at)
        document = run_document(texts=texts, kls=dict.fromkeys(texts, [1e-5] * 256))
        size += len(pack(with_other_numbers(document, seed)))
    assert size / 5 * 1000 < 35e6  # and 5 MB for what lists and SQLite need
