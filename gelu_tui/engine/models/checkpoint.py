"""Judging a model folder: the model that mlx-lm builds of it, with weights that are not yet read.

`run`, `models`, the app and fetch all judge by `open_checkpoint`, so that what one of them calls
ready loads, and what does not is refused by the same sentence. The model is mlx-lm's own, built by
its `load_model` from exactly the tensors that were checked: `load_model` itself would look for
weight files by a pattern made of the folder's name, and take whichever file comes last where two
hold a tensor.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration import Configuration, check_layers, configure
from gelu_tui.core.models.families import Family, family_of
from gelu_tui.core.models.folder import read_config
from gelu_tui.core.models.json_file import hint_for, read_object
from gelu_tui.core.models.weights import Tensors, refuse_missing_files, weight_tensors
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine.failures import reason_of
from gelu_tui.engine.models.misfits import MODELOPT, Fitting
from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm
from gelu_tui.engine.models.tokenizer_files import check_files, configured_end_ids


@dataclass(frozen=True)
class Checkpoint:
    """A model folder that can be loaded; `model` reads its weights when they are evaluated."""

    folder: Path
    configuration: Configuration
    family: Family
    model: Any

    def cast(self, dtype: str | None) -> None:
        """Give floating weights this dtype; None leaves them as they are stored."""
        import mlx.core as mx

        if dtype is not None:
            self.model.set_dtype(getattr(mx, dtype))

    @property
    def dtype(self) -> str:
        """The dtype that the model computes in: that of its norms, which are never quantized."""
        import mlx.core as mx

        for name, value in _parameters(self.model):
            if name.endswith("norm.weight") and mx.issubdtype(value.dtype, mx.floating):
                return str(value.dtype).removeprefix("mlx.core.")
        return "unknown"

    @property
    def quantization(self) -> dict[str, int | str] | None:
        """Group size, bits and mode of most quantized weights; None if there are none."""
        values: Counter[tuple[int, int, str]] = Counter()
        for module in _quantized(self.model):
            values[module.group_size, module.bits, module.mode] += module.weight.size
        if not values:
            return None
        [((group_size, bits, mode), _)] = values.most_common(1)
        found: dict[str, int | str] = {"group_size": group_size, "bits": bits}
        return found if mode == "affine" else {**found, "mode": mode}

    @property
    def parameters(self) -> int:
        """The number of parameters; of quantized weights, before they were quantized."""
        packed = 0
        for module in _quantized(self.model):
            packed += module.weight.size - module.weight.size * 32 // module.bits
            packed += sum(module[key].size for key in ("scales", "biases") if key in module)
        return sum(value.size for _, value in _parameters(self.model)) - packed

    @property
    def weight_bytes(self) -> int:
        """The memory that the weights take."""
        return sum(value.nbytes for _, value in _parameters(self.model))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Judge a folder.

    Raises `GeluError`, whose kind says if only files are missing
    (`core.models.inventory.state_of`).
    """
    try:
        config = read_config(folder)
        family = family_of(config)
        configuration = configure(config, family)
        # mlx-lm reads these two with the weights, whatever they are.
        configured_end_ids(folder)
        read_object(folder / MODELOPT, "config")
        tensors = weight_tensors(folder)
        _check_layers(folder, configuration, tensors)
        check_files(folder)
        model = _build(folder, configuration.values, tensors)
        return Checkpoint(folder, configuration, family, model)
    except OSError as error:
        what = visible_line(str(error.filename or folder))
        message = f"{what} cannot be read: {error.strerror or error}."
        raise GeluError("unreadable", message, hint_for(error)) from error


def _check_layers(folder: Path, configuration: Configuration, tensors: Tensors) -> None:
    try:
        check_layers(configuration.text, tensors)
    except GeluError:
        refuse_missing_files(folder)
        raise


def _build(folder: Path, found: dict[str, Any], tensors: Tensors) -> Any:
    """mlx-lm's model of this configuration, with exactly these tensors."""
    import_mlx_lm()
    from mlx_lm.utils import _get_classes, load_model

    fitting = Fitting(folder, found, tensors)

    def classes(config: dict[str, Any]) -> tuple[type, type]:
        model_class, arguments = _get_classes(config)
        return _exact(model_class, fitting), arguments

    with _without_weights(folder, found) as empty:
        try:
            model, _ = load_model(empty, lazy=True, strict=False, get_model_classes=classes)
        except (GeluError, MemoryError, OSError):
            raise
        except Exception as error:  # whatever the library meets in a folder that does not fit
            raise fitting.refusal(error) from error
    model.__class__ = model.__class__.__mro__[1]
    return model


@contextlib.contextmanager
def _without_weights(folder: Path, found: dict[str, Any]) -> Iterator[Path]:
    """A temporary folder with the configuration, in which mlx-lm finds no weights."""
    with contextlib.ExitStack() as stack:
        try:
            empty = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (empty / "config.json").write_text(json.dumps(found))
            if (folder / MODELOPT).is_file():
                shutil.copy(folder / MODELOPT, empty)
        except OSError as error:
            reason = visible_line(error.strerror or str(error))
            message = f"No temporary file can be written: {reason}."
            hint = "Make room in the folder of temporary files, or set TMPDIR to another one."
            raise GeluError("temporary", message, hint) from error
        yield empty


def _exact(model_class: Any, fitting: Fitting) -> type:
    """A class of mlx-lm's that takes the weights of `fitting`, whatever it is given, or refuses."""
    weights = _lazy(fitting.tensors)

    class Exact(model_class):
        def sanitize(self, _: Any) -> Any:
            if not hasattr(model_class, "sanitize"):
                return weights
            try:
                return super().sanitize(dict(weights))
            except LookupError:
                fitting.check(self, weights)
                raise

        def load_weights(self, given: Any, strict: bool = True) -> Any:
            taken = fitting.without_tied_head(self, dict(given))
            fitting.check(self, taken)
            return super().load_weights(list(taken.items()), strict=True)

    return Exact


def _lazy(tensors: Tensors) -> dict[str, Any]:
    """The tensors as arrays that are read when they are evaluated."""
    import mlx.core as mx

    weights = {}
    files: dict[Path, Any] = {}
    for name, tensor in tensors.items():
        file = tensor.file
        if file not in files:
            try:
                files[file] = mx.load(str(file))
            except (RuntimeError, ValueError, TypeError) as error:
                raise _unread(file, error) from error
        weights[name] = files[file][name]
    return weights


def _unread(file: Path, error: Exception) -> GeluError:
    reason = visible_line(reason_of(error))
    hint = "Choose a copy of this model that is converted for MLX."
    try:
        str(file).encode()
    except UnicodeEncodeError:
        reason = "its path is not UTF-8"
        hint = "Rename the file or the folder whose name is not UTF-8."
    message = f"MLX cannot read the weight file '{visible_line(str(file))}': {reason}."
    return GeluError("weights_unread", message, hint)


def _parameters(model: Any) -> list[tuple[str, Any]]:
    from mlx.utils import tree_flatten

    return list(tree_flatten(model.parameters()))


def _quantized(model: Any) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "bits")]
