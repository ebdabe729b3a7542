"""What a model is fed for a prompt: through its chat template, or as it is."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import Chat
from gelu_tui.engine.failures import IsCancelled
from gelu_tui.engine.models.loading import LoadedModel
from gelu_tui.engine.models.tokenizer import Tokenizer

_AS_TEXT = "Give the prompt as text, or choose a model that is made for conversations."


def uses_template(tokenizer: Tokenizer, chat: Chat) -> bool:
    """Whether a prompt goes through the chat template."""
    return tokenizer.chat_template is not None if chat == "auto" else chat


def feed(
    tokenizer: Tokenizer, prompt: str, chat: Chat, cancelled: IsCancelled = lambda: False
) -> tuple[str, list[int], bool]:
    """The exact text, its token ids, and whether the chat template was used.

    A raw prompt's text starts with the BOS that the tokenizer puts in front. Raises `GeluError`
    where there is no template or it fails, and `Interrupted`.
    """
    if uses_template(tokenizer, chat):
        return *tokenizer.chat(prompt, cancelled), True
    tokens, bos = tokenizer.encode(prompt), tokenizer.bos_token
    if bos and tokens and not prompt.startswith(bos) and tokenizer.piece(tokens[0]) == bos:
        prompt = bos + prompt
    return prompt, tokens, False


def feed_messages(
    tokenizer: Tokenizer,
    messages: Sequence[p.ChatMessage],
    chat: Chat,
    cancelled: IsCancelled = lambda: False,
) -> tuple[str, list[int], bool]:
    """As `feed`, for a conversation: only a chat template can render it."""
    if chat is False:
        message = "Messages need the chat template, and this run feeds its prompt as it is."
        raise GeluError("raw_messages", message, "Leave out --raw, or give the prompt as text.")
    if tokenizer.chat_template is None:
        message = "This model has no chat template, which messages need."
        raise GeluError("no_chat_template", message, _AS_TEXT)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return *tokenizer.chat(turns, cancelled), True
    except GeluError as error:
        raise GeluError(error.info.kind, error.info.message, _AS_TEXT) from None


def check_tokens(loaded: LoadedModel, tokens: list[int]) -> None:
    """Check that every token has an embedding: MLX reads any memory for others.

    Raises `GeluError`.
    """
    from mlx.utils import tree_flatten

    parameters = tree_flatten(loaded.model.parameters())
    rows = [v.shape[0] for name, v in parameters if name.endswith("embed_tokens.weight")]
    if rows and tokens and (largest := max(tokens)) >= rows[0]:
        piece = visible_line(loaded.tokenizer.piece(largest))
        raise GeluError(
            "tokenizer",
            f"The prompt holds token {largest}, '{piece}', which this model has no embedding for.",
            "Its tokenizer files may belong to another model; leave the token out of the prompt.",
        )


def render(
    loaded: LoadedModel, command: p.RenderPrompt, cancelled: IsCancelled
) -> p.PromptRendered:
    """Everything that is fed, token by token. Raises `GeluError` and `Interrupted`."""
    tokenizer = loaded.tokenizer
    text, tokens, chat = feed(tokenizer, command.prompt, command.chat, cancelled)
    return p.PromptRendered(
        prompt=command.prompt,
        prompt_text=text,
        prompt_tokens=tuple(tokens),
        pieces=tuple(tokenizer.piece(token) for token in tokens),
        special_ids=tuple(sorted(tokenizer.special_ids & set(tokens))),
        chat=chat,
        has_chat_template=tokenizer.chat_template is not None,
        context_length=loaded.context_length,
    )
