"""Settings made in the app become the user's defaults, in the file as the user wrote it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.settings.keep import keep_as_defaults, other_functions_at_start
from gelu_tui.core.settings.user_file import Settings, load_settings

COMMENTED = """\
# My settings
max_tokens = 40   # short
reference = "gelu"  # as the paper has it
refresh = 6

# keys I like
[keys]
stop = "f8"  # near F7
# the end
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELU_TUI_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def kept(now: Settings) -> str:
    said, problem = keep_as_defaults(now)
    assert problem is None
    return said


def test_what_differs_is_written_and_comments_stay(file: Path) -> None:
    file.write_text(COMMENTED)
    now = Settings(
        activations=("silu", "f1=x*x"), max_tokens=40, temperature=0.7, scroll="free", theme="nord"
    )
    said = kept(now)
    assert said.startswith("Kept as your defaults in ")
    assert said.endswith("config.toml: activations, reference, temperature, scroll.")
    text = file.read_text()
    for part in ("# My settings", "max_tokens = 40   # short", "# keys I like", 'stop = "f8"  # n'):
        assert part in text
    assert "theme" not in text, "the theme is written where it is chosen"
    found = load_settings()
    assert found.settings == Settings(
        activations=("silu", "f1=x*x"),
        max_tokens=40,
        temperature=0.7,
        scroll="free",
        refresh=6.0,
        keys={"stop": "f8"},
    )
    assert "already" in kept(now)
    assert file.read_text() == text


def test_defaults_need_no_file(file: Path) -> None:
    assert kept(Settings()).startswith("These are your defaults already")
    assert not file.exists()


def test_a_variable_that_comes_first_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELU_TUI_MAX_TOKENS", "7")
    said = kept(Settings(max_tokens=7, top_k=20))
    assert "max_tokens, top_k" in said
    assert said.endswith("Still set, and read before the file: GELU_TUI_MAX_TOKENS.")
    assert load_settings(environ={}).settings.max_tokens == 7


def test_a_folder_is_named_from_everywhere(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    kept(Settings(model="./model"))
    assert load_settings().settings.model == str(tmp_path / "model")
    kept(Settings(model="./model", engine_command="ssh mac gelu-tui engine"))
    assert load_settings().settings.model == "./model", "a folder of the engine's machine"


def test_what_no_start_could_use_is_not_kept(file: Path) -> None:
    file.write_text(COMMENTED)
    eight = tuple(REGISTRY)[:8]
    with pytest.raises(UsageError, match="no room for a control"):
        keep_as_defaults(Settings(activations=eight, reference="gelu", control=True))
    assert file.read_text() == COMMENTED


def test_a_broken_file_is_set_aside_and_one_that_cannot_be_written_is_told(file: Path) -> None:
    file.write_text("max_tokens =\n")
    said, problem = keep_as_defaults(Settings(max_tokens=3))
    assert "max_tokens" in said
    assert problem is not None and "is not valid TOML" in problem.message
    assert load_settings().settings.max_tokens == 3
    file.unlink()
    file.mkdir()
    with pytest.raises(GeluError, match="cannot be saved"):
        keep_as_defaults(Settings(max_tokens=4))


def test_the_next_starts_functions(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Settings(activations=("silu",))
    assert other_functions_at_start(choice) == ""
    file.write_text('activations = ["gelu"]\n')
    assert other_functions_at_start(choice).endswith("config.toml")
    monkeypatch.setenv("GELU_TUI_ACTIVATIONS", "relu")
    assert other_functions_at_start(choice) == "GELU_TUI_ACTIVATIONS"
    monkeypatch.setenv("GELU_TUI_ACTIVATIONS", "silu")
    assert other_functions_at_start(choice) == ""


FUNCTIONS = st.lists(
    st.sampled_from(["gelu", "silu", "relu", "f1=x*x", "own=max(x, 0)"]), min_size=1, unique=True
)


@st.composite
def choices(draw: st.DrawFn) -> Settings:
    functions = draw(FUNCTIONS)
    names = [spec.partition("=")[0] for spec in functions]
    return Settings(
        activations=tuple(functions),
        reference=draw(st.none() | st.sampled_from(names)),
        max_tokens=draw(st.integers(1, 100_000)),
        chat=draw(st.sampled_from([True, False, "auto"])),
        temperature=draw(st.floats(0, 100)),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        top_p=draw(st.floats(0, 1)),
        control=draw(st.booleans()),
        dtype=draw(st.none() | st.sampled_from(["float32", "bfloat16"])),
        model=draw(st.sampled_from(["demo", "google/gemma-3-1b-it"])),
        token_style=draw(st.sampled_from(["plain", "kl", "margin"])),
        scroll=draw(st.sampled_from(["together", "free"])),
    )


@settings(max_examples=60)
@given(st.lists(choices(), min_size=1, max_size=3))
def test_the_next_start_has_what_was_kept(kept_one_after_the_other: list[Settings]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text("# mine\nmax_tokens = 40  # short\n")
        with patch.dict("os.environ", {"GELU_TUI_CONFIG": str(file)}):
            for now in kept_one_after_the_other:
                kept(now)
                found = load_settings()
                assert found.settings == now and not found.problems
        assert "# mine\n" in file.read_text() and "# short" in file.read_text()
