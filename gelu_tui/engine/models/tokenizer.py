"""The tokenizer of a Gemma folder, without importing transformers for it.

`tokenizers` reads tokenizer.json in a fraction of the time that transformers takes; ids and text
are the same (tested against transformers on every model of the tests).
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from gelu_tui.core.errors import GeluError

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None
    return content if isinstance(content, dict) else {}


def _unreadable(path: Path, error: Exception) -> GeluError:
    message = f"{path.name} of this model cannot be read: {error}."
    return GeluError("tokenizer", message, "Fetch it again.")


@dataclass(frozen=True)
class Tokenizer:
    """Encoding, chat template and end ids of one model."""

    backend: tokenizers.Tokenizer
    bos_token: str | None
    add_bos: bool
    special_tokens: dict[str, str]
    chat_template: str | None
    end_ids: frozenset[int]

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of a model folder. Raises `GeluError`."""
        config = _read_json(folder / "tokenizer_config.json")
        backend = _backend(folder)
        special = {}
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            value = config.get(name)  # text, or an object with `content`
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                special[name] = text
        return cls(
            backend,
            bos_token=special.get("bos_token"),
            add_bos=config.get("add_bos_token", True) is not False,
            special_tokens=special,
            chat_template=_chat_template(folder, config),
            end_ids=_end_ids(folder, backend, special.get("eos_token")),
        )

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a raw prompt; BOS is added unless the text begins with it."""
        if self.bos_token and text.startswith(self.bos_token):
            return self.backend.encode(text, add_special_tokens=False).ids
        ids = self.backend.encode(text, add_special_tokens=True).ids
        bos = self.backend.token_to_id(self.bos_token) if self.bos_token else None
        if bos is not None and self.add_bos and ids[:1] != [bos]:
            ids = [bos, *ids]
        return ids

    def chat(self, prompt: str) -> tuple[str, list[int]]:
        """Return the prompt as one user turn: the text that the template renders, and its ids.

        Raises `GeluError` if the template fails.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            rendered, _ = render_jinja_template(
                conversations=[[{"role": "user", "content": prompt}]],
                chat_template=self.chat_template,
                add_generation_prompt=True,
                **self.special_tokens,
            )
        except Exception as error:  # a template is a program of its own
            message = f"The chat template of this model fails: {error}."
            hint = "Use --raw to feed the prompt as it is."
            raise GeluError("chat_template", message, hint) from None
        # The template writes BOS itself; encoding with special tokens would double it.
        return rendered[0], self.backend.encode(rendered[0], add_special_tokens=False).ids

    def piece(self, token: int) -> str:
        """Return the text of one token; special tokens and lone bytes by their names."""
        piece = self.backend.id_to_token(token)
        return f"<unknown id {token}>" if piece is None else piece.replace("▁", " ")

    @property
    def special_ids(self) -> frozenset[int]:
        """The tokens that control the model instead of being text: BOS, turns, images."""
        added = self.backend.get_added_tokens_decoder()
        return frozenset(token for token, properties in added.items() if properties.special)


class Detokenizer:
    """Text of a growing token list: each character appears once, whole, with its last byte.

    Bytes that are not UTF-8 appear as U+FFFD. Equal to the tokenizer's `decode` with special tokens
    kept, for SentencePiece-like vocabularies with byte fallback, which all Gemmas have.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        """Append a token and return the text that it completes."""
        piece = self._tokenizer.backend.id_to_token(token)
        if piece is not None and (match := _BYTE_PIECE.fullmatch(piece)):
            return self._bytes.decode(bytes([int(match.group(1), 16)]))
        return self.finish() + self._tokenizer.piece(token)

    def finish(self) -> str:
        """Return the text of a character whose bytes are incomplete."""
        tail = self._bytes.decode(b"", final=True)
        self._bytes.reset()
        return tail


def _backend(folder: Path) -> tokenizers.Tokenizer:
    file = folder / "tokenizer.json"
    if file.exists():
        try:
            return tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise _unreadable(file, error) from None
    # A repo with only SentencePiece's tokenizer.model: transformers converts it.
    if not (folder / "tokenizer.model").exists():
        message = "This model folder has no tokenizer (neither tokenizer.json nor tokenizer.model)."
        hint = "Copy the tokenizer files of the original model beside the weights."
        raise GeluError("tokenizer", message, hint)
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer
    except Exception as error:  # any error of the conversion
        message = f"tokenizer.model of this model cannot be converted: {error}."
        raise GeluError("tokenizer", message, "Copy a tokenizer.json beside the weights.") from None


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8", errors="replace")
    key = "chat_template"
    template = config.get(key) or _read_json(folder / "chat_template.json").get(key)
    if isinstance(template, list):  # several named templates
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _end_ids(folder: Path, backend: tokenizers.Tokenizer, eos_token: str | None) -> frozenset[int]:
    """As mlx-lm: the generation config overrides the config, joined with the tokenizer's."""
    configured = (
        _read_json(folder / "generation_config.json").get("eos_token_id")
        or _read_json(folder / "config.json").get("eos_token_id")
        or []
    )
    ids = {configured} if isinstance(configured, int) else set(configured)
    own = backend.token_to_id(eos_token) if eos_token else None
    return frozenset(ids if own is None else ids | {own})
