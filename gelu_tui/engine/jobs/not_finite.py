"""Why logits are not numbers: damaged files, a dtype too narrow for the model, or the function.

What a function made of a text is computed again in ways that each leave one cause out: with the
model's own function, with the function in float32, and with hidden states in float32 too.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant, parse_variant
from gelu_tui.core.models import demo
from gelu_tui.engine import device
from gelu_tui.engine.compute.decode import prefill
from gelu_tui.engine.compute.float32 import in_float32
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.failures import Interrupted, IsCancelled, not_finite
from gelu_tui.engine.models.loading import LoadedModel, first_not_finite

log = logging.getLogger(__name__)

_CONVERTS_ANEW = "Load the demo again: it is converted anew."


class _Cause(NamedTuple):
    why: str
    hint: str


class Causes:
    """Finds the causes in one run of a model; equal questions are computed once."""

    def __init__(
        self,
        loaded: LoadedModel,
        reference: Variant,
        precision: Precision,
        cancelled: IsCancelled,
    ) -> None:
        self._reference = reference
        self._loaded, self._model = loaded, loaded.model
        self._precision, self._cancelled = precision, cancelled
        self._dtype = loaded.info.dtype
        self._native = parse_variant(loaded.info.native_activation)
        self._answers: dict[tuple[object, ...], bool] = {}

    def error(
        self, sites: RowFunctions, variant: Variant, tokens: Sequence[int], last: int, where: str
    ) -> GeluError:
        """The error of a function that was fed `tokens`; `last` is how many logits are in doubt.

        `sites` belong to an installed row-wise model. Raises `Interrupted`.
        """
        try:
            why, hint = self._cause(sites, variant, list(tokens), last)
        except Interrupted:
            raise
        except Exception:  # e.g. no memory for it: what is known is told
            log.exception("no cause was found")
            why, hint = "", ""
        return not_finite(variant.name, where, why, hint)

    def _cause(self, sites: RowFunctions, variant: Variant, tokens: list[int], last: int) -> _Cause:
        def finite(variant: Variant, precision: Precision, *, widened: bool = False) -> bool:
            question = (variant.name, precision, widened, tuple(tokens), last)
            if question not in self._answers:
                _, function = functions_of((self._reference, variant), 0, precision)
                with sites.use(function):
                    answer = self._finite(tokens, last, widened=widened)
                self._answers[question] = answer
            return self._answers[question]

        dtype, narrow = self._dtype, self._dtype != "float32"
        wider = "Choose --dtype float32" + (" or bfloat16." if dtype == "float16" else ".")
        if self._damaged_demo is not None:
            return self._damaged_demo
        if not finite(self._native, self._precision):
            own = f"own function, '{self._native.name}', fails too"
            if self._damaged_weights is not None:
                return self._damaged_weights
            if narrow and finite(self._native, "float32", widened=True):
                return _Cause(f"{dtype} is too narrow for this model: its {own}", wider)
            return _Cause(f"this model's {own}, so its weights may be damaged", self._again())
        if narrow and self._precision == "model" and finite(variant, "float32"):
            why = f"it overflows in {dtype}, in which --activation-precision model evaluates it"
            return _Cause(why, "Choose --activation-precision float32.")
        if narrow and finite(variant, "float32", widened=True):
            return _Cause(f"what the function makes of this model is too large for {dtype}", wider)
        why = "the function makes nan or infinity of inputs that this model produces"
        return _Cause(why, "Change the formula or choose another function.")

    def _finite(self, tokens: list[int], last: int, *, widened: bool) -> bool:
        chunk = device.prefill_chunk(self._dtype)
        head, tail = tokens[:-last], tokens[-last:]
        with in_float32(self._model) if widened else contextlib.nullcontext():
            # Its last token is not read, so one of the tail goes with the head.
            cache = prefill(self._model, [*head, tail[0]], chunk, lambda _: None, self._cancelled)
            logits = self._model(mx.array([tail]), cache=cache)[0]
            return bool(np.isfinite(np.array(mx.max(logits.astype(mx.float32), axis=-1))).all())

    @cached_property
    def _damaged_demo(self) -> _Cause | None:
        if self._loaded.folder != demo.folder():
            return None
        from gelu_tui.engine.demo.convert import is_damaged

        if not is_damaged(self._cancelled):
            return None
        return _Cause("the demo's files have changed since they were written", _CONVERTS_ANEW)

    @cached_property
    def _damaged_weights(self) -> _Cause | None:
        if (name := first_not_finite(self._model)) is None:
            return None
        return _Cause(f"the weights in '{name}' hold nan or infinity", self._again())

    def _again(self) -> str:
        name = self._loaded.info.id
        if Path(name).exists():
            return f"Copy the files of {self._loaded.folder} again."
        return f"Delete it with `gelu-tui models --delete {name}` and fetch it again."
