"""Reading a saved comparison back: nothing of it is lost, and what is no comparison is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.restore import read_document, restore
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.comparisons import LOADED, as_older, run_document
from tests.support.made_up import fork_between

_CREATED = datetime(2025, 11, 22, 0, 12, tzinfo=UTC)

floats = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-9, 1e6)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
errors = st.none() | st.builds(ErrorInfo, texts, texts, texts)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """A run as an engine might have told it, ended or not."""
    count = draw(st.integers(1, 4))
    reference = draw(st.integers(0, count - 1))
    infos = tuple(
        p.VariantInfo(f"v{i}", draw(texts), "float32", native=False) for i in range(count)
    )
    schedule: p.Schedule = draw(st.sampled_from(["lockstep", "solo"]))
    comparison = Comparison.begin(
        p.Started(
            draw(texts),
            draw(texts),
            (2, 5),
            infos,
            reference,
            RunSettings(max_tokens=9, schedule=schedule, chat=draw(st.booleans())),
        )
    )
    for stream in range(count):
        if draw(st.booleans()):
            comparison.apply(p.Prefilled(stream, draw(positive), draw(positive)))
    streams = [draw(st.lists(st.integers(0, 3), max_size=6)) for _ in range(count)]
    for step in range(6):
        said = tuple(
            p.StreamStep(i, tokens[step], draw(texts), draw(floats), draw(floats),
                         draw(st.none() | floats), draw(positive))
            for i, tokens in enumerate(streams) if step < len(tokens)
        )  # fmt: skip
        comparison.apply(p.Step(step, draw(positive), said))
    for i in range(count):
        if draw(st.booleans()):
            reason: p.FinishReason = draw(
                st.sampled_from(["stop", "length", "cancelled", "failed"])
            )
            comparison.apply(p.StreamFinished(i, reason, draw(texts), draw(errors)))
        at = comparison.streams[i].first_divergent_token
        if at is not None and at < min(len(streams[i]), len(streams[reference])):
            a, b = (streams[reference][at], draw(texts)), (streams[i][at], "b")
            comparison.apply(fork_between(i, at, a, b, reason=draw(texts)))
    if draw(st.booleans()):
        comparison.apply(p.SelfChecked(p.SelfCheckReport(count, 3, False, draw(positive))))
    if draw(st.booleans()):
        timing = p.Timing(draw(positive), draw(positive), draw(positive), 6, draw(positive))
        status: p.Status = draw(st.sampled_from(["completed", "cancelled", "failed"]))
        comparison.apply(p.Finished(status, timing, draw(st.integers(0, 9)), draw(errors)))
    return comparison


@settings(max_examples=150, deadline=None)
@given(comparisons(), st.sampled_from([None, "failed", "cancelled"]))
def test_nothing_is_lost(comparison: Comparison, status: p.Status | None) -> None:
    saved = document(comparison, LOADED, status=status, created=_CREATED)
    back = read_document(to_json(saved).encode())
    assert back == saved
    again = document(restore(back), LOADED, created=_CREATED)
    assert again == saved


def test_streams_come_back_token_by_token() -> None:
    saved = run_document(texts={"gelu_approx": ["a", " b", " c"], "silu": ["a", " x", " y"]})
    comparison = restore(saved)
    silu = comparison.streams[1]
    assert silu.segments == ["a", " x", " y"]
    assert silu.first_divergent_token == 1
    assert silu.fork is not None and silu.fork.variant_text == " x"
    assert comparison.reference.variant.native
    assert comparison.status == "completed"
    assert silu.generation_tps == saved.variants[1].generation_tps


def test_a_document_without_texts_of_tokens_keeps_its_text() -> None:
    bare = raw(run_document())
    for variant in bare["variants"]:
        for step in variant["steps"]:
            del step["text"], step["decode_s"]
    stream = restore(read_document(json.dumps(bare).encode())).streams[0]
    assert set(stream.segments) == {""}
    assert stream.text == bare["variants"][0]["text"] != ""
    assert stream.generation_tps == pytest.approx(bare["variants"][0]["generation_tps"])


def test_a_run_that_an_earlier_version_saved_is_read_as_it_stands() -> None:
    data = (Path(__file__).parent / "saved" / "comparison-0.1.json").read_bytes()
    saved = read_document(data)
    before, now = json.loads(data), json.loads(to_json(saved))
    for part in ("settings", "model"):  # additions only
        assert now.pop(part).items() >= before.pop(part).items()
    assert [variant.pop("repeats") for variant in now["variants"]] == [None] * 4
    assert [variant.pop("choices") for variant in now["variants"]] == [[]] * 4
    assert [variant.pop("limits") for variant in now["variants"]] == [None] * 4
    tried = [v["fork"].pop("what_if") for v in now["variants"] if v["fork"] is not None]
    assert tried and not any(tried)
    assert now.pop("choices") == now.pop("messages") == []
    assert now == before
    standings = [saved.standing(variant).long for variant in saved.variants]
    assert standings == [
        "the reference",
        "identical (5 tokens)",
        "identical (5 tokens)",
        "diverges at 2",
    ]


def test_statistics_that_contradict_the_streams_are_computed_again() -> None:
    saved = run_document()
    changed = raw(saved)
    changed["variants"][1].update(first_divergent_token=10**9, mean_kl=5.0)
    assert read_document(json.dumps(changed).encode()) == saved


def test_a_document_without_the_functions_can_be_run_again() -> None:
    saved = run_document(texts={"gelu": ["a"], "mine": ["a"]}, formulas={"mine": "x*tanh(x)"})
    found = as_older(saved).settings
    assert found.activations == ("gelu", "mine=x*tanh(x)")
    assert (found.reference, found.model) == (saved.reference, saved.model.id)
    assert found.dtype == saved.model.dtype


# --- what is refused ------------------------------------------------------------------------------


def raw(saved: ComparisonDocument) -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(saved)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b'{"schema": "gelu-tui.bench/1"}', b"null",
     b'{"schema": "gelu-tui.comparison/1"}', b'{"schema": "gelu-tui.comparison/0"}',
     '{"schema": "gelu-tui.comparison/²"}'.encode()],
)  # fmt: skip
def test_garbage(data: bytes) -> None:
    with pytest.raises(GeluError) as caught:
        read_document(data)
    info = caught.value.info
    assert info.kind == "not_a_document"
    assert info.message.startswith("This is not a saved comparison: ")
    assert info.message.count("\n") == 0 and info.hint


def test_documents_that_other_systems_wrote() -> None:
    saved = run_document()
    assert read_document(b"\xef\xbb\xbf" + msgspec.json.encode(saved)) == saved
    with pytest.raises(GeluError, match=r"This is not a saved comparison: it is UTF-16, not UTF-8"):
        read_document(msgspec.json.encode(saved).decode().encode("utf-16"))


def test_a_newer_version_says_so_whatever_else_is_in_it() -> None:
    with pytest.raises(GeluError, match="newer gelu-tui") as caught:
        read_document(b'{"schema": "gelu-tui.comparison/2", "prompt": 5}')
    assert caught.value.info.kind == "too_new"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["variants"][1]["steps"].pop(), "one step for each token"),
        (lambda d: d["variants"][1].update(text="other"), "text of variant 1"),
        (lambda d: d["variants"][1]["fork"].update(step=0), "fork of variant 1"),
        (lambda d: d["variants"][1]["fork"].update(step=-1), "fork of variant 1"),
        (lambda d: d["variants"][1]["fork"].update(step=10**9), "fork of variant 1"),
        (lambda d: d["variants"][1]["fork"]["margins"].clear(), "fork of variant 1"),
        (lambda d: d["variants"][1].update(name="gelu_approx"), "different names"),
        (lambda d: d.update(variants=[]), "1 to 8 variants"),
        (lambda d: d.update(reference="relu"), "none of its variants"),
        (lambda d: d.update(prompt=None), "Expected `str`"),
    ],
)
def test_parts_that_contradict_each_other(change: Any, said: str) -> None:
    changed = raw(run_document(texts={"gelu_approx": ["a", " b"], "silu": ["a", " x"]}))
    change(changed)
    with pytest.raises(GeluError, match=said):
        read_document(json.dumps(changed).encode())
