"""`gelu-tui inputs` on tiny models: what it prints, what it refuses, and how a signal ends it."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

import gelu_tui
from gelu_tui.core.lab.inputs import InputsDocument
from gelu_tui.core.reports.export import INPUTS_FORMATS, exported
from tests.cli.test_signals import running
from tests.support import odd_models, tiny_models
from tests.support.command import UNSAFE, complaint, copying_engine, gelu, soon_gone, wait_for

TEXT = "Why is the sky blue? the sky\x1b[31m is \u202eblue 空が青い\n" * 4
CHOICE = ("-a", "relu,gelu_tanh", "-a", "mine=max(x, 0.1*x)", "--context", "40", "--causal")
STDIN = ("--text", "-")


@pytest.fixture(scope="module")
def document(env: dict[str, str], model: str) -> dict[str, Any]:
    words = ("--model", model, *CHOICE, *STDIN, "--format", "json")
    done = gelu(env, "inputs", *words, stdin=TEXT.encode())
    assert (done.code, done.err) == (0, "")
    assert not UNSAFE.search(done.out)
    found: dict[str, Any] = json.loads(done.raw)
    return found


def test_the_document(document: dict[str, Any], model: str) -> None:
    assert document["schema"] == "gelu-tui.inputs/1"
    assert document["source"] == {"kind": "text", "name": "stdin"}
    assert document["model"]["id"] == model
    assert document["settings"] == {
        "activation_precision": "float32", "causal": True, "context": 40,
    }  # fmt: skip
    assert (document["status"], document["error"], document["reference"]) == (
        "completed", None, "gelu_approx",
    )  # fmt: skip
    assert document["positions"] == document["tokens"] > 100
    assert [(s["layer"], s["site"]) for s in document["layers"]] == [
        (layer, "feed-forward") for layer in range(4)
    ]
    every = document["all"]
    assert every["count"] == sum(s["count"] for s in document["layers"])
    assert every["count"] == document["positions"] * 4 * 128
    for inputs in (every, *document["layers"]):
        assert {"0.005", "0.5", "0.995"} <= inputs["quantiles"].keys()
        ordered = list(inputs["quantiles"].values())
        assert ordered == sorted(ordered)
        assert inputs["minimum"] <= ordered[0] and ordered[-1] <= inputs["maximum"]
        histogram = inputs["histogram"]
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
        assert sum(histogram["counts"]) == inputs["count"]
    assert [f["name"] for f in document["functions"]] == ["relu", "gelu_approx", "mine"]
    for f in document["functions"]:
        assert 0 < f["weighted_rmse"] < f["max_abs_error"]
        assert f["geglu_relative_error"] > 0 and 0 <= f["differs_in_dtype"] <= 1
        assert sum(b["share_of_error"] for b in f["bins"]) == pytest.approx(1)
        assert sum(b["share_of_inputs"] for b in f["bins"]) == pytest.approx(1)
        assert (f["kl"] is None) == (f["name"] == "gelu_approx")
        assert all((b["kl"] is None) == (f["kl"] is None) for b in f["bins"])
    assert document["summary"].startswith("99 % of this model's gate inputs lie in [")
    msgspec.convert(document, InputsDocument)


def test_the_schema_is_that_of_the_document(env: dict[str, str], document: dict[str, Any]) -> None:
    schema = json.loads(gelu(env, "schema", "inputs").raw)
    assert schema["title"] == document["schema"]
    assert set(schema["$defs"]["InputsDocument"]["properties"]) == set(document)
    named = set(schema["$defs"]["InputsFunction"]["properties"])
    assert {name for f in document["functions"] for name in f} <= named


def test_the_report(env: dict[str, str], model: str) -> None:
    narrow = {**env, "COLUMNS": "80"}
    done = gelu(narrow, "inputs", "--model", model, *CHOICE, *STDIN, stdin=TEXT.encode())
    assert (done.code, done.err) == (0, "")
    assert not UNSAFE.search(done.out)
    assert max(map(cell_len, done.out.splitlines())) <= 80
    words = " ".join(done.out.split())
    parts = ("99 % of this model's gate inputs lie in [", "GeGLU error", "in bfloat16")
    for part in (*parts, "relu, by x", "Weighted RMSE by layer", "reads stdin with gelu_approx"):
        assert part in words


def test_every_format_has_the_figures(
    env: dict[str, str], model: str, document: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "a.html"
    words = ("--model", model, "-a", "relu,gelu_tanh", *STDIN, "-o", str(file))
    done = gelu(env, "inputs", *words, stdin=TEXT.encode())
    assert (done.code, done.err, done.out) == (0, "", "")
    made = {"a.html": file.read_text(encoding="utf-8")}
    whole = msgspec.convert(document, InputsDocument)
    made |= {name: exported(whole, name, INPUTS_FORMATS) for name in ("a.csv", "a.md")}
    assert not any(UNSAFE.search(text) for text in made.values())
    rows = list(csv.DictReader(io.StringIO(made["a.csv"])))
    assert {row["layer"] for row in rows} == {"all", *"0123"}
    of = {(row["layer"], row["function"], row["figure"]): float(row["value"] or 0) for row in rows}
    assert of["all", "relu", "weighted_rmse"] > of["0", "relu", "weighted_rmse"] / 10 > 0
    counts = [row for row in rows if row["figure"] == "inputs" and row["layer"] == "all"]
    assert sum(float(row["value"]) for row in counts) == of["all", "", "count"]
    assert "## relu, by x" in made["a.md"] and "| layer |" in made["a.md"]
    assert "<svg" in made["a.html"] and "Distribution of the inputs" in made["a.html"]
    assert "99 % of this model" in made["a.html"] and "99 % of this model" in made["a.md"]


def test_a_saved_run_is_read(env: dict[str, str], model: str, tmp_path: Path) -> None:
    own = {**env, "XDG_DATA_HOME": str(tmp_path)}
    words = ("-a", "silu,mine=0.5*x", "--reference", "mine", "--max-tokens", "9")
    saved = gelu(own, "run", "--model", model, *words, "--format", "json", "Why is the sky")
    run = json.loads(saved.raw)
    done = gelu(own, "inputs", "--run", "last", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.raw)
    assert found["source"] == {"kind": "run", "name": "last"}
    assert [f["name"] for f in found["functions"]] == ["silu", "mine"]
    assert found["reference"] == "mine"
    assert found["positions"] == len(run["prompt_tokens"]) - 1 + len(run["variants"][1]["tokens"])


def test_the_api_returns_what_the_command_prints(
    document: dict[str, Any], model: str, tmp_path: Path
) -> None:
    names = ["relu", "gelu_tanh", "mine=max(x, 0.1*x)"]
    with gelu_tui.Engine(model) as engine:
        inputs = engine.inputs(TEXT, activations=names, context=40, causal=True)
    found = json.loads(inputs.to_json())
    for name in ("layers", "all", "functions", "summary", "positions"):
        assert found[name] == document[name], name
    assert inputs["gelu_tanh"].name == "gelu_approx" and len(inputs) == 3
    assert inputs.summary in repr(inputs) and "Weighted RMSE by layer" in str(inputs)
    assert "<svg" in inputs._repr_html_()
    assert inputs.save(tmp_path / "a.csv").read_text().startswith("layer,site,function,")


# --- bad input, and signals -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Either --text or --run is needed"),
        (STDIN, "The text is empty."),
        (("-a", "nope", *STDIN), "There is no activation function named 'nope'."),
        (("--context", "1", *STDIN), "A window of 1 token"),
    ],
)
def test_wrong_usage(env: dict[str, str], words: tuple[str, ...], sentence: str) -> None:
    stdin = b"" if words == STDIN else b"x"
    told, _ = complaint(gelu(env, "inputs", *words, stdin=stdin), 2)
    assert told.startswith(sentence)


def test_a_function_that_is_not_a_number(env: dict[str, str], tmp_path: Path) -> None:
    loud = str(odd_models.loud(tmp_path))
    words = ("inputs", "--model", loud, "-a", f"gelu,relu,{odd_models.OVERFLOWS}", *STDIN)
    done = gelu(env, *words, "--reference", "gelu", stdin=TEXT.encode())
    assert done.code == 1
    assert done.err.startswith("gelu-tui: 'over' is not a number at x = ")
    assert "'over' is not a number at x = " in " ".join(done.out.split())
    assert "relu" in done.out

    done = gelu(env, *words, "--reference", "over", "--format", "json", stdin=TEXT.encode())
    assert done.code == 1
    assert done.err.startswith("gelu-tui: The logits of 'over' are not numbers")
    found = json.loads(done.raw)
    assert (found["status"], found["all"], found["summary"]) == ("failed", None, "")


def test_all_families_print_their_kinds_of_sites(env: dict[str, str], tmp_path: Path) -> None:
    folder = str(tiny_models.write(tmp_path, "gemma3n"))
    done = gelu(env, "inputs", "--model", folder, "-a", "gelu,relu@gate", *STDIN, stdin=b"the sky")
    assert (done.code, done.err) == (0, "")
    assert "per-layer gate" in done.out and "feed-forward" in done.out
    assert "relu@gate" in done.out


def test_an_interrupt_prints_what_is_found(
    env: dict[str, str], long_model: Path, tmp_path: Path
) -> None:
    events, text = tmp_path / "events", tmp_path / "long.txt"
    text.write_text(TEXT * 3000)
    words = ("--model", str(long_model), "--engine-command", copying_engine(events))
    with running(env, "inputs", *words, "--text", str(text), "--format", "json") as command:
        seen = wait_for(events, b'"event":"inputs_found"')
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.err) == (130, "")
    assert soon_gone(json.loads(seen.splitlines()[0])["pid"])
    found = json.loads(done.raw)
    assert found["status"] == "cancelled"
    assert 0 < found["positions"] < found["tokens"]
    assert found["all"]["count"] == found["positions"] * 4 * 128
