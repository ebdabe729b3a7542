"""The document of a sweep out of its store."""

from __future__ import annotations

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.sweep.build import SweepHead, build_document
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.store import SweepStore


def stored_document(
    store: SweepStore, *, error: ErrorInfo | None = None, differences: bool = True
) -> SweepDocument:
    """Return the document of what is finished so far; arguments as of `build_document`.

    Raises `GeluError` where the store cannot be read.
    """
    header = store.header
    machines = store.machines()
    head = SweepHead(
        id=store.id,
        created=header.created,
        versions=machines[0].versions if machines else {},
        name=header.name,
        settings=header.settings,
        models=store.models(),
        functions=header.functions,
        reference=header.reference,
        prompts=header.prompts.count,
    )
    return build_document(
        head,
        store,
        tuple(store.failed()),
        machines=machines,
        seconds=store.seconds(),
        error=error,
        differences=differences,
    )
