"""`gelu-tui score` on tiny models: what it prints, what it refuses, and how a signal ends it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.html.score import score_page
from gelu_tui.core.reports.score import score_report
from gelu_tui.core.scoring.document import ScoreDocument, read_score
from tests.cli.test_signals import running
from tests.support import odd_models
from tests.support.command import UNSAFE, complaint, copying_engine, gelu, soon_gone, wait_for

TEXT = "Why is the sky blue? the sky\x1b[31m is \u202eblue 空が青い\n" * 4
NAMES = ["relu", "gelu_approx", "mine"]
CHOICE = ("-a", "relu,gelu_tanh", "-a", "mine=max(x, 0.1*x)", "--context", "40")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    # A name that could act on a terminal must not.
    path = tmp_path_factory.mktemp("texts") / "a\x1b[31mtext.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture(scope="module")
def document(env: dict[str, str], model: str, file: str) -> dict[str, Any]:
    done = gelu(env, "score", "--model", model, *CHOICE, "--text", file, "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert not UNSAFE.search(done.out)
    return json.loads(done.raw)


def test_the_document(document: dict[str, Any], model: str, file: str) -> None:
    assert document["schema"] == "gelu-tui.score/1"
    assert document["source"] == {"kind": "text", "name": file}
    assert document["model"]["id"] == model
    assert document["settings"] == {
        "activation_precision": "float32", "control": True, "context": 40,
    }  # fmt: skip
    assert (document["status"], document["error"]) == ("completed", None)
    assert document["reference"] == "gelu_approx"
    assert document["positions"] == document["tokens"] > 100
    assert document["windows"] == document["clusters"] == -(-document["tokens"] // 39)
    assert document["timing"]["tokens_per_second"] > 0
    assert document["peak_memory_bytes"] > 500_000
    assert [v["name"] for v in document["variants"]] == [*NAMES, "control"]
    msgspec.convert(document, ScoreDocument)


def test_each_text_is_a_document(env: dict[str, str], model: str, file: str) -> None:
    words = ("--text", file, "--text", "-", "--context", "40", "--format", "json")
    done = gelu(env, "score", "--model", model, "-a", "gelu,relu", *words, stdin=b"a b c d e f")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.raw)
    assert found["source"] == {"kind": "text", "name": f"{file}, stdin"}
    assert (found["documents"], found["cluster"], found["clusters"]) == (2, "document", 2)
    assert found["windows"] > 4, "the first text has several"


def test_every_variant_of_the_document(document: dict[str, Any]) -> None:
    for variant in document["variants"]:
        is_reference = variant["name"] == "gelu_approx"
        assert variant["native"] == is_reference
        assert variant["control"] == (variant["name"] == "control")
        assert variant["precision"] == "float32"
        assert variant["perplexity"] > 1 and variant["perplexity_se"] > 0
        assert variant["perplexity_clustered_se"] > 0
        assert (variant["kl"] is None) == is_reference
        if is_reference:
            continue
        kl = variant["kl"]
        order = ("median", "p90", "p95", "p99", "p99_9", "max")
        assert [kl[name] for name in order] == sorted(kl[name] for name in order)
        assert 0 < kl["se"] < kl["mean"] < kl["max"]
        assert 0 < kl["clustered_se"] < kl["mean"]
        assert [b["below"] for b in variant["kl_buckets"]] == [0.25, 0.5, 0.75, 0.95, None]
        assert sum(b["positions"] for b in variant["kl_buckets"]) == document["positions"]
        assert 0 <= variant["same_top_1"] <= 100
        assert abs(variant["delta_p"]["mean"]) <= variant["delta_p"]["rms"]
    relu, control = document["variants"][0], document["variants"][-1]
    assert relu["times_noise_floor"] == pytest.approx(relu["kl"]["mean"] / control["kl"]["mean"])


def test_the_report(env: dict[str, str], model: str, file: str) -> None:
    done = gelu({**env, "COLUMNS": "80"}, "score", "--model", model, *CHOICE, "--text", file)
    assert (done.code, done.err) == (0, "")
    assert not UNSAFE.search(done.out)
    assert max(map(cell_len, done.out.splitlines())) <= 80
    words = " ".join(done.out.split())
    for part in ("reference, native", "mean KL", "× floor", "same top-1 %", "99.9 %", "≥ 0.95"):
        assert part in words
    assert "a␛[31mtext.txt" in words.replace(" ", "")
    assert "Noise floor: control differs from the reference in the order of" in words
    assert done.out.count("\n" + "mine ") == 5


def test_a_text_on_stdin_and_no_control(env: dict[str, str], model: str) -> None:
    words = ("--model", model, "--no-control", "--activation-precision", "model")
    text = ("score", *words, "-a", "gelu,again=gelu(x)", "--text", "-")
    done = gelu(env, *text, stdin=TEXT.encode())
    assert (done.code, done.err) == (0, "")
    assert "All functions read stdin:" in " ".join(done.out.split())
    assert "engaged" not in done.out, "the formula is the same"
    assert "Noise floor" not in done.out and "functions computed in the model's dtype" in done.out


def test_settings_are_the_defaults(env: dict[str, str], model: str, tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text(
        f'model = "{model}"\nactivations = ["silu", "gelu"]\nreference = "silu"\n'
        'activation_precision = "model"\ncontrol = false\n'
    )
    own = {**env, "GELU_TUI_CONFIG": str(settings)}
    words = ("score", "--text", "-", "--format", "json")
    found = json.loads(gelu(own, *words, stdin=b"the sky is blue").raw)
    assert found["reference"] == "silu"
    assert found["settings"] == {
        "activation_precision": "model", "control": True, "context": 256,
    }  # fmt: skip
    typed = json.loads(gelu(own, *words, "-a", "relu,gelu_approx", stdin=b"the sky").raw)
    assert typed["reference"] == "gelu_approx"


# --- the tokens -----------------------------------------------------------------------------------


def test_every_token_as_json_as_rows_and_in_colour(
    env: dict[str, str], model: str, file: str, document: dict[str, Any], tmp_path: Path
) -> None:
    assert document["text"] is None, "only where they are asked for"
    saved = str(tmp_path / "tokens.json")
    words = ("score", "--model", model, *CHOICE, "--text", file)
    done = gelu(env, *words, "--tokens", "--output", saved)
    assert (done.code, done.err) == (0, "")
    found = json.loads(Path(saved).read_text())
    text = found["text"]
    assert "".join(text["texts"]) == TEXT
    assert text["activations"] == ["relu", "gelu_tanh", "mine=max(x, 0.1*x)"]
    assert len(text["ids"]) == len(text["windows"]) == found["tokens"]
    kl = text["variants"][0]["kl"]
    assert sum(kl) / len(kl) == pytest.approx(found["variants"][0]["kl"]["mean"])
    rows = gelu(env, "show", saved, "--format", "csv")
    assert not UNSAFE.search(rows.out)
    listed = list(csv.DictReader(io.StringIO(rows.out)))
    assert len(listed) == found["tokens"] * 4
    relu = [row for row in listed if row["function"] == "relu"]
    assert [float(row["kl"]) for row in relu] == kl
    assert {row["kl"] for row in listed if row["function"] == "gelu_approx"} == {""}
    delta = [float(row["delta_p"]) for row in relu]
    assert sum(delta) / len(delta) == pytest.approx(found["variants"][0]["delta_p"]["mean"])
    assert gelu(env, *words, "--format", "csv").out == rows.out
    page = gelu(env, "show", saved, "--format", "html")
    assert "The text in colour" in page.out and not UNSAFE.search(page.out)


def test_in_the_app(
    env: dict[str, str], file: str, document: dict[str, Any], tmp_path: Path
) -> None:
    words = ("score", "--app", "--text", file)
    told, hint = complaint(gelu(env, *words, "--format", "json"), 2)
    assert (told, hint) == ("--app shows it on the screen.", "Leave out --format and --output.")
    assert "The app needs a terminal" in complaint(gelu(env, *words), 2)[0]
    saved = tmp_path / "score.json"
    saved.write_text(json.dumps(document))
    told, hint = complaint(gelu(env, "open", str(saved)), 1)
    assert "saved without its tokens" in told and "--tokens" in hint


def test_a_scoring_saved_without_tokens_has_no_rows(
    env: dict[str, str], document: dict[str, Any], tmp_path: Path
) -> None:
    saved = tmp_path / "score.json"
    saved.write_text(json.dumps(document))
    done = gelu(env, "show", str(saved), "--format", "csv")
    assert done.code == 1
    assert "saved without its tokens" in done.err and "--tokens" in done.err
    assert "The text in colour" not in gelu(env, "show", str(saved), "--format", "html").out


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [1]},
        {"windows": [3, 1]},
        {"variants": []},
        {"texts": [7]},
        {"bos": [-1]},
        {"variants": [{"logprob": [0.0] * 3, "kl": [], "same_top_1": []}] * 4},
    ],
)
def test_tokens_that_contradict_each_other(
    change: dict[str, Any], env: dict[str, str], document: dict[str, Any], tmp_path: Path
) -> None:
    columns = {"logprob": [-1.0, None], "kl": [0.5, 1.0], "same_top_1": [True, None]}
    text = {
        "bos": [2], "ids": [5, 6], "texts": ["a", "b"], "windows": [0, 1],
        "variants": [columns] * 4, "activations": ["relu"],
    }  # fmt: skip
    read_score(json.dumps({**document, "text": text}).encode())
    with pytest.raises(GeluError, match="not a saved scoring"):
        read_score(json.dumps({**document, "text": {**text, **change}}).encode())


# --- a saved run ----------------------------------------------------------------------------------


def test_a_saved_run_is_scored_with_its_own_model_and_functions(
    env: dict[str, str], model: str, tmp_path: Path
) -> None:
    own = {**env, "XDG_DATA_HOME": str(tmp_path)}
    words = ("-a", "silu,mine=0.5*x", "--reference", "mine", "--max-tokens", "20")
    saved = gelu(own, "run", "--model", model, *words, "--format", "json", "Why is the sky")
    run = json.loads(saved.raw)
    file = tmp_path / "run.json"
    file.write_bytes(saved.raw)
    fed = len(run["prompt_tokens"]) - 1 + len(run["variants"][1]["tokens"])
    for name in ("last", str(file)):
        done = gelu(own, "score", "--run", name, "--format", "json")
        assert (done.code, done.err) == (0, "")
        found = json.loads(done.raw)
        assert found["source"] == {"kind": "run", "name": name}
        assert (found["positions"], found["model"]["id"]) == (fed, model)
        assert [v["name"] for v in found["variants"]] == ["silu", "mine", "control"]
        assert found["reference"] == "mine"
    other = gelu(own, "score", "--run", "1", "-a", "relu,gelu", "--dtype", "bfloat16",
                 "--reference", "relu", "--format", "json")  # fmt: skip
    found = json.loads(other.raw)
    assert found["model"]["dtype"] == "bfloat16"
    assert (found["reference"], len(found["variants"])) == ("relu", 3)


# --- bad input ------------------------------------------------------------------------------------

NINE = "gelu,gelu_approx,gelu_fast_approx,keras,relu,silu,relu2,mish,identity"
STDIN = ("--text", "-")

USAGE: dict[str, tuple[tuple[str, ...], bytes, str, str]] = {
    "nothing to score": ((), b"", "Either --text or --run is needed.", "See `gelu-tui score"),
    "two things": (("--text", "-", "--run", "1"), b"x", "Either --text", "See `gelu-tui score"),
    "empty": (STDIN, b"", "The text is empty.", "Give some text to read."),
    "blank": (STDIN, b" \n\t\n", "The text is empty.", "Give some text to read."),
    "latin-1": (
        STDIN, b"caf\xe9", "The text on stdin is not valid UTF-8 (byte 3).", "Convert the text"
    ),
    "binary": (
        STDIN, struct.pack("<4i", 7, 8, 9, 10), "The text on stdin is not text: byte 1 is 0.",
        "Choose a text file.",
    ),
    "missing": (("--text", "no/file"), b"", "There is no file no/file.", "Check the path."),
    "a folder": (("--text", "/"), b"", "/ is a folder, not a file.", "Check the path."),
    "no run": (("--run", "no.json"), b"", "'no.json' cannot be read", "Give a JSON file"),
    "nine": (("-a", NINE, *STDIN), b"x", "9 activation functions are too many", "Choose at most"),
    "unknown": (("-a", "nope", *STDIN), b"x", "There is no activation function named", "Known"),
    "reference": (
        ("-a", "gelu", "--reference", "relu", *STDIN), b"x", "The reference 'relu' is not among",
        "Chosen are gelu.",
    ),
    "window of one": (
        ("--context", "1", *STDIN), b"x", "A window of 1 token has no token", "Choose 2 or more."
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "stdin", "sentence", "hint"), USAGE.values(), ids=USAGE)
def test_wrong_usage(
    env: dict[str, str], words: tuple[str, ...], stdin: bytes, sentence: str, hint: str
) -> None:
    told, advice = complaint(gelu(env, "score", *words, stdin=stdin), 2)
    assert told.startswith(sentence)
    assert advice.startswith(hint)


def test_a_window_larger_than_the_context(env: dict[str, str], model: str) -> None:
    words = ("score", "--model", model, "--context", "257", "--text", "-")
    told, advice = complaint(gelu(env, *words, stdin=b"x"), 1)
    assert told == "A window of 257 tokens does not fit this model, whose context holds 256."
    assert advice == "Choose 2 to 256."


def test_a_function_that_is_not_a_number(env: dict[str, str], tmp_path: Path) -> None:
    loud = str(odd_models.loud(tmp_path))
    words = ("score", "--model", loud, "-a", f"gelu,relu,{odd_models.OVERFLOWS}", *STDIN)
    done = gelu(env, *words, stdin=TEXT.encode())
    assert done.code == 1
    assert done.err.startswith("gelu-tui: The logits of 'over' are not numbers")
    assert "The logits of 'over' are not numbers" in " ".join(done.out.split())
    assert "failed" in done.out

    done = gelu(env, *words, "--reference", "over", "--format", "json", stdin=TEXT.encode())
    assert done.code == 1
    assert done.err.startswith("gelu-tui: The logits of 'over' are not numbers")
    found = json.loads(done.raw)
    assert (found["status"], found["positions"]) == ("failed", 0)
    assert found["error"]["kind"] == "not_finite"


# --- signals --------------------------------------------------------------------------------------


# What is printed is made after the end, however that came.
@pytest.mark.parametrize(("output", "killed"), [("text", False), ("json", True)])
def test_an_interrupt_prints_what_is_scored(
    env: dict[str, str], long_model: Path, tmp_path: Path, output: str, killed: bool
) -> None:
    """Also when the engine does not wait for it: the figures are on this side already."""
    events, text = tmp_path / "events", tmp_path / "long.txt"
    text.write_text(TEXT * 2000)
    words = ("--model", str(long_model), "--engine-command", copying_engine(events))
    with running(env, "score", *words, "--text", str(text), "--format", output) as command:
        seen = wait_for(events, b'"event":"score_chunk"')
        command.signal(signal.SIGINT)
        if killed:
            command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.err) == (130, "")
    assert soon_gone(json.loads(seen.splitlines()[0])["pid"])
    if output == "text":
        assert done.out.splitlines()[-1].startswith("Interrupted: these are the figures of ")
        return
    found = json.loads(done.raw)
    assert (found["status"], found["error"]) == ("cancelled", None)
    assert 0 < found["positions"] < found["tokens"]
    assert all(v["perplexity"] > 0 for v in found["variants"])


def test_an_engine_that_dies_leaves_what_is_scored(
    env: dict[str, str], long_model: Path, tmp_path: Path
) -> None:
    events, text = tmp_path / "events", tmp_path / "long.txt"
    text.write_text(TEXT * 2000)
    words = ("--model", str(long_model), "--engine-command", copying_engine(events))
    with running(env, "score", *words, "--text", str(text), "--format", "json") as command:
        seen = wait_for(events, b'"event":"score_chunk"')
        os.kill(json.loads(seen.splitlines()[0])["pid"], signal.SIGKILL)
        done = command.end()
    assert done.code == 1
    assert done.err.startswith("gelu-tui: The engine ")
    found = json.loads(done.raw)
    assert (found["status"], found["error"]["kind"]) == ("failed", "engine_died")
    assert all(v["perplexity"] > 0 for v in found["variants"])


def test_a_page_in_a_file(env: dict[str, str], model: str, tmp_path: Path) -> None:
    file = tmp_path / "score.html"
    words = ("score", "--text", "-", "--model", model, "-a", "gelu,relu", "-o", str(file))
    done = gelu(env, *words, stdin=b"a b c d e <b>f</b>")
    assert (done.code, done.out) == (0, "")
    page = file.read_text()
    assert page.startswith("<!DOCTYPE html>") and "Percentiles of KL" in page


def test_a_saved_scoring_is_shown(
    env: dict[str, str], document: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "score.json"
    file.write_text(json.dumps(document))
    assert json.loads(gelu(env, "show", str(file), "--format", "json").out) == document
    assert "Percentiles of KL" in gelu(env, "show", str(file), "--format", "html").out
    assert "against the reference" in gelu(env, "show", str(file)).out
    told, hint = complaint(gelu(env, "show", str(file), "--format", "markdown"), 2)
    assert (told, hint) == (
        "A scoring has no format markdown.",
        "Give text or json or html or csv.",
    )


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_scoring_is_refused_or_shown(
    document: dict[str, Any], data: st.DataObject
) -> None:
    """Whatever stands in the place of one of its values."""
    changed = json.loads(json.dumps(document))
    place = changed
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    odd = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    place[key] = data.draw(odd | st.just([]) | st.just({}))
    try:
        found = read_score(json.dumps(changed).encode())
    except GeluError as refused:
        assert refused.hint
    else:
        if found is not None:
            assert score_page(found).endswith("</html>\n")
            Console(file=io.StringIO()).print(score_report(found))


def test_yardsticks_on_the_command_line(env: dict[str, str], model: str, file: str) -> None:
    words = ("score", "--model", model, "-a", "gelu_approx,relu", "--text", file, "--context", "40")
    typed = gelu(env, *words, "--yardstick", "q4, again", "--yardstick", "q8", "--format", "json")
    assert (typed.code, typed.err) == (0, "")
    found = json.loads(typed.raw)
    assert [y["name"] for y in found["yardsticks"]] == ["q4", "again", "q8"]
    for yardstick in found["yardsticks"]:
        assert {"name", "mean_kl", "se", "times_floor", "same_top_1"} <= yardstick.keys()
        assert yardstick["mean_kl"] >= 0
    msgspec.convert(found, ScoreDocument)

    by_variable = gelu({**env, "GELU_TUI_SCORE_YARDSTICK": "q8"}, *words)
    assert (by_variable.code, by_variable.err) == (0, "")
    assert "q8: 8-bit weights" in by_variable.out
    assert " what 8-bit weights do." in " ".join(by_variable.out.split())
    assert max(map(cell_len, by_variable.out.splitlines())) <= 80


def test_a_yardstick_that_cannot_be_measured(env: dict[str, str], model: str, file: str) -> None:
    words = ("score", "--model", model, "-a", "gelu_approx,relu", "--text", file)
    done = gelu(env, *words, "--yardstick", "embed-scale,again")
    why = "embed-scale would change nothing: √64 is 8 in this model"
    assert done.code == 1, "as for a function that fails"
    assert why in done.err
    assert why in " ".join(done.out.split()) and "again: other order" in done.out


@pytest.mark.parametrize("name", ["q5", "q8,q5", "Q8", "again ,again,gelu"])
def test_a_yardstick_that_there_is_not(env: dict[str, str], file: str, name: str) -> None:
    done = gelu(env, "score", "--text", file, "--yardstick", name)
    wrong = name.split(",")[-1]
    known = "q8, q4, bf16, embed-scale or again, or some of them with commas"
    assert f"--yardstick must be {known}, not {wrong}." in complaint(done, 2)
