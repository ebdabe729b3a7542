"""`gelu-tui activations`, help and version: readable at 80 columns, nothing cut off."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex

import click
import pytest
from rich.cells import cell_len

from gelu_tui.cli.app import app_command
from gelu_tui.cli.tree import tree
from gelu_tui.core.functions.registry import NATIVE_OF, REGISTRY
from gelu_tui.core.models.families import FAMILIES
from tests.support.command import complaint, gelu


def test_text_at_80_columns(env: dict[str, str]) -> None:
    done = gelu(env, "activations")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in done.out and "\x1b" not in done.out
    for activation in REGISTRY.values():
        # name and formula on one line, all aliases on another
        assert any(re.match(rf"{activation.name} +{re.escape(activation.formula)}  ", line)
                   for line in lines)  # fmt: skip
        if activation.aliases:
            aliases = re.escape(", ".join(activation.aliases))
            assert any(re.fullmatch(rf"{activation.name} +{aliases}", line) for line in lines)
    for name, families in NATIVE_OF.items():
        assert f"{name} in {', '.join(families)}" in " ".join(lines)


def test_errors_are_those_measured_elsewhere(env: dict[str, str]) -> None:
    document = json.loads(gelu(env, "activations", "--format", "json").raw)
    assert document["schema"] == "gelu-tui.activations/1"
    found = {entry["name"]: entry for entry in document["activations"]}
    assert list(found) == list(REGISTRY)
    for entry in found.values():
        assert {"name", "formula", "expression", "aliases", "native_of", "max_error",
                "max_error_at"} <= set(entry)  # fmt: skip
    assert (found["gelu"]["max_error"], found["gelu"]["aliases"]) == (0, ["gelu_exact", "gelu_erf"])
    assert found["gelu_approx"]["native_of"] == [n for n in FAMILIES if n != "gemma"]
    # max abs error against erf in float64, and where, by a computation of its own
    measured = {
        "gelu_approx": (4.73e-4, 2.70),
        "gelu_fast_approx": (0.0203, 2.27),
        "silu": (0.193, 1.97),
        "relu": (0.170, 0.75),
    }
    for name, (error, place) in measured.items():
        assert found[name]["max_error"] == pytest.approx(error, rel=0.005)
        assert abs(found[name]["max_error_at"]) == pytest.approx(place, abs=0.02)


PROPERTIES = {"smooth", "differentiable", "monotonic", "negative", "minimum"}


def test_properties_in_every_format(env: dict[str, str]) -> None:
    text = gelu(env, "activations").out
    assert set(text.split()) >= PROPERTIES
    assert re.search(r"^relu +no +not at 0 +yes +no +0 at x ≤ 0$", text, re.MULTILINE)
    (document,) = (json.loads(gelu(env, "activations", "--format", "json").raw),)
    assert document["x"] == [] and document["dtype"] is None, "nothing that was not asked for"
    rows = list(csv.DictReader(io.StringIO(gelu(env, "activations", "--format", "csv").out)))
    for row, entry in zip(rows, document["activations"], strict=True):
        assert set(entry) >= PROPERTIES
        assert row["name"] == entry["name"] and float(row["max_error"]) == entry["max_error"]
        assert row["differentiable"] == str(int(entry["differentiable"]))
    markdown = gelu(env, "activations", "--format", "markdown").out
    assert (
        "| name | smooth | differentiable |" in markdown and "| relu | no | not at 0 |" in markdown
    )


def test_a_page_with_curves(env: dict[str, str]) -> None:
    words = ("-a", "gelu,relu,f=where(x,x,0)", "--range", "-3,2", "--format", "html")
    page = gelu(env, "activations", *words).out
    assert page.count("<svg") >= 4 and "<polyline" in page
    assert "http" not in page.replace("http-equiv", "")


def test_own_formulas_over_a_range_in_which_they_are_not_finite(env: dict[str, str]) -> None:
    words = ("-a", "gelu,root=sqrt(x+61)", "--range", "-100,-50", "--format", "json")
    document = json.loads(gelu(env, "activations", *words).raw)
    assert document["range"] == [-100, -50]
    root = document["activations"][1]
    assert root["own"] and root["undefined_at"] == pytest.approx(-61, abs=0.2)
    lost = [x for x, y in zip(document["x"], root["curve"]["values"], strict=True) if y is None]
    assert lost == [x for x in document["x"] if x < -61]
    assert "root has no finite value at x = " in gelu(env, "activations", *words[:-2]).out


def test_values_and_speed_of_the_engine(env: dict[str, str]) -> None:
    words = ("-a", "gelu,gelu_tanh,identity", "--dtype", "bfloat16", "--speed")
    document = json.loads(gelu(env, "activations", *words, "--format", "json").raw)
    assert (document["dtype"], document["precision"]) == ("bfloat16", "float32")
    exact, tanh, identity = document["activations"]
    assert exact["speed"]["ratio"] == 1 and tanh["speed"]["per_second"] > 0
    assert identity["speed"] is None, "it computes nothing"
    assert 1e-3 < exact["dtype_error"]["value"] < 0.02, "half a step of bfloat16 near 4"
    assert len(document["x"]) == len(tanh["curve"]["derivatives"]) > 200
    text = gelu(env, "activations", *words).out
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "million/s" in text and "max in bfloat16" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--range", "6,-6"), "A range from 6 to -6 has no width."),
        (("--range", "six"), "'six' is not a range of x."),
        (("--range", "0,1e9"), "A range from 0 to 1e+09 goes too far."),
        (("--dtype", "int8"), "'int8' is not one of"),
        (("-a", "f=x,f=x*x"), "'f' is chosen twice."),
        (("-a", "gelo"), "There is no activation function named 'gelo'."),
        (("-a", "f=log(x)"), "The formula 'log(x)' is infinite at x = 0."),
    ],
)
def test_what_is_refused(env: dict[str, str], words: tuple[str, ...], sentence: str) -> None:
    assert sentence in complaint(gelu(env, "activations", *words), 2)[0]


def test_an_engine_that_does_not_start(env: dict[str, str]) -> None:
    words = ("--speed", "--engine-command", "false")
    assert "engine" in complaint(gelu(env, "activations", *words), 1)[0]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("-h",),
        ("app", "-h"),
        ("run", "--help"),
        ("activations", "-h"),
        ("bench", "-h"),
    ],
    ids=" ".join,
)
def test_help_at_80_columns(env: dict[str, str], words: tuple[str, ...]) -> None:
    done = gelu(env, *words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: gelu-tui ")
    assert max(map(cell_len, done.out.splitlines())) <= 80
    assert "..." not in done.out.replace("[ARGS]...", "")  # no sentence is cut off


def test_help_names_every_shared_option(env: dict[str, str]) -> None:
    text = gelu(env, "run", "--help").out
    for option in (
        "--model",
        "-a, --activations",
        "--reference",
        "--max-tokens",
        "--schedule",
        "--chat / --raw",
        "--activation-precision",
        "--dtype",
        "--color",
        "--engine-command",
        "--format",
    ):
        assert option in text


def test_help_without_a_command_tells_the_apps_own_options(env: dict[str, str]) -> None:
    text = " ".join(gelu(env, "--help").out.split())
    options = gelu(env, "app", "--help").out.partition("Options:")[2].partition("  -h, --help")[0]
    assert "[default: 256]" in options
    assert " ".join(options.split()) in text


def test_the_examples_of_the_help_are_commands_that_exist(env: dict[str, str]) -> None:
    lines = gelu(env, "--help").out.partition("Examples:\n")[2].splitlines()
    assert len(lines) >= 3
    for line in lines:
        program, *words = shlex.split(line.partition(">")[0])
        assert program == "gelu-tui"
        command = tree.get_command(click.Context(tree), words[0]) or app_command
        known = {name for param in command.params for name in param.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_the_engine_command_is_the_engine(env: dict[str, str]) -> None:
    done = gelu(env, "engine", stdin=b"garbage\n")
    assert done.code == 0
    events = [json.loads(line)["event"] for line in done.raw.splitlines()]
    assert events == ["hello", "failed"]
