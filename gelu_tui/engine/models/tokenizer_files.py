"""The tokenizer files of a model folder: whether `tokenizers` alone reads them as mlx-lm does.

mlx-lm's tokenizer is transformers', which takes a second to import and several to read Gemma's
files. Of tokenizer.json it keeps the vocabulary and may replace the rest, and it gathers special
tokens from several files. `plain_tokenizer` accepts only folders where none of this changes
anything, which Gemma's own are; `mlx_lm_tokenizer` serves all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import tokenizers

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import (
    JsonObject,
    NotJsonError,
    hint_for,
    other_encoding,
    read_object,
    read_regular,
    shown,
)
from gelu_tui.core.models.weights import INDEX, refuse_pointer
from gelu_tui.core.paths import look
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine.failures import reason_of

KIND = "tokenizer"
CONFIG = "tokenizer_config.json"

_VOCABULARIES = ("tokenizer.json", "tokenizer.model")
# What no tokenizer reads; whoever reads it checks it.
_OF_OTHERS = {
    INDEX, "generation_config.json", "hf_quant_config.json", "chat_template.json",
    "processor_config.json", "preprocessor_config.json",
}  # fmt: skip

# Gemma's tokenizer.json has 33 MB.
_LIMIT = 256 * 1024 * 1024

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
        """Whether mlx-lm tells the chat template that the model can think."""
        return any(
            all(self.backend.token_to_id(token) is not None for token in tokens)
            for tokens in _THINKING
        )


def check_files(folder: Path) -> None:
    """Check that all that transformers may read are regular files of a bounded size, and UTF-8.

    Raises `GeluError`, also if there is no tokenizer.
    """
    if not any(look(folder / name) for name in _VOCABULARIES):
        where, names = visible_line(str(folder)), " nor ".join(_VOCABULARIES)
        message = f"'{where}' has no tokenizer (neither {names})."
        hint = "Finish the download, or copy the original model's tokenizer beside the weights."
        raise GeluError("tokenizer_missing", message, hint)
    for pattern in ("*.json", "*.model", "*.jinja", "additional_chat_templates/*.jinja"):
        for path in sorted(folder.glob(pattern)):
            if path.exists() and path.name not in _OF_OTHERS:  # a link may lead nowhere
                begin = _read(path, 3)
                refuse_pointer(path)
                if path.stat().st_size > _LIMIT:
                    raise unreadable(path.name, f"it is larger than {_LIMIT:,} bytes")
                if path.name == "tokenizer.json" and (encoding := other_encoding(begin)):
                    reason, hint = f"it is {encoding}, not UTF-8", "Convert it to UTF-8."
                    raise unreadable(path.name, reason, hint)
    read_object(folder / CONFIG, KIND)


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
    data = _read(path, _LIMIT)
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


def mlx_lm_tokenizer(folder: Path) -> Any:
    """Load mlx-lm's own tokenizer, but without the chat template. Raises `GeluError`."""
    from gelu_tui.engine.models.mlx_lm_import import complete_tokenizers, import_mlx_lm

    import_mlx_lm()
    complete_tokenizers()
    from mlx_lm.tokenizer_utils import load

    try:
        with refusing("The tokenizer"):
            # No code of the folder runs, and its template is read by `chat_template.py`.
            wrapper = load(folder, {"trust_remote_code": False, "chat_template": None})
    except GeluError as error:
        _refuse_vocabulary(folder)
        # The vocabulary is well by itself, so it is the class that does not fit.
        raise _misfit(folder, error) from None
    if not isinstance(getattr(wrapper, "backend_tokenizer", None), tokenizers.Tokenizer):
        message = f"{type(wrapper._tokenizer).__name__} is no tokenizer for a Gemma."
        raise GeluError(KIND, message, "Copy the original model's tokenizer files into the folder.")
    return wrapper


def _misfit(folder: Path, error: GeluError) -> GeluError:
    config = read_object(folder / CONFIG, KIND)
    name = config.get("tokenizer_class", str) if config else None
    if not name:
        return error
    message = f"tokenizer_class is {shown(name)} in {CONFIG}. {error.info.message}"
    return GeluError(KIND, message, "Take the tokenizer files that belong to these weights.")


def _refuse_vocabulary(folder: Path) -> None:
    """Raise `GeluError` if the file with the vocabulary cannot be read even by itself."""
    file = folder / "tokenizer.json"
    if file.exists():
        with refusing(file.name):
            tokenizers.Tokenizer.from_buffer(_read(file, _LIMIT))
    else:
        file = folder / "tokenizer.model"
        from sentencepiece import SentencePieceProcessor

        try:
            SentencePieceProcessor(model_proto=_read(file, _LIMIT))
        except RuntimeError:
            raise unreadable(file.name, "it is not a model of SentencePiece") from None


def configured_end_ids(folder: Path) -> frozenset[int]:
    """The end tokens that the generation config names, else the config; as mlx-lm reads them.

    Raises `GeluError`.
    """
    configs = []
    with contextlib.suppress(NotJsonError):  # mlx-lm skips it too
        configs.append(read_object(folder / "generation_config.json", KIND))
    configs.append(read_object(folder / "config.json", KIND))
    for config in filter(None, configs):
        found = config.content.get("eos_token_id")
        if not found and config.path.name != "config.json":
            continue
        if found is None or isinstance(found, str | dict):
            return frozenset()  # for mlx-lm a set of characters or keys, which no token is
        ids = found if isinstance(found, list) else [found]
        if isinstance(found, float) or any(isinstance(each, list | dict) for each in ids):
            raise config.refusal("eos_token_id", "a token id or a list of token ids")
        numbers = [each for each in ids if isinstance(each, int | float)]
        return frozenset(int(each) for each in numbers if each % 1 == 0)
    return frozenset()


@contextlib.contextmanager
def refusing(what: str, hint: str = "Fetch it again.") -> Iterator[None]:
    """Turn any error of a library into "`what` … cannot be read"; also a panic of its Rust code.

    Raises `GeluError`.
    """
    try:
        yield
    except GeluError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise unreadable(what, reason_of(error), hint) from None


def is_panic(error: BaseException) -> bool:
    """Whether Rust code panicked: an exception without a public class, and no `Exception`."""
    return type(error).__name__ == "PanicException"


def unreadable(what: str, reason: str, hint: str = "Fetch it again.") -> GeluError:
    """The error of a file, or of all files together, of a tokenizer."""
    message = f"{what} of this model cannot be read: {visible_line(reason)}."
    return GeluError(KIND, message, hint)


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise unreadable(path.name, str(error.strerror), hint_for(error)) from None


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
