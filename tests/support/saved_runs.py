"""Comparisons without an engine, for tests of what is saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.restore import read_document
from tests.support.commands import started

MODEL = p.ModelInfo("demo", "gemma3_text", "float32", None, "gelu_approx")
LOADED = p.Loaded(
    MODEL, "/models/demo", "cpu", None, {"gelu_tui": "0.1.0"}, 1.5, 32768, False, 10**9
)

_TEXTS = {
    "gelu_approx": ["The", " sky", " is", " blue", "."],
    "gelu": ["The", " sky", " is", " blue", "."],
    "silu": ["The", " sky", " was", " grey", "."],
}


def run_comparison(
    prompt: str = "Why is the sky blue?",
    *,
    texts: Mapping[str, Sequence[str]] = _TEXTS,
    formulas: Mapping[str, str] | None = None,
    finish: p.FinishReason = "length",
    control: str = "",
    kls: Mapping[str, Sequence[float | None]] | None = None,
) -> Comparison:
    """Streams that hold `texts` by name, each token's id made from its text; the first name is the
    reference, and `control` that of the control. `kls` has those of a stream, one a step."""
    infos = tuple(
        p.VariantInfo(
            name,
            (formulas or {}).get(name, "f(x)"),
            "float32",
            name == "gelu_approx",
            name == control,
        )
        for name in texts
    )
    specs = tuple(
        f"{name}={formula}" if (formula := (formulas or {}).get(name)) else name
        for name in texts
        if name != CONTROL
    )
    comparison = Comparison.begin(
        started(
            prompt,
            infos,
            tokens=(2, 5),
            model=LOADED.model.id,
            dtype=LOADED.model.dtype,
            activations=specs,
            control=bool(control),
        )
    )
    names = list(texts)

    def kl(stream: int, step: int) -> float | None:
        own = (kls or {}).get(names[stream])
        return _kl(stream) if own is None else own[step]

    streams = list(texts.values())
    for step in range(max(map(len, streams))):
        said = tuple(
            p.StreamStep(
                i, _id(stream[step]), stream[step], -0.5, 1.5, kl(i, step), (step + 1) / 40
            )
            for i, stream in enumerate(streams)
            if step < len(stream)
        )
        comparison.apply(p.Step(step, (step + 1) / 40, said))
    for i, stream in enumerate(comparison.streams):
        comparison.apply(p.StreamFinished(i, finish))
        at = stream.first_divergent_token
        if at is not None and at < min(len(stream.tokens), len(streams[0])):
            comparison.apply(_fork(i, at, streams[0][at], streams[i][at]))
    return comparison


def run_document(
    prompt: str = "Why is the sky blue?",
    *,
    status: p.Status = "completed",
    texts: Mapping[str, Sequence[str]] = _TEXTS,
    formulas: Mapping[str, str] | None = None,
    control: str = "",
    kls: Mapping[str, Sequence[float | None]] | None = None,
    created: datetime = datetime(2025, 11, 22, 0, 12, tzinfo=UTC),
) -> ComparisonDocument:
    """The document of such a comparison."""
    finish: p.FinishReason = "length" if status == "completed" else "cancelled"
    comparison = run_comparison(
        prompt, texts=texts, formulas=formulas, finish=finish, control=control, kls=kls
    )
    timing = p.Timing(1.5, 0.2, 0.125, 5, 120.0)
    comparison.apply(p.Finished(status, timing, 2 * 10**9))
    return document(comparison, LOADED, created=created)


def as_older(saved: ComparisonDocument) -> ComparisonDocument:
    """The same, read from the JSON of a version whose documents had fewer settings."""
    raw = json.loads(to_json(saved))
    for name in ("model", "dtype", "activations", "reference"):
        del raw["settings"][name]
    return read_document(json.dumps(raw).encode())


def _id(text: str) -> int:
    return sum(ord(char) * (index + 1) for index, char in enumerate(text))


def _kl(stream: int) -> float | None:
    return None if stream == 0 else 0.001 * stream


def _fork(stream: int, step: int, a: str, b: str) -> p.ForkFound:
    top = (p.Candidate(_id(a), a, 0.5), p.Candidate(_id(b), b, 0.25))
    return p.ForkFound(
        stream,
        p.Fork(
            step,
            _id(a),
            _id(b),
            a,
            b,
            top,
            top[::-1],
            {"reference": 0.2, "variant": 0.1},
            {"reference_a": 0.5, "reference_b": 0.25, "variant_a": 0.25, "variant_b": 0.5},
            {"b_in_reference": 1, "a_in_variant": 1},
            reason="forks are not replayed in float32 yet",
        ),
    )
