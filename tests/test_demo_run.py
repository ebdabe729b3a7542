"""The real model: what the comparison says, and that mlx-lm alone says the same."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.engine.device import find_blas
from tests.support.commands import comparing

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]

SKY = "Why is the sky blue?"
SORA = "空が青いのはなぜですか？"
PROMPTS = (SKY, SORA, "def gelu(x):\n    return")
TOKENS = 6


def run_json(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gelu_tui", "run", "--format", "json", *arguments],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_five_way_comparison(demo_model: Path) -> None:
    """The figures are those of an independent implementation of the same experiment."""
    chosen = "gelu,gelu_approx,gelu_fast_approx,silu,relu"
    options = ("--model", "demo", "--raw", "--activations", chosen, "--reference", "gelu_approx")
    result = run_json(*options, "--max-tokens", "40", SKY)
    assert result["status"] == "completed"
    assert result["model"]["family"] == "gemma3_text"
    assert result["model"]["native_activation"] == "gelu_approx"
    assert result["prompt_tokens"] == [2, 11355, 563, 506, 7217, 3730, 236881]
    variants = {variant["name"]: variant for variant in result["variants"]}
    assert {name: v["first_divergent_token"] for name, v in variants.items()} == {
        "gelu": None,
        "gelu_approx": None,
        "gelu_fast_approx": 10,
        "silu": 1,
        "relu": 0,
    }
    assert variants["gelu"]["tokens"] == variants["gelu_approx"]["tokens"]
    assert len(variants["gelu"]["tokens"]) == 40
    for name in ("gelu_fast_approx", "silu", "relu"):
        fork = variants[name]["fork"]
        kls = [step["kl"] for step in variants[name]["steps"]]
        assert all(kl > 0 for kl in kls[: fork["step"] + 1])
        assert set(kls[fork["step"] + 1 :]) <= {None}
        assert fork["margins"]["reference"] > 0
        assert fork["margins"]["variant"] > 0
        assert fork["verdict"] == "formula"
        assert fork["replay"]["margins"] == pytest.approx(fork["margins"], abs=2e-3)


def test_the_other_prompt_of_the_notebook(demo_model: Path) -> None:
    result = run_json("--raw", "-a", "gelu,gelu_approx", "--max-tokens", "12", SORA)
    assert result["status"] == "completed"
    assert "\ufffd" not in result["variants"][0]["text"]
    assert all(len(variant["tokens"]) == 12 for variant in result["variants"])


async def compare(command: p.Compare, *, blas: bool = True) -> Comparison:
    engine = [sys.executable, "-P", "-m", "gelu_tui.engine"]
    if not blas:
        engine = ["env", "GELU_TUI_BLAS=off", *engine]
    async with EngineClient(engine) as client:
        await client.send(p.Load("demo"))
        return await _compare(client, command)


async def _compare(client: EngineClient, command: p.Compare) -> Comparison:
    await client.send(command)
    comparison = None
    async for event in client.events():
        assert not isinstance(event, p.Failed), event
        if isinstance(event, p.Started):
            comparison = Comparison.begin(event)
        elif comparison is not None:
            comparison.apply(event)
        if isinstance(event, p.Finished):
            break
    assert comparison is not None
    return comparison


async def _all_streams(schedule: p.Schedule) -> dict[str, dict[str, list[int]]]:
    names = list(REGISTRY)
    found: dict[str, dict[str, list[int]]] = {prompt: {} for prompt in PROMPTS}
    async with EngineClient() as client:
        await client.send(p.Load("demo"))
        for prompt in PROMPTS:
            for half in (names[:5], names[5:]):
                command = comparing(
                    prompt,
                    tuple(half),
                    max_tokens=TOKENS,
                    schedule=schedule,
                    chat=False,
                    replay=False,  # its own test has it, and without a real BLAS it takes minutes
                )
                comparison = await _compare(client, command)
                for stream in comparison.streams:
                    found[prompt][stream.name] = stream.tokens
    return found


@pytest.fixture(scope="module")
def plain(demo_model: Path) -> dict[str, Any]:
    blas = find_blas()
    environment = {**os.environ, **({"LD_PRELOAD": blas} if blas else {})}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.plain_tokens", str(demo_model), str(TOKENS)],
        input=json.dumps({"prompts": PROMPTS, "functions": list(REGISTRY)}),
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parent.parent,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_tokens_equal_mlx_lm_for_every_function(
    schedule: p.Schedule, plain: dict[str, Any]
) -> None:
    expected = {prompt: plain[prompt]["streams"] for prompt in PROMPTS}
    assert asyncio.run(_all_streams(schedule)) == expected
    assert len({tuple(tokens) for tokens in expected[SKY].values()}) >= 5


@pytest.mark.parametrize("rows", [2, 4])
def test_rows_of_one_function_are_bit_identical_with_the_bundled_blas(
    rows: int, demo_model: Path
) -> None:
    names = ("gelu_approx", *(f"again{row}=gelu_approx(x)" for row in range(1, rows)))
    comparison = asyncio.run(compare(comparing(SKY, names, max_tokens=2, chat=False), blas=False))
    assert comparison.self_check == p.SelfCheckReport(rows, 3, True, 0.0)
    for stream in comparison.streams[1:]:
        assert stream.tokens == comparison.reference.tokens
        assert [step.kl for step in stream.steps] == [0.0] * 2


def test_the_self_check_reports_on_this_machines_blas(demo_model: Path) -> None:
    names = ("gelu_approx", "again=gelu_approx(x)", "third=gelu_approx(x)")
    comparison = asyncio.run(compare(comparing(SKY, names, max_tokens=4, chat=False)))
    check = comparison.self_check
    assert check is not None
    assert check.identical == (check.max_logit_difference == 0.0)
    # Whatever it found must agree with what the run itself shows.
    kls = {step.kl for stream in comparison.streams[1:] for step in stream.steps}
    if check.identical:
        assert kls == {0.0}
