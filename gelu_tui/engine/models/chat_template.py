"""The chat template of a model folder, found as transformers finds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import JsonObject, read_regular, shown
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.text_files import PROMPT_LIMIT
from gelu_tui.engine.failures import IsCancelled
from gelu_tui.engine.models import template_process

_FILE = "chat_template.jinja"
_LIMIT = PROMPT_LIMIT


@dataclass(frozen=True)
class ChatTemplate:
    """A template, or why it cannot be used: only those who need it are refused."""

    text: str = ""
    error: GeluError | None = None

    def render(
        self,
        prompt: str | template_process.Turns,
        arguments: dict[str, Any],
        cancelled: IsCancelled,
    ) -> str:
        """Return a conversation, or a text as one user turn, and the beginning of the model's turn.

        Raises `GeluError` if the template fails, writes nothing, or takes more than its limits, and
        `Interrupted`.
        """
        if self.error is not None:
            raise self.error
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        try:
            text = template_process.render(self.text, turns, arguments, cancelled)
        except template_process.RenderError as error:
            raise _refusal(f"The chat template of this model {error}.") from None
        if not text:
            raise _refusal("The chat template of this model writes nothing.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            what = f"half of a character (U+{ord(text[error.start]):04X})"
            raise _refusal(f"The chat template of this model writes {what}.") from None
        return text


def read_template(folder: Path, config: JsonObject | None) -> ChatTemplate | None:
    """Find the template as transformers does; None if there is none.

    That is the files, of which those in a folder of their own have names, else `chat_template` in
    tokenizer_config.json: the template, or several by name, of which `default` is taken.
    """
    content = {} if config is None else config.content
    found: Any
    try:
        if (kind := content.get("chat_template_type")) is not None:
            raise _refusal(f"chat_template_type is {shown(kind)} in tokenizer_config.json.")
        files = [folder / _FILE, *sorted(folder.glob("additional_chat_templates/*.jinja"))]
        found = {
            "default" if file.name == _FILE else file.stem: _read(file)
            for file in files
            if file.exists()
        }
        found = _default(found or content.get("chat_template"))
    except GeluError as error:
        return ChatTemplate(error=error)
    return None if found is None else ChatTemplate(found)


def _read(path: Path) -> str:
    try:
        text = read_regular(path, _LIMIT).decode()
    except OSError as error:
        raise _refusal(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise _refusal(f"{path.name} is not valid UTF-8 (byte {error.start}).") from None
    if len(text) > _LIMIT:
        raise _refusal(f"{path.name} is longer than {_LIMIT:,} characters.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _default(found: Any) -> str | None:
    """Choose among named templates. Raises `GeluError`."""
    named = found
    if isinstance(found, list):
        try:
            named = {entry["name"]: entry["template"] for entry in found}
        except (TypeError, KeyError):
            named = found  # a list of something else
    template = named.get("default", named) if isinstance(named, dict) else named
    if template is None or isinstance(template, str):
        return template
    if isinstance(named, dict) and "default" not in named:
        names = ", ".join(sorted(map(str, named)))
        raise _refusal(f"This model has no default chat template, only others: {names or 'none'}.")
    wanted = "text, or a list of objects with name and template"
    raise _refusal(f"chat_template is {shown(found)} in tokenizer_config.json, not {wanted}.")


def _refusal(message: str) -> GeluError:
    """The error of a template, which a raw prompt does not need."""
    return GeluError(
        "chat_template", visible_line(message), "Use --raw to feed the prompt as it is."
    )
