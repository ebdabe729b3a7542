"""Every message crosses the wire unchanged; nothing else gets through."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.inventory import HubSize, LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.settings.run_settings import RunSettings

ERROR = ErrorInfo("memory", "Memory ran out.", "Close something.")
TIMING = p.Timing(1.0, None, 0.25, 3, 12.5)
REPORT = p.SelfCheckReport(4, 8, False, 1e-7)

CONTINUE = p.Continue(
    started=p.Started("Hi", "<bos>Hi", (2, 3), (p.VariantInfo("gelu", "x·Φ(x)", "float32"),), 0),
    model=p.ModelInfo("demo", "gemma3_text", "float32", None, "gelu_approx"),
    streams=(p.EarlierStream((5, 6), -0.5, 0.2), p.EarlierStream((), ended=True)),
)

INPUTS: dict[str, Any] = {
    "count": 3, "mean": -0.5, "std": 1.5, "minimum": -2.0, "maximum": 1.0,
    "quantiles": {"0.5": -0.5}, "histogram": p.Histogram((-2.5, 0.0, 1.5), (2, 1)),
}  # fmt: skip

COMMANDS: list[p.Command] = [
    p.Load("demo"),
    p.Load("/a folder/mit Ümläut", "bfloat16"),
    p.ListModels(("/models",)),
    p.AskHub(("maker/gemma", "")),
    p.DeleteModel("demo", dry_run=True),
    p.Fetch("mlx-community/gemma"),
    p.Compare("Why?", RunSettings(activations=("gelu", "a=max(x,0)"))),
    p.Compare(
        "空が\n\x1b[31m\0\u2028青い",
        RunSettings(
            activations=("gelu",),
            reference="gelu",
            max_tokens=1,
            schedule="solo",
            chat=False,
            activation_precision="model",
            seed=2**63 - 1,
        ),
    ),
    p.Compare(
        "",
        messages=(p.ChatMessage("system", "s"), p.ChatMessage("user", "u")),
        choices=("a", ""),
        rows=0,
    ),
    CONTINUE,
    p.Replay(run=CONTINUE),
    p.WhatIf(run=CONTINUE, given=(p.Given(1, (2, 5), -0.5), p.Given(2, (0,)))),
    p.RenderPrompt("空が\n青い", True),
    p.Replay(),
    p.FunctionValues(("gelu", "a=max(x,0)"), -1.5, 2, 65, "bfloat16", "model", speed=True),
    p.Bench("Hi", 1, 2, (3,)),
    p.BenchSweep(("Hi", "空が\n青い"), 2, 3, 4, 5),
    p.Score(RunSettings(activations=("gelu", "a=max(x,0)")), "空が\n青い"),
    p.Score(RunSettings(reference="gelu", control=True), "", (2, 3), 64),
    p.Score(RunSettings(), documents=("空が\n青い", "")),
    p.Candidates(RunSettings(), 1, (2, 3, 4), 2, 5),
    p.Layers(
        RunSettings(activations=("relu",)), "空が", context=9, free_running=True, restart=True
    ),
    p.Layers(RunSettings(activations=("relu",)), tokens=(2, 3, 4), prompt=2),
    p.GateInputs(RunSettings(activations=("gelu",)), "空が", context=9, causal=True),
    p.Cancel(),
    p.Shutdown(),
]

EVENTS: list[p.Event] = [
    p.Hello(1, {"python": "3.11"}, 4711, "/log"),
    p.Progress("download", "weights", 2**40, 2**41, "bytes", 1.5e6),
    p.Loaded(
        p.ModelInfo("demo", "gemma3_text", "float32", {"bits": 4, "mode": "affine"}, "gelu_approx"),
        "/models/demo", "Device(cpu, 0)", None, {}, 1.5, 32768, True, 10**10,
    ),
    p.Fetched("mlx-community/gemma", "/models/gemma"),
    p.ModelsFound(
        (LocalModel(id="demo", source="demo", folder="/demo", state="ready"),), 2, Memory(3, 2, 1),
    ),
    p.HubSizes((HubSize("maker/gemma", 2**33, 2**34),)),
    p.ModelDeleted("demo", "/demo", 2**33),
    p.Started(
        "Hi", "<bos>Hi", (2, 3), (p.VariantInfo("gelu", "x·Φ(x)", "float32", True),), 0,
        RunSettings(max_tokens=9, chat=False, temperature=0.5),
    ),
    p.Started(
        "Hi", "<bos>Hi", (2, 3), (), 0, messages=(p.ChatMessage("user", "Hi"),), choices=("a", "b")
    ),
    p.BatchSize(64, 16),
    p.BatchSize(4, 1, "why"),
    p.PromptRendered("Hi", "<bos>Hi", (2, 3), ("<bos>", "Hi"), (2,), False, True, 256),
    p.Prefilled(1, 0.5, 100.0),
    p.Step(0, 0.1, (p.StreamStep(0, 5, "空", -0.5, 1.0, None, 0.1),)),
    p.Step(1, 0.2, (p.StreamStep(1, 5, "", None, None, 1e-300, 0.2),)),
    p.ForkFound(
        1, p.Fork(
            2, 3, 4, "a", "b", (p.Candidate(3, "a", 0.5),), (p.Candidate(4, "b", 0.25),),
            {"reference": 0.1}, {"reference_a": 0.5}, {"b_in_reference": 1}, "formula", "why",
        ),
    ),
    p.Replayed(),
    p.ForkReplayed(
        1, "rounding", "", p.ForkReplay(
            {"reference": -0.1}, {"reference": 0.4, "variant": None}, {"reference_a": 0.5},
            {"b_in_reference": 1}, (p.Candidate(3, "a", 0.5),), (),
        ),
    ),
    p.WhatIfStep(4, (p.StreamStep(1, 5, "空", -0.5, 1.0, 0.0, 0.1),)),
    p.WhatIfAnswered(1, p.Counterfactual((2,), (5, 6), "空", "stop", True, 4, p.Fork(4, 7, 6))),
    p.WhatIfAnswered(1, p.Counterfactual((2, 5), finish_reason="failed", error=ERROR)),
    p.WhatIfEnded(),
    p.StreamFinished(1, "failed", "\ufffd", ERROR),
    p.ChoicesScored(((p.ChoiceScore(-1.5, 2), p.ChoiceScore(-0.25, 1)), ())),
    p.SelfChecked(REPORT),
    p.SelfChecked(p.SelfCheckReport(2, 3, False, None)),
    p.Finished("cancelled", TIMING, 2**33, ERROR),
    p.ScoreStarted((p.VariantInfo("gelu", "x·Φ(x)", "float32", True, True),), 0, 9, 2, 9, 6),
    p.ScoreChunk((-0.5, -1e-300), (0.5, 1.0), (p.ScoredRow(1, (-2.0,), (1e-12,), (True,)),), 7),
    p.ScoreChunk((-0.5,), (0.5,), (), 7, 3, (2, 3), ("空", "\n")),
    p.CandidatesFound(
        1, 5, (p.Candidate(5, "x", 0.5),), (p.Candidate(6, "", 0.25),),
        p.TokenChance(-0.5, 0), p.TokenChance(-1.5, 3), 0.125, False,
    ),
    p.ScoreFailed(1, ERROR),
    p.ScoreFinished("cancelled", 1.5, 2**33, ERROR),
    p.FunctionValuesFound(
        "bfloat16", "model", "cpu", (-1.5, 2.0), (p.FunctionCurve("a", (None, 2.0), (0.0, 1.0)),),
        (p.FunctionSpeed("a", 1e9, 60.0, 50.0, 70.0),), 2**20,
    ),
    p.InputsStarted((p.VariantInfo("gelu", "x·Φ(x)", "float32", True, True),), 0, 9, 2, 9, 6),
    p.InputsFound(
        9, (p.SiteInputs(layer=3, site="experts", **INPUTS),), p.InputStatistics(**INPUTS),
        (
            p.FunctionOnInputs(
                variant=1, max_abs_error=0.5, at=-2.0, inner_max_abs_error=0.25, inner_at=1.0,
                weighted_rmse=1e-3, geglu_relative_error=None, differs_in_dtype=0.5,
                differs_in_bfloat16=0.25, layers=(p.ErrorAtSite(
                    layer=3, site="experts", max_abs_error=0.5, at=-2.0, weighted_rmse=1e-3,
                    geglu_relative_error=None,
                ),),
                bins=(p.ErrorBin(
                    low=-1.0, high=2.0, share_of_inputs=1.0, share_of_error=None,
                    share_of_geglu_error=1.0, share_of_difference=0.0,
                ),),
            ),
        ),
    ),
    p.InputsKl(1, 9, 0.5, (0.25, 1e-300)),
    p.InputsFailed(1, ERROR),
    p.LayersStarted(
        variants=(p.VariantInfo("gelu", "x", "float32"), p.VariantInfo("relu", "x", "float32")),
        reference=0,
        places=(p.Place(0, "feed-forward"), p.Place(0, "experts")),
        tokens=90,
        windows=2,
        positions=90,
        context=64,
        kept="/data/layers/空.jsonl",
    ),
    p.LayersChunk(
        1, 0, 0, 64, 0, p.Moved(0.0, 0.0), p.Moved(1.5, -2.0),
        (p.SwappedRow(p.Moved(0.5, -1.0), p.Moved(1.0, 1e-9)),),
    ),
    p.LayersFailed(2, ERROR),
    p.FreeRan(1, None, (3, None), 32),
    p.LayersFinished("cancelled", 1.5, 2**33, ERROR),
    p.InputsFinished("cancelled", 1.5, 2**33, ERROR),
    p.BenchReport(
        (p.BenchRow("plain", 1, 0.1, 10.0, 1, 2),), {"a/b": 0.97}, 0.05, (REPORT,), 1, 2, 3, 4,
    ),
    p.BenchedRun((msgspec.Raw(b'{"event": "replayed", "id": 3}'),)),
    p.BenchSweepReport(
        (p.SweepWay("sweep", 64, 9, 2, (0.5, 0.25), 2**33, {"prefill": 0.25}),), ("gelu",),
        1, 2, "why", 3, 4, 5, (REPORT,),
    ),
    p.Failed(ERROR, "load"),
    p.Cancelled("load"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_commands_cross(command: p.Command) -> None:
    line = p.encode(command)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert p.decode_command(line) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_events_cross(event: p.Event) -> None:
    line = p.encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert p.decode_event(line) == event


def test_ids_cross_and_may_be_missing() -> None:
    assert p.decode_command(p.encode(p.Fetch("demo", id=7))).id == 7
    assert p.decode_event(p.encode(p.Cancelled("fetch", id=7))).id == 7
    assert p.decode_command(b'{"command":"load","model":"demo"}').id == 0
    assert p.decode_event(b'{"event":"cancelled","command":"load"}').id == 0
    with pytest.raises(p.ProtocolError):
        p.decode_event(b'{"event":"cancelled","command":"load","id":"7"}')


def test_every_message_can_be_imported_from_the_package() -> None:
    for message in (*p.Command.__subclasses__(), *p.Event.__subclasses__()):
        assert getattr(p, message.__name__) is message


def test_every_message_is_tried_here() -> None:
    assert {type(c) for c in COMMANDS} == set(p.messages_of(p.Command))
    assert {type(e) for e in EVENTS} == set(p.messages_of(p.Event))


@given(st.text())
def test_any_text_crosses(text: str) -> None:
    command = p.Compare(text, RunSettings(activations=(text,)))
    assert p.decode_command(p.encode(command)) == command


def test_what_is_not_finite_crosses_as_none() -> None:
    for value in (float("inf"), float("nan")):
        event = p.SelfChecked(p.SelfCheckReport(2, 3, False, value))
        assert p.decode_event(p.encode(event)) == p.SelfChecked(
            p.SelfCheckReport(2, 3, False, None)
        )


def test_a_path_that_is_not_utf8_still_crosses() -> None:
    assert p.decode_command(p.encode(p.Load("/tmp/\udcff模型"))) == p.Load("/tmp/?模型")
    error = p.Failed(ErrorInfo("x", "No folder \ud800.", ""))
    assert p.decode_event(p.encode(error)) == p.Failed(ErrorInfo("x", "No folder ?.", ""))


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_unknown_fields_are_ignored(event: p.Event) -> None:
    document = json.loads(p.encode(event)) | {"new_in_version_9": [{"a": None}]}
    assert p.decode_event(json.dumps(document).encode()) == event


def test_optional_fields_may_be_missing() -> None:
    assert p.decode_command(b'{"command":"load","model":"demo"}') == p.Load("demo")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"Loading checkpoint shards: 50%\n",
        b"null",
        b"[]",
        b"{}",
        b'{"event":"nonsense"}',
        b'{"event":1}',
        b'{"command":"cancel"}',
        b'{"event":"cancelled"}',
        b'{"event":"cancelled","command":7}',
        b'{"event":"prefilled","stream":"0","seconds":1,"prompt_tps":1}',
        b'{"event":"prefilled","stream":0.5,"seconds":1,"prompt_tps":1}',
        b'{"event":"prefilled","stream":0,"seconds":NaN,"prompt_tps":1}',
        b'{"event":"prefilled","stream":0,"seconds":null,"prompt_tps":1}',
        b'{"event":"progress","phase":"dance","label":"","done":0,"total":0,"unit":"bytes"}',
        b'{"event":"cancelled","command":"load"} trailing',
        b'{"event":"cancelled","command":"lo',
        b'{"event":"cancelled","command":"\xff\xfe"}',
        b'{"event":"cancelled","command":"\\ud800"}',
        b'{"event":"cancelled","command":"load","x":' + b"[" * 100_000,
        b"[" * 1_000_000,
        b"\x00\x01\x02",
        b"\x1b]0;title\x07\x1b[31mred",
        b'{"event":"cancelled","event":"nonsense","command":"load"}',
    ],
    ids=lambda line: repr(line[:40]),
)
def test_garbage_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(p.ProtocolError) as caught:
        p.decode_event(line)
    assert isinstance(caught.value, GeluError)
    assert caught.value.info.kind == "protocol"
    assert len(caught.value.info.message) < 400
    assert "\n" not in caught.value.info.message
    assert "\x1b" not in caught.value.info.message


def test_a_command_that_is_garbage_names_the_app() -> None:
    with pytest.raises(p.ProtocolError, match="The app sent"):
        p.decode_command(b'{"command":"fly"}')


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@st.composite
def _nearly_events(draw: st.DrawFn) -> bytes:
    """A good event with one field replaced by anything, or with some bytes changed."""
    document = json.loads(p.encode(draw(st.sampled_from(EVENTS))))
    document[draw(st.sampled_from(sorted(document)))] = draw(_json)
    line = bytearray(json.dumps(document).encode())
    for _ in range(draw(st.integers(0, 2))):
        line[draw(st.integers(0, len(line) - 1))] = draw(st.integers(0, 255))
    return bytes(line)


@settings(max_examples=500, deadline=1000)
@given(st.one_of(st.binary(max_size=200), _nearly_events()))
def test_any_line_is_an_event_or_a_protocol_error(line: bytes) -> None:
    try:
        event = p.decode_event(line)
    except p.ProtocolError:
        return
    assert p.decode_event(p.encode(event)) == event


@given(st.text(max_size=50))
@example("空が\n青い\x7f\u2028😀\ud800")
def test_a_line_of_ascii_says_the_same(text: str) -> None:
    event = p.PromptRendered(text, text, (), (text,), (), False, False, 8)
    line = p.encode_ascii(event)
    assert line.isascii() and line.endswith(b"\n") and line.count(b"\n") == 1
    assert p.decode_event(line) == p.decode_event(p.encode(event))
