"""Choose and order the activation functions, write your own, choose the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gelu_tui.core.activations import (
    MAX_VARIANTS,
    REGISTRY,
    FormulaError,
    Variant,
    parse_variant,
    parse_variants,
    resolve_reference,
)
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.tui.choices import Choices
from gelu_tui.tui.labels import NATIVE_MARK

_KEYS = "Space choose · U D move · R reference · X delete · Tab own formula · Enter done"


@dataclass(frozen=True)
class Row:
    """One function of the list."""

    spec: str
    variant: Variant
    chosen: bool


def rows_of(choices: Choices) -> list[Row]:
    """The chosen functions in their order, then the rest of the registry."""
    rows = [Row(_spec(variant), variant, chosen=True) for variant in choices.variants()]
    names = {row.variant.name for row in rows}
    rest = (parse_variant(name) for name in REGISTRY if name not in names)
    return [*rows, *(Row(variant.name, variant, chosen=False) for variant in rest)]


def _spec(variant: Variant) -> str:
    return variant.name if variant.node is None else f"{variant.name}={variant.formula}"


class FunctionList(OptionList):
    """The list, with its keys."""

    BINDINGS: ClassVar = [
        Binding("space", "screen.choose", "Choose"),
        Binding("u,shift+up", "screen.move(-1)", "Up"),
        Binding("d,shift+down", "screen.move(1)", "Down"),
        Binding("r", "screen.reference", "Reference"),
        Binding("x,delete", "screen.remove", "Delete own"),
    ]


class ActivationsScreen(ModalScreen[Choices | None]):
    """Returns the new choices, or None where they are left as they were."""

    CSS_PATH = "activations.tcss"
    BINDINGS: ClassVar = [
        Binding("f2", "done", "Done"),
        Binding("escape,f10", "dismiss", "Leave as it was"),
    ]

    def __init__(self, choices: Choices, native: str | None) -> None:
        super().__init__()
        self.choices = choices
        self.native = native
        self.rows = rows_of(choices)
        self.reference = choices.reference

    def compose(self) -> ComposeResult:
        """List, own formula, what is said about it, keys."""
        with Vertical(id="picker") as box:
            box.border_title = "Activation functions"
            box.border_subtitle = "F2 done · F10, Esc leave as it was"
            yield FunctionList(id="functions", markup=False)
            yield Input(placeholder="Your own: NAME=EXPRESSION in x, Enter adds it", id="formula")
            yield Static(id="said", markup=False)
            yield Static(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Show the rows."""
        self._list.add_options(Option(prompt) for prompt in self._prompts())
        self._list.highlighted = 0
        self._list.focus()
        self._fit()
        self._say_chosen()

    @property
    def _list(self) -> FunctionList:
        return self.query_one(FunctionList)

    # --- the rows -----------------------------------------------------------------------------

    def action_choose(self) -> None:
        """Choose the highlighted function, or leave it out."""
        index = self._index()
        row = self.rows[index]
        if not row.chosen and sum(other.chosen for other in self.rows) >= MAX_VARIANTS:
            self._say(
                f"{MAX_VARIANTS} functions are the most that one comparison takes.", error=True
            )
            return
        self.rows[index] = replace(row, chosen=not row.chosen)
        if row.chosen and row.variant.name == self.reference:
            self.reference = None
        self._show()

    def action_move(self, by: int) -> None:
        """Move the highlighted function up or down."""
        index = self._index()
        target = index + by
        if 0 <= target < len(self.rows):
            self.rows[index], self.rows[target] = self.rows[target], self.rows[index]
            self._show(target)

    def action_reference(self) -> None:
        """Make the highlighted function the reference, or leave that to the model."""
        index = self._index()
        row = self.rows[index]
        if not row.chosen:
            self.action_choose()
        if self.rows[index].chosen:
            self.reference = None if self.reference == row.variant.name else row.variant.name
            self._show()

    def action_remove(self) -> None:
        """Take an own formula off the list."""
        index = self._index()
        row = self.rows[index]
        if row.variant.node is None:
            self._say("Only your own formulas can be deleted; Space leaves a function out.")
            return
        del self.rows[index]
        if row.variant.name == self.reference:
            self.reference = None
        self._show(min(index, len(self.rows) - 1))

    @on(OptionList.OptionSelected)
    def action_done(self) -> None:
        """Take the choices if they can be run."""
        specs = tuple(row.spec for row in self.rows if row.chosen)
        try:
            resolve_reference(parse_variants(specs), self.reference, self.native)
        except GeluError as error:
            self._say_error(error)
            return
        self.dismiss(replace(self.choices, activations=specs, reference=self.reference))

    def _fit(self) -> None:
        # As high as its rows, what is said, the formula, the keys and the frame, if there is room.
        self.query_one("#picker").styles.max_height = len(self.rows) + 9

    def _index(self) -> int:
        return self._list.highlighted or 0

    def _show(self, highlighted: int | None = None) -> None:
        index = self._index() if highlighted is None else highlighted
        self._list.set_options(Option(prompt) for prompt in self._prompts())
        self._list.highlighted = index
        self._fit()
        self._say_chosen()

    def _prompts(self) -> list[Content]:
        width = max(len(row.variant.name) for row in self.rows)
        number = 0
        prompts = []
        for row in self.rows:
            number += row.chosen
            mark = f"[■] {number}" if row.chosen else "[ ]  "
            native = f" {NATIVE_MARK}" if row.variant.name == self.native else "  "
            reference = " reference" if row.variant.name == self.reference else ""
            prompts.append(
                Content.assemble(
                    f"{mark} ",
                    (f"{visible_line(row.variant.name):<{width}}", "bold" if row.chosen else ""),
                    native,
                    (f" {visible_line(row.variant.formula)}", "dim"),
                    (reference, "bold $text-accent"),
                )
            )
        return prompts

    # --- the own formula ----------------------------------------------------------------------

    @on(Input.Changed)
    def _check(self, event: Input.Changed) -> None:
        """Check the formula while it is typed."""
        if not event.value.strip():
            self._say_chosen()
            return
        try:
            variant = parse_variant(event.value.strip())
        except GeluError as error:
            self._say_error(error)
        else:
            self._say(f"{variant.name}: {variant.formula} is usable. Enter adds it.")

    @on(Input.Submitted)
    def _add(self, event: Input.Submitted) -> None:
        if not event.value.strip():
            self.action_done()
            return
        try:
            variant = parse_variant(event.value.strip())
        except GeluError as error:
            self._say_error(error)
            return
        names = [row.variant.name for row in self.rows]
        if variant.name in names:
            index = names.index(variant.name)
            self.rows[index] = Row(_spec(variant), variant, self.rows[index].chosen)
        else:
            index = sum(row.chosen for row in self.rows)
            self.rows.insert(index, Row(_spec(variant), variant, chosen=False))
        event.input.value = ""
        self._show(index)
        self._list.focus()
        if not self.rows[index].chosen:
            self.action_choose()

    # --- what is said -------------------------------------------------------------------------

    def _say_chosen(self) -> None:
        count = sum(row.chosen for row in self.rows)
        reference = self.reference or "the model's own function if chosen, else the first"
        self._say(f"{count} chosen of at most {MAX_VARIANTS}. Reference: {reference}.")

    def _say(self, sentence: str, *, error: bool = False) -> None:
        style = "$text-error" if error else "dim"
        self.query_one("#said", Static).update(Content.assemble((visible_line(sentence), style)))

    def _say_error(self, error: GeluError) -> None:
        parts: list[tuple[str, str]] = [
            (f"✗ {visible_line(error.info.message)}", "bold $text-error")
        ]
        if isinstance(error, FormulaError):
            parts.append((f"\n{visible(error.pointer())}", ""))
        elif isinstance(error, UsageError) and error.info.hint:
            parts.append((f" {visible_line(error.info.hint)}", ""))
        self.query_one("#said", Static).update(Content.assemble(*parts))
