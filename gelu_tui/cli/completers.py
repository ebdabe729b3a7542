"""What completes which value of the command line.

A shell starts this at every Tab: nothing here may import MLX, Textual or numpy.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

_RUNS = 30  # the newest that are offered

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


def _starting(values: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem[str]]:
    """The values, each with a word about it, that begin as typed."""
    return [
        CompletionItem(value, help=text or None)
        for value, text in values
        if value.startswith(incomplete)
    ]


def functions(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Names of functions; after a comma another one; after @ the kinds of places."""
    from gelu_tui.core.functions.limits import KINDS
    from gelu_tui.core.functions.registry import REGISTRY

    head, comma, last = incomplete.rpartition(",")
    chosen = head.split(",")
    known = [
        (f"{head}{comma}{name}", function.formula)
        for function in REGISTRY.values()
        for name in (function.name, *function.aliases)
        if name not in chosen and (name == function.name or last)
    ]
    function, limited, limits = last.partition("@")
    if limited and "@" not in limits:
        known = [(f"{head}{comma}{function}@{word}", kind) for word, kind in KINDS.items()]
    return _starting(known, incomplete)


def yardsticks(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Names of yardsticks; after a comma another one."""
    from gelu_tui.core.settings.yardsticks import YARDSTICKS

    head, comma, _last = incomplete.rpartition(",")
    chosen = head.split(",")
    known = [(f"{head}{comma}{n}", about) for n, about in YARDSTICKS.items() if n not in chosen]
    return _starting(known, incomplete)


def one_function(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The name of a function."""
    from gelu_tui.core.functions.registry import REGISTRY

    return _starting(((f.name, f.formula) for f in REGISTRY.values()), incomplete)


def models(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """demo, the Gemma models in the hub's cache, some that can be fetched, and folders."""
    from gelu_tui.core.models.inventory import public_models

    if incomplete[:1] in ("/", ".", "~"):
        return [CompletionItem(incomplete, type="dir")]
    here = dict.fromkeys(_cached_models(), "on this machine")
    public = {model.id: model.family for model in public_models(on_gpu=True)}
    found = _starting(({"demo": "Gemma 3 270M"} | public | here).items(), incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def cached(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Models that can be deleted: the converted demo, and those in the hub's cache."""
    return _starting(((name, "") for name in ("demo", *_cached_models())), incomplete)


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Folders, by the shell's own completion."""
    return [CompletionItem(incomplete, type="dir")]


def _cached_models() -> list[str]:
    """The names in the hub's cache, by a look at one folder."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    folder = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    try:
        names = sorted(entry.name for entry in folder.glob("models--*--*"))
    except OSError:
        return []
    ids = (name.removeprefix("models--").replace("--", "/", 1) for name in names)
    return [name for name in ids if "gemma" in name.lower()]


def themes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The app's themes."""
    from gelu_tui.core.settings.theme_names import THEME_NAMES

    return _starting(((name, "") for name in THEME_NAMES), incomplete)


def runs(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Ids of the newest runs and of sweeps, with what they are; where nothing fits, files."""
    from gelu_tui.core.runs.history import History
    from gelu_tui.core.safe_text import visible_line

    history = History()
    entries = history.entries("", _RUNS) if history.path.exists() else []
    known = [("last", "the newest run")] if entries else []
    known += [(str(entry.id), visible_line(entry.prompt)[:60]) for entry in entries]
    return _starting(known + _sweeps(incomplete), incomplete) or files(_, __, incomplete)


def saved(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The same without files, and without single runs of sweeps: what can be deleted."""
    found = runs(_, __, incomplete.replace("/", ""))
    return [item for item in found if item.type == "plain" and item.value != "last"]


def _sweeps(incomplete: str) -> list[tuple[str, str]]:
    """Ids of sweeps; after a slash those of the runs of that sweep."""
    from gelu_tui.core.errors import GeluError
    from gelu_tui.core.safe_text import visible_line
    from gelu_tui.sweep.saved_sweeps import find_sweep, list_sweeps

    head, slash, _ = incomplete.partition("/")
    try:
        if not slash:
            found = [entry for entry in list_sweeps()[:_RUNS] if entry.id == visible_line(entry.id)]
            return [(e.id, f"sweep, {e.completed} of {e.total} prompts") for e in found]
        store = find_sweep(head) if head else None
        if store is None or store.id != head:
            return []
        several = len(store.header.models) > 1
        names = (
            (f"{head}/{o.model}/{o.number}" if several else f"{head}/{o.number}", row.prompt)
            for row in store.rows()
            for o in [row.outcome]
        )
        fitting = ((name, visible_line(text)[:60]) for name, text in names
                   if name.startswith(incomplete))  # fmt: skip
        return list(itertools.islice(fitting, _RUNS))
    except GeluError:
        return []


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Files, by the shell's own completion."""
    return [CompletionItem(incomplete, type="file")]


def sweeps(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The built-in sets of prompts; where none is meant, files."""
    known = [
        ("builtin:notebook", "two prompts, four functions"),
        ("builtin:mixed", "prompts of eight kinds"),
        ("builtin:facts", "questions with one right answer"),
    ]
    return (_starting(known, incomplete) if incomplete else []) or files(_, __, incomplete)


# By the name of a setting; others complete what their types list.
BY_NAME: dict[str, Completer] = {
    "activations": functions,
    "reference": one_function,
    "yardsticks": yardsticks,
    "model": models,
    "models": models,
    "theme": themes,
}
