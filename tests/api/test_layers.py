"""`Engine.layers`: what it returns and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gelu_tui
from tests.support.command import gelu


def test_it_returns_what_the_command_prints(
    home: dict[str, str], model: str, tmp_path: Path
) -> None:
    with gelu_tui.Engine(model) as engine:
        found = engine.layers(
            "a b c d e f", activations="relu,silu", reference="gelu", context=4, free_running=True,
            max_tokens=3,
        )  # fmt: skip
        with pytest.raises(gelu_tui.GeluError, match="nothing to swap"):
            engine.layers("a b c", activations=["gelu_approx"])
        for read in (engine.layers, engine.inputs, engine.score):
            for text in (b"a b c", Path("a.txt"), None, ["a", b"b"]):
                with pytest.raises(gelu_tui.GeluError, match="A text must be a string, or several"):
                    read(text, activations=["relu"])  # type: ignore[arg-type]
            with pytest.raises(gelu_tui.GeluError, match="context must be a whole number, not str"):
                read("a b c", context="4", activations=["relu"])  # type: ignore[arg-type]
    words = ("--model", model, "-a", "relu,silu", "--reference", "gelu", "--context", "4")
    words += ("--free-running", "--max-tokens", "3", "--text", "-", "--format", "json")
    expected = json.loads(gelu(home, "layers", *words, stdin=b"a b c d e f").out)
    made = json.loads(found.to_json())
    for name in ("layers", "others", "all", "additivity", "no_swap_kl", "free_running"):
        assert made[name] == expected[name]
    assert list(found) == ["relu", "silu"] and found["swish"] is found["silu"]
    assert len(found["relu"].layers) == 4
    assert "Layers over 11 positions" in repr(found) and "Additivity" in str(found)
    assert found._repr_html_().count("<table") == 2
    assert found.save(tmp_path / "layers.csv").read_text().startswith("variant,")
