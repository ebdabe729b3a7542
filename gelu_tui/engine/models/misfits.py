"""Why weights do not fit the model that their config.json describes, each cause by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration import keys_behind
from gelu_tui.core.models.json_file import shown
from gelu_tui.core.models.weights import Tensor, Tensors, refuse_missing_files, same_bytes
from gelu_tui.core.safe_text import visible_line

_FOR_MLX = "a copy that is quantized for MLX, as mlx-community has them, or not quantized at all"
# Tensors that only other ways of quantizing have.
_FOREIGN = {".qweight": "gptq or awq", ".g_idx": "gptq", ".absmax": "bitsandbytes"}

# Where mlx-lm looks for NVIDIA's quantization if config.json has no `quantization_config`.
MODELOPT = "hf_quant_config.json"

_EMBEDDINGS = "embed_tokens.weight"  # every family has them once


@dataclass(frozen=True)
class Fitting:
    """Fitting the stored tensors of a folder into the model of its config.json."""

    folder: Path
    config: dict[str, Any]
    tensors: Tensors

    def without_tied_head(self, model: Any, weights: dict[str, Any]) -> dict[str, Any]:
        """The weights without a stored output head, where the model uses its embeddings as head.

        A head that is not equal to the embeddings stays. Raises `OSError`.
        """
        wanted = _shapes(model)
        extra = [name for name in weights if _is_of("lm_head", name) and name not in wanted]
        if not extra or not self._is_tied():
            return weights
        return {name: value for name, value in weights.items() if name not in extra}

    def check(self, model: Any, weights: dict[str, Any]) -> None:
        """Raise `GeluError` if names and shapes of the weights are not those of the model."""
        wanted = _shapes(model)
        missing = [name for name in wanted if name not in weights]
        extra = [name for name in weights if name not in wanted]
        common = wanted.keys() & weights.keys()
        wrong = sorted(name for name in common if weights[name].shape != wanted[name])
        if not (missing or extra or wrong):
            return
        if foreign := self._foreign_quantization():
            raise foreign
        if missing:
            self._refuse_other_names(wanted)
            refuse_missing_files(self.folder)
        elif not wrong:
            self._refuse_own_head(extra)
        self._refuse_unsaid_quantization(extra)
        if wrong:
            name = wrong[0]
            stored, taken = _dimensions(weights[name].shape), _dimensions(wanted[name])
            raise self._unfit(name, f"{visible_line(name)} is {stored} and should be {taken}")
        if missing:
            raise self._unfit(missing[0], f"{_some(missing)} missing")
        raise self._unfit(extra[0], f"{_some(extra)} not part of this model")

    def refusal(self, error: Exception) -> GeluError:
        """What to say where mlx-lm fails to build the model with `error`."""
        reason = visible_line(" ".join(str(error).split())[:200]) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"there is no {reason}"
        elif isinstance(error, UnboundLocalError):  # mlx-lm's, where there is nothing to unpack
            reason = "none of them is packed (.qweight)"
        if foreign := self._foreign_quantization(reason):
            return foreign
        message = f"mlx-lm cannot build a model from config.json in '{self._where}': {reason}."
        return GeluError("config", message, "Compare config.json with that of the original model.")

    @property
    def _where(self) -> str:
        return visible_line(str(self.folder))

    def _is_tied(self) -> bool:
        heads, embeddings = self._parts("lm_head"), self._parts("embed_tokens")
        return heads.keys() <= embeddings.keys() and all(
            same_bytes(head, embeddings[part]) for part, head in heads.items()
        )

    def _parts(self, module: str) -> dict[str, Tensor]:
        """The tensors of a module by the last part of their names: weight, scales, biases."""
        found = self.tensors.items()
        return {name.rpartition(".")[2]: each for name, each in found if _is_of(module, name)}

    def _refuse_other_names(self, wanted: dict[str, Any]) -> None:
        ours, theirs = (
            [name for name in names if f".{name}".endswith(f".{_EMBEDDINGS}")]
            for names in (wanted, self.tensors)
        )
        if len(ours) == 1 and theirs and ours[0] not in theirs:
            raise GeluError(
                "tensor_names",
                f"The tensors in '{self._where}' are not named as mlx-lm reads them in this "
                f"family: {visible_line(theirs[0])}, not {ours[0]}.",
                "Choose a copy that is converted for MLX, such as those of mlx-community.",
            )

    def _refuse_own_head(self, extra: list[str]) -> None:
        if all(_is_of("lm_head", name) for name in extra):
            raise GeluError(
                "untied_head",
                f"The model in '{self._where}' has an output head of its own "
                f"({visible_line(extra[0])}), which is not equal to its embeddings; mlx-lm uses "
                "the embeddings as the head of this family.",
                "Choose a model of this family whose head is tied to its embeddings.",
            )

    def _refuse_unsaid_quantization(self, extra: list[str]) -> None:
        hint = "Take the config.json that belongs to these weights."
        said = self.config.get("quantization")
        for module in (name.removesuffix(".scales") for name in extra if name.endswith(".scales")):
            if said is None:
                message = (
                    f"The weights in '{self._where}' are quantized, and config.json has no key "
                    "`quantization`."
                )
                raise GeluError("quantization", message, hint)
            if module in said:
                message = (
                    f"{visible_line(module)} in '{self._where}' is quantized, and `quantization` "
                    f"in config.json has {shown(said[module])} for it."
                )
                raise GeluError("quantization", message, hint)

    def _foreign_quantization(self, reason: str = "") -> GeluError | None:
        """The error of weights that another tool than MLX has quantized; None of others."""
        if "quantization" in self.config:
            return None
        inner = self.config.get("text_config")
        settings = self.config.get("quantization_config") or (
            inner.get("quantization_config") if isinstance(inner, dict) else None
        )
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        if method is None:
            method = next((_FOREIGN[end] for end in _FOREIGN if self._has(end)), None)
        if settings is None and (self.folder / MODELOPT).is_file():
            method = f"NVIDIA's ModelOpt ({MODELOPT})"
        if method is not None:
            why = f": {reason}" if reason else ""
            message = (
                f"The weights in '{self._where}' are quantized by {visible_line(str(method))}, in "
                f"a form that mlx-lm does not read{why}."
            )
            return GeluError("quantization", message, f"Choose {_FOR_MLX}.")
        if not isinstance(settings, dict):
            return None
        message = f"quantization_config in config.json of '{self._where}' names no quant_method."
        hint = f"If MLX quantized it, rename the key to `quantization`; else choose {_FOR_MLX}."
        return GeluError("quantization", message, hint)

    def _has(self, suffix: str) -> bool:
        return any(name.endswith(suffix) for name in self.tensors)

    def _unfit(self, name: str, reason: str) -> GeluError:
        message = (
            f"The weights in '{self._where}' do not fit its config.json: {reason}. What is "
            f"expected follows from {keys_behind(name)}."
        )
        return GeluError(
            "weights_damaged", message, "Take the config.json that belongs to these weights."
        )


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    from mlx.utils import tree_flatten

    return {name: value.shape for name, value in tree_flatten(model.parameters())}


def _is_of(module: str, name: str) -> bool:
    path = name.rpartition(".")[0]
    return path == module or path.endswith(f".{module}")


def _dimensions(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _some(names: list[str]) -> str:
    first = visible_line(names[0])
    return f"{first} is" if len(names) == 1 else f"{first} and {len(names) - 1} more are"
