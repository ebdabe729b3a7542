"""Names that mean a folder or a repository, against a hub that answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.engine.models.locate import Located, locate
from gelu_tui.engine.models.search import find_models
from tests.support import in_process, tiny_models
from tests.support.fake_hub import COMMIT, REPO, FakeHub
from tests.support.fetching import fetched
from tests.support.model_folders import cached_repo, model_folder
from tests.support.permissions import closed


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, apart from the cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def located(name: str) -> Located:
    return locate(name, lambda _: None, lambda: False)


def refusal(name: str) -> ErrorInfo:
    with pytest.raises(GeluError) as caught:
        located(name)
    return caught.value.info


@pytest.mark.parametrize("name", ["./demo", "./maker/tiny", "maker/tiny"])
def test_a_loaded_folder_is_reported_by_its_path(name: str, here: Path) -> None:
    tiny_models.write(here / name, "gemma3_text")
    assert in_process.load(name).info.id == str(here / name)


def test_an_empty_folder_does_not_hide_a_cached_model(hub: FakeHub, here: Path) -> None:
    folder = fetched()
    hub.requests.clear()
    (here / REPO).mkdir(parents=True)
    assert located(REPO) == Located(REPO, folder)
    assert hub.requests == []
    assert located(f"./{REPO}").id == str(here / REPO)  # which is no id


def test_a_slip_that_the_hub_is_asked_for(hub: FakeHub, here: Path) -> None:
    meant = model_folder(here / "maker" / "tiny-gema")
    info = refusal("maker/tiny-gemm")
    assert hub.requests
    assert info.message == (
        "The hub has no model maker/tiny-gemm, or it is private. No folder has this name either."
    )
    assert info.hint == f"Did you mean the folder {meant}?"


def test_a_slip_without_a_network(hub: FakeHub) -> None:
    hub.stop()
    info = refusal("maker/no-such")
    assert info.message == (
        "maker/no-such is not on this machine, and the hub cannot be reached at "
        f"{hub.url} (HF_ENDPOINT). No folder has this name either."
    )
    assert info.hint == "Check HF_ENDPOINT, or give the folder of a model."


# --- how the cache is laid out: the library's reading, and no other -------------------------------


@pytest.mark.parametrize("part", ["", "refs", "refs/main", "snapshots", "snapshots/*", "blobs"])
def test_a_cache_that_may_not_be_read(part: str, hub: FakeHub, cache: Path, here: Path) -> None:
    storage = cached_repo(cache, REPO, model_folder(here / "made"))
    with closed(storage / part.replace("*", COMMIT)):
        info = refusal(REPO)
    assert info.kind == "cache"
    assert "cannot be used: Permission denied" in info.message
    assert "permissions" in info.hint
    assert hub.requests == []


@pytest.mark.parametrize(
    "ref",
    [None, f"{COMMIT}\n".encode(), bytes(40)],
    ids=["no refs", "a line end", "NULs"],
)
def test_a_snapshot_that_no_ref_names_is_fetched(
    ref: bytes | None, hub: FakeHub, cache: Path
) -> None:
    folder = fetched()
    main = cache / "models--maker--tiny-gemma" / "refs" / "main"
    main.unlink()
    if ref is not None:
        main.write_bytes(ref)
    hub.requests.clear()
    assert located(REPO).folder == folder
    assert main.read_text() == COMMIT
    assert not any(hub.asked_for(name) for name in hub.files)  # its files are whole


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
def test_a_snapshot_that_no_ref_names_is_partly_here(
    links: bool, hub: FakeHub, cache: Path
) -> None:
    folder = fetched()
    storage = cache / "models--maker--tiny-gemma"
    (storage / "refs" / "main").unlink()
    if not links:  # as on a disk that has none
        for file in folder.iterdir():
            file.resolve().rename(file)
    hub.stop()
    assert refusal(REPO).message.startswith(f"{REPO} is only partly on this machine")
    (found,) = [model for model in find_models().models if model.id == REPO]
    assert found.state == "partial"
