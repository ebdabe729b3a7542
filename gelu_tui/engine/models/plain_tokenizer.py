"""A tokenizer that `tokenizers` alone reads as mlx-lm does.

Of tokenizer.json mlx-lm keeps the vocabulary and may replace the rest, and it gathers special
tokens from several files. `plain_tokenizer` accepts only folders where none of this changes
anything, which Gemma's own are; `mlx_lm_tokenizer` serves all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import tokenizers

from gelu_tui.core.models.json_file import JsonObject, read_object
from gelu_tui.engine.models.tokenizer_files import KIND, read_file, refusing

# What transformers puts in the place of the parts of tokenizer.json for the class GemmaTokenizer.
_NORMALIZER = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_SPLIT = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}
_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}
_GEMMA_DEFAULTS = {f"{name}_token": f"<{name}>" for name in ("unk", "bos", "eos", "pad", "mask")}
_DEFAULTS: dict[Any, dict[str, str]] = {
    "GemmaTokenizer": _GEMMA_DEFAULTS,
    "GemmaTokenizerFast": _GEMMA_DEFAULTS,
    "PreTrainedTokenizerFast": {},
    "TokenizersBackend": {},
}
_STANDARD = (*_GEMMA_DEFAULTS, "sep_token", "cls_token")

# Keys of tokenizer_config.json that change neither ids nor text where there is a tokenizer.json.
_HARMLESS = {
    "add_bos_token", "add_eos_token", "added_tokens_decoder", "backend", "chat_template",
    "clean_up_tokenization_spaces", "is_local", "legacy", "local_files_only", "name_or_path",
    "processor_class", "response_schema", "sp_model_kwargs", "spaces_between_special_tokens",
    "tokenizer_class", "use_default_system_prompt",
}  # fmt: skip
_TYPED = {
    "additional_special_tokens": list[str] | None,
    "extra_special_tokens": list[str] | dict[str, str] | None,
    "model_max_length": int | float | None,
    "model_specific_special_tokens": dict[str, str] | None,
    "padding_side": Literal["left", "right"],
    "tool_parser_type": Literal["function_gemma", "gemma4"],
}

# mlx-lm tells templates that a model can think if its vocabulary has all tokens of one of these.
_THINKING = (
    ("<think>", "</think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|channel>", "<channel|>"),
    ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"),
)


class _Added(msgspec.Struct, frozen=True):
    """A token that is searched in the text before it is cut into pieces."""

    content: str
    id: int = -1
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    special: bool = False
    normalized: bool | None = None

    def searched(self) -> tuple[Any, ...]:
        """All that decides where it is found; `special` only decides what may be left out."""
        normalized = not self.special if self.normalized is None else self.normalized
        return self.content, self.single_word, self.lstrip, self.rstrip, normalized


class _Model(msgspec.Struct):
    """The model of tokenizer.json without its vocabulary and merges."""

    type: str
    unk_token: str | None = None
    fuse_unk: bool = False
    byte_fallback: bool = False
    ignore_merges: bool | None = False
    dropout: float | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None

    def is_gemma(self, unk_token: str | None) -> bool:
        """Whether it is what GemmaTokenizer makes of vocabulary and merges."""
        others = (self.ignore_merges, self.dropout, self.continuing_subword_prefix)
        return (
            self.type == "BPE"
            and self.fuse_unk
            and self.byte_fallback
            and self.unk_token == unk_token
            and not any((*others, self.end_of_word_suffix))
        )


class _File(msgspec.Struct):
    """What decides about tokenizer.json; the vocabulary is skipped, which is most of it."""

    model: _Model
    added_tokens: list[_Added]
    normalizer: Any = None
    pre_tokenizer: Any = None
    decoder: Any = None
    truncation: Any = None
    padding: Any = None


@dataclass(frozen=True)
class Plain:
    """A tokenizer that needs nothing but tokenizer.json, and the special tokens by name."""

    backend: tokenizers.Tokenizer
    special_tokens: dict[str, str]

    @property
    def end_ids(self) -> frozenset[int]:
        """The id of the end token, if there is one."""
        found = self.backend.token_to_id(self.special_tokens.get("eos_token", ""))
        return frozenset() if found is None else frozenset((found,))

    @property
    def thinking(self) -> bool:
        """Whether mlx-lm passes `enable_thinking` to the chat template."""
        return any(
            all(self.backend.token_to_id(token) is not None for token in tokens)
            for tokens in _THINKING
        )


def plain_tokenizer(folder: Path, config: JsonObject | None) -> Plain | None:
    """Read tokenizer.json; None if mlx-lm may read it, or the files beside it, in another way.

    Raises `GeluError` for a file or a key that mlx-lm cannot read either.
    """
    path = folder / "tokenizer.json"
    if (
        _has_older_files(folder, config)
        or config is None
        or not path.exists()
        or not _is_known(config)
    ):
        return None
    named = {**_DEFAULTS[config.content["tokenizer_class"]], **_named_tokens(config)}
    special_tokens = {name: text for name, text in named.items() if text is not None}
    data = read_file(path)
    try:
        file = msgspec.json.decode(data, type=_File)
        own = _added_tokens_decoder(config)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    added = {token.id: token.searched() for token in file.added_tokens}
    same_parts = (
        file.normalizer == _NORMALIZER
        and file.pre_tokenizer in (None, _SPLIT)  # the normalizer leaves it nothing to split
        and file.decoder == _DECODER
        and file.truncation is file.padding is None
        and file.model.is_gemma(special_tokens.get("unk_token"))
    )
    contents = {token.content for token in file.added_tokens}
    if (
        not same_parts
        or not len(added) == len(contents) == len(file.added_tokens)
        or not contents.issuperset((*special_tokens.values(), *_extra_tokens(config)))
        or (own is not None and own != added)
    ):
        return None
    with refusing(path.name):
        backend = tokenizers.Tokenizer.from_buffer(data)
    return Plain(backend, special_tokens) if _in_place(backend, file.added_tokens) else None


def _has_older_files(folder: Path, config: JsonObject | None) -> bool:
    """Whether there are files that tokenizer_config.json has replaced, and they are still read."""
    if config is not None and "added_tokens_decoder" in config.content:
        return False
    names = ("special_tokens_map.json", "added_tokens.json")
    files = [read_object(folder / name, KIND) for name in names]
    return any(files)


def _is_known(config: JsonObject) -> bool:
    """Whether tokenizer_config.json has only classes, keys and types whose meaning is known."""
    content = config.content
    if config.get("tokenizer_class", str) not in _DEFAULTS:
        return False
    for key, value in content.items():
        try:
            if key in _TYPED:
                msgspec.convert(value, _TYPED[key])
            elif key not in (*_HARMLESS, *_STANDARD):
                if not key.endswith("_token"):
                    return False
                msgspec.convert(value, str | bool | None)
        except msgspec.ValidationError:
            return False
    return True


def _named_tokens(config: JsonObject) -> dict[str, str | None]:
    """The special tokens by name. Raises `GeluError` for one of the wrong type."""
    content = config.content
    standard: dict[str, str | None] = {}
    for key in set(_STANDARD) & set(content):
        value = config.get(key, str, dict)
        if isinstance(value, dict):
            value = value.get("content") if value.get("__type") == "AddedToken" else value
        if value is not None and not isinstance(value, str):
            raise config.refusal(key, "text")
        standard[key] = value
    others = {key: value for key, value in content.items() if isinstance(value, str)}
    specific = {
        key: value
        for key, value in others.items()
        if key.endswith("_token") and key not in (*_HARMLESS, *_STANDARD)
    }
    if isinstance(extra := content.get("extra_special_tokens"), dict):
        specific |= extra
    return standard | (specific or content.get("model_specific_special_tokens") or {})


def _extra_tokens(config: JsonObject) -> set[str]:
    """The special tokens without a name."""
    keys = ("extra_special_tokens", "additional_special_tokens")
    lists = [value for key in keys if isinstance(value := config.content.get(key), list)]
    return {token for tokens in lists for token in tokens}


def _added_tokens_decoder(config: JsonObject) -> dict[int, tuple[Any, ...]] | None:
    """The added tokens of tokenizer_config.json by id; where they exist, they replace the file's.

    Raises `ValueError` and msgspec's errors.
    """
    if "added_tokens_decoder" not in config.content:
        return None
    tokens = msgspec.convert(config.content["added_tokens_decoder"], dict[str, _Added])
    return {int(key): token.searched() for key, token in tokens.items()}


def _in_place(backend: tokenizers.Tokenizer, added: list[_Added]) -> bool:
    """Whether every added token gets its id again when it is added to the bare vocabulary."""
    size = backend.get_vocab_size(with_added_tokens=False)
    beyond = sorted(token.id for token in added if token.id >= size)
    return beyond == list(range(size, size + len(beyond))) and all(
        backend.model.token_to_id(token.content) == token.id for token in added if token.id < size
    )
