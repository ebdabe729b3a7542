"""What the API returns: runs, scorings and inputs, to read, to show in a notebook and to save."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console, RenderableType

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.variants import canonical_name
from gelu_tui.core.lab.inputs import InputsDocument, InputsFunction
from gelu_tui.core.lab.layers import LayersDocument, VariantLayers
from gelu_tui.core.paths import expanded
from gelu_tui.core.reports.export import (
    FORMATS,
    INPUTS_FORMATS,
    LAYERS_FORMATS,
    SCORE_FORMATS,
    Formats,
    export,
)
from gelu_tui.core.reports.html.comparison import comparison_fragment
from gelu_tui.core.reports.html.inputs import inputs_fragment
from gelu_tui.core.reports.html.layers import layers_fragment
from gelu_tui.core.reports.html.score import score_fragment
from gelu_tui.core.reports.inputs import inputs_report
from gelu_tui.core.reports.layers import layers_report, summary
from gelu_tui.core.reports.score import score_report
from gelu_tui.core.reports.terminal import comparison_report
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreDocument, ScoredVariant, ScoredYardstick
from gelu_tui.core.scoring.tokens import TokenColumns

_Document = TypeVar(
    "_Document", bound=ComparisonDocument | ScoreDocument | LayersDocument | InputsDocument
)
_Variant = TypeVar(
    "_Variant", bound=VariantDocument | ScoredVariant | VariantLayers | InputsFunction
)

_REPORT_WIDTH = 100


def report_text(report: RenderableType) -> str:
    """Return a report as plain text."""
    console = Console(width=_REPORT_WIDTH, color_system=None, markup=False, emoji=False,
                      highlight=False, force_terminal=False)  # fmt: skip
    with console.capture() as capture:
        console.print(report)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


class NoSuchFunction(UsageError, KeyError):
    """The function is not among those of this result."""

    __str__ = Exception.__str__  # that of KeyError shows a text in quotation marks


class _Result(Mapping[str, _Variant], Generic[_Document, _Variant]):
    """The functions of a document by name, in their order; an alias is accepted too."""

    _formats: Formats[_Document]

    def __init__(self, document: _Document) -> None:
        self.document: _Document = document

    @abstractmethod
    def _variants(self) -> dict[str, _Variant]: ...

    @abstractmethod
    def _report(self) -> RenderableType: ...

    @property
    def reference(self) -> str:
        """The name of the function that the others are compared with."""
        return self.document.reference

    @property
    def status(self) -> p.Status:
        """`completed`, `cancelled` or `failed`."""
        return self.document.status

    def __getitem__(self, name: str) -> _Variant:
        variants = self._variants()
        if (found := variants.get(name) or variants.get(canonical_name(str(name)))) is not None:
            return found
        message = f"There is no function named '{visible_line(str(name))[:40]}' here."
        raise NoSuchFunction(message, f"There are {', '.join(variants)}.", kind="no_function")

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants())

    def __len__(self) -> int:
        return len(self._variants())

    def __str__(self) -> str:
        """The report that the command prints."""
        return report_text(self._report())

    def to_json(self) -> str:
        """The JSON document, as `--format json` prints it."""
        return self._formats["json"].text(self.document)

    def save(self, file: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a file in the format of its suffix, and return its path.

        Raises `GeluError` where it cannot be written, is there already, or has another suffix.
        """
        path = expanded(os.fspath(file))
        export(self.document, path, self._formats, overwrite=overwrite)
        return path


class Run(_Result[ComparisonDocument, VariantDocument]):
    """A comparison: each function's stream by name, with `tokens`, `text`, `steps`, `fork`, ….

    `document` has everything, as the JSON document does. Saved as .json, .md, .html or .csv.
    """

    _formats = FORMATS

    def _variants(self) -> dict[str, VariantDocument]:
        return {variant.name: variant for variant in self.document.variants}

    def _report(self) -> RenderableType:
        return comparison_report(self.document)

    @property
    def prompt(self) -> str:
        """The prompt as it was given."""
        return self.document.prompt

    def __repr__(self) -> str:
        standings = (
            f"{name}: {self.document.standing(v).long}" for name, v in self._variants().items()
        )
        return visible_line(f"<Run of {quoted(self.prompt, 40)}; {'; '.join(standings)}>")

    def _repr_html_(self) -> str:
        return comparison_fragment(self.document)


class Score(_Result[ScoreDocument, ScoredVariant]):
    """A scoring: each function's statistics by name, with `perplexity`, `kl`, `same_top_1`, ….

    `yardsticks` are the changes of the model that were scored, by name too. `document` has
    everything, as the JSON document does. Saved as .json or .html, and as .csv where it has its
    tokens.
    """

    _formats = SCORE_FORMATS

    def per_token(self, name: str) -> TokenColumns:
        """A function's `logprob`, `kl` (nats) and `same_top_1` for each of `document.text.texts`.

        Raises `GeluError` where the text was scored without `tokens=True`.
        """
        if (text := self.document.text) is None:
            hint = "Score the text with tokens=True."
            raise GeluError("no_tokens", "This scoring has not kept its tokens.", hint)
        return text.variants[self.document.variants.index(self[name])]

    def _variants(self) -> dict[str, ScoredVariant]:
        return {variant.name: variant for variant in self.document.variants}

    @property
    def yardsticks(self) -> dict[str, ScoredYardstick]:
        """The statistics of each yardstick by name, with `mean_kl`, `same_top_1`, …."""
        return {yardstick.name: yardstick for yardstick in self.document.yardsticks}

    def _report(self) -> RenderableType:
        return score_report(self.document)

    def __repr__(self) -> str:
        kls = ("reference" if name == self.reference else "mean KL " + (f"{v.kl.mean:.3g}" if v.kl
               else "–") for name, v in self._variants().items())  # fmt: skip
        shown = "; ".join(f"{name}: {kl}" for name, kl in zip(self, kls, strict=True))
        return visible_line(f"<Score of {self.document.positions:,} positions; {shown}>")

    def _repr_html_(self) -> str:
        return score_fragment(self.document)


class Layers(_Result[LayersDocument, VariantLayers]):
    """Which layer does it: each function's figures by name, with `layers`, `all`, `additivity`, ….

    `document` has everything, as the JSON document does. Saved as .json, .md, .html or .csv.
    """

    _formats = LAYERS_FORMATS

    def _variants(self) -> dict[str, VariantLayers]:
        return {variant.variant: variant for variant in self.document.variants}

    def _report(self) -> RenderableType:
        return layers_report(self.document)

    def __repr__(self) -> str:
        said = (summary(variant, self.reference) for variant in self.document.variants)
        return visible_line(
            f"<Layers over {self.document.positions:,} positions; {' '.join(said)}>"
        )

    def _repr_html_(self) -> str:
        return layers_fragment(self.document)


class Inputs(_Result[InputsDocument, InputsFunction]):
    """A model's own inputs: each function's errors on them by name, `weighted_rmse`, `bins`, ….

    `document` has everything, as the JSON document does: `all` and `layers` are the inputs, and
    `summary` is one sentence. Saved as .json, .md, .html or .csv.
    """

    _formats = INPUTS_FORMATS

    def _variants(self) -> dict[str, InputsFunction]:
        return {function.name: function for function in self.document.functions}

    def _report(self) -> RenderableType:
        return inputs_report(self.document)

    @property
    def summary(self) -> str:
        """Where the inputs lie, and how far the functions are off there."""
        return self.document.summary

    def __repr__(self) -> str:
        return visible_line(f"<Inputs of {self.document.positions:,} tokens; {self.summary}>")

    def _repr_html_(self) -> str:
        return inputs_fragment(self.document)
