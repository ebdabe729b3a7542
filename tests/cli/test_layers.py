"""`gelu-tui layers` on a tiny model: what it prints, what it refuses, and how it goes on."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gelu_tui.core.lab.layers import LayersDocument
from gelu_tui.core.reports.export import LAYERS_FORMATS, exported
from tests.cli.test_signals import running
from tests.support.command import TIMEOUT_S, complaint, gelu

TEXT = "Why is the sky blue? the sky is blue 空が青い\n" * 2


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture(scope="module")
def found(env: dict[str, str], model: str, file: str) -> dict[str, Any]:
    """The document of a text, and of what follows it."""
    words = ("--model", model, "-a", "relu,gelu", "--text", file, "--context", "20")
    more = ("--free-running", "--max-tokens", "4", "--format", "json")
    done = gelu(env, "layers", *words, *more)
    assert (done.code, done.err) == (0, "")
    return dict(json.loads(done.raw))


def test_the_document(env: dict[str, str], found: dict[str, Any]) -> None:
    assert (found["schema"], found["reference"]) == ("gelu-tui.layers/1", "gelu_approx")
    assert (found["variant"], found["others"][0]["variant"]) == ("relu", "gelu")
    assert [(each["layer"], each["site"]) for each in found["layers"]] == [
        (layer, "feed-forward") for layer in range(4)
    ]
    assert (found["no_swap_kl"], found["status"]) == (0.0, "completed")
    assert found["positions"] == found["all_positions"] == found["tokens"]
    msgspec.convert(found, LayersDocument)
    schema = json.loads(gelu(env, "schema", "layers").raw)
    assert set(found) == set(schema["$defs"]["LayersDocument"]["properties"])


@pytest.mark.parametrize(("form", "begins"), [("text", "Layer"), ("csv", "variant,")])
def test_it_prints(form: str, begins: str, env: dict[str, str], model: str, file: str) -> None:
    words = ("--model", model, "-a", "relu", "--reference", "gelu", "--text", file)
    done = gelu(env, "layers", *words, "--free-running", "--max-tokens", "4", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(begins)


@pytest.mark.parametrize(("name", "begins"), [("a.md", "# Which"), ("a.html", "<!DOCTYPE")])
def test_other_formats(name: str, begins: str, found: dict[str, Any]) -> None:
    whole = msgspec.convert(found, LayersDocument)
    assert exported(whole, name, LAYERS_FORMATS).startswith(begins)


def test_a_saved_run(env: dict[str, str], model: str, tmp_path: Path) -> None:
    """Its prompt is what generation follows; the reference need not be one of its functions."""
    words = ("--model", model, "-a", "relu,gelu_approx", "--max-tokens", "6", "--raw")
    saved = tmp_path / "run.json"
    saved.write_bytes(gelu(env, "run", *words, "--format", "json", "the sky is blue").raw)
    whole = json.loads(saved.read_bytes())
    more = ("--free-running", "--max-tokens", "6", "--format", "json")
    found = json.loads(gelu(env, "layers", "--run", str(saved), *more).raw)
    relu = next(v for v in whole["variants"] if v["name"] == "relu")
    assert (found["variant"], found["reference"]) == ("relu", "gelu_approx")
    expected = relu["first_divergent_token"]
    assert found["free_running"]["first_divergent_token"] == expected
    other = json.loads(
        gelu(env, "layers", "--run", str(saved), "--reference", "silu", "--format", "json").raw
    )
    assert other["reference"] == "silu"
    assert {other["variant"], *(v["variant"] for v in other["others"])} == {"relu", "gelu_approx"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-a", "gelu_approx"), "'gelu_approx' is the reference, so there is nothing to swap."),
        (("-a", "nonsense"), "There is no activation function named 'nonsense'."),
        (("-a", "relu", "--context", "1"), "A window of 1 token has no token with another one"),
        (("-a", "relu@9"), "All chosen functions are limited"),
        (("-a", "relu@9", "--reference", "gelu"), "This model has 4 layers, 0 to 3"),
    ],
)
def test_refusals(
    words: tuple[str, ...], says: str, env: dict[str, str], model: str, file: str
) -> None:
    done = gelu(env, "layers", "--model", model, "--text", file, *words)
    assert done.code in (1, 2)
    assert says in complaint(done, done.code)[0]


def test_only_limited_functions_need_a_named_reference(
    env: dict[str, str], model: str, file: str
) -> None:
    words = ("layers", "--model", model, "--text", file, "-a", "relu@1", "--format", "json")
    hint = complaint(gelu(env, *words), 2)[1]
    assert hint.startswith("Choose one without @ too, or name it as the reference: ")
    found = json.loads(gelu(env, *words, "--reference", "gelu").out)
    assert (found["reference"], found["variant"]) == ("gelu", "relu@1")
    moved = [layer["layer"] for layer in found["layers"] if layer["noising"]["kl"]]
    assert moved == [1]


def test_an_interrupt_prints_what_there_is_and_the_next_goes_on(
    env: dict[str, str], long_model: Path, tmp_path: Path
) -> None:
    text, home = tmp_path / "long.txt", {**env, "XDG_DATA_HOME": str(tmp_path / "data")}
    text.write_text("the sky is blue " * 30)
    words = ("layers", "--model", str(long_model), "-a", "relu", "--text", str(text),
             "--context", "8", "--format", "json")  # fmt: skip
    with running(home, *words) as command:
        end = time.monotonic() + TIMEOUT_S
        while not list((tmp_path / "data").rglob("layers/*.jsonl")):
            assert time.monotonic() < end and command.process.poll() is None
            time.sleep(0.02)
        command.signal(signal.SIGINT)
        stopped = command.end()
    assert stopped.code == 130
    first = json.loads(stopped.raw)
    assert first["status"] == "cancelled"
    assert 0 < first["positions"] < first["all_positions"]
    done = gelu(home, *words)
    whole = json.loads(done.raw)
    assert (whole["status"], whole["positions"]) == ("completed", whole["all_positions"])
    assert not list((tmp_path / "data").rglob("layers/*.jsonl"))
