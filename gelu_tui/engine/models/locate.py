"""From a name to a folder: `demo`, a folder, or a hub id; converted or downloaded if need be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.failures import Interrupted

Report = Callable[[p.Progress], None]
Cancelled = Callable[[], bool]


def locate(spec: str, report: Report, cancelled: Cancelled) -> Path:
    """The folder of a model, converted or downloaded if need be.

    Raises `GeluError` and `Interrupted`.
    """
    if spec == "demo":
        return _demo(report, cancelled)
    if not spec:
        raise GeluError("model_not_found", "The model has no name.", "Give a folder or a hub id.")
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise GeluError(
            "model_not_found",
            f"'{spec}' is a file, not a model folder.",
            "Give the folder it is in.",
        )
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise GeluError(
            "model_not_found",
            f"There is no folder '{spec}'.",
            "Give a folder with config.json and weights, a hub id such as "
            "mlx-community/gemma-3-270m-it-bf16, or demo.",
        )
    from gelu_tui.engine.models.hub import fetch_model

    return fetch_model(spec, report, cancelled)


def _demo(report: Report, cancelled: Cancelled) -> Path:
    from gelu_tui.engine.demo import convert as demo

    def progress(label: str, done: int, total: int) -> None:
        report(p.Progress("convert", label, done, total, "bytes"))

    try:
        return demo.ensure_demo(progress, cancelled)
    except demo.ConversionCancelled:
        raise Interrupted from None
