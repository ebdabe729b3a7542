"""What a model is fed for a prompt: through its chat template, or as it is."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.settings.run_settings import Chat
from gelu_tui.engine.models.tokenizer import Tokenizer


def feed(tokenizer: Tokenizer, prompt: str, chat: Chat) -> tuple[str, list[int], bool]:
    """The exact text, its token ids, whether the template made it.

    Raises `GeluError` where there is no template or it fails.
    """
    has_template = tokenizer.chat_template is not None
    if chat is True and not has_template:
        raise GeluError(
            "no_chat_template",
            "This model has no chat template.",
            "Use --raw to feed the prompt as it is.",
        )
    if has_template if chat == "auto" else chat:
        return *tokenizer.chat(prompt), True
    tokens = tokenizer.encode(prompt)
    return _with_bos(tokenizer, prompt, tokens), tokens, False


def _with_bos(tokenizer: Tokenizer, prompt: str, tokens: list[int]) -> str:
    """A raw prompt as it is fed: with the BOS that the tokenizer puts in front."""
    bos = tokenizer.bos_token
    if bos and tokens and not prompt.startswith(bos) and tokenizer.piece(tokens[0]) == bos:
        return bos + prompt
    return prompt


def render(tokenizer: Tokenizer, command: p.RenderPrompt, context_length: int) -> p.PromptRendered:
    """Everything that is fed, token by token. Raises `GeluError`."""
    text, tokens, chat = feed(tokenizer, command.prompt, command.chat)
    pieces = tuple(tokenizer.piece(token) for token in tokens)
    return p.PromptRendered(
        prompt=command.prompt,
        prompt_text=text,
        prompt_tokens=tuple(tokens),
        pieces=pieces,
        special_ids=tuple(sorted(tokenizer.special_ids & set(tokens))),
        chat=chat,
        has_chat_template=tokenizer.chat_template is not None,
        context_length=context_length,
    )
