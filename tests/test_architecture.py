"""What may be imported: the static contracts are import-linter's, here is what really happens."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import gelu_tui.core

HEAVY = {"mlx", "mlx_lm", "transformers", "tokenizers", "huggingface_hub", "numpy", "torch"}

# Statistics of a text, functions over numpy arrays, and the reports that need them.
NUMERIC = {
    "gelu_tui.core.functions.curves",
    "gelu_tui.core.functions.jumps",
    "gelu_tui.core.functions.numpy_operations",
    "gelu_tui.core.functions.properties",
    "gelu_tui.core.reports.activations",
    "gelu_tui.core.reports.html.activations",
    "gelu_tui.core.reports.html.score",
    "gelu_tui.core.reports.html.scored_text",
    "gelu_tui.core.scoring.measures",
    "gelu_tui.core.scoring.restore",
    "gelu_tui.core.scoring.statistics",
}
CORE = {module.name for module in pkgutil.walk_packages(gelu_tui.core.__path__, "gelu_tui.core.")}


def imported_by(*modules: str) -> set[str]:
    """The top-level packages that a new process has imported after importing `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_the_core_is_light() -> None:
    assert CORE > NUMERIC
    found = imported_by(*sorted(CORE - NUMERIC))
    assert "msgspec" in found
    assert not found & (HEAVY | {"textual"})


def test_what_computes_needs_no_more_than_numpy() -> None:
    found = imported_by(*NUMERIC)
    assert "numpy" in found
    assert not found & (HEAVY - {"numpy"} | {"textual"})


def test_the_client_is_light() -> None:
    assert not imported_by("gelu_tui.client") & (HEAVY | {"textual", "rich", "click"})


def test_opening_the_app_imports_no_mlx() -> None:
    found = imported_by("gelu_tui.cli", "gelu_tui.tui.app")
    assert "textual" in found
    assert not found & HEAVY


def test_the_command_line_imports_no_textual_before_it_is_needed() -> None:
    assert not imported_by("gelu_tui.cli") & (HEAVY | {"textual"})


def test_the_engine_says_hello_before_it_imports_mlx() -> None:
    found = imported_by("gelu_tui.engine", "gelu_tui.engine.serve")
    assert not found & (HEAVY | {"textual"})


@pytest.mark.parametrize("module", ["gelu_tui.engine.models.hub"])
def test_what_the_engine_needs_rarely_is_imported_late(module: str) -> None:
    code = f"import sys, gelu_tui.engine.session; print({module!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
