"""The real model: what is compared and scored, and that mlx-lm alone says the same.

One engine and one process of mlx-lm for all of it: the model takes seconds to load.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gelu_tui
from gelu_tui.core import protocol as p
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import Schedule
from gelu_tui.engine.device import find_blas

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]

SKY = "Why is the sky blue?"
SORA = "空が青いのはなぜですか？"
# Tokens after each prompt: one of the prefill, the others of steps.
PROMPTS = {SKY: 4, SORA: 2, "def gelu(x):\n    return": 2}

ESSAY = Path(__file__).parent / "texts" / "essay.txt"
CONTEXT, WINDOWS = 18, 2


@pytest.fixture(scope="module")
def engine(demo_model: Path) -> Iterator[gelu_tui.Engine]:
    with gelu_tui.Engine("demo") as engine:
        yield engine


@pytest.fixture(scope="module")
def engine_with_bundled_blas(demo_model: Path) -> Iterator[gelu_tui.Engine]:
    command = shlex.join(
        ["env", "GELU_TUI_BLAS=off", sys.executable, "-P", "-m", "gelu_tui.engine"]
    )
    with gelu_tui.Engine("demo", engine_command=command) as engine:
        yield engine


@pytest.fixture(scope="module")
def plain(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    blas = find_blas()
    answer = tmp_path_factory.mktemp("plain") / "answer.json"
    request = {
        "prompts": PROMPTS,
        "functions": list(REGISTRY),
        "text": ESSAY.read_text(),
        "windows": WINDOWS,
        "context": CONTEXT,
    }
    subprocess.run(
        [sys.executable, "-m", "tests.support.plain_demo", str(demo_model), str(answer)],
        input=json.dumps(request),
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **({"LD_PRELOAD": blas} if blas else {})},
        cwd=Path(__file__).parent.parent,
        check=True,
    )
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def kls(variant: Any) -> list[float | None]:
    return [step.kl for step in variant.steps]


def test_the_five_way_comparison(engine: gelu_tui.Engine) -> None:
    """The figures are those of an independent implementation of the same experiment."""
    chosen = ["gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"]
    run = engine.compare(
        SKY, activations=chosen, reference="gelu_approx", chat=False, max_tokens=20
    )
    document = run.document
    assert document.status == "completed"
    assert document.model.family == "gemma3_text"
    assert document.model.native_activation == "gelu_approx"
    assert list(document.prompt_tokens) == [2, 11355, 563, 506, 7217, 3730, 236881]
    assert {name: variant.first_divergent_token for name, variant in run.items()} == {
        "gelu": None,
        "gelu_approx": None,
        "gelu_fast_approx": 10,
        "silu": 1,
        "relu": 0,
    }
    assert run["gelu"].tokens == run["gelu_approx"].tokens
    assert len(run["gelu"].tokens) == 20
    for name in ("gelu_fast_approx", "silu", "relu"):
        fork = run[name].fork
        assert fork is not None and fork.replay is not None and fork.margins is not None
        assert all(kl is not None and kl > 0 for kl in kls(run[name])[: fork.step + 1])
        assert set(kls(run[name])[fork.step + 1 :]) <= {None}
        assert fork.margins["reference"] > 0
        assert fork.margins["variant"] > 0
        assert fork.verdict == "formula"
        assert fork.replay.margins == pytest.approx(fork.margins, abs=2e-3)


def test_the_other_prompt_of_the_notebook_from_the_command(
    demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")  # as many threads as a user's engine has
    words = ("--raw", "-a", "gelu,gelu_approx", "--max-tokens", "12", SORA)
    done = subprocess.run(
        [sys.executable, "-m", "gelu_tui", "run", "--format", "json", *words],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result = json.loads(done.stdout)
    assert result["status"] == "completed"
    assert result["model"]["native_activation"] == "gelu_approx"
    assert "\ufffd" not in result["variants"][0]["text"]
    assert all(len(variant["tokens"]) == 12 for variant in result["variants"])


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_tokens_equal_mlx_lm_for_every_function(
    schedule: Schedule, engine: gelu_tui.Engine, plain: dict[str, Any]
) -> None:
    names = list(REGISTRY)
    for prompt, count in PROMPTS.items():
        found: dict[str, list[int]] = {}
        for half in (names[:5], names[5:]):
            run = engine.compare(
                prompt,
                activations=half,
                max_tokens=count,
                schedule=schedule,
                chat=False,
                replay=False,  # its own test has it, and without a real BLAS it takes minutes
            )
            found |= {name: variant.tokens for name, variant in run.items()}
        assert found == plain["streams"][prompt]
    assert len({tuple(tokens) for tokens in plain["streams"][SKY].values()}) >= 5


def repeated(rows: int) -> list[str]:
    return ["gelu_approx", *(f"again{row}=gelu_approx(x)" for row in range(1, rows))]


@pytest.mark.parametrize("rows", [2, 4])
def test_rows_of_one_function_are_bit_identical_with_the_bundled_blas(
    rows: int, engine_with_bundled_blas: gelu_tui.Engine
) -> None:
    run = engine_with_bundled_blas.compare(
        SKY, activations=repeated(rows), max_tokens=2, chat=False
    )
    assert run.document.self_check == p.SelfCheckReport(rows, 3, True, 0.0)
    first, *others = run.values()
    for variant in others:
        assert variant.tokens == first.tokens
        assert kls(variant) == [0.0] * 2


def test_the_self_check_reports_on_this_machines_blas(engine: gelu_tui.Engine) -> None:
    run = engine.compare(SKY, activations=repeated(3), max_tokens=4, chat=False)
    document: ComparisonDocument = run.document
    check = document.self_check
    assert check is not None
    assert check.identical == (check.max_logit_difference == 0.0)
    # Whatever it found must agree with what the run itself shows.
    if check.identical:
        assert {kl for variant in document.variants[1:] for kl in kls(variant)} == {0.0}


def test_perplexity_and_order_of_the_functions(
    engine: gelu_tui.Engine, plain: dict[str, Any]
) -> None:
    score = engine.score(
        plain["text"],
        activations=["gelu_approx", "gelu", "gelu_fast_approx"],
        context=CONTEXT,
        activation_precision="model",
    )
    assert plain["shape"] == [WINDOWS, CONTEXT]
    assert score.document.windows == WINDOWS
    assert score.document.positions == WINDOWS * (CONTEXT - 1)
    native = score["gelu_approx"].perplexity
    assert native == pytest.approx(plain["exact"], rel=1e-5)
    # mlx-lm's own figure has the error of MLX's logsumexp on a CPU, 2e-4 nats for 262,144 logits.
    assert native == pytest.approx(plain["mlx_lm"], rel=5e-4)

    kl = {name: v.kl.mean for name, v in score.items() if v.kl is not None}
    assert kl["control"] * 1000 < kl["gelu"] < kl["gelu_fast_approx"] / 100
    assert 5e-7 < kl["gelu"] < 5e-6
    assert score["control"].same_top_1 == 100
