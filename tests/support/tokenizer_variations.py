"""Edits of the tokenizer files of a tiny model's folder, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

Edit = Callable[[Path], None]

# A template that shows every variable that mlx-lm and transformers may pass.
SHOWS_ALL = (
    "{{ bos_token }}<start_of_turn>{{ messages[0].content }}|{{ boi_token }}|{{ eoi_token }}|"
    "{{ mask_token }}|{{ pad_token }}|{{ unk_token }}|{{ sep_token }}|{{ eos_token }}|"
    "{{ enable_thinking }}|{{ add_bos_token }}|{{ tools }}|{{ add_generation_prompt }}"
)


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file, which is made if there is none; None deletes a key."""
    content = json.loads(file.read_text()) if file.exists() else {}
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    file.write_text(json.dumps(kept))


def config(folder: Path, **changes: Any) -> None:
    """Set keys of tokenizer_config.json."""
    edit_json(folder / "tokenizer_config.json", **changes)


def tokenizer(folder: Path, **changes: Any) -> None:
    """Set keys of tokenizer.json, also to null."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def names(folder: Path, *tokens: str) -> None:
    """Name tokens of the vocabulary that nothing uses: they become added tokens."""
    file = folder / "tokenizer.json"
    text = file.read_text()
    unused = re.findall(r'"<unused\d+>"', text)
    for old, token in zip(unused, tokens, strict=False):
        text = text.replace(old, json.dumps(token))
    file.write_text(text)
    backend = Tokenizer.from_file(str(file))
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in tokens])
    backend.save(str(file))


def added_tokens_decoder(folder: Path) -> dict[str, Any]:
    """The added tokens of tokenizer.json in the form of tokenizer_config.json."""
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    return {str(token.pop("id")): token for token in added}


def byte_level(folder: Path) -> None:
    """A byte-level BPE, which writes a space as `Ġ`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<mask>")
    merges = [("Ġ", "s"), ("t", "h"), ("th", "e"), ("ã", "ģ")]
    pieces = [*special, *alphabet, *("".join(pair) for pair in merges)]
    pieces += [f"<unused{number}>" for number in range(384 - len(pieces))]
    backend = Tokenizer(BPE({piece: index for index, piece in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in special])
    backend.save(str(folder / "tokenizer.json"))


def sentencepiece_only(folder: Path) -> None:
    """The same pieces as SentencePiece's tokenizer.model, and no tokenizer.json."""
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    special = {token["content"] for token in content["added_tokens"]}
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    model = sentencepiece_model_pb2.ModelProto()
    for score, piece in enumerate(content["model"]["vocab"]):
        kind = kinds.BYTE if piece.startswith("<0x") else kinds.NORMAL
        kind = kinds.UNKNOWN if piece == "<unk>" else kinds.CONTROL if piece in special else kind
        model.pieces.add(piece=piece, score=-score, type=kind)
    trainer = model.trainer_spec
    trainer.model_type, trainer.byte_fallback = trainer.BPE, True
    trainer.pad_id, trainer.eos_id, trainer.bos_id, trainer.unk_id = 0, 1, 2, 3
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())


def _bos_in_special_tokens_map(folder: Path) -> None:
    config(folder, bos_token=None)
    edit_json(folder / "special_tokens_map.json", bos_token={"content": "<bos>", "lstrip": False})


def _map_that_is_not_read(folder: Path) -> None:
    config(folder, bos_token=None, added_tokens_decoder=added_tokens_decoder(folder))
    edit_json(folder / "special_tokens_map.json", bos_token="<bos>")


def _fewer_added_tokens_in_config(folder: Path) -> None:
    added = added_tokens_decoder(folder)
    del added["4"], added["5"]
    config(folder, added_tokens_decoder=added)


def _gemma_3_tokens(folder: Path) -> None:
    names(folder, "<start_of_image>", "<end_of_image>")
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    config(folder, extra_special_tokens=tokens, added_tokens_decoder=added_tokens_decoder(folder))


def _saved_by_transformers_5(folder: Path) -> None:
    names(folder, "<start_of_image>")
    config(
        folder,
        boi_token="<start_of_image>",
        mask_token="<mask>",
        model_specific_special_tokens={"boi_token": "<start_of_image>"},
        backend="tokenizers",
        is_local=False,
        padding_side="left",
        model_max_length=10**30,
    )


def _thinking(*tokens: str) -> Edit:
    return lambda folder: names(folder, *tokens)


def _template_file(folder: Path, data: bytes, name: str = "chat_template.jinja") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def _regular_expression(folder: Path) -> None:
    pattern = {"Regex": r"\s+"}
    tokenizer(folder, normalizer={"type": "Replace", "pattern": pattern, "content": "▁"})


_TURN = b"<start_of_turn>{{ messages[0].content }}\r\n<end_of_turn>"
_TRUNCATION = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}

EDITS: dict[str, Edit] = {
    "all template variables": lambda folder: None,
    "BOS only in special_tokens_map": _bos_in_special_tokens_map,
    "special_tokens_map that is not read": _map_that_is_not_read,
    "BOS in no file": partial(config, bos_token=None),
    "BOS as an object": partial(
        config, bos_token={"__type": "AddedToken", "content": "<bos>", "normalized": False}
    ),
    "no add_bos_token": partial(config, add_bos_token=False),
    "add_eos_token": partial(config, add_eos_token=True),
    "no post-processor": partial(tokenizer, post_processor=None),
    "another end token": partial(config, eos_token="<end_of_turn>"),
    "no end token": partial(config, eos_token=None),
    "Gemma 3's tokens": _gemma_3_tokens,
    "saved by transformers 5": _saved_by_transformers_5,
    "boi_token": partial(config, boi_token="<start_of_turn>"),
    "extra special tokens": partial(config, extra_special_tokens=["the", "<end_of_turn>"]),
    "additional special tokens": partial(config, additional_special_tokens=["<end_of_turn>"]),
    "added tokens in the config": lambda folder: config(
        folder, added_tokens_decoder=added_tokens_decoder(folder)
    ),
    "fewer added tokens in the config": _fewer_added_tokens_in_config,
    "added_tokens.json": lambda folder: edit_json(folder / "added_tokens.json", sky=300),
    "thinking": _thinking("<think>", "</think>"),
    "Gemma 4's thinking": _thinking("<|channel>", "<channel|>"),
    "half of thinking": _thinking("<think>", "<channel|>"),
    "byte-level BPE": byte_level,
    "tokenizer.model only": sentencepiece_only,
    "truncation": partial(tokenizer, truncation=_TRUNCATION),
    "no pre-tokenizer": partial(tokenizer, pre_tokenizer=None),
    "a regular expression": _regular_expression,
    "special tokens split": partial(config, split_special_tokens=True),
    "no tokenizer class": partial(config, tokenizer_class=None),
    "Llama's tokenizer class": partial(config, tokenizer_class="LlamaTokenizer"),
    "a class that does not exist": partial(config, tokenizer_class="NoSuchTokenizer"),
    "no tokenizer_config": lambda folder: (folder / "tokenizer_config.json").unlink(),
    "a template in a file": lambda folder: _template_file(folder, _TURN),
    "a template with a mark": lambda folder: _template_file(folder, b"\xef\xbb\xbf" + _TURN),
    "an additional template": lambda folder: _template_file(
        folder, _TURN, "additional_chat_templates/default.jinja"
    ),
    "named templates": partial(
        config, chat_template=[{"name": "default", "template": "{{ messages[0].content }}!"}]
    ),
    "templates as an object": partial(config, chat_template={"default": "<bos>the"}),
    "chat_template.json, which is for images": lambda folder: edit_json(
        folder / "chat_template.json", chat_template="never read"
    ),
}
