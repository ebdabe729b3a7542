"""`--format` and `--output` of `run` and `show`: one document in every format, also in a file."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from gelu_tui.core.reports.export import FORMATS
from tests.support.command import UNSAFE, complaint, fake_engine, gelu
from tests.support.engine_process import environment

WORDS = ("-a", "gelu_approx,silu,gelu", "--max-tokens", "6")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment with one saved run."""
    env = environment(tmp_path)
    assert run(env, "x").code == 0
    return env


def run(env: dict[str, str], *words: str, scenario: str = "five"):
    return gelu(env, "run", *WORDS, "--engine-command", fake_engine(scenario), *words)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_the_documents_tokens(home: dict[str, str]) -> None:
    document = json.loads(gelu(home, "show", "last", "--format", "json").out)
    found = rows(gelu(home, "show", "last", "--format", "csv").out)
    expected = [
        (variant["name"], number, token, step)
        for variant in document["variants"]
        for number, (token, step) in enumerate(
            zip(variant["tokens"], variant["steps"], strict=True)
        )
    ]
    assert len(found) == len(expected) == 18
    for row, (name, number, token, step) in zip(found, expected, strict=True):
        assert (row["function"], int(row["step"]), int(row["token"])) == (name, number, token)
        assert float(row["logprob"]) == step["logprob"]
        assert row["kl"] == ("" if step["kl"] is None else str(step["kl"]))
    assert [(row["function"], row["step"]) for row in found if row["diverges"] == "1"] == [
        ("silu", "1")
    ]


def test_hostile_text_is_harmless_in_every_format(home: dict[str, str]) -> None:
    for name in FORMATS:
        done = run(home, "--format", name, "x", scenario="hostile")
        assert done.code == 0 and "owned" in done.out
        assert not UNSAFE.search(done.out), name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run.json", ()),
        ("run.md", ()),
        ("run.html", ()),
        ("run.CSV", ()),
        ("run.jsonl", ()),
        ("run", ()),
        ("odd.txt", ("--format", "json")),
    ],
)
def test_the_suffix_means_the_format(
    home: dict[str, str], tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / name
    done = run(home, "--output", str(file), *words, "x")
    assert (done.code, done.out, done.err) == (0, "", "")
    text = file.read_text()
    match Path(name).suffix.lower() if not words else ".json":
        case ".json":
            assert json.loads(text)["schema"] == "gelu-tui.comparison/1"
        case ".md":
            assert text.startswith("# 3 activation functions, one prompt")
        case ".html":
            assert text.startswith("<!DOCTYPE html>") and text.count("<article") == 3
        case ".csv":
            assert len(rows(text)) == 18
        case ".jsonl":
            events = [json.loads(line)["event"] for line in text.splitlines()]
            assert events[0] == "hello" and events[-1] == "finished"
        case _:
            assert "diverges at 1" in text and "\x1b" not in text
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_file_is_what_is_printed_and_is_replaced(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("old\n" * 1000)
    printed = gelu(home, "show", "last", "--format", "markdown")
    assert gelu(home, "show", "last", "-o", str(file)).code == 0
    assert file.read_bytes() == printed.raw
    assert gelu(home, "show", "last", "-o", "/dev/null", "--format", "csv").code == 0
    assert Path("/dev/null").is_char_device()
    through = gelu(home, "show", "last", "-o", "/dev/stdout", "--format", "markdown")
    assert through.raw == printed.raw and Path("/dev/stdout").is_symlink()


def test_what_cannot_be_written_is_said_before_the_run(
    home: dict[str, str], tmp_path: Path
) -> None:
    assert "is a folder" in complaint(run(home, "-o", str(tmp_path), "x"), 2)[0]
    missing = tmp_path / "no" / "x.json"
    assert "There is no folder" in complaint(run(home, "-o", str(missing), "x"), 2)[0]
    if os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        said = complaint(run(home, "-o", str(closed / "x.json"), "x"), 2)[0]
        assert "cannot be written" in said
