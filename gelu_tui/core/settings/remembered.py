"""What the app remembers from one start to the next: the chosen functions, and own formulas.

It lies in the user's state folder, and only the app reads it: a script gets what its command line,
environment and settings file say. Nothing in it can stop a start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from gelu_tui.core import paths
from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError
from gelu_tui.core.functions.variants import Variant, named, parse_variant
from gelu_tui.core.own_files import replace_file
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import read_text, reference_error
from gelu_tui.core.settings.validation import check, shown

_KIND = "remembered"
_AGAIN = "F2 chooses again."

Settings = TypeVar("Settings", bound=RunSettings)


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """`activations` and `formulas` are specs; without `activations` nothing was chosen yet."""

    activations: tuple[str, ...] = ()
    reference: str | None = None
    formulas: tuple[str, ...] = ()  # all own ones of the picker, chosen or not


def remembered_path() -> Path:
    """Return the file of what is remembered."""
    return paths.state_dir() / "remembered.json"


def recall() -> tuple[Remembered, ErrorInfo | None]:
    """Return what is remembered, and why nothing is if the file cannot be read. Never raises."""
    path = remembered_path()
    try:
        return msgspec.json.decode(read_text(path), type=Remembered), None
    except FileNotFoundError:
        return Remembered(), None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or shown(str(error))
        message = f"The functions of the last start cannot be read from {shown(path)}: {why}."
        hint = "Choose with F2; the file is then kept under another name, and a new one begun."
        return Remembered(), ErrorInfo(_KIND, message, hint)


def remember(
    choices: RunSettings, formulas: Iterable[str] | None = None, known: Collection[str] = ()
) -> None:
    """Store the chosen functions, their order and the reference, and own formulas if given.

    `known` were the formulas when the user began: what another app has stored since stays. Raises
    `GeluError` if that cannot be written.
    """
    path = remembered_path()
    before, unreadable = recall()
    own = before.formulas
    if formulas is not None:
        own = (*formulas, *(spec for spec in own if spec not in known))
    now = Remembered(
        activations=choices.activations,
        reference=choices.reference,
        formulas=tuple(dict.fromkeys(own)),
    )
    if now == before:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if unreadable and path.is_file():
            path.replace(path.with_suffix(".broken.json"))
        replace_file(path, msgspec.json.encode(now).decode(), mode=0o600)
    except OSError as error:
        why = error.strerror or shown(str(error))
        message = f"The chosen functions cannot be remembered in {shown(path)}: {why}."
        raise GeluError(_KIND, message, "They hold until the app ends.") from None


def usable(specs: Sequence[str]) -> tuple[list[Variant], ErrorInfo | None]:
    """Return those of the remembered functions that can be used, and why others cannot.

    It takes milliseconds for each formula.
    """
    found: list[Variant] = []
    problems: list[tuple[str, UsageError]] = []
    for spec in named(specs):
        try:
            found.append(parse_variant(spec))
        except UsageError as error:
            problems.append((spec, error))
    if not problems:
        return found, None
    (spec, why), *more = problems
    message = f"The remembered function '{shown(spec)}' is left out: {why.info.message}"
    if more:
        them = ", ".join(shown(spec) for spec, _ in problems)
        message = f"{len(problems)} remembered functions are left out: {them}."
    return found, ErrorInfo(_KIND, message, _AGAIN)


def as_remembered(
    settings: Settings, decided: Collection[str]
) -> tuple[Settings, ErrorInfo | None]:
    """Return the settings with the remembered functions, unless the user has decided on others.

    `decided` names the settings that come from command line, environment or file; a decided
    reference stays. The error says what of the remembered is left out, and why.
    """
    if "activations" in decided:
        return settings, None
    remembered, problem = recall()
    variants, left_out = usable(remembered.activations)
    if not variants:
        return settings, problem or left_out
    specs = tuple(variant.spec for variant in variants)
    if "reference" in decided:
        begun = replace(settings, activations=specs)
    else:
        begun = replace(settings, activations=specs, reference=remembered.reference)
        if reference_error(begun):
            begun = replace(begun, reference=None)
    try:
        check(begun)
    except UsageError as error:
        message = f"The functions of the last start are left out: {error.info.message}"
        return settings, ErrorInfo(_KIND, message, _AGAIN)
    return begun, left_out
