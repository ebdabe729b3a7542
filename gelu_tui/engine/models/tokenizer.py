"""The tokenizer of a Gemma folder: `tokenizers` alone where that is enough, else mlx-lm's own."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import read_object
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine import failures
from gelu_tui.engine.models import tokenizer_files as files
from gelu_tui.engine.models.chat_template import ChatTemplate, read_template
from gelu_tui.engine.models.plain_tokenizer import plain_tokenizer
from gelu_tui.engine.models.template_process import Turns

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Tokenizer:
    """Encoding, chat template and end ids of one model.

    `special_tokens` are those that templates see, by name. `mlx_lm` is mlx-lm's own tokenizer if
    it does anything that `backend` alone would not do.
    """

    backend: tokenizers.Tokenizer
    special_tokens: dict[str, str]
    chat_template: ChatTemplate | None
    end_ids: frozenset[int]
    thinking: bool
    mlx_lm: Any = None

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of a model folder. Raises `GeluError`."""
        files.check_files(folder)
        config = read_object(folder / files.CONFIG, files.KIND)
        template = read_template(folder, config)
        end_ids = files.configured_end_ids(folder)
        plain = plain_tokenizer(folder, config)
        if plain is not None:
            end_ids |= plain.end_ids
            return cls(plain.backend, plain.special_tokens, template, end_ids, plain.thinking)
        wrapper = files.mlx_lm_tokenizer(folder)
        return cls(
            wrapper.backend_tokenizer,
            wrapper.special_tokens_map,
            template,
            end_ids | wrapper.eos_token_ids,
            wrapper.has_thinking,
            wrapper,
        )

    @property
    def bos_token(self) -> str | None:
        return self.special_tokens.get("bos_token")

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a raw prompt; BOS is added unless the text begins with it.

        Raises `GeluError` if the tokenizer fails on this text.
        """
        has_bos = bool(self.bos_token and text.startswith(self.bos_token))
        return self._encode(text, add_special_tokens=not has_bos)

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        try:
            if self.mlx_lm is not None:
                ids: list[int] = self.mlx_lm.encode(text, add_special_tokens=add_special_tokens)
                return ids
            return self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        except BaseException as error:
            if not isinstance(error, Exception) and not files.is_panic(error):
                raise
            reason = visible_line(failures.reason_of(error))
            message = f"The tokenizer of this model fails on this text: {reason}."
            hint = "Compare its tokenizer.json with the original model's."
            raise GeluError(files.KIND, message, hint) from None

    def chat(
        self, prompt: str | Turns, cancelled: failures.IsCancelled = lambda: False
    ) -> tuple[str, list[int]]:
        """Return what the template renders of a conversation, or of one user turn, and its ids.

        Raises `GeluError` if there is no template or it fails, and `Interrupted`.
        """
        hint = "Use --raw to feed the prompt as it is."
        if self.chat_template is None:
            raise GeluError("no_chat_template", "This model has no chat template.", hint)
        # mlx-lm passes `enable_thinking`, too.
        arguments = {**self.special_tokens, "enable_thinking": self.thinking}
        rendered = self.chat_template.render(prompt, arguments, cancelled)
        # The template writes BOS itself; encoding with special tokens would double it.
        return rendered, self.encode_rendered(rendered)

    def encode_rendered(self, text: str) -> list[int]:
        """Return the token ids of a text that a chat template wrote. Raises `GeluError`."""
        return self._encode(text, add_special_tokens=False)

    def piece(self, token: int) -> str:
        """Return the text of one token; special tokens and lone bytes by their names.

        Raises `GeluError` if it is too long for an event.
        """
        return _checked(self._piece(token), token)

    def _piece(self, token: int) -> str:
        piece = self.backend.id_to_token(token)
        if piece is None:
            return f"<unknown id {token}>"
        if self.mlx_lm is not None and "▁" not in piece:
            # A byte-level vocabulary writes spaces and all but ASCII in letters of its own.
            text = self.backend.decode([token], skip_special_tokens=False)
            return text if text and "\ufffd" not in text else piece
        return piece.replace("▁", " ")

    @property
    def special_ids(self) -> frozenset[int]:
        """The tokens that control the model instead of being text: BOS, turns, images."""
        added = self.backend.get_added_tokens_decoder()
        return frozenset(token for token, properties in added.items() if properties.special)


class Detokenizer:
    """Text of a growing token list: each character appears once, whole, with its last byte.

    Bytes that are not UTF-8 appear as U+FFFD. Equal to the text of `mlx_lm.stream_generate`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._mlx_lm: Any = None if tokenizer.mlx_lm is None else tokenizer.mlx_lm.detokenizer

    def add(self, token: int) -> str:
        """Append a token and return the text that it completes. Raises `GeluError` as `piece`."""
        piece = self._tokenizer.backend.id_to_token(token)
        if self._mlx_lm is not None:
            return self._add_to_mlx_lm(token, known=piece is not None)
        if piece is not None and (match := _BYTE_PIECE.fullmatch(piece)):
            return self._bytes.decode(bytes([int(match.group(1), 16)]))
        return self.finish() + self._tokenizer.piece(token)

    def finish(self) -> str:
        """Return the text of a character whose bytes are incomplete."""
        if self._mlx_lm is not None:
            self._mlx_lm.finalize()
            return str(self._mlx_lm.last_segment)
        tail = self._bytes.decode(b"", final=True)
        self._bytes.reset()
        return tail

    def _add_to_mlx_lm(self, token: int, *, known: bool) -> str:
        if not known:  # mlx-lm fails on it
            return self.finish() + self._tokenizer.piece(token)
        self._mlx_lm.add_token(token)
        return _checked(str(self._mlx_lm.last_segment), token)


def _checked(text: str, token: int) -> str:
    if len(text) <= p.LONGEST_TEXT:
        return text
    message = (
        f"Token {token} of this model is a text of {len(text):,} characters, and gelu-tui takes "
        f"at most {p.LONGEST_TEXT:,}."
    )
    hint = "Compare its tokenizer.json with the original model's."
    raise GeluError(files.KIND, message, hint)
