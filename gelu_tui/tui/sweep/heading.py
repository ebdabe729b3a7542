"""The first lines of the screen: what the sweep is, and how far."""

from __future__ import annotations

from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.tui.sweep.shown_sweep import ShownSweep


def title_of(shown: ShownSweep) -> str:
    """E.g. `Sweep mixed · demo · gelu_approx against gelu, silu, control · 256 tokens`."""
    if shown.store is not None:
        header = shown.store.header
        models, settings, reference = header.models, header.settings, header.reference
        names = [f.name for f in header.functions if f.name != reference]
    elif shown.running is not None:
        settings = shown.running.plan.settings
        models, reference = shown.running.plan.models, settings.reference or ""
        names = [name for name in settings.activations if name != reference]
    else:
        return "Sweep"
    against = f"{reference} against {', '.join(names)}" if reference else ", ".join(names)
    parts = (shown.name, ", ".join(models), against, *setting_words(settings))
    return "Sweep " + " · ".join(visible_line(part) for part in parts if part)


def setting_words(settings: SweepSettings) -> list[str]:
    """The settings that most change what is compared."""
    words = [f"{settings.max_tokens:,} tokens"]
    if settings.dtype:
        words.append(settings.dtype)
    if settings.activation_precision != SweepSettings().activation_precision:
        words.append(f"functions in {settings.activation_precision}")
    if settings.temperature:
        words.append(f"temperature {settings.temperature:g}")
    return words


def progress_of(shown: ShownSweep) -> str:
    """How far it is, and what runs now or what could be done."""
    running = shown.running
    if running is not None and not running.is_over:
        line = running.progress.line
        if running.is_stopping:
            return f"Stopping… · {line}"
        return " · ".join(filter(None, (line, running.running_words)))
    if shown.contents is None:
        return "Reading…"
    document = shown.contents.document
    whole = document.prompts * len(shown.contents.models)
    failed = len(document.failed)
    parts = [f"{document.completed + failed:,} of {whole:,} prompts"]
    if failed:
        parts.append(f"{failed:,} failed")
    is_whole = document.completed + failed >= whole
    parts.append("finished" if is_whole else "stopped: s goes on")
    return " · ".join(parts)
