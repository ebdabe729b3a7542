"""How large repositories of the hub are: asked of all at once, and for a few seconds only."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from huggingface_hub import constants
from huggingface_hub.hf_api import ModelInfo

from gelu_tui.core import protocol as p
from gelu_tui.core.models.inventory import HubSize
from gelu_tui.engine import device
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.models.hub import needed_files, repository
from gelu_tui.engine.models.hub_environment import check_variables

_TIMEOUT_S = 5.0
_POLL_S = 0.1
_AT_ONCE = 12

# Bytes of a number of each dtype, as safetensors names them.
_WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}

log = logging.getLogger(__name__)


def ask_sizes(models: Sequence[str], cancelled: IsCancelled) -> p.HubSizes:
    """Return the sizes of those repositories of which the hub tells; none where it is not asked.

    Raises `GeluError` for a variable with which the hub cannot be asked, and `Interrupted`.
    """
    if constants.is_offline_mode() or not models:
        return p.HubSizes(())
    check_variables()
    on_gpu = device.memory().on_gpu
    pool = ThreadPoolExecutor(_AT_ONCE)
    asked = [pool.submit(_size, model, on_gpu) for model in dict.fromkeys(models)]
    until = time.monotonic() + _TIMEOUT_S
    waiting: set[Future[HubSize | None]] = set(asked)
    try:
        while waiting and time.monotonic() < until:
            stop_if(cancelled())
            waiting = wait(waiting, _POLL_S).not_done
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    told = [one.result() for one in asked if one.done() and not one.cancelled()]
    return p.HubSizes(tuple(size for size in told if size is not None))


def _size(model: str, on_gpu: bool) -> HubSize | None:
    try:
        info = repository(model, _TIMEOUT_S)
        files = needed_files(info)
        stored = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
        weights = _loaded_bytes(info, on_gpu) or stored
        return HubSize(model, sum(file.size or 0 for file in files), weights)
    except Exception as error:  # whatever it is, the list does without
        log.info("the size of %s is not known: %r", model, error)
        return None


def _loaded_bytes(info: ModelInfo, on_gpu: bool) -> int | None:
    """The memory of the numbers that the hub counts; None if it does not say how many there are."""
    counts = info.safetensors.parameters if info.safetensors else {}
    if not counts.keys() <= _WIDTHS.keys():
        return None
    # On a CPU floating weights become float32.
    widths = _WIDTHS if on_gpu else _WIDTHS | {"BF16": 4, "F16": 4}
    return sum(widths[dtype] * int(count) for dtype, count in counts.items())
