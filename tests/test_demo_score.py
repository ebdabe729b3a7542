"""The real model: perplexity is mlx-lm's own, and what the functions differ by."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.perplexity import eval_ppl

from gelu_tui.engine import device
from gelu_tui.engine.jobs.score import windows_of
from tests.engine.jobs.test_score import named, run
from tests.support import in_process
from tests.support.commands import scoring

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]

ESSAY = Path(__file__).parent / "texts" / "essay.txt"
CONTEXT, WINDOWS = 18, 2


def test_perplexity_and_order_of_the_functions(demo_model: Path) -> None:
    device.prepare()
    loaded = in_process.load(demo_model, "float32")
    text = loaded.tokenizer.encode(ESSAY.read_text())[1:][: WINDOWS * (CONTEXT - 1)]
    names = ("gelu_approx", "gelu", "gelu_fast_approx")
    command = scoring(names, tokens=tuple(text), context=CONTEXT, activation_precision="model")
    document = run(loaded, command)

    windows = mx.array(windows_of(text, loaded.tokenizer.encode(""), CONTEXT))
    assert windows.shape == (WINDOWS, CONTEXT)
    native = document.variants[0].perplexity
    logits = np.array(loaded.model(windows[:, :-1]).astype(mx.float32)).astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    exact = np.exp(-np.take_along_axis(logits, np.array(windows)[:, 1:, None], -1).mean())
    assert native == pytest.approx(exact, rel=1e-5)
    # mlx-lm's own figure has the error of MLX's logsumexp on a CPU, 2e-4 nats for 262,144 logits.
    assert native == pytest.approx(eval_ppl(loaded.model, windows, batch_size=1)[0], rel=5e-4)

    found = named(document)
    kl = {name: v.kl.mean for name, v in found.items() if v.kl is not None}
    assert kl["control"] * 1000 < kl["gelu"] < kl["gelu_fast_approx"] / 100
    assert 5e-7 < kl["gelu"] < 5e-6
    assert found["control"].same_top_1 == 100
