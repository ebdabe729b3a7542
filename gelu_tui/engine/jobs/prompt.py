"""What a model is fed for a prompt: through its chat template, or as it is."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.settings.run_settings import Chat
from gelu_tui.engine.models.loading import LoadedModel
from gelu_tui.engine.models.tokenizer import Tokenizer


def feed(tokenizer: Tokenizer, prompt: str, chat: Chat) -> tuple[str, list[int], bool]:
    """The exact text, its token ids, and whether the chat template was used.

    A raw prompt's text starts with the BOS that the tokenizer puts in front. Raises `GeluError`
    where there is no template or it fails.
    """
    has_template = tokenizer.chat_template is not None
    if chat is True and not has_template:
        hint = "Use --raw to feed the prompt as it is."
        raise GeluError("no_chat_template", "This model has no chat template.", hint)
    if has_template if chat == "auto" else chat:
        return *tokenizer.chat(prompt), True
    tokens, bos = tokenizer.encode(prompt), tokenizer.bos_token
    if bos and tokens and not prompt.startswith(bos) and tokenizer.piece(tokens[0]) == bos:
        prompt = bos + prompt
    return prompt, tokens, False


def render(loaded: LoadedModel, command: p.RenderPrompt) -> p.PromptRendered:
    """Everything that is fed, token by token. Raises `GeluError`."""
    tokenizer = loaded.tokenizer
    text, tokens, chat = feed(tokenizer, command.prompt, command.chat)
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
