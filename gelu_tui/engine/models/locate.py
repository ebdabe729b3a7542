"""From a name to a folder: `demo`, a folder, or a hub id."""

from __future__ import annotations

from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.failures import IsCancelled, Report


def locate(spec: str, report: Report, cancelled: IsCancelled) -> Path:
    """Return the folder of a model, which is converted or downloaded if needed.

    Raises `GeluError` and `Interrupted`.
    """
    if spec == "demo":
        from gelu_tui.engine.demo.convert import ensure_demo

        return ensure_demo(report, cancelled)
    if not spec:
        raise GeluError("model_not_found", "The model has no name.", "Give a folder or a hub id.")
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        message = f"'{spec}' is a file, not a model folder."
        raise GeluError("model_not_found", message, "Give the folder it is in.")
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise GeluError(
            "model_not_found",
            f"There is no folder '{spec}'.",
            "Give a folder with config.json and weights, a hub id such as "
            "mlx-community/gemma-3-270m-it-bf16, or demo.",
        )
    from gelu_tui.engine.models.hub import fetch_model

    return fetch_model(spec, report, cancelled)
