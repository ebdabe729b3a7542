"""What a model's name means, and what is said where it may mean two things."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.names import ModelName, is_hub_id, read_name
from tests.support.model_folders import model_folder
from tests.support.permissions import closed, failing


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, which is the home folder too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def refusal(name: str) -> ErrorInfo:
    with pytest.raises(GeluError) as caught:
        read_name(name)
    assert caught.value.info.message.endswith(".")
    assert caught.value.info.hint
    return caught.value.info


# --- hub ids ------------------------------------------------------------------------------------

_NAMES = st.text(alphabet="aZ0_-.é/ g", min_size=1, max_size=12)


def allowed(text: str) -> bool:
    """The library's own opinion."""
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" in text


@given(st.tuples(_NAMES, st.sampled_from(["/", "--/", "/.git", ".git/", "/x"]), _NAMES))
def test_an_id_is_what_the_library_takes_for_one(parts: tuple[str, str, str]) -> None:
    text = "".join(parts)
    assert is_hub_id(text) == allowed(text)
    assert is_hub_id(f"{text}.git") == allowed(f"{text}.git")


@pytest.mark.parametrize("length", [1, 95, 96, 97])
def test_the_length_of_an_id(length: int) -> None:
    for text in ("x" * length + "/y", "y/" + "x" * length):
        assert is_hub_id(text) == allowed(text) == (length <= 96)


# --- readings -----------------------------------------------------------------------------------

_IDS = st.from_regex(r"\A[a-z][a-z0-9]{0,5}/[a-z][a-z0-9]{0,5}\Z")


@pytest.mark.parametrize("before", ["", "./", "../{here}/", "~/", "{path}/"])
@pytest.mark.parametrize("name", ["demo", "maker/x", "a b", "x.git", "café/m", "-a"])
def test_the_id_of_a_folder_is_its_path(before: str, name: str, here: Path) -> None:
    folder = model_folder(here / name)
    before = before.format(here=here.name, path=here)
    read = read_name(before + name)
    if name == "demo" and not before:
        assert read == ModelName("demo", "demo")
        return
    assert read.kind == "folder"
    assert Path(read.id).is_absolute()
    assert Path(read.id).samefile(folder)


def test_an_id_without_such_a_folder(here: Path) -> None:
    read = read_name("maker/x")
    assert (read.kind, read.id) == ("hub", "maker/x")
    assert read.other_reading == "No folder has this name either."
    assert read.hint == ""


@pytest.mark.parametrize("what", ["an empty folder", "a file", "notes", "weights only"])
def test_what_is_no_model_does_not_hide_the_repository_of_its_name(what: str, here: Path) -> None:
    place = here / "maker" / "x"
    match what:
        case "a file":
            place.parent.mkdir()
            place.write_text("")
        case "weights only":
            (model_folder(place) / "config.json").unlink()
        case _:
            place.mkdir(parents=True)
            if what == "notes":
                (place / "README.md").write_text("")
    read = read_name("maker/x")
    assert (read.kind, read.id) == ("hub", "maker/x")
    start = (
        "The file of this name is no" if what == "a file" else "The folder of this name holds no"
    )
    assert read.other_reading.startswith(start)


def test_a_folder_of_models_is_a_folder(here: Path) -> None:
    model_folder(here / "maker" / "x" / "one")
    assert read_name("maker/x") == ModelName("folder", str(here / "maker" / "x"))


@pytest.mark.parametrize("typed", ["models/gema-3-270m", "./models/gema-3-270m", "modles/gemma-3"])
def test_a_slip_in_a_path_is_named(typed: str, here: Path) -> None:
    meant = here / "models" / ("gemma-3" if "modles" in typed else "gemma-3-270m")
    for name in ("gemma-3-270m", "gemma-3", "llama"):
        model_folder(here / "models" / name)
    hint = read_name(typed).hint if is_hub_id(typed) else refusal(typed).hint
    assert hint == f"Did you mean the folder {meant}?"


@given(_IDS)
def test_no_name_that_looks_like_an_id_is_an_error(name: str) -> None:
    assert read_name(name).kind == "hub"
    assert refusal(f"./{name}").message == f"There is no folder './{name}'."


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "The model has no name."),
        ("./nowhere", "There is no folder './nowhere'."),
        ("nowhere", "There is no folder 'nowhere', and it is no hub id."),
        ("a/b/c", "There is no folder 'a/b/c', and it is no hub id."),
        ("a/", "There is no folder 'a/', and it is no hub id."),
        ("a\0b", "There is no folder 'a␀b', and it is no hub id."),
        ("a\x1b[31m/b", "There is no folder 'a␛[31m/b', and it is no hub id."),
        ("~nobody-here/x", "'~nobody-here/x' is no path here: there is no user 'nobody-here'."),
        ("~no\x1b/x", "'~no␛/x' is no path here: there is no user 'no␛'."),
        ("./" + "x" * 5000, f"'./{'x' * 198}' cannot be read: File name too long."),
    ],
)
def test_what_is_neither(name: str, says: str) -> None:
    assert refusal(name).message == says


@pytest.mark.parametrize(
    "page",
    [
        "https://huggingface.co/google/gemma-7b-it",
        "huggingface.co/google/gemma-7b-it/tree/main",
        "https://hf.co/google/gemma-7b-it?x",
    ],
)
def test_the_address_of_a_page(page: str) -> None:
    assert refusal(page).hint == "The id of that page's model is google/gemma-7b-it."


def test_a_file(here: Path) -> None:
    (here / "model.gguf").write_text("")
    assert refusal("model.gguf").message == "'model.gguf' is a file, not a model folder."


def test_a_working_directory_that_is_deleted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    (here / "gone").rmdir()
    assert refusal("./x").message == "'./x' is no path here: the working directory is gone."


def test_a_folder_that_may_not_be_looked_into(here: Path) -> None:
    model_folder(here / "closed" / "model")
    with closed(here / "closed"):
        for name in ("closed/model", "./closed/model", str(here / "closed/model")):
            info = refusal(name)
            assert info.kind == "unreadable"
            assert info.message == f"'{name}' cannot be read: Permission denied."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP])
@pytest.mark.parametrize("place", ["maker", "maker/x", "maker/x/config.json"])
def test_every_error_of_a_look(place: str, number: int, here: Path) -> None:
    model_folder(here / "maker" / "x")
    with failing(here / place, number):
        info = refusal("maker/x")
    assert info.message == f"'maker/x' cannot be read: {os.strerror(number)}."
