"""The engine as a process: odd input, loading, comparing, cancelling."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import odd_models, tiny_models
from tests.support.engine_process import (
    ENDLESS,
    EngineProcess,
    broken_mlx,
    compare,
    environment,
    failure,
    load,
    step_count,
    tokens_of,
)

EIGHT = ["gelu", "gelu_approx", "gelu_fast_approx", "keras", "relu", "silu", "relu2", "mish"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {
        "gemma": tiny_models.write(folder / "gemma", "gemma"),
        "gemma2": tiny_models.write(folder / "gemma2", "gemma2"),
        "long": odd_models.long_running(folder / "long"),
        "loud": odd_models.loud(folder / "loud"),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def engine(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    # Started where a folder pretends to be MLX: what the user's folder holds is never imported.
    cwd = tmp_path_factory.mktemp("cwd")
    broken_mlx(cwd)
    with EngineProcess(environment(home), cwd=cwd) as process:
        assert process.next()["event"] == "hello"
        yield process


# --- odd input ------------------------------------------------------------------------------------


def test_a_comparison_without_a_model(engine: EngineProcess) -> None:
    engine.send({"command": "load", "model": "/nowhere"})  # whatever was loaded before
    assert failure(engine)["command"] == "load"
    engine.send(compare())
    event = failure(engine)
    assert (event["kind"], event["command"]) == ("no_model", "compare")
    assert event["hint"]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\xff\xfe\x00binary\x80",
        b"[]",
        b'"load"',
        b"{}",
        b'{"command": "explode"}',
        b'{"command": "load"}',
        b'{"command": "load", "model": 3}',
        b'{"command": "compare", "prompt": "x", "settings": {"activations": "gelu"}}',
        b'{"command": "compare", "prompt": "\xff", "settings": {}}',
        b'{"event": "hello", "protocol": 1}',
        b"\x1b[31m" + b"x" * 3_000_000,
        b"[" * 100_000,
    ],
    ids=lambda line: line[:20].decode("utf-8", "backslashreplace"),
)
def test_a_line_that_is_no_command_fails_alone(engine: EngineProcess, line: bytes) -> None:
    engine.send(line + b"\n", b"\n", b"   \r\n")
    assert failure(engine)["kind"] == "protocol"
    engine.send({"command": "cancel"})
    assert engine.quiet(0.1)


def test_unknown_fields_are_ignored(engine: EngineProcess, models: dict[str, str]) -> None:
    engine.send({"command": "load", "model": models["gemma"], "new": {"deep": [1, None]}})
    assert engine.until("loaded", "failed")[-1]["event"] == "loaded"
    engine.send(compare(max_tokens=2, temperature_of_the_room=21.5))
    assert engine.until("finished")[-1]["status"] == "completed"


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (compare("the", "nope"), "unknown_activation"),
        (compare("the", "gelu", "gelu_exact"), "duplicate_activation"),
        (compare("the", *EIGHT, "identity"), "too_many_variants"),
        (compare("the", "f=x*"), "formula"),
        (compare("the", "f=log(x)"), "formula"),
        (compare("the", "relu", reference="silu"), "reference"),
        (compare("the", chat=True), "no_chat_template"),
        (compare("the sky " * 300), "prompt_too_long"),
        ({"command": "bench", "prompt": "the", "rows": [99]}, "usage"),
        ({"command": "bench", "prompt": "the", "tokens": 900}, "prompt_too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_command_that_cannot_be_done(
    engine: EngineProcess, models: dict[str, str], command: dict[str, Any], kind: str
) -> None:
    load(engine, models["gemma"])
    engine.send(command)
    event = failure(engine)
    assert (event["kind"], event["command"]) == (kind, command["command"])


# --- loading --------------------------------------------------------------------------------------


def test_answers_carry_the_id_of_their_command(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    engine.send(
        {"command": "load", "model": models["gemma"], "id": 7},
        {**compare(max_tokens=3), "id": 8},
        {"command": "render_prompt", "prompt": "x", "id": 9},
        {"command": "render_prompt", "prompt": "x", "chat": True, "id": 10},
        b"no command\n",
    )
    names = {"loaded": 7, "finished": 8, "prompt_rendered": 9, "failed": 10}
    seen: dict[str, set[int]] = {}
    ids: list[int] = []
    while 10 not in ids or 0 not in ids:
        event = engine.next()
        ids.append(event["id"])
        if event["id"]:
            seen.setdefault(event["event"], set()).add(event["id"])
    assert {name: seen[name] for name in names} == {name: {n} for name, n in names.items()}
    assert seen["step"] == seen["started"] == seen["stream_finished"] == seen["prefilled"] == {8}
    assert 7 in seen["progress"]


def test_a_second_load_replaces_the_first(engine: EngineProcess, models: dict[str, str]) -> None:
    assert load(engine, models["gemma"])["model"]["native_activation"] == "gelu"
    engine.send(compare(max_tokens=8))
    first = engine.until("finished")
    assert load(engine, models["gemma2"])["model"]["family"] == "gemma2"
    engine.send(compare(max_tokens=8))
    second = engine.until("finished")
    assert tokens_of(first) != tokens_of(second)
    load(engine, models["gemma"])
    engine.send(compare(max_tokens=8))
    assert tokens_of(engine.until("finished")) == tokens_of(first)


def test_a_load_that_fails_leaves_no_model(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["gemma"])
    engine.send({"command": "load", "model": "/nowhere"}, compare())
    assert failure(engine)["kind"] == "model_not_found"
    assert failure(engine)["kind"] == "no_model"
    load(engine, models["gemma"])
    engine.send(compare(max_tokens=2))
    assert engine.until("finished")[-1]["status"] == "completed"


def test_replaced_weights_go_back_to_the_system(
    engine: EngineProcess, models: dict[str, str], tmp_path: Path
) -> None:
    process = psutil.Process(engine.process.pid)
    size = load(engine, str(odd_models.large(tmp_path, 80)))["weight_bytes"]
    assert size > 60_000_000
    with_large = process.memory_info().rss
    load(engine, models["gemma"])
    assert with_large - process.memory_info().rss > 0.8 * size


# --- comparing ------------------------------------------------------------------------------------


def test_eight_variants(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["gemma"])
    engine.send(compare("Why is the sky blue", *EIGHT, max_tokens=6))
    events = engine.until("finished")
    started = events[0]
    assert [v["name"] for v in started["variants"]] == [*EIGHT[:3], "keras_gelu_approx", *EIGHT[4:]]
    assert started["reference"] == 0 and started["variants"][0]["native"]
    assert [e["stream"] for e in events if e["event"] == "prefilled"] == list(range(8))
    first = next(e for e in events if e["event"] == "step")
    assert [s["stream"] for s in first["streams"]] == list(range(8))
    check = next(e for e in events if e["event"] == "self_check")["report"]
    assert check["rows"] == 8
    assert sorted(e["stream"] for e in events if e["event"] == "stream_finished") == list(range(8))
    assert events[-1]["status"] == "completed"


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_a_function_that_overflows_fails_alone(
    engine: EngineProcess, models: dict[str, str], schedule: str
) -> None:
    load(engine, models["loud"])
    engine.send(
        compare("the sky", "gelu", odd_models.OVERFLOWS, "relu", max_tokens=5, schedule=schedule)
    )
    events = engine.until("finished")
    ends = {e["stream"]: e for e in events if e["event"] == "stream_finished"}
    assert [ends[i]["finish_reason"] for i in range(3)] == ["length", "failed", "length"]
    error = ends[1]["error"]
    assert error["kind"] == "not_finite"
    assert error["message"] == (
        "The logits of 'over' stopped being numbers at step 0: "
        "the function makes nan or infinity of inputs that this model produces."
    )
    assert error["hint"]
    assert [len(tokens) for tokens in tokens_of(events)] == [5, 0, 5]
    assert (events[-1]["status"], events[-1]["error"]) == ("completed", None)


def test_a_reference_that_overflows_leaves_the_others(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["loud"])
    engine.send(compare("the sky", odd_models.OVERFLOWS, "gelu", reference="over", max_tokens=4))
    events = engine.until("finished")
    assert [len(tokens) for tokens in tokens_of(events)] == [0, 4]
    steps = [s for e in events if e["event"] == "step" for s in e["streams"]]
    assert all(step["kl"] is None for step in steps)
    assert not any(e["event"] == "fork" for e in events)


def test_if_all_functions_overflow_the_comparison_fails(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["loud"])
    engine.send(compare("the sky", odd_models.OVERFLOWS, "two=2*x*exp(x)/(1+exp(x))"))
    finished = engine.until("finished")[-1]
    assert finished["status"] == "failed"
    assert finished["error"]["kind"] == "not_finite"
    load(engine, models["gemma"])
    engine.send(compare(max_tokens=2))
    assert engine.until("finished")[-1]["status"] == "completed"


# --- cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_cancel_while_decoding(
    engine: EngineProcess, models: dict[str, str], schedule: str
) -> None:
    load(engine, models["long"])
    short = compare(max_tokens=12, schedule=schedule)
    engine.send(short)
    expected = engine.until("finished")
    engine.send(compare(max_tokens=ENDLESS, schedule=schedule))
    started = engine.until("step")
    engine.send({"command": "cancel"})
    events = engine.until("finished")
    assert events[-1]["status"] == "cancelled"
    # How many steps came before the cancel says how busy the machine is, and nothing else.
    assert all(len(tokens) < ENDLESS for tokens in tokens_of([*started, *events]))
    ends = [e["finish_reason"] for e in events if e["event"] == "stream_finished"]
    assert ends == ["cancelled"] * 3
    engine.send(short)
    assert tokens_of(engine.until("finished")) == tokens_of(expected)


def test_cancel_while_the_prompt_is_read(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["long"])
    engine.send(compare("the sky is blue " * 3000, max_tokens=ENDLESS))
    progress = engine.until("progress")[-1]
    assert progress["phase"] == "prefill" and progress["done"] < progress["total"]
    engine.send({"command": "cancel"})
    events = engine.until("finished")
    assert events[-1]["status"] == "cancelled"
    assert step_count(events) == 0


def test_cancel_reaches_waiting_commands_too(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["long"])
    engine.send(compare(max_tokens=ENDLESS))
    engine.until("step")
    engine.send(
        {**compare(max_tokens=ENDLESS), "id": 2},
        {"command": "load", "model": "/nowhere", "id": 3},
        {"command": "cancel"},
    )
    assert engine.until("finished")[-1]["status"] == "cancelled"
    assert engine.next() == {"event": "cancelled", "command": "compare", "id": 2}
    assert engine.next() == {"event": "cancelled", "command": "load", "id": 3}
    engine.send(compare(max_tokens=2))  # the waiting load did not happen
    assert engine.until("finished")[-1]["status"] == "completed"


def test_cancel_with_nothing_running_does_nothing(
    engine: EngineProcess, models: dict[str, str]
) -> None:
    load(engine, models["long"])
    engine.send({"command": "cancel"}, {"command": "cancel"})
    assert engine.quiet(0.2)
    engine.send(compare(max_tokens=3))
    assert engine.until("finished")[-1]["status"] == "completed"


def test_cancel_of_a_bench(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["long"])
    engine.send({"command": "bench", "prompt": "the", "tokens": 100, "rounds": 100, "id": 4})
    engine.until("progress")
    engine.send({"command": "cancel"})
    assert engine.until("cancelled", "bench_report")[-1] == {
        "event": "cancelled",
        "command": "bench",
        "id": 4,
    }


def test_an_interrupt_is_the_apps_to_decide(engine: EngineProcess, models: dict[str, str]) -> None:
    load(engine, models["long"])
    engine.send(compare(max_tokens=40))
    engine.until("step")
    os.killpg(engine.process.pid, signal.SIGINT)
    assert engine.until("finished")[-1]["status"] == "completed"
