"""The keyword arguments of the API: the fields of the settings, for type checkers and at run time.

Type checkers take them from the constructors of the classes below, by `ParamSpec`; `help()`, a
notebook's completion and the checks of values take them from the fields themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.registry import DEFAULT_SET
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.core.settings.validation import convert, suggestion
from gelu_tui.sweep.settings import SweepSettings

if TYPE_CHECKING:

    class CompareKeywords(RunSettings, frozen=True, kw_only=True):
        """What `compare` takes: any sequence of functions, or their names with commas."""

        activations: Sequence[str] | str = DEFAULT_SET  # type: ignore[assignment]

    class ScoreKeywords(CompareKeywords, frozen=True, kw_only=True):
        """What `score` takes too: a window's length, yardsticks, and whether to keep tokens."""

        context: int | None = None
        yardsticks: Sequence[str] | str = ()
        tokens: bool = False

    class SweepKeywords(SweepSettings, frozen=True, kw_only=True):
        """What `sweep` takes besides prompts."""

        activations: Sequence[str] | str = DEFAULT_SET  # type: ignore[assignment]
        models: Sequence[str] | str = ()  # type: ignore[assignment]
        yardsticks: Sequence[str] | str = ()  # type: ignore[assignment]
        restart: bool = False
        progress: Callable[[str], object] | None = None
        engine_command: str | None = None
        workers: int | None = None
        scheduler: str | None = None
        ssh: Sequence[str] | str | None = None
        ssh_python: str | None = None
        host: str | None = None
else:
    CompareKeywords = ScoreKeywords = RunSettings
    SweepKeywords = SweepSettings

# The prompts have a parameter of their own.
SWEEP_FIELDS = {n: field for n, field in fields_of(SweepSettings).items() if n != "prompts"}

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")
_T = TypeVar("_T")  # of the text


def checked(given: Mapping[str, Any], **defaults: Any) -> RunSettings:
    """Return the settings of these keyword arguments, where they are None or left out the defaults.

    Raises `UsageError` for a name that there is not, and for a value that cannot be.
    """
    return RunSettings(**{**defaults, **converted(given, fields_of(RunSettings))})


def texts_of(text: object) -> list[str]:
    """Return the texts of an argument, one or several. Raises `UsageError` for another type."""
    texts = [text] if isinstance(text, str) else text
    if isinstance(texts, Sequence) and all(isinstance(each, str) for each in texts):
        return list(texts)
    message = f"A text must be a string, or several in a list, not {type(text).__name__}."
    raise UsageError(message, "A file's is Path(...).read_text().")


def window_of(context: object) -> int | None:
    """Return the length of a window, in tokens. Raises `UsageError` for another type."""
    if context is None or (isinstance(context, int) and not isinstance(context, bool)):
        return context
    message = f"context must be a whole number, not {type(context).__name__}."
    raise UsageError(message, "It is the number of tokens in a window.")


def converted(given: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the values of these keyword arguments that are not None. Raises as `checked` does."""
    values = {}
    for name, value in given.items():
        if name not in fields:
            hint = suggestion(name, fields) or f"Known are {', '.join(fields)}."
            raise UsageError(f"There is no setting named '{name}'.", hint)
        if value is not None:
            values[name] = convert(fields[name], value)
    return values


def engine_of(engine_command: str | None, host: str | None) -> str | None:
    """Return the command that starts the engine; None: our own. Raises `UsageError`."""
    if host is None:
        return engine_command
    if engine_command is not None:
        raise UsageError("host and engine_command do not go together.", "Give one of them.")
    return Settings(host=convert(fields_of(Settings)["host"], host)).engine


def of_function(
    _: Callable[_P, RunSettings],
) -> Callable[[Callable[Concatenate[_T, ...], _R]], Callable[Concatenate[_T, _P], _R]]:
    """Give a function of one text the keyword arguments of a class."""
    return _described


def of_method(
    _: Callable[_P, RunSettings],
) -> Callable[[Callable[Concatenate[_S, _T, ...], _R]], Callable[Concatenate[_S, _T, _P], _R]]:
    """Give a method of one text the keyword arguments of a class."""
    return _described


def of_sweep(
    _: Callable[_P, SweepSettings],
) -> Callable[[Callable[Concatenate[_T, ...], _R]], Callable[Concatenate[_T, _P], _R]]:
    """Give a function of prompts the keyword arguments of a class."""
    return partial(_described, fields=SWEEP_FIELDS)


def _described(function: Any, fields: Mapping[str, Field] = fields_of(RunSettings)) -> Any:
    """The function, whose signature and documentation name every setting."""
    own = inspect.signature(function, eval_str=False)
    written = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
        for name, field in fields.items()
    ]
    function.__signature__ = own.replace(parameters=[*written, *settings])
    lines = (f"    {name}: {field.description}" for name, field in fields.items())
    text = inspect.cleandoc(function.__doc__ or "")
    function.__doc__ = "\n".join([text, "", "Settings:", *lines])
    return function
