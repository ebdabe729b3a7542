"""Any JSON in the tokenizer's files: as mlx-lm reads it, or a sentence."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlx_lm import tokenizer_utils
from mlx_lm.utils import load_config

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.models import tokenizer_files
from gelu_tui.engine.models.tokenizer import Detokenizer, Tokenizer
from tests.support import tiny_models
from tests.support import tokenizer_variations as variations

TEXTS = ("the sky", "a <mask><end_of_turn>  é", "<bos>is", "<s>the")
KEYS = (
    "add_bos_token", "added_tokens_decoder", "additional_special_tokens", "boi_token", "bos_token",
    "clean_up_tokenization_spaces", "eos_token", "extra_special_tokens", "init_inputs", "legacy",
    "mask_token", "model_max_length", "model_specific_special_tokens", "pad_token", "padding_side",
    "split_special_tokens", "tokenizer_class", "tool_parser_type", "unk_token", "vocab_file",
)  # fmt: skip
TOKENS = st.sampled_from(("<bos>", "<end_of_turn>", "<mask>", "the", "<s>", ""))
AS_OBJECT = st.builds(lambda text: {"__type": "AddedToken", "content": text}, TOKENS)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.one_of(
    SCALARS,
    TOKENS,
    AS_OBJECT,
    st.sampled_from(("GemmaTokenizer", "GemmaTokenizerFast", "TokenizersBackend", "gemma4")),
    st.lists(TOKENS | AS_OBJECT | SCALARS, max_size=3),
    st.dictionaries(st.sampled_from(("boi_token", "bos_token", "4", "x")), TOKENS | SCALARS),
)
CHANGES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3)


@pytest.fixture(scope="module", params=["GemmaTokenizer", "PreTrainedTokenizerFast"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_models.write(tmp_path_factory.mktemp("files"), "gemma3_text")
    variations.names(folder, "<mask>")
    variations.config(folder, tokenizer_class=request.param)
    return folder


def _read(load: Any) -> Any:
    try:
        return load()
    except Exception as error:
        return error


def _theirs(folder: Path) -> dict[str, Any]:
    ends = load_config(folder).get("eos_token_id")
    tokenizer = tokenizer_utils.load(folder, eos_token_ids=ends)
    bos = tokenizer.bos_token
    return {
        "ids": [
            tokenizer.encode(text, add_special_tokens=not (bos and text.startswith(bos)))
            for text in TEXTS
        ],
        "ends": {end for end in tokenizer.eos_token_ids if isinstance(end, int)},
        "named": tokenizer.special_tokens_map,
    }


def _ours(folder: Path) -> dict[str, Any]:
    tokenizer = Tokenizer.load(folder)
    return {
        "ids": [tokenizer.encode(text) for text in TEXTS],
        "ends": tokenizer.end_ids,
        "named": tokenizer.special_tokens,
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=CHANGES, tokens_map=st.none() | CHANGES)
@example(config={"bos_token": None}, tokens_map={"bos_token": "<bos>"})
@example(config={"boi_token": "<s>"}, tokens_map=None)
@example(config={"extra_special_tokens": {"bos_token": "<mask>"}}, tokens_map=None)
@example(config={"bos_token": {"content": "<bos>"}}, tokens_map=None)
def test_any_values_are_read_as_mlx_lm_reads_them(
    config: dict[str, Any], tokens_map: dict[str, Any] | None, folder: Path
) -> None:
    file, map_file = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    plain = file.read_text()
    try:
        file.write_text(json.dumps({**json.loads(plain), **config}))
        if tokens_map is not None:
            map_file.write_text(json.dumps(tokens_map))
        theirs, ours = _read(lambda: _theirs(folder)), _read(lambda: _ours(folder))
    finally:
        file.write_text(plain)
        map_file.unlink(missing_ok=True)
    if isinstance(theirs, Exception):
        # What fails there may work here, where the key at fault is not needed.
        assert isinstance(ours, GeluError | dict), ours
    else:
        assert ours == theirs


IDS = st.none() | st.booleans() | st.integers(0, 400) | st.sampled_from((1.0, 2.5, "106", {}, [3]))


@given(generation=IDS | st.lists(IDS, max_size=3), config=IDS | st.lists(IDS, max_size=3))
def test_end_ids_are_read_as_mlx_lm_reads_them(
    generation: Any, config: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "config.json").write_text(json.dumps({"eos_token_id": config}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
    found = load_config(folder).get("eos_token_id")
    try:
        expected = set([found] if isinstance(found, int) else found or [])
    except TypeError:
        with pytest.raises(GeluError, match=r"eos_token_id is .* in .*config\.json, not a token"):
            tokenizer_files.configured_end_ids(folder)
    else:
        # For a model's token these are all that can be equal.
        assert tokenizer_files.configured_end_ids(folder) == {
            end for end in expected if isinstance(end, int | float) and end == int(end)
        }


@pytest.mark.parametrize(
    "content", [b'{"eos_token_id": [5, 7],}', b'\xef\xbb\xbf{"eos_token_id": 5}']
)
def test_a_generation_config_that_is_no_json_is_skipped(
    content: bytes, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "generation_config.json").write_bytes(content)
    assert Tokenizer.load(copy).end_ids == {1}
    assert load_config(copy)["eos_token_id"] == 1


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    {
        "pointer": ("tokenizer.json", POINTER, "json is a pointer of Git LFS, not the file itself"),
        "pointer too": ("tokenizer.model", POINTER, "model is a pointer of Git LFS, not the file"),
        "mark": (
            "tokenizer.json",
            b"\xef\xbb\xbf{}",
            "it is UTF-8 with a byte-order mark, not UTF-8",
        ),
        "UTF-16": ("tokenizer.json", "{}".encode("utf-16"), "it is UTF-16, not UTF-8"),
        "vocabulary": ("tokenizer.model", b"x", r"tokenizer\.model .* is not a model of Sentence"),
        "comma": ("tokenizer_config.json", b"{},", r"tokenizer_config\.json .* it is not JSON"),
        "class": (
            "tokenizer_config.json",
            b'{"tokenizer_class": 5}',
            "tokenizer_class is 5 in tok",
        ),
        "BOS": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "GemmaTokenizer", "bos_token": [1]}',
            r"bos_token is \[1\] in tokenizer_config\.json, not text",
        ),
        "a length in words": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "GemmaTokenizer", "model_max_length": "long"}',
            'model_max_length is "long" in tokenizer_config.json, not a number',
        ),
        "a parser that there is not": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "GemmaTokenizer", "tool_parser_type": "gemma9"}',
            'tool_parser_type is "gemma9" in tokenizer_config.json, not one of mlx-lm',
        ),
        "a type of templates that there is not": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "GemmaTokenizer", "chat_template_type": "../gemma"}',
            'chat_template_type is "../gemma" in tokenizer_config.json, not one of mlx-lm',
        ),
        "a known class, and another fault": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "GemmaTokenizer", "padding_side": "up"}',
            "^The tokenizer of this model cannot be read: Padding side should be",
        ),
        "map": ("special_tokens_map.json", b"[]", r"special_tokens_map\.json .* not an object"),
        "no Gemma": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "ByT5Tokenizer"}',
            "ByT5Tokenizer is no tokenizer for a Gemma",
        ),
        "another class": (
            "tokenizer_config.json",
            b'{"tokenizer_class": "T5Tokenizer"}',
            r'tokenizer_class is "T5Tokenizer" in tokenizer_config\.json\. The tokenizer .* read',
        ),
    }.values(),
)
def test_what_cannot_be_read_is_named(
    name: str, content: bytes, sentence: str, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_bytes(content)
    if name == "tokenizer.model":
        (copy / "tokenizer.json").unlink()
    with pytest.raises(GeluError, match=sentence):
        Tokenizer.load(copy)


# --- byte-level vocabularies ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    folder = tiny_models.write(tmp_path_factory.mktemp("bytes"), "gemma4")
    variations.byte_level(folder)
    return Tokenizer.load(folder), tokenizer_utils.load(folder)


@given(ids=st.lists(st.integers(0, 383), max_size=40))
def test_bytes_are_detokenized_as_mlx_lm_does(
    ids: list[int], byte_level: tuple[Tokenizer, Any]
) -> None:
    ours, theirs = byte_level
    expected = theirs.detokenizer
    for token in ids:
        expected.add_token(token)
    with contextlib.suppress(KeyError):
        expected.finalize()
    detokenizer = Detokenizer(ours)
    text = "".join(map(detokenizer.add, ids)) + detokenizer.finish()
    assert text == expected.text


# (mlx-lm shows a zero byte as Ā, and so do we.)
@given(text=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60))
def test_a_byte_level_text_comes_back(text: str, byte_level: tuple[Tokenizer, Any]) -> None:
    ours, _ = byte_level
    detokenizer = Detokenizer(ours)
    back = "".join(map(detokenizer.add, ours.encode(text))) + detokenizer.finish()
    assert back == text.removeprefix(" ")  # mlx-lm trims one space
    assert not any("Ġ" in ours.piece(token) for token in ours.encode("the sky"))


# --- files that are no files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "generation_config.json", "chat_template.jinja", "tokenizer.model",
        "additional_chat_templates/one.jinja",
    ],
)  # fmt: skip
def test_devices_are_refused_by_name(name: str, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    file = copy / name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")
    with pytest.raises(GeluError, match=rf"{file.name} .*cannot be read: it is a pipe"):
        Tokenizer.load(copy)
