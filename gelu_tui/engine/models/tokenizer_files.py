"""The tokenizer files of a model folder: checked, and read by mlx-lm where nothing else can.

mlx-lm's tokenizer is transformers', which takes a second to import and several to read Gemma's
files. `plain_tokenizer.py` reads those folders that need none of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tokenizers

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import (
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

# Keys of tokenizer_config.json that name a module of mlx-lm's, and the package that it is in.
_MODULES = {"chat_template_type": "chat_templates", "tool_parser_type": "tool_parsers"}

# Classes that are not to blame where the vocabulary can be read.
_OF_ANY_VOCABULARY = (
    "GemmaTokenizer", "GemmaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend",
)  # fmt: skip


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
                begin = read_file(path, 3)
                refuse_pointer(path)
                if path.stat().st_size > _LIMIT:
                    raise unreadable(path.name, f"it is larger than {_LIMIT:,} bytes")
                if path.name == "tokenizer.json" and (encoding := other_encoding(begin)):
                    reason, hint = f"it is {encoding}, not UTF-8", "Convert it to UTF-8."
                    raise unreadable(path.name, reason, hint)
    read_object(folder / CONFIG, KIND)


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
        # The vocabulary is well by itself, so it is the class, or another key, that does not fit.
        raise _misfit(folder, error) from None
    if not isinstance(getattr(wrapper, "backend_tokenizer", None), tokenizers.Tokenizer):
        message = f"{type(wrapper._tokenizer).__name__} is no tokenizer for a Gemma."
        raise GeluError(KIND, message, "Copy the original model's tokenizer files into the folder.")
    config = read_object(folder / CONFIG, KIND)
    if config and isinstance(wrapper.model_max_length, str | list | dict):  # compared with lengths
        raise config.refusal("model_max_length", "a number")
    return wrapper


def _misfit(folder: Path, error: GeluError) -> GeluError:
    """The error of a key of tokenizer_config.json at which mlx-lm fails with `error`."""
    config = read_object(folder / CONFIG, KIND)
    if config is None:
        return error
    for key, package in _MODULES.items():
        name = config.get(key, str)
        if name and not (name.isidentifier() and find_spec(f"mlx_lm.{package}.{name}")):
            return config.refusal(key, f"one of mlx-lm's {package}")
    name = config.get("tokenizer_class", str)
    message = error.info.message
    if name and name not in _OF_ANY_VOCABULARY:
        message = f"tokenizer_class is {shown(name)} in {CONFIG}. {message}"
    return GeluError(KIND, message, "Take the tokenizer files that belong to these weights.")


def _refuse_vocabulary(folder: Path) -> None:
    """Raise `GeluError` if the file with the vocabulary cannot be read even by itself."""
    file = folder / "tokenizer.json"
    if file.exists():
        with refusing(file.name):
            tokenizers.Tokenizer.from_buffer(read_file(file))
    else:
        file = folder / "tokenizer.model"
        from sentencepiece import SentencePieceProcessor

        try:
            SentencePieceProcessor(model_proto=read_file(file))
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


def read_file(path: Path, limit: int = _LIMIT) -> bytes:
    """The first `limit` bytes of a regular file. Raises `GeluError`."""
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise unreadable(path.name, str(error.strerror), hint_for(error)) from None
