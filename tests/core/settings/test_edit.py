"""Saving one setting leaves the rest of the user's file as it is."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.settings.edit import save_setting
from gelu_tui.core.settings.user_file import (
    Settings,
    load_settings,
)

COMMENTED = """\
# My settings
max_tokens = 40   # short

# keys I like
[keys]
stop = "f8"  # near F7
# the end
"""


def test_saving_keeps_comments_and_order(file: Path) -> None:
    file.write_text(COMMENTED)
    assert save_setting("theme", "nord", file) is None
    save_setting("max_tokens", 7, file)
    save_setting("keys.run", "f4", file)
    save_setting("activations", ("gelu", "a=max(x, 0)"), file)
    text = file.read_text()
    for line in (
        "# My settings",
        "# short",
        "# keys I like",
        'stop = "f8"  # near F7',
        "# the end",
    ):
        assert line in text
    assert text.index("# My settings") < text.index("max_tokens") < text.index("# keys I like")
    found = load_settings(file)
    assert not found.problems
    assert found.settings == Settings(
        theme="nord",
        max_tokens=7,
        activations=("gelu", "a=max(x, 0)"),
        keys={"stop": "f8", "run": "f4"},
    )


def test_a_setting_is_taken_out(file: Path) -> None:
    file.write_text(COMMENTED)
    save_setting("max_tokens", None, file)
    save_setting("theme", None, file)
    assert load_settings(file).decided == {"keys"}
    assert "# My settings" in file.read_text()


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "config.toml"
    save_setting("theme", "nord", file)
    assert load_settings(file).settings.theme == "nord"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text("max_tokens = 3\n")
    link.symlink_to(real)
    save_setting("theme", "nord", link)
    assert link.is_symlink()
    assert load_settings(real).settings == Settings(max_tokens=3, theme="nord")


def test_what_a_link_leads_to_keeps_its_mode_and_its_place(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    link.symlink_to(real)
    real.write_text("max_tokens = 3\n")
    real.chmod(0o644)
    save_setting("theme", "nord", link)
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
    real.write_text("alias ll='ls -l'\n")
    with pytest.raises(GeluError, match="is not valid TOML"):
        save_setting("theme", "nord", link)
    assert real.read_text() == "alias ll='ls -l'\n"


def test_a_broken_file_is_set_aside(file: Path) -> None:
    for content in (b"max_tokens = \n# precious", b"\xff\xfe"):
        file.write_bytes(content)
        told = save_setting("theme", "nord", file)
        assert told is not None
        assert "is not valid" in told.message
        aside = Path(told.hint.removeprefix("It was kept as ").partition(";")[0])
        assert aside.read_bytes() == content
        assert load_settings(file).settings == Settings(theme="nord")
    assert len(list(file.parent.iterdir())) == 3


def test_a_wrong_value_in_the_file_stays_where_it_is(file: Path) -> None:
    file.write_text("max_tokens = 0  # to be mended\n")
    save_setting("theme", "nord", file)
    assert "max_tokens = 0  # to be mended\n" in file.read_text()


def test_what_is_not_allowed_is_not_saved(file: Path) -> None:
    with pytest.raises(UsageError, match='scroll must be "free" or "together", not "sideways"'):
        save_setting("scroll", "sideways", file)
    assert not file.exists()


def test_where_nothing_can_be_saved_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    for path in (tmp_path / "in the way" / "config.toml", tmp_path, Path(os.devnull)):
        with pytest.raises(GeluError, match="The settings cannot be saved in"):
            save_setting("theme", "nord", path)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    (tmp_path / "config.toml").write_text("keys = 3\n")
    with pytest.raises(GeluError, match="cannot be saved"):
        save_setting("keys.run", "f4", tmp_path / "config.toml")
    assert (tmp_path / "config.toml").read_text() == "keys = 3\n"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_can_be_saved(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(COMMENTED)
        save_setting("model", text, file)
        assert tomllib.loads(file.read_bytes().decode())["model"] == text
