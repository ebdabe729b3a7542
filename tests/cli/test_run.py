"""`gelu-tui run` on a tiny model: what it prints in each format, and only there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.runs.document import ComparisonDocument
from tests.support import odd_models, tiny_models
from tests.support.command import UNSAFE, Done, gelu
from tests.support.folder_variations import edit_json

# Escapes, bidi overrides and C1 controls: data for a model, poison for a terminal.
PROMPT = "the sky\x1b[31m is \u202eblue\x9b2J é空"
OWN = "mine=where(x, max(x, 0), 0.1*x)"
NAMES = ["relu", "gelu_approx", "gelu", "silu", "mine"]
STEPS = 12
# an alias, commas inside parentheses, blanks, the option twice
CHOICE = ("-a", "relu, gelu_tanh,gelu_erf", "-a", f"swish,{OWN}")


@pytest.fixture(scope="module")
def options(model: str) -> tuple[str, ...]:
    return ("--model", model, "--max-tokens", str(STEPS), *CHOICE)


@pytest.fixture(scope="module")
def lockstep(env: dict[str, str], options: tuple[str, ...]) -> Done:
    return gelu(env, "run", *options, "--format", "json", PROMPT)


@pytest.fixture(scope="module")
def document(lockstep: Done) -> dict[str, Any]:
    assert (lockstep.code, lockstep.err) == (0, "")
    return json.loads(lockstep.raw)


@pytest.fixture(scope="module")
def text(env: dict[str, str], options: tuple[str, ...]) -> str:
    done = gelu(env, "run", *options, PROMPT)
    assert (done.code, done.err) == (0, "")
    return done.out


# --- JSON, field for field ------------------------------------------------------------------------

NUMBER, TEXT = (int, float), str
OPTIONAL_NUMBER = (int, float, type(None))

FIELDS = {
    "schema": TEXT,
    "created": TEXT,
    "versions": dict,
    "device": TEXT,
    "model": dict,
    "settings": dict,
    "prompt": TEXT,
    "prompt_tokens": list,
    "reference": TEXT,
    "status": TEXT,
    "error": type(None),
    "timing": dict,
    "variants": list,
    "noise_floor": type(None),
}
MODEL_FIELDS = {
    "id": TEXT,
    "family": TEXT,
    "dtype": TEXT,
    "quantization": type(None),
    "native_activation": TEXT,
}
SETTINGS_FIELDS = {
    "max_tokens": int,
    "temperature": NUMBER,
    "seed": type(None),
    "schedule": TEXT,
    "chat": bool,
    "activation_precision": TEXT,
}
TIMING_FIELDS = {
    "load_s": NUMBER,
    "prefill_s": NUMBER,
    "decode_s": NUMBER,
    "decode_steps": int,
    "tokens_per_second": NUMBER,
}
VARIANT_FIELDS = {
    "name": TEXT,
    "formula": TEXT,
    "precision": TEXT,
    "tokens": list,
    "text": TEXT,
    "finish_reason": TEXT,
    "time_to_first_token_s": NUMBER,
    "prompt_tps": NUMBER,
    "generation_tps": NUMBER,
    "first_divergent_token": (int, type(None)),
    "steps": list,
    "fork": (dict, type(None)),
    "control": bool,
    "mean_kl": OPTIONAL_NUMBER,
    "times_noise_floor": OPTIONAL_NUMBER,
}
FORK_FIELDS = {
    "step": int,
    "reference_token": int,
    "variant_token": int,
    "verdict": TEXT,
    "reference_top": list,
    "variant_top": list,
    "margins": dict,
    "probabilities": dict,
    "ranks": dict,
    "explanation": TEXT,
}
REPLAY_FIELDS = {
    "margins": dict,
    "probabilities": dict,
    "ranks": dict,
    "reference_top": list,
    "variant_top": list,
}


def check(found: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        assert isinstance(found[name], kind), (name, found[name])


def test_json_has_the_fields_of_the_design(document: dict[str, Any]) -> None:
    check(document, FIELDS)
    check(document["model"], MODEL_FIELDS)
    check(document["settings"], SETTINGS_FIELDS)
    check(document["timing"], TIMING_FIELDS)
    assert document["schema"] == "gelu-tui.comparison/1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["created"])
    assert set(document["versions"]) == {"gelu_tui", "mlx", "mlx_lm", "python"}
    for variant in document["variants"]:
        check(variant, VARIANT_FIELDS)
        for step in variant["steps"]:
            check(step, {"logprob": NUMBER, "margin": NUMBER, "kl": OPTIONAL_NUMBER})


def test_json_says_what_was_asked(document: dict[str, Any], model: str) -> None:
    assert document["prompt"] == PROMPT
    assert document["prompt_tokens"][0] == 2
    assert all(isinstance(token, int) for token in document["prompt_tokens"])
    assert document["model"]["id"] == model
    assert document["settings"] == {
        "model": model,
        "dtype": document["model"]["dtype"],
        "activations": ["relu", "gelu_tanh", "gelu_erf", "swish", OWN],
        "reference": "gelu_approx",
        "max_tokens": STEPS,
        "temperature": 0.0,
        "seed": None,
        "schedule": "lockstep",
        "chat": False,
        "activation_precision": "float32",
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "stop_repeats": False,
        "control": False,
        "replay": True,
        "what_if": False,
    }
    assert [v["name"] for v in document["variants"]] == NAMES
    assert document["variants"][-1]["formula"] == "where(x, max(x, 0), 0.1*x)"
    assert document["reference"] == "gelu_approx"  # native, though not first


def test_json_is_consistent(document: dict[str, Any]) -> None:
    assert (document["status"], document["error"]) == ("completed", None)
    reference = document["variants"][NAMES.index("gelu_approx")]
    for variant in document["variants"]:
        assert len(variant["steps"]) == len(variant["tokens"]) <= STEPS
        assert (variant["finish_reason"] == "length") == (len(variant["tokens"]) == STEPS)
        assert all(step["logprob"] <= 0 and step["margin"] >= 0 for step in variant["steps"])
        assert variant["time_to_first_token_s"] > 0 and variant["generation_tps"] > 0
        pairs = enumerate(zip(reference["tokens"], variant["tokens"], strict=False))
        differs = next((step for step, (a, b) in pairs if a != b), None)
        assert variant["first_divergent_token"] == differs
    timing = document["timing"]
    total = sum(len(variant["tokens"]) for variant in document["variants"])
    assert timing["decode_steps"] == STEPS
    assert timing["tokens_per_second"] == pytest.approx(total / timing["decode_s"])


def test_kl_is_given_until_the_fork_and_only_there(document: dict[str, Any]) -> None:
    forked = 0
    for variant in document["variants"]:
        kls = [step["kl"] for step in variant["steps"]]
        if variant["name"] == document["reference"]:
            assert kls == [None] * len(kls)
            assert variant["fork"] is None and variant["first_divergent_token"] is None
            continue
        fork = variant["first_divergent_token"]
        forked += fork is not None
        valid = len(kls) if fork is None else fork + 1
        assert all(kl is not None and kl >= 0 for kl in kls[:valid])
        assert kls[valid:] == [None] * (len(kls) - valid)
    assert forked >= 2  # or this says little


def test_forks(document: dict[str, Any]) -> None:
    reference = document["variants"][NAMES.index("gelu_approx")]
    for variant in document["variants"]:
        fork, step = variant["fork"], variant["first_divergent_token"]
        assert (fork is None) == (step is None)
        if fork is None:
            continue
        check(fork, FORK_FIELDS)
        assert fork["step"] == step
        assert fork["reference_token"] == reference["tokens"][step]
        assert fork["variant_token"] == variant["tokens"][step]
        assert fork["verdict"] in ("formula", "tie") and not fork["reason"]  # it was in float32
        check(fork["replay"], REPLAY_FIELDS)
        assert fork["replay"]["margins"] == pytest.approx(fork["margins"], abs=1e-3)
        assert all(margin >= 0 for margin in fork["margins"].values())
        for side, token in (("reference", "reference_token"), ("variant", "variant_token")):
            top = fork[f"{side}_top"]
            assert len(top) == 10 and top[0]["id"] == fork[token]
            chances = [candidate["probability"] for candidate in top]
            assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.0001
            assert all(isinstance(candidate["text"], str) for candidate in top)


def test_json_decodes_as_the_documented_type(lockstep: Done) -> None:
    whole = msgspec.json.decode(lockstep.raw, type=ComparisonDocument, strict=True)
    assert [variant.name for variant in whole.variants] == NAMES
    assert whole.self_check is not None and whole.self_check.rows == len(NAMES)
    assert whole.peak_memory_bytes > 0


def test_solo_gives_the_same_tokens(
    env: dict[str, str], options: tuple[str, ...], document: dict[str, Any]
) -> None:
    words = ("--schedule", "solo", "--reference", "swish", "--format", "json")
    done = gelu(env, "run", *options, *words, PROMPT)
    solo = json.loads(done.raw)
    assert solo["settings"]["schedule"] == "solo"
    assert solo["reference"] == "silu"  # by its alias
    both = zip(solo["variants"], document["variants"], strict=True)
    assert all(a["tokens"] == b["tokens"] and a["text"] == b["text"] for a, b in both)
    silu = solo["variants"][NAMES.index("silu")]
    assert all(step["kl"] is None for step in silu["steps"])


# --- events ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(env: dict[str, str], options: tuple[str, ...]) -> list[bytes]:
    """Events of a run whose prompt comes from stdin."""
    stdin = PROMPT.encode() + b"\n"
    done = gelu(env, "run", *options, "--format", "jsonl", "-", stdin=stdin)
    assert (done.code, done.err) == (0, "")
    assert UNSAFE.search(done.out) is None
    return done.raw.splitlines()


def test_jsonl_is_the_protocol(lines: list[bytes], document: dict[str, Any]) -> None:
    events = [p.decode_event(line) for line in lines]
    assert isinstance(events[0], p.Hello)
    assert isinstance(events[-1], p.Finished)
    kinds = [type(event) for event in events]
    assert kinds.index(p.Loaded) < kinds.index(p.Started) < kinds.index(p.Step)
    assert kinds.count(p.Step) == STEPS
    started = next(event for event in events if isinstance(event, p.Started))
    assert started.prompt == PROMPT  # without stdin's last line feed
    assert list(started.prompt_tokens) == document["prompt_tokens"]
    steps = [s for event in events if isinstance(event, p.Step) for s in event.streams]
    for index, variant in enumerate(document["variants"]):
        mine = [step for step in steps if step.stream == index]
        assert [step.token for step in mine] == variant["tokens"]
        assert "".join(step.text for step in mine) in variant["text"]


# --- text -----------------------------------------------------------------------------------------


def test_text_marks_the_first_divergent_token_without_colour(
    text: str, document: dict[str, Any]
) -> None:
    assert "\x1b" not in text
    forked = [v for v in document["variants"] if v["fork"] is not None]
    assert text.count("►") == text.count("◄") == len(forked)
    for variant in forked:
        at = variant["first_divergent_token"]
        found = re.search(rf"{variant['name']} .*─ diverges at {at} · (\w+)\n", text)
        assert found is not None and found[1] == variant["fork"]["verdict"]
        assert " ".join(variant["fork"]["explanation"].split()) in " ".join(text.split())
    assert re.search(r"^gelu_approx  0\.5x.* ─+ the reference$", text, re.MULTILINE)


def test_text_fits_80_columns_and_loses_nothing(text: str, document: dict[str, Any]) -> None:
    assert max(map(cell_len, text.splitlines())) <= 80
    assert text == re.sub(r" +$", "", text, flags=re.MULTILINE)
    for variant in document["variants"]:
        assert variant["name"] in text and variant["formula"] in text
    assert "(native)" in text and "one function on 5 rows" in text


def test_hostile_text_never_reaches_stdout_raw(text: str, lockstep: Done) -> None:
    for printed in (text, lockstep.out):
        assert UNSAFE.search(printed) is None
    assert json.loads(lockstep.raw)["prompt"] == PROMPT


# --- settings -------------------------------------------------------------------------------------


def test_a_chat_template_is_used_unless_raw(env: dict[str, str], chat_model: str) -> None:
    words = ("run", "--model", chat_model, "--max-tokens", "2", "-a", "gelu", "--format", "json")
    chat = json.loads(gelu(env, *words, "the sky").raw)
    raw = json.loads(gelu(env, *words, "--raw", "the sky").raw)
    assert (chat["settings"]["chat"], raw["settings"]["chat"]) == (True, False)
    start_of_turn = 4
    assert chat["prompt_tokens"].count(start_of_turn) == 2
    assert chat["prompt_tokens"].count(2) == raw["prompt_tokens"].count(2) == 1
    assert chat["prompt"] == raw["prompt"] == "the sky"


def test_the_models_own_precision_and_dtype(env: dict[str, str], model: str) -> None:
    words = ("--activation-precision", "model", "--dtype", "bfloat16", "--format", "json")
    done = gelu(env, "run", "--model", model, "--max-tokens", "300", *words, "the sky")
    document = json.loads(done.raw)
    assert document["model"]["dtype"] == "bfloat16"
    assert {v["precision"] for v in document["variants"]} == {"model"}
    names = ["gelu", "gelu_approx", "gelu_fast_approx", "keras_gelu_approx"]
    assert [v["name"] for v in document["variants"]] == names
    # The context ends before the tokens that were asked for do: that is said, and not on stdout.
    room = document["settings"]["max_tokens"]
    assert room == 256 - len(document["prompt_tokens"])
    assert done.err == (
        f"gelu-tui: The context has room for {room} tokens after this prompt, not 300.\n"
    )


@pytest.mark.parametrize("output", ["text", "json"])
def test_what_of_the_configuration_is_not_computed_is_told_on_stderr(
    env: dict[str, str], tmp_path: Path, output: str
) -> None:
    edit_json(tiny_models.write(tmp_path, "gemma") / "config.json", hidden_act="silu")
    words = ("run", "--model", str(tmp_path), "-a", "gelu", "--max-tokens", "2")
    done = gelu(env, *words, "--format", output, "the sky")
    said = (
        'hidden_act in config.json is ignored: it is "silu", and mlx-lm computes gemma with gelu.'
    )
    assert (done.code, done.err) == (0, f"gelu-tui: {said}\n")
    if output == "json":
        assert json.loads(done.raw)["model"]["warnings"] == [said]


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_a_stream_that_fails_is_told_on_stderr_and_by_the_exit_code(
    env: dict[str, str], tmp_path: Path, output: str
) -> None:
    loud = str(odd_models.loud(tmp_path))
    functions = f"gelu,{odd_models.OVERFLOWS},relu"
    words = ("run", "--model", loud, "-a", functions, "--max-tokens", "4", "--format", output)
    done = gelu(env, *words, "the sky")
    assert done.code == 1
    (sentence,) = re.findall(r"^gelu-tui: (.*)$", done.err, re.MULTILINE)
    assert sentence.startswith("The logits of 'over' stopped being numbers at step 0: the function")
    assert b"relu" in done.raw, "the other streams are printed"
