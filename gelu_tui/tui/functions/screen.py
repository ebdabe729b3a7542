"""Choose and order the activation functions, write your own, choose the reference; see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.curves import Curve, curve
from gelu_tui.core.functions.expressions import FormulaError
from gelu_tui.core.functions.variants import MAX_VARIANTS, Variant, parse_variant
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.functions.curve import CurvePlot, terminal_dots
from gelu_tui.tui.functions.curve_views import VIEWS, facts
from gelu_tui.tui.functions.formula_field import FormulaField
from gelu_tui.tui.functions.picking import Picking
from gelu_tui.tui.functions.texts import ACTIONS, KEYS, about, caret_line, row_text
from gelu_tui.tui.keys.actions import HELP

_CHECK_AFTER_S = 0.04  # a formula is looked at once the typing pauses that long


def _curve_of(spec: str) -> Curve:
    return curve(parse_variant(spec))


class FunctionList(OptionList):
    """The list, with its keys."""

    BINDINGS: ClassVar = [
        Binding(keys, f"screen.{action}", shown) for action, (keys, _, shown) in ACTIONS.items()
    ]


class ActivationsScreen(ModalScreen[RunSettings | None]):
    """Returns the new choices, or None where they are left as they were."""

    CSS_PATH = "functions.tcss"
    BINDINGS: ClassVar = [
        Binding("f2", "done", "Take the choice; Enter does too"),
        Binding("escape,f10", "leave", "Leave as it was"),
        HELP,
    ]

    def __init__(self, choices: RunSettings, native: str | None) -> None:
        super().__init__()
        self.picking = Picking(choices, native)
        self.view = 0
        self._leaving: int | None = None  # the row on which leaving was asked for once
        self._told = 0  # sentences
        self._home = 0  # the row to come back to while the field finds others
        self._curves: dict[Variant, Curve] = {}  # as far as they are computed
        self._written: Variant | None = None  # the last usable formula in the field

    def compose(self) -> ComposeResult:
        """List and drawing, own formula, what is said about it, keys."""
        with Vertical(id="picker") as box:
            box.border_title = "Activation functions"
            box.border_subtitle = "Enter, F2 done · Esc, F10 leave as it was"
            with Container(id="sides"):
                yield FunctionList(id="functions", markup=False)
                with Vertical(id="details"):
                    yield Static(id="about", markup=False)
                    yield CurvePlot()
                    yield Static(id="facts", markup=False)
            yield FormulaField(
                placeholder="Tab: find a name, or your own NAME=EXPRESSION", id="formula"
            )
            yield Static(id="said", markup=False)
            yield Static(Content.from_markup(KEYS), id="keys")

    def on_mount(self) -> None:
        """Show the rows."""
        self._list.focus()
        self._show(0)

    @on(events.Resize)
    def _resized(self, event: events.Resize) -> None:
        self.set_class(event.size.width < 72, "-narrow")
        self.set_class(event.size.height < 28, "-low")
        self.set_class(event.size.height < 16, "-flat")
        self.call_after_refresh(self._draw_rows)

    @property
    def _list(self) -> FunctionList:
        return self.query_one(FunctionList)

    @property
    def _input(self) -> FormulaField:
        return self.query_one(FormulaField)

    @property
    def _index(self) -> int:
        return min(self._list.highlighted or 0, len(self.picking.rows) - 1)

    # --- the rows -----------------------------------------------------------------------------

    def _change(self, change: Callable[[], int | None]) -> None:
        """Do it and show the rows, or say why not; what it gives is the row to go to."""
        try:
            index = change()
        except GeluError as error:
            self._say_error(error)
        else:
            self._show(self._index if index is None else index)

    def action_choose(self) -> None:
        """Choose the highlighted function, or leave it out."""
        self._change(lambda: self.picking.toggle(self._index))

    def action_move_up(self) -> None:
        """Move the highlighted function before the chosen one above it."""
        self._change(lambda: self.picking.move(self._index, -1))

    def action_move_down(self) -> None:
        """Move the highlighted function behind the chosen one below it."""
        self._change(lambda: self.picking.move(self._index, 1))

    def action_reference(self) -> None:
        """Make the highlighted function the reference, or leave that to the model."""
        self._change(lambda: self.picking.refer(self._index))

    def action_remove(self) -> None:
        """Take an own formula off the list."""
        self._change(lambda: self.picking.remove(self._index))

    def action_next_set(self) -> None:
        """Choose the next ready-made set."""
        name = self.picking.next_set()
        self._show(0)
        self._say(f"Chosen: {name}. S again for the next set.")

    def action_next_view(self) -> None:
        """Put the next view first: curve, difference from exact GELU, slope."""
        self.view = (self.view + 1) % len(VIEWS)
        self._show_details(self._shown())

    def action_formula(self) -> None:
        """Go to the field."""
        self._input.focus()

    def _show(self, index: int) -> None:
        self._draw_rows(index)
        self._say_chosen()

    @work(group="curves", exclusive=True)
    async def _compute(self, variants: Sequence[Variant]) -> None:
        """Compute curves on a thread and draw them: a long formula takes a tenth of a second."""
        for variant in variants:
            self._curves[variant] = await asyncio.to_thread(curve, variant)
        if self._is_open():
            self._draw_rows()

    def _draw_rows(self, index: int | None = None) -> None:
        """Rebuild the list, each row as high as there is room for."""
        rows = [row.variant for row in self.picking.rows]
        if missing := [variant for variant in rows if variant not in self._curves]:
            self._compute(missing)
        curves = [self._curves.get(variant) for variant in rows]
        functions = self._list
        place = self._index if index is None else min(index, len(self.picking.rows) - 1)
        width, height = functions.scrollable_content_region.size
        fitting = height // max(1, len(rows))
        lines = max(min(3, fitting), 1 if height < 10 else 2)
        dots = terminal_dots(self.app.console.encoding)
        functions.set_options(
            # Blank before there is a layout: keys may come already, and cut-off rows would flash.
            Option(row_text(self.picking, at, width, lines, dots, curves[at]) if width else "")
            for at in range(len(rows))
        )
        functions.highlighted = place
        self._show_details(self._shown())

    # --- the details --------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._show_details(self._shown())
        if self._leaving not in (None, self._index):
            self._say_chosen()

    def _shown(self) -> Variant:
        """What the details are about: the formula that is written, else the row."""
        if self._written is not None and self.focused is self._input and "=" in self._input.value:
            return self._written
        return self.picking.rows[self._index].variant

    def _show_details(self, variant: Variant) -> None:
        width = self.query_one("#details").content_size.width
        self.query_one("#about", Static).update(about(self.picking, variant, width))
        views = VIEWS[self.view :] + VIEWS[: self.view]
        shown = self._curves.get(variant)
        self.query_one(CurvePlot).show(shown, views)
        others = [self._curves[r.variant] for r in self.picking.rows if r.variant in self._curves]
        self.query_one("#facts", Static).update("\n".join(facts(shown, others)) if shown else "")

    # --- the field ----------------------------------------------------------------------------

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_moved(self) -> None:
        if self.focused is self._input and not self._input.value:
            self._home = self._index
        self._show_details(self._shown())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._check(event.value)

    @work(group="check", exclusive=True)
    async def _check(self, text: str) -> None:
        """Show what is known of the text in the field; it is checked and computed on a thread."""
        if "=" not in text:
            self._written = None
            if text.strip():
                self._find(text)
            else:
                self._say_chosen()
            return
        self._list.highlighted = self._home
        told = self._told
        await asyncio.sleep(_CHECK_AFTER_S)
        try:
            written = await asyncio.to_thread(_curve_of, text.strip())
        except GeluError as error:
            if self._still_asks(text, told):
                self._say_error(error)
        else:
            if self._still_asks(text, told):
                self._written = variant = written.variant
                self._curves[variant] = written
                self._show_details(self._shown())
                self._say(f"{variant.name}: {variant.formula} is usable. Enter adds it.")

    def _still_asks(self, text: str, told: int) -> bool:
        """Whether the formula is still in the field, and nothing else was shown since."""
        return self._is_open() and self._told == told and self._input.value == text

    def _is_open(self) -> bool:
        """Not once the screen is left: its widgets go one by one, before its workers stop."""
        return self.app.is_running and self in self.app.screen_stack

    def _find(self, text: str) -> None:
        index = self.picking.find(text)
        self._list.highlighted = self._home if index is None else index
        if index is None:
            self._say("No function of that name; your own is NAME=EXPRESSION, x is its input.")
            return
        name = self.picking.rows[index].variant.name
        self._say(f"{name}: Enter goes to it. Your own is NAME=EXPRESSION.")

    @on(Input.Submitted)
    async def _submitted(self) -> None:
        if not self._input.value.strip():
            await self.action_done()
        elif await self._take_formula():
            self._list.focus()

    async def _take_formula(self) -> bool:
        """Take over what is in the field; False, with the reason shown, if that cannot be."""
        text = self._input.value.strip()
        try:
            found = None if "=" in text else self.picking.find(text)
            if found is None:
                index = self.picking.add(await asyncio.to_thread(parse_variant, text))
            else:
                index = found
        except GeluError as error:
            self._say_error(error)
            return False
        with self._input.prevent(Input.Changed):
            self._input.value = ""
        self._show(index)
        if not self.picking.rows[index].chosen and "=" in text:
            self._say_error(
                UsageError(
                    f"It is in the list, but {MAX_VARIANTS} are chosen already.",
                    "Leave one out first.",
                )
            )
        return True

    # --- the end ------------------------------------------------------------------------------

    @on(OptionList.OptionSelected)
    async def action_done(self) -> None:
        """Take the choices if they can be run, with the formula in the field if there is one."""
        if "=" in self._input.value and not await self._take_formula():
            self._input.focus()
            return
        try:
            self.dismiss(self.picking.result())
        except GeluError as error:
            self._say_error(error)

    def action_leave(self) -> None:
        """From the field to the list; from there away, and changes are lost only if asked twice."""
        if self.focused is self._input and self._input.value:
            self._list.focus()
            return
        if self._leaving is not None or not (self.picking.changed or "=" in self._input.value):
            self.dismiss(None)
            return
        self._say(
            "! Not taken yet: Enter keeps the changes, Esc again discards them.",
            "bold $text-warning",
        )
        self._leaving = self._index

    # --- what is said -------------------------------------------------------------------------

    def _say_chosen(self) -> None:
        count = len(self.picking.chosen)
        reference = self.picking.effective_reference()
        if self.picking.reference is None:
            how = "the model's own" if reference == self.picking.native else "the first chosen"
            reference = f"{reference}, {how}" if reference else "the model's own, else the first"
        self._say(f"{count} chosen of at most {MAX_VARIANTS}. Reference: {reference}.")

    def _say(self, sentence: str, style: str = "dim") -> None:
        self._tell(Content.styled(visible_line(sentence), style))

    def _say_error(self, error: GeluError) -> None:
        if isinstance(error, FormulaError) and "=" in self._input.value:
            field = self._input
            before = field.value.index("=") + 1
            before += len(field.value[before:]) - len(field.value[before:].lstrip())
            column = cell_len(field.value[: before + error.position]) - int(field.scroll_offset.x)
            column += field.content_region.x - self.query_one("#said").content_region.x
            self._tell(caret_line(error, column, self.query_one("#said").content_size.width))
            return
        self._tell(
            Content.assemble(
                (f"✗ {visible_line(error.info.message)}", "bold $text-error"),
                f" {visible_line(error.info.hint)}",
            )
        )

    def _tell(self, content: Content) -> None:
        self._leaving = None
        self._told += 1
        self.query_one("#said", Static).update(content)
