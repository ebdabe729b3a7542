"""The real model: what is compared, swept and scored, and that mlx-lm alone says the same.

One engine and one process of mlx-lm for all of it, and each command once: a pass takes long.
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
from tests.support.command import COMMAND
from tests.support.cores import all_cores

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]

SKY = "Why is the sky blue?"
SORA = "空が青いのはなぜですか？"
CODE = "def gelu(x):\n    return"

FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
OTHERS = tuple(name for name in REGISTRY if name not in FIVE)
TWO = ("gelu_approx", "relu")  # a prompt and a schedule are the same code for every function

# The functions and the tokens after each prompt: one of the prefill, the others of steps.
PLAIN = {SKY: ((*FIVE, *OTHERS), 3), SORA: (TWO, 3), CODE: (TWO, 2)}

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
        "prompts": PLAIN,
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


@pytest.fixture(scope="module")
def five_way(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> gelu_tui.Run:
    """The comparison of the notebook from the command, with the default model."""
    file = tmp_path_factory.mktemp("run") / "run.json"
    words = ("--raw", "-a", ",".join(FIVE), "--reference", "gelu_approx", "--max-tokens", "12", SKY)
    # As many threads as a user's engine has.
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    with file.open("wb") as stdout, all_cores():
        command = [*COMMAND, "run", "--format", "json", *words]
        done = subprocess.run(command, env=env, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    run = gelu_tui.load_run(file)
    assert isinstance(run, gelu_tui.Run)
    return run


def kls(variant: Any) -> list[float | None]:
    return [step.kl for step in variant.steps]


def test_the_five_way_comparison(five_way: gelu_tui.Run) -> None:
    """The figures are those of an independent implementation of the same experiment."""
    document = five_way.document
    assert document.status == "completed"
    assert document.model.family == "gemma3_text"
    assert document.model.native_activation == "gelu_approx"
    assert list(document.prompt_tokens) == [2, 11355, 563, 506, 7217, 3730, 236881]
    assert {name: variant.first_divergent_token for name, variant in five_way.items()} == {
        "gelu": None,
        "gelu_approx": None,
        "gelu_fast_approx": 10,
        "silu": 1,
        "relu": 0,
    }
    assert five_way["gelu"].tokens == five_way["gelu_approx"].tokens
    assert len(five_way["gelu"].tokens) == 12
    for name in ("gelu_fast_approx", "silu", "relu"):
        fork = five_way[name].fork
        assert fork is not None and fork.replay is not None and fork.margins is not None
        assert all(kl is not None and kl > 0 for kl in kls(five_way[name])[: fork.step + 1])
        assert set(kls(five_way[name])[fork.step + 1 :]) <= {None}
        assert fork.margins["reference"] > 0
        assert fork.margins["variant"] > 0
        assert fork.verdict == "formula"
        assert fork.replay.margins == pytest.approx(fork.margins, abs=2e-3)


def tokens_of(run: gelu_tui.Run, count: int) -> dict[str, list[int]]:
    return {name: list(variant.tokens[:count]) for name, variant in run.items()}


def test_tokens_of_every_function_equal_mlx_lm(
    engine: gelu_tui.Engine, five_way: gelu_tui.Run, plain: dict[str, Any]
) -> None:
    count = PLAIN[SKY][1]
    # The replay has its own test, and without a real BLAS it takes minutes.
    others = engine.compare(SKY, activations=OTHERS, max_tokens=count, chat=False, replay=False)
    expected = plain["streams"][SKY]
    assert tokens_of(five_way, count) | tokens_of(others, count) == expected
    assert len({tuple(tokens) for tokens in expected.values()}) >= 5


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
@pytest.mark.parametrize("prompt", [SORA, CODE])
def test_tokens_of_any_prompt_equal_mlx_lm(
    prompt: str, schedule: Schedule, engine: gelu_tui.Engine, plain: dict[str, Any]
) -> None:
    functions, count = PLAIN[prompt]
    run = engine.compare(
        prompt,
        activations=functions,
        max_tokens=count,
        schedule=schedule,
        chat=False,
        replay=False,
    )
    assert tokens_of(run, count) == plain["streams"][prompt]
    assert not any("\ufffd" in variant.text for variant in run.values())


def repeated(rows: int) -> list[str]:
    return ["gelu_approx", *(f"again{row}=gelu_approx(x)" for row in range(1, rows))]


def test_rows_of_one_function_are_bit_identical_with_the_bundled_blas(
    engine_with_bundled_blas: gelu_tui.Engine,
) -> None:
    run = engine_with_bundled_blas.compare(
        "The sky", activations=repeated(3), max_tokens=2, chat=False
    )
    assert run.document.self_check == p.SelfCheckReport(3, 3, True, 0.0)
    first, *others = run.values()
    for variant in others:
        assert variant.tokens == first.tokens
        assert kls(variant) == [0.0] * 2


def test_the_self_check_reports_on_this_machines_blas(engine: gelu_tui.Engine) -> None:
    run = engine.compare(SKY, activations=repeated(3), max_tokens=2, chat=False)
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


def test_a_sweep_over_prompts_of_different_length(
    plain: dict[str, Any], five_way: gelu_tui.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a batch; their tokens are those of mlx-lm, and the figures follow.

    The shorter one, which is padded, has the margins that it has alone.
    """
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    prompts, count = (SKY, SORA), 3
    file = tmp_path / "set.txt"
    file.write_text("\n".join(prompts))
    words = ("--raw", "-a", "gelu,gelu_approx,relu", "--max-tokens", str(count), "--full-kl")
    command = [*COMMAND, "sweep", str(file), *words, "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert (document["completed"], document["status"]) == (2, "completed")
    results = {result["variant"]: result for result in document["results"]}
    assert list(results) == ["gelu", "relu", "control"]
    assert [result["diverged"] for result in results.values()] == [0, 2, 0]
    assert results["relu"]["full_kl"]["positions"] == 2 * count
    assert 0 < results["gelu"]["full_kl"]["mean"] < results["relu"]["full_kl"]["mean"]
    for number, prompt in enumerate(prompts):
        run = gelu_tui.load_run(f"{document['id']}/{number}")
        assert isinstance(run, gelu_tui.Run)
        for name in TWO:
            assert list(run[name].tokens) == plain["streams"][prompt][name]
            if prompt == SKY:
                margins = [step.margin for step in five_way[name].steps[:count]]
                assert [step.margin for step in run[name].steps] == pytest.approx(margins, abs=2e-3)
