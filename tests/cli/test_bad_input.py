"""What a hostile user gives: each gets one sentence, one hint and the right exit code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import odd_engine, tiny_models
from tests.support.command import complaint, fake_engine, gelu
from tests.support.model_folders import model_folder

NINE = "gelu,gelu_approx,gelu_fast_approx,keras,relu,silu,relu2,mish,identity"


# --- wrong usage: seen before any engine starts --------------------------------------------------

USAGE = {
    "empty prompt": (("run", ""), "The prompt is empty.", "Give some text"),
    "blank prompt": (("run", " \n\t "), "The prompt is empty.", "Give some text"),
    "prompt of several words": (
        ("run", "why", "is", "the sky"),
        "The prompt must be one argument, not 3.",
        "Put it in quotation marks: 'why is the sky'.",
    ),
    "no prompt": (("run",), "Missing argument 'PROMPT'.", "See `gelu-tui run --help`."),
    "no schema": (
        ("schema",),
        "Missing argument 'NAME'. Choose from: comparison, score, inputs, ",
        "See `gelu-tui schema --help`.",
    ),
    "bytes that are no UTF-8": (
        ("run", b"caf\xe9"),
        "The prompt is not valid UTF-8.",
        "Convert the text to UTF-8 first.",
    ),
    "unknown function": (
        ("run", "-a", "gelu,nope", "x"),
        "There is no activation function named 'nope'.",
        "Known are gelu, gelu_approx",
    ),
    "hostile function": (
        ("run", "-a", "\x1b[31mred\u202e", "x"),
        "There is no activation function named '␛[31mred⟨U+202E⟩'.",
        "Known are",
    ),
    "twice by an alias": (
        ("run", "-a", "gelu_approx,gelu_new", "x"),
        "'gelu_approx' is chosen twice.",
        "For a second copy as a control, write again=gelu_approx(x).",
    ),
    "own formula twice": (
        ("run", "-a", "f=x,f=2*x", "x"),
        "'f' is chosen twice.",
        "Give each formula a name of its own.",
    ),
    "nine functions": (
        ("run", "-a", NINE, "x"),
        "9 activation functions are too many for one comparison.",
        "Choose at most 8.",
    ),
    "no function": (
        ("run", "-a", " , ", "x"),
        "No activation function is chosen.",
        "Choose one to eight with --activations.",
    ),
    "built-in name": (
        ("run", "-a", "swish=x", "x"),
        "'swish' is already the name of a built-in activation function.",
        "Give your formula a name of its own.",
    ),
    "nan": (
        ("run", "-a", "f=log(x)", "x"),
        "The formula 'log(x)' is infinite at x = 0.",
        "A formula is tried at 66,967 values",
    ),
    "reference not chosen": (
        ("run", "-a", "gelu,relu", "--reference", "silu", "x"),
        "The reference 'silu' is not among the chosen activation functions.",
        "Chosen are gelu, relu.",
    ),
    "no tokens": (
        ("run", "--max-tokens", "0", "x"),
        "--max-tokens must be a whole number from 1 to 100000, not 0.",
        "At most this many tokens in each stream.",
    ),
    "negative": (
        ("run", "--max-tokens", "-1", "x"),
        "--max-tokens must be a whole number from 1 to 100000, not -1.",
        "At most",
    ),
    "huge": (
        ("run", "--max-tokens", "9" * 30, "x"),
        f"--max-tokens must be a whole number from 1 to 100000, not {'9' * 30}.",
        "At most",
    ),
    "cold": (
        ("run", "--temperature", "-1", "x"),
        "--temperature must be a number from 0 to 100, not -1.",
        "0 takes the most probable token",
    ),
    "hot": (
        ("run", "--temperature", "101", "x"),
        "--temperature must be a number from 0 to 100, not 101.",
        "0 takes",
    ),
    "neither": (
        ("run", "--temperature", "nan", "x"),
        "--temperature must be a number from 0 to 100, not nan.",
        "0 takes",
    ),
    "negative seed": (
        ("run", "--temperature", "1", "--seed", "-1", "x"),
        "--seed must be a whole number from 0 to 9223372036854775807, not -1.",
        "The seed of the random numbers.",
    ),
    "huge seed": (
        ("run", "--seed", "9223372036854775808", "x"),
        "--seed must be a whole number from 0 to 9223372036854775807, not 9223372036854775808.",
        "The seed",
    ),
    "top-p over 1": (
        ("run", "--top-p", "1.5", "x"),
        "--top-p must be a number from 0 to 1, not 1.5.",
        "Sample from the most probable tokens that together have this probability; 1 is off, and 0 "
        "too.",
    ),
    "min-p under 0": (
        ("run", "--min-p", "-0.5", "x"),
        "--min-p must be a number from 0 to 1, not -0.5.",
        "Sample from tokens",
    ),
    "negative top-k": (
        ("run", "--top-k", "-3", "x"),
        "--top-k must be a whole number from 0 to 2147483647, not -3.",
        "Sample from the K most probable tokens; 0 is off.",
    ),
    "model without a name": (
        ("run", "--model", "", "x"),
        '--model must be text, not "".',
        "demo, a folder, or the id",
    ),
    "no engine command": (
        ("run", "--engine-command", "", "x"),
        '--engine-command must be text, not "".',
        "Start the engine by another command",
    ),
    "half a token": (
        ("run", "--top-k", "2.5", "x"),
        "--top-k must be a whole number from 0 to 2147483647, not 2.5.",
        "Sample from",
    ),
    "no number": (
        ("run", "--max-tokens", "many", "x"),
        "--max-tokens must be a whole number from 1 to 100000, not many.",
        "At most",
    ),
    "no value": (
        ("models", "--fetch"),
        "Option '--fetch' requires an argument.",
        "See `gelu-tui models --help`.",
    ),
    "unknown option": (("run", "--nope", "x"), "No such option '--nope'.", "See `gelu-tui run"),
    "unknown choice": (
        ("run", "--schedule", "never", "x"),
        '--schedule must be "lockstep" or "solo", not never.',
        "All functions as rows of one batch",
    ),
    "a prompt with hyphens": (
        ("run", "--find me"),
        "No such option '--find me'.",
        "See `gelu-tui run --help`; a prompt that begins with a hyphen follows `--`:",
    ),
    "unknown option of the app": (("--nope",), "No such option '--nope'.", "See `gelu-tui app"),
    "hostile option": (
        ("run", "--\x1b[31m", "x"),
        "No such option '--\\x1b[31m'.",
        "See `gelu-tui",
    ),
    "empty bench": (("bench", "--prompt", ""), "The prompt is empty.", "Give some text"),
    "bench of nothing": (
        ("bench", "--tokens", "0"),
        "Invalid value for '--tokens': 0 is not in the range 2<=x<=1000.",
        "See `gelu-tui bench --help`.",
    ),
    "no terminal": (
        (),
        "The app needs a terminal on stdin, stdout and stderr.",
        "For scripts and pipes use `gelu-tui run PROMPT`.",
    ),
    "no terminal, but a prompt": (
        ("Why is the sky blue?",),
        "The app needs a terminal on stdin, stdout and stderr.",
        "For scripts and pipes use `gelu-tui run PROMPT`.",
    ),
}


@pytest.mark.parametrize(("words", "sentence", "hint"), USAGE.values(), ids=USAGE)
def test_wrong_usage(
    env: dict[str, str], words: tuple[str | bytes, ...], sentence: str, hint: str
) -> None:
    told, advice = complaint(gelu(env, *words), 2)
    assert told.startswith(sentence)
    assert advice.startswith(hint)


@pytest.mark.parametrize(
    ("formula", "reason", "place"),
    [
        ("x*(1+tanh(x)", "expected ')', found the end", 12),
        ("x**y", "unknown name 'y'", 3),
        ("x.real", "unexpected '.'", 1),
        ('__import__("os").system("true")', "unexpected '\"'", 11),
        ("max(x)", "max takes 2 arguments, not 1,", 0),
    ],
)
@pytest.mark.parametrize("name", ["mine=", ""])
def test_a_malformed_formula_is_pointed_at(
    env: dict[str, str], name: str, formula: str, reason: str, place: int
) -> None:
    done = gelu(env, "run", "-a", f"{name}{formula}", "x")
    told, advice = complaint(done, 2)
    assert told == f"The formula '{formula}' is not usable: {reason} at character {place + 1}."
    assert done.err.splitlines()[1:3] == [f"  {formula}", "  " + " " * place + "^"]
    assert advice.startswith("Allowed are numbers, x, pi, e")


STDIN = {
    "empty": (b"", "The prompt is empty."),
    "a line feed": (b"\n", "The prompt is empty."),
    "latin-1": (
        "Warum ist Käse blau?".encode("latin-1"),
        "The prompt on stdin is not valid UTF-8 (byte 11).",
    ),
    "cut": ("空".encode()[:2], "The prompt on stdin is not valid UTF-8 (byte 0)."),
    "endless": (b"\0" * 5_000_000, "The prompt on stdin is longer than 4,194,304 bytes."),
}


@pytest.mark.parametrize(("stdin", "sentence"), STDIN.values(), ids=STDIN)
def test_a_bad_prompt_on_stdin(env: dict[str, str], stdin: bytes, sentence: str) -> None:
    assert complaint(gelu(env, "run", "-", stdin=stdin), 2)[0] == sentence


def test_no_stdin_at_all(env: dict[str, str]) -> None:
    done = gelu(env, "run", "-", prefix=("sh", "-c", 'exec "$@" <&-', "sh"))
    assert complaint(done, 2)[0] == "The prompt is empty."


# --- models that cannot be used ------------------------------------------------------------------


def not_gemma(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1000])


def far_too_large(folder: Path) -> None:
    """1 TB of weights by their header, all holes."""
    model_folder(folder, "gemma", dtype="F32", vocab_size=10**7, hidden_size=25_000)


MODELS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "not Gemma": (
        not_gemma,
        "This model is of the family 'llama', which gelu-tui does not serve.",
        "Served are gemma, gemma2, gemma3_text, gemma3, gemma3n, gemma4_text, gemma4, "
        "gemma4_unified, recurrent_gemma.",
    ),
    "no weights": (without_weights, "In '{}' there are no weights", "Fetch the model again"),
    "truncated weights": (
        truncated,
        "The weight file '{}/model.safetensors' is not whole: 1,000 bytes are missing at its end.",
        "Fetch it again.",
    ),
    "not enough memory": (
        far_too_large,
        "This model needs 1000.0 GB of memory, and ",
        "Choose a smaller or a quantized model, or close other programs.",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence", "hint"), MODELS.values(), ids=MODELS)
def test_a_model_that_cannot_be_used(
    env: dict[str, str],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    sentence: str,
    hint: str,
) -> None:
    folder = tiny_models.write(tmp_path / "model", "gemma3_text")
    spoil(folder)
    told, advice = complaint(gelu(env, "run", "--model", str(folder), "x"), 1)
    assert told.startswith(sentence.format(folder))
    assert advice.startswith(hint)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./nowhere", "There is no folder './nowhere'."),
        (b"\xff", "There is no folder '?', and it is no hub id."),
        ("a\x1b[31m/b", "There is no folder 'a␛[31m/b', and it is no hub id."),
        (
            "mlx-community/gemma-3-270m-it-bf16",
            "mlx-community/gemma-3-270m-it-bf16 is not on this machine, "
            "and HF_HUB_OFFLINE forbids to ask the hub. No folder has this name either.",
        ),
    ],
    ids=["no folder", "no UTF-8", "hostile", "offline"],
)
def test_a_model_that_is_not_there(env: dict[str, str], name: str | bytes, sentence: str) -> None:
    told, _ = complaint(gelu(env, "run", "--model", name, "x"), 1)
    assert told == sentence


def test_a_prompt_longer_than_the_context(env: dict[str, str], model: str) -> None:
    told, advice = complaint(gelu(env, "run", "--model", model, "the sky " * 300), 1)
    assert told.startswith("The prompt has ") and "context holds 256" in told
    assert advice == "Shorten the prompt."


def test_chat_without_a_template(env: dict[str, str], model: str) -> None:
    told, advice = complaint(gelu(env, "run", "--model", model, "--chat", "x"), 1)
    assert told == "This model has no chat template."
    assert advice == "Use --raw to feed the prompt as it is."


# --- engines that misbehave ----------------------------------------------------------------------


def odd(behaviour: str) -> str:
    return shlex.join([sys.executable, str(odd_engine.__file__), behaviour])


ENGINES = {
    "not found": (
        "no-such-command --at all",
        "The engine command 'no-such-command --at all' cannot be started: "
        "No such file or directory.",
        "Check --engine-command.",
    ),
    "blank": (" ", "The engine command is empty.", "Check --engine-command."),
    "bad quotes": ("'", "The engine command ''' cannot be started", "Check --engine-command."),
    "dies at once": (
        odd("dies_at_once"),
        "The engine ended with exit code 1: ModuleNotFoundError: No module named ␛[31m'mlx'.",
        "Install gelu-tui again where the engine runs.",
    ),
    "dies later": (
        odd("dies_quietly"),
        "The engine ended with exit code 7.",
        "Its log is /the/engine.log.",
    ),
    "no engine": (
        "echo hello",
        "The engine ended with exit code 0: hello.",
        "Check --engine-command.",
    ),
    "wrong version": (
        odd("wrong_version"),
        "The engine speaks protocol version 99, this app 3 (gelu-tui 0.",
        "Update gelu-tui here.",
    ),
    "garbage": (odd("prints_garbage"), "The engine sent a line", "Use the same version"),
}


@pytest.mark.parametrize(("command", "sentence", "hint"), ENGINES.values(), ids=ENGINES)
def test_an_engine_that_misbehaves(
    env: dict[str, str], command: str, sentence: str, hint: str
) -> None:
    told, advice = complaint(gelu(env, "run", "--engine-command", command, "x"), 1)
    assert told.startswith(sentence)
    assert advice.startswith(hint)


@pytest.mark.parametrize("scenario", ["dies", "garbage", "bad_stream"])
def test_an_engine_that_fails_half_way_leaves_what_there_was(
    env: dict[str, str], scenario: str
) -> None:
    words = ("-a", "gelu,silu", "--engine-command", fake_engine(scenario), "--format", "json")
    done = gelu(env, "run", *words, "x")
    assert done.code == 1
    assert done.err.startswith("gelu-tui: The engine ")
    document = json.loads(done.raw)
    assert document["status"] == "failed"
    assert f"gelu-tui: {document['error']['message']}" == done.err.splitlines()[0]
    assert [len(v["tokens"]) for v in document["variants"]] == [6, 6]
    assert {v["finish_reason"] for v in document["variants"]} == {"failed"}
