"""Scoring on tiny models, held against mlx-lm's own figures and against a plain recomputation."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import pytest
from mlx_lm.perplexity import eval_ppl

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.scoring.document import ScoreDocument, ScoredVariant, ScoreSource
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.jobs.windows import windows_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import brute_force_score, in_process, odd_models, tiny_models
from tests.support.commands import scoring
from tests.support.comparisons import LOADED

TEXT = "Why is the sky blue? 空が青い is the blue, the sky the Why.\n" * 3
CONTEXT = 40  # several chunks of 16, several windows, and longer than the sliding window


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


def run(loaded: LoadedModel, command: p.Score, activations: tuple[str, ...] = ()) -> ScoreDocument:
    """Score to the end; the events have been through the wire format."""
    events: list[p.Event] = []
    score(loaded, command, lambda e: events.append(p.decode_event(p.encode(e))), lambda: False)
    return as_document(events, activations)


def as_document(events: list[p.Event], activations: tuple[str, ...] = ()) -> ScoreDocument:
    assert isinstance(events[0], p.ScoreStarted)
    assert [type(e) for e in events].count(p.ScoreFinished) == 1
    scoring = Scoring(events[0])
    for event in events:
        scoring.apply(event)
    finished = events[-1]
    assert isinstance(finished, p.ScoreFinished)
    source = ScoreSource("text", "x")
    return scoring.document(
        LOADED, source, status=finished.status, error=finished.error, activations=activations
    )


def named(document: ScoreDocument) -> dict[str, ScoredVariant]:
    return {variant.name: variant for variant in document.variants}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """`{"kl.mean": …, "kl_buckets.0.positions": …}`."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = ((str(index), part) for index, part in enumerate(value))
    else:
        return {path: value}
    return {
        k: v for name, part in items for k, v in flat(part, f"{path}.{name}".strip(".")).items()
    }


# --- against others -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", list(tiny_models.CONFIGS))
def test_every_figure_equals_a_plain_recomputation(family: str, tmp_path: Path) -> None:
    """Of several functions in one family: the statistics know nothing of families."""
    loaded = in_process.load(tiny_models.write(tmp_path, family))
    native = loaded.info.native_activation
    names = (native, "silu", "relu", "gelu_fast_approx")[: 4 if family == "gemma3_text" else 2]
    document = run(loaded, scoring(names, text=TEXT, context=CONTEXT, control=False))
    bos, *text = loaded.tokenizer.encode(TEXT)
    windows = windows_of(text, [bos], CONTEXT)
    assert document.reference == native
    assert (document.tokens, document.windows) == (len(text), len(windows))
    assert document.positions == len(text), "BOS is one token of context"
    assert (document.clusters, document.cluster) == (len(windows), "window")
    for variant in document.variants[1:]:
        expected = brute_force_score.scored(loaded.model, native, variant.name, windows)
        found = flat(msgspec.to_builtins(variant))
        for name, value in expected.items():
            # An empty bucket has no mean, and approx knows no None.
            near = None if value is None else pytest.approx(value, rel=1e-3, abs=1e-9)
            assert found[name] == near, (variant.name, name)
        assert found["kl.mean"] > 1e-7, "the functions must matter, or equality proves nothing"


@pytest.mark.parametrize(
    ("family", "dtype"), [("gemma", "float32"), ("gemma3_text", "float32"), ("gemma2", "bfloat16")]
)
def test_perplexity_of_the_native_function_is_mlx_lms_own(
    family: str, dtype: str, tmp_path: Path
) -> None:
    stored = getattr(mx, dtype)
    loaded = in_process.load(tiny_models.write(tmp_path, family, dtype=stored), dtype)
    text = (loaded.tokenizer.encode(TEXT)[1:] * 2)[: 4 * (CONTEXT - 1)]
    command = scoring(
        (loaded.info.native_activation,),
        tokens=tuple(text),
        context=CONTEXT,
        activation_precision="model",
    )
    (native, _) = run(loaded, command).variants
    windows = windows_of(text, loaded.tokenizer.encode(""), CONTEXT)
    assert {len(window) for window in windows} == {CONTEXT}
    perplexity, error = eval_ppl(loaded.model, mx.array(windows), batch_size=1)
    tolerance = 1e-4 if dtype == "float32" else 2e-3  # chunks of other shapes round otherwise
    assert native.perplexity == pytest.approx(perplexity, rel=tolerance)
    assert native.perplexity_se == pytest.approx(error, rel=10 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("precision", ["float32", "model"])
def test_a_function_against_itself(dtype: str, precision: p.Precision, tmp_path: Path) -> None:
    stored = getattr(mx, dtype)
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text", dtype=stored), dtype)
    names = ("relu", "again=gelu_approx(x)", "gelu_approx", "gelu", "third=gelu_approx(x)")
    document = run(
        loaded,
        scoring(names, text=TEXT, context=CONTEXT, activation_precision=precision, control=False),
    )
    variants = named(document)
    for name in ("again", "third"):
        twin = variants[name]
        assert twin.kl is not None and twin.delta_p is not None
        assert (twin.kl.mean, twin.kl.max, twin.kl.se) == (0.0, 0.0, 0.0)
        assert twin.kl.clustered_se == 0.0
        assert (twin.same_top_1, twin.same_top_1_se) == (100.0, 0.0)
        assert (twin.ln_ppl_ratio, twin.ln_ppl_ratio_se) == (0.0, 0.0)
        assert (twin.delta_p.mean, twin.delta_p.rms) == (0.0, 0.0)
        assert twin.perplexity == variants["gelu_approx"].perplexity
    assert variants["gelu"].kl is not None and variants["gelu"].kl.mean > 0


# --- windows --------------------------------------------------------------------------------------


def test_several_documents_are_clusters(loaded: LoadedModel) -> None:
    texts = ("Why is the sky blue? " * 9, "空が青い " * 12, "", "the Why.")
    command = p.Score(RunSettings(activations=("gelu_approx", "silu")), "", (), CONTEXT, texts)
    document = run(loaded, command)
    (bos, *_) = loaded.tokenizer.encode("")
    parts = [windows_of(loaded.tokenizer.encode(text)[1:], [bos], CONTEXT) for text in texts]
    clusters = [number for number, part in enumerate(parts) for _ in part]
    windows = [window for part in parts for window in part]
    assert (document.documents, document.cluster) == (4, "document")
    assert (document.clusters, document.windows) == (3, len(windows)), "one has no tokens"
    assert len(windows) > 4, "some have several windows"
    expected = brute_force_score.scored(loaded.model, "gelu_approx", "silu", windows, clusters)
    found = flat(msgspec.to_builtins(named(document)["silu"]))
    for name, value in expected.items():
        if "se" in name.split("_")[-1]:
            assert found[name] == pytest.approx(value, rel=1e-3), name
    assert found["kl.clustered_se"] != pytest.approx(found["kl.se"], rel=1e-2)


def test_windows_hold_every_token_once_behind_a_bos() -> None:
    assert windows_of([2, 5, 6, 7, 8, 9], [2], 4) == [[2, 5, 6, 7], [2, 8, 9]]
    assert windows_of([5, 6, 7], [2], 2) == [[2, 5], [2, 6], [2, 7]]
    assert windows_of([5, 6, 7], [], 2) == [[5, 6], [7]]
    assert windows_of([2], [2], 4) == []


def test_one_token_is_scored_but_has_no_standard_error(loaded: LoadedModel) -> None:
    document = run(loaded, scoring(("gelu_approx", "silu"), text="the"))
    assert (document.tokens, document.windows, document.positions) == (1, 1, 1)
    silu = named(document)["silu"]
    assert silu.kl is not None and silu.kl.mean == silu.kl.max > 0
    assert (silu.kl.se, silu.perplexity_se, silu.ln_ppl_ratio_se) == (None, None, None)
    assert (silu.kl.clustered_se, document.clusters) == (None, 1)


def test_the_usual_window_fits_the_model(loaded: LoadedModel) -> None:
    assert (
        run(loaded, scoring(("gelu",), text=TEXT)).settings.context == loaded.context_length == 256
    )


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (scoring(("gelu",), text="x", context=257), "context"),
        (scoring(("gelu",), text="x", context=1), "context"),
        (scoring(("gelu",), text=""), "too_short"),
        (scoring(("gelu", "nope"), text="x"), "unknown_activation"),
        (scoring(("gelu", "control=x"), text="x"), "formula"),
    ],
)
def test_what_cannot_begin(loaded: LoadedModel, command: p.Score, kind: str) -> None:
    events: list[p.Event] = []
    with pytest.raises(GeluError) as caught:
        score(loaded, command, events.append, lambda: False)
    assert caught.value.info.kind == kind
    assert events == []


@pytest.mark.parametrize("token", [384, -1])
def test_tokens_of_another_model(loaded: LoadedModel, token: int) -> None:
    document = run(loaded, scoring(("gelu",), tokens=(2, 5, token)))
    assert (document.status, document.positions) == ("failed", 0)
    assert document.error is not None and document.error.kind == "tokens"


# --- the control ----------------------------------------------------------------------------------


def test_the_control_is_the_floor(loaded: LoadedModel) -> None:
    document = run(loaded, scoring(("gelu_approx", "silu"), text=TEXT, context=CONTEXT))
    reference, silu, control = document.variants
    assert [v.control for v in document.variants] == [False, False, True]
    assert (reference.kl, reference.times_noise_floor, reference.delta_p) == (None, None, None)
    assert silu.kl is not None and control.kl is not None
    assert 0 < control.kl.mean < silu.kl.mean / 1000
    assert silu.times_noise_floor == pytest.approx(silu.kl.mean / control.kl.mean)
    assert control.times_noise_floor == 1


@pytest.mark.parametrize("reference", ["gelu_approx", "keras_gelu_approx"])
def test_a_chosen_function_may_be_the_control(loaded: LoadedModel, reference: str) -> None:
    names = ("gelu_approx", "keras_gelu_approx", "relu")
    document = run(loaded, scoring(names, text=TEXT, reference=reference))
    assert [v.name for v in document.variants] == list(names)
    assert [v.name for v in document.variants if v.control] == [
        name for name in names[:2] if name != reference
    ]


# --- failures and cancels -------------------------------------------------------------------------


def test_one_function_that_is_not_a_number_fails_alone(tmp_path: Path) -> None:
    loaded = in_process.load(odd_models.loud(tmp_path))
    names = ("gelu", odd_models.OVERFLOWS, "relu")
    document = run(loaded, scoring(names, text=TEXT, context=CONTEXT, reference="gelu"))
    assert (document.status, document.error) == ("completed", None)
    over, relu = named(document)["over"], named(document)["relu"]
    assert over.error is not None and over.error.kind == "not_finite"
    assert (over.kl, over.perplexity) == (None, None)
    assert relu.kl is not None and relu.error is None

    document = run(loaded, scoring(names, text=TEXT, context=CONTEXT, reference="over"))
    assert document.status == "failed"
    assert document.error is not None and "'over'" in document.error.message


@pytest.mark.parametrize("polls", [0, 1, 5, 12])
def test_a_cancel_keeps_whole_chunks(loaded: LoadedModel, polls: int) -> None:
    events: list[p.Event] = []
    left = iter([False] * polls)
    command = scoring(("gelu", "relu"), text=TEXT, context=CONTEXT)
    score(loaded, command, events.append, lambda: next(left, True))
    document = as_document(events)
    assert document.status == "cancelled"
    chunks = polls // 3  # a poll for each function, the control among them
    assert sum(isinstance(event, p.ScoreChunk) for event in events) == chunks
    assert document.positions == [0, 16, 32, 39, 55][chunks]
    assert [v.perplexity is not None for v in document.variants] == [chunks > 0] * 3
    whole = run(loaded, command)
    assert whole.status == "completed" and whole.positions > 55


def test_memory_does_not_grow_with_the_text(loaded: LoadedModel) -> None:
    def peaks(repeat: int) -> tuple[int, int]:
        finished: list[p.ScoreFinished] = []

        def emit(event: p.Event) -> None:
            if isinstance(event, p.ScoreFinished):
                finished.append(event)

        tracemalloc.start()
        command = scoring(("gelu", "relu"), text=TEXT * repeat, context=CONTEXT)
        score(loaded, command, emit, lambda: False)
        _, python = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return finished[0].peak_memory_bytes, python

    # In a short text it depends on the threads whether two chunks are ever held at once.
    short, long = [max(both) for both in zip(*(peaks(4) for _ in range(4)), strict=True)], peaks(16)
    logits = 12 * len(loaded.tokenizer.encode(TEXT)) * 384 * 4  # of what the long text has more
    assert long[0] - short[0] < logits / 20, "MLX"
    assert long[1] - short[1] < logits / 4, "numpy and the tokens themselves"


# --- the tokens -----------------------------------------------------------------------------------


def test_the_tokens_and_their_texts_are_those_of_the_text(loaded: LoadedModel) -> None:
    made = run(loaded, scoring(("gelu_approx", "silu"), text=TEXT, context=CONTEXT), ("a",))
    assert made.text is not None
    bos, *tokens = loaded.tokenizer.encode(TEXT)
    assert (made.text.bos, made.text.ids) == ([bos], tokens)
    assert "".join(made.text.texts) == TEXT
    assert made.text.windows == [at // (CONTEXT - 1) for at in range(len(tokens))]
    for number, columns in enumerate(made.text.variants):
        assert len(columns.logprob) == len(tokens) and None not in columns.logprob
        assert len(columns.kl) == len(columns.same_top_1) == (len(tokens) if number else 0)


def test_of_several_texts_each_is_whole(loaded: LoadedModel) -> None:
    texts = ("Why is the sky 空", "青い blue " * 20, "the")
    command = p.Score(scoring(("gelu",)).settings, documents=texts, context=CONTEXT)
    made = run(loaded, command, ("gelu",))
    assert made.text is not None
    assert "".join(made.text.texts) == "".join(texts)


def test_a_first_token_without_one_before_it_has_no_numbers(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a tokenizer without BOS."""
    plain = replace(loaded, tokenizer=replace(loaded.tokenizer, special_tokens={}))
    monkeypatch.setattr(
        type(plain.tokenizer), "encode", lambda self, text: self.encode_rendered(text)
    )
    made = run(plain, scoring(("gelu_approx", "silu"), text=TEXT, context=CONTEXT), ("a",))
    assert made.text is not None and made.text.bos == []
    assert "".join(made.text.texts) == TEXT
    assert made.positions == made.tokens - made.windows
    for columns in (made.text.variants[1].kl, made.text.variants[0].logprob):
        unscored = [at for at, value in enumerate(columns) if value is None]
        assert unscored == list(range(0, made.tokens, CONTEXT))
