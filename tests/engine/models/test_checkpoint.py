"""Exactly the files that are checked are loaded; each that is not is refused by its cause."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models import demo
from gelu_tui.core.models.inventory import LocalModel
from gelu_tui.engine.models.checkpoint import Checkpoint, open_checkpoint
from gelu_tui.engine.models.search import find_models
from tests.support import in_process, tiny_models
from tests.support import weight_edits as edits
from tests.support.folder_variations import edit_json
from tests.support.model_folders import cached_repo

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module", autouse=True)
def no_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A search judges the folders of a test only."""
    nowhere = tmp_path_factory.mktemp("demo") / "none"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "folder", lambda: nowhere)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.write(tmp_path / "model", "gemma3_text")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one family."""
    parent = tmp_path_factory.mktemp("two")
    one = tiny_models.write(parent / "one", "gemma3_text")
    return one, edits.another(parent / "other", one)


def holds(checkpoint: Checkpoint, weights: edits.Weights) -> None:
    """Assert that a model has these weights and no others."""
    loaded = dict(tree_flatten(checkpoint.model.parameters()))
    assert loaded.keys() == weights.keys()
    assert all(mx.array_equal(value, weights[name]) for name, value in loaded.items())


def listed(folder: Path) -> LocalModel:
    [model] = [model for model in find_models([folder]).models if model.folder == str(folder)]
    return model


def refused(folder: Path) -> str:
    """The sentences by which `run` refuses a folder, which are those of `models`."""
    with pytest.raises(GeluError) as caught:
        in_process.load(folder)
    info = caught.value.info
    assert info.message.endswith(".") and info.hint.endswith(".")
    model = listed(folder)
    assert not model.usable
    assert model.reason == f"{info.message} {info.hint}"
    return model.reason


# --- the files that are checked are those that are loaded ---------------------------------------

NAMES = st.one_of(
    st.sampled_from(
        ["m [1]", "[ab]", "m*", "m?", "-m", "~m", "$HOME", "a\nb", "空 青", "%s", "{m}"]
    ),
    st.text(st.sampled_from("m1 []*?!-~\\\n'\"{}é空"), min_size=1, max_size=12),
)


@settings(max_examples=30, deadline=None)
@given(NAMES)
def test_the_folder_of_any_name_and_no_sibling(two: tuple[Path, Path], name: str) -> None:
    """A sibling has the name that the pattern of this folder's name would match."""
    one, other = two
    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(one, Path(parent) / name)
        for sibling in {name.replace("[", "").replace("]", ""), "m 1", "m1", "mm"} - {name, ""}:
            shutil.copytree(other, Path(parent) / sibling)
        holds(open_checkpoint(folder), edits.read(one))


@pytest.mark.parametrize("name", ["hub [1]", "*", "[!a]", "a\nb?"])
def test_a_hubs_cache_of_any_name(
    name: str, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / name
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    cached_repo(cache, "maker/gemma-x", shutil.copytree(two[0], tmp_path / "made"))
    cached_repo(tmp_path / "hub 1", "maker/gemma-x", shutil.copytree(two[1], tmp_path / "other"))
    [model] = [model for model in find_models().models if model.source == "hub"]
    assert (model.id, model.state) == ("maker/gemma-x", "ready")
    holds(open_checkpoint(Path(model.folder)), edits.read(two[0]))


def test_a_bracket_above_the_folder(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(two[0], tmp_path / "cache [2]" / "deep" / "m")
    shutil.copytree(two[1], tmp_path / "cache 2" / "deep" / "m")
    loaded = in_process.load(folder)
    expected = edits.read(two[0])
    assert all(
        mx.array_equal(value, expected[name])
        for name, value in tree_flatten(loaded.model.parameters())
    )
    assert listed(folder).state == "ready"


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model-old.safetensors", "modelx.safetensors"]
)
def test_a_leftover_beside_shards_with_an_index(
    name: str, two: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = two
    folder = shutil.copytree(one, tmp_path / "m")
    edits.shards(folder)
    edits.index(folder)
    weights = edits.read(other)
    edits.save(folder, {**weights, "model.layers.9.mlp.up_proj.weight": mx.zeros((2,))}, name)
    checkpoint = open_checkpoint(folder)
    holds(checkpoint, edits.read(one))
    assert listed(folder).weight_bytes == sum(w.nbytes for w in edits.read(one).values())


@pytest.mark.parametrize("index", ["none", "broken", "of one file", "of files that are not there"])
def test_a_leftover_that_no_index_decides(
    index: str, two: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = two
    folder = shutil.copytree(one, tmp_path / "m")
    files = edits.shards(folder)
    shutil.copy(other / edits.WEIGHTS, folder)
    match index:
        case "broken":
            (folder / INDEX).write_text("{")
        case "of one file":
            edits.index(folder, {"model.norm.weight": files[0].name, "lm_head.weight": "x"})
        case "of files that are not there":
            edits.index(folder, dict.fromkeys(edits.read(other), "model-1-of-5.safetensors"))
    told = refused(folder)
    assert "model.safetensors" in told and "-of-00002.safetensors" in told


def test_a_tensor_in_two_shards_of_the_index(two: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = two
    folder = shutil.copytree(one, tmp_path / "m")
    weights, wrong = edits.read(one), edits.read(other)
    first, *rest = weights
    edits.save(folder, {**weights, first: wrong[first]}, "model.safetensors")
    edits.save(folder, {first: weights[first], rest[0]: wrong[rest[0]]}, "model-2.safetensors")
    placed = dict.fromkeys(rest, "model.safetensors") | {first: "model-2.safetensors"}
    edits.index(folder, placed)
    holds(open_checkpoint(folder), weights)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_a_path_that_is_no_text_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(two[0], os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(GeluError, match="its path is not UTF-8") as caught:
        open_checkpoint(Path(folder))
    assert caught.value.hint.startswith("Rename")


def test_the_folder_of_temporary_files_is_no_fault_of_the_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(GeluError, match="No temporary file can be written: No such") as caught:
        open_checkpoint(folder)
    assert "TMPDIR" in caught.value.hint


def test_two_names_of_one_file_are_no_conflict(folder: Path) -> None:
    (folder / "model-copy.safetensors").symlink_to("model.safetensors")
    holds(open_checkpoint(folder), edits.read(folder))


# --- the tensors decide, not the index ----------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_shards_under_any_index(two: tuple[Path, Path], data: st.DataObject) -> None:
    """Whatever files the tensors lie in and whatever the index says, they are loaded."""
    weights = edits.read(two[0])
    of = data.draw(st.lists(st.integers(0, 4), min_size=len(weights), max_size=len(weights)))
    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(two[0], Path(parent) / "m")
        edits.shards(folder, of.__getitem__)
        names = st.sampled_from([f"model-0000{n}-of-00005.safetensors" for n in range(1, 6)])
        if data.draw(st.booleans()):
            edits.index(folder, {name: data.draw(names) for name in weights})
        holds(open_checkpoint(folder), weights)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_missing_shard_is_named(two: tuple[Path, Path], data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 5))
    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(two[0], Path(parent) / "m")
        files = edits.shards(folder, lambda number: number % count)
        if data.draw(st.booleans()):
            edits.index(folder)
        gone = data.draw(st.sampled_from(files))
        gone.unlink()
        if data.draw(st.booleans()):
            gone.symlink_to("nowhere")
        assert f"the weight file {gone.name} is missing" in refused(folder)
        assert listed(folder).state == "partial"


def test_an_index_of_shards_where_whole_files_lie(folder: Path) -> None:
    """As mlx-community/gemma-3-12b-it-4bit ships it."""
    weights = edits.read(folder)
    edits.index_of_other_files(folder)
    holds(open_checkpoint(folder), weights)
    assert listed(folder).state == "ready"


# --- each cause by its name ---------------------------------------------------------------------


def _quantized_by(method: str, part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit_json(folder / "config.json", quantization_config={"quant_method": method, "bits": 4})
        name = "model.layers.0.mlp.up_proj."
        edits.edit(
            folder,
            lambda found: {
                (n.replace(f"{name}weight", f"{name}{part}")): w for n, w in found.items()
            },
        )

    return change


def _pointer(name: str) -> Callable[[Path], object]:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 33384568\n"
    return lambda folder: (folder / name).write_text(text)


def _adapter(name: str, **content: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / edits.WEIGHTS).rename(folder / name)
        (folder / "adapter_config.json").write_text(json.dumps(content))
        if "peft_type" not in content:
            (folder / "config.json").unlink()

    return change


CAUSES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "gptq": ("quantized by gptq", _quantized_by("gptq", "g_idx")),
    "awq": ("quantized by awq", _quantized_by("awq", "qweight")),
    "bitsandbytes": ("quantized by bitsandbytes", _quantized_by("bitsandbytes", "weight.absmax")),
    "fp8": ("quantized by fbgemm_fp8", _quantized_by("fbgemm_fp8", "weight_scale")),
    "no method": (
        "names no quant_method",
        lambda f: edit_json(f / "config.json", quantization_config={"bits": 4, "group_size": 64}),
    ),
    "only the names of bitsandbytes": (
        "quantized by bitsandbytes",
        lambda f: edits.edit(f, lambda w: {**w, "model.norm.weight.absmax": mx.zeros((2,))}),
    ),
    "no object": (
        "quantization_config is 5 in config.json, not an object",
        lambda f: edit_json(f / "config.json", quantization_config=5),
    ),
    "gptq, and nothing is packed": (
        "does not read: none of them is packed (.qweight).",
        lambda f: edit_json(f / "config.json", quantization_config={"quant_method": "gptq"}),
    ),
    "NVIDIA's file": (
        "quantized by NVIDIA's ModelOpt (hf_quant_config.json)",
        lambda f: edit_json(f / "hf_quant_config.json", quantization={"quant_algo": "NVFP4"}),
    ),
    "a module that is said to have floats": (
        "`quantization` in config.json has false for it",
        lambda f: edit_json(
            tiny_models.write(f, "gemma3_text", bits=4) / "config.json",
            quantization={"group_size": 32, "bits": 4, "model.layers.0.mlp.up_proj": False},
        ),
    ),
    "an archive of PyTorch": (
        "not of the safetensors format, but begins as an archive",
        lambda f: (f / edits.WEIGHTS).write_bytes(b"PK\x03\x04" + bytes(100)),
    ),
    "GGUF": (
        "Convert it with `mlx_lm.convert`",
        lambda f: (f / edits.WEIGHTS).write_bytes(b"GGUF\x03" + bytes(100)),
    ),
    "pointer: weights": ("a pointer of Git LFS", _pointer("model.safetensors")),
    "pointer: tokenizer": ("a pointer of Git LFS", _pointer("tokenizer.json")),
    "pointer: config": ("a pointer of Git LFS", _pointer("config.json")),
    "adapter of peft": (
        "an adapter of google/gemma-2b",
        _adapter("adapter_model.safetensors", peft_type="LORA",
                 base_model_name_or_path="google/gemma-2b"),
    ),
    "adapter of mlx-lm": (
        "holds an adapter",
        _adapter("adapters.safetensors", fine_tune_type="lora"),
    ),
    "names of a wrapper": (
        "family: model.language_model.embed_tokens.weight, not model.embed_tokens.weight.",
        lambda f: edits.renamed(f, "model.", "model.language_model."),
    ),
    "no prefix": (
        "family: embed_tokens.weight, not model.embed_tokens.weight.",
        lambda f: edits.renamed(f, "model.", ""),
    ),
    "a layer is missing": (
        "num_hidden_layers is 4 in config.json, not 3",
        lambda f: edits.edit(f, lambda w: {n: v for n, v in w.items() if ".3." not in n}),
    ),
    "bits without a word": (
        "are quantized, and config.json has no key `quantization`",
        lambda f: edit_json(
            tiny_models.write(f, "gemma3_text", bits=4) / "config.json", quantization=None
        ),
    ),
    "a dtype that MLX does not read": (
        "MLX cannot read the weight file",
        lambda f: (f / edits.WEIGHTS).write_bytes(
            (f / edits.WEIGHTS).read_bytes().replace(b'"F32"', b'"F6_"', 1)
        ),
    ),
    "a tensor is missing": (
        "model.layers.1.mlp.up_proj.weight is missing. What is expected follows from hidden_size",
        lambda f: edits.edit(f, lambda w: {n: v for n, v in w.items() if ".1.mlp.up" not in n}),
    ),
    "a tensor too many": (
        "model.layers.1.mlp.bias is not part of this model",
        lambda f: edits.edit(f, lambda w: {**w, "model.layers.1.mlp.bias": mx.zeros((2,))}),
    ),
    "a layer too many": (
        "num_hidden_layers is 3 in config.json, not 4",
        lambda f: edit_json(f / "config.json", num_hidden_layers=3),
    ),
    "other sizes": (
        "should be",
        lambda f: edit_json(f / "config.json", intermediate_size=64),
    ),
    "no tokenizer": ("no tokenizer", lambda f: (f / "tokenizer.json").unlink()),
    "other names of files": (
        "Only weight files of that name are read, and weights.00.safetensors is not one.",
        lambda f: (f / edits.WEIGHTS).rename(f / "weights.00.safetensors"),
    ),
    "UTF-16": (
        "UTF-16",
        lambda f: (f / "config.json").write_text((f / "config.json").read_text(), "utf-16"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_is_named(cause: str, folder: Path) -> None:
    sentence, change = CAUSES[cause]
    change(folder)
    told = refused(folder)
    assert sentence in told
    if cause not in ("no tokenizer", "UTF-16"):
        assert "etch the model again" not in told and "Fetch it again" not in told


DAMAGED: dict[str, tuple[str, bytes]] = {
    "a login page": ("begins as a web page", b"\n<!DOCTYPE html><title>Sign in</title>"),
    "an error": ("begins as JSON", b'{"error": "Access to this model is restricted."}'),
    "nothing": ("it is truncated", b""),
    "a header that is a list": ("its header makes no sense", (3).to_bytes(8, "little") + b"[1]"),
    "a header of a number": (
        "its header makes no sense", (7).to_bytes(8, "little") + b'{"a":1}'
    ),
    "fewer bytes than its shape has": (
        "its header makes no sense",
        (58).to_bytes(8, "little")
        + b'{"a": {"dtype": "F32","shape":[2,3],"data_offsets":[0,4]}}0000',
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", DAMAGED)
def test_a_damaged_weight_file_is_named(cause: str, folder: Path) -> None:
    sentence, content = DAMAGED[cause]
    (folder / edits.WEIGHTS).write_bytes(content)
    told = refused(folder)
    assert sentence in told and "Fetch it again" in told


def test_names_of_the_wrapper_of_gemma3(tmp_path: Path) -> None:
    """As transformers writes them from 4.52 on."""
    folder = tiny_models.write(tmp_path / "m", "gemma3")
    edits.renamed(folder, "language_model.model.", "model.language_model.")
    assert (
        "model.language_model.embed_tokens.weight, not language_model.model.embed_tokens.weight."
        in refused(folder)
    )


# --- a stored output head -----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3n", "gemma4_text"])
@pytest.mark.parametrize("bits", [None, 4])
def test_a_head_equal_to_the_embeddings(family: str, bits: int | None, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", family, bits=bits)
    plain = in_process.load(folder)
    weights = edits.read(folder)
    begin = next(n for n in weights if n.endswith(".embed_tokens.weight")).removesuffix("weight")
    head = {n.replace(begin, "lm_head."): w for n, w in weights.items() if n.startswith(begin)}
    edits.save(folder, {**weights, **head})
    checkpoint = open_checkpoint(folder)
    assert checkpoint.weight_bytes == plain.weight_bytes
    holds(checkpoint, dict(tree_flatten(plain.model.parameters())))
    assert listed(folder).state == "ready"


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3n", "gemma4_text"])
def test_a_head_of_its_own(family: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", family)
    edits.with_head(folder, tied=False)
    assert "an output head of its own (lm_head.weight)" in refused(folder)


# --- what is told is what was loaded ------------------------------------------------------------


@pytest.mark.parametrize("family", ["gemma", "gemma3_text", "gemma3n", "gemma4", "recurrent_gemma"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_bits_and_parameters(family: str, bits: int, tmp_path: Path) -> None:
    plain = open_checkpoint(tiny_models.write(tmp_path / "plain", family))
    folder = tiny_models.write(tmp_path / "m", family, bits=bits)
    edit_json(folder / "config.json", quantization={"group_size": 64, "bits": 10 - bits})
    loaded = in_process.load(folder)
    assert loaded.info.quantization == {"group_size": 32, "bits": bits}
    model = listed(folder)
    assert model.quantization == loaded.info.quantization
    assert model.parameters == plain.parameters
    assert model.weight_bytes == loaded.weight_bytes


def test_float_weights_with_a_quantization_key(folder: Path) -> None:
    edit_json(folder / "config.json", quantization={"group_size": 64, "bits": 4})
    assert in_process.load(folder).info.quantization is None
    assert listed(folder).quantization is None


@pytest.mark.parametrize(
    ("family", "begins"),
    [
        ("gemma3", ("vision_tower.", "multi_modal_projector.")),
        ("gemma3n", ("model.vision_tower.", "model.audio_tower.", "model.embed_vision.")),
        ("gemma4", ("model.vision_tower.", "model.audio_tower.", "embed_audio.")),
    ],
)
def test_what_is_never_loaded_takes_no_memory(
    family: str, begins: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tiny_models.write(tmp_path / "m", family)
    plain = in_process.load(folder)
    more = {f"{begin}layers.0.weight": mx.zeros((1000, 1000)) for begin in begins}
    edits.edit(folder, lambda found: {**found, **more})
    assert in_process.load(folder).weight_bytes == plain.weight_bytes
    model = listed(folder)
    assert (model.weight_bytes, model.state) == (plain.weight_bytes, "ready")
    assert model.disk_bytes > 4_000_000 * len(begins)
