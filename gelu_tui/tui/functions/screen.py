"""Choose and order the activation functions, write your own, choose the reference; see them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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

from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError
from gelu_tui.core.functions.curves import Curve, curve
from gelu_tui.core.functions.expressions import MAX_LENGTH, FormulaError
from gelu_tui.core.functions.variants import MAX_VARIANTS, Variant, has_name, parse_variant
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.functions.curve import CurvePlot
from gelu_tui.tui.functions.curve_views import VIEWS, facts
from gelu_tui.tui.functions.grammar import EXAMPLES, GRAMMAR
from gelu_tui.tui.functions.picking import Picking
from gelu_tui.tui.functions.texts import ACTIONS, KEYS, about, caret_line, row_text
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.curves_view import terminal_dots
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn
from gelu_tui.tui.widgets.message_line import error_content

_CHECK_AFTER_S = 0.04  # a formula is checked once the typing pauses that long
_MOST = MAX_LENGTH + 100  # name, sign and blanks; enough to see that a formula is too long


class FormulaField(Input, KeysInTurn):
    """The field for a name or an own formula, in which nothing pasted can act on the terminal."""

    BINDINGS: ClassVar = [Binding("escape", "empty", "Clear the field")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes on to the screen where there is nothing to clear."""
        return bool(self.value) if action == "empty" else True

    def action_empty(self) -> None:
        self.value = ""

    def validate_value(self, value: str) -> str:
        return visible_line(value[:_MOST])


class FunctionList(OptionList, KeysInTurn):
    """The list, with its keys."""

    BINDINGS: ClassVar = [
        Binding("tab", "screen.formula", show=False),
        *(Binding(keys, f"screen.{action}", text) for action, (keys, _, text) in ACTIONS.items()),
    ]

    async def _on_key(self, event: events.Key) -> None:
        """Pass on what was typed behind a key that has moved the focus to the field."""
        focused = self.screen.focused
        if focused is not None and focused is not self:
            event.stop()
            event.prevent_default()
            focused.post_message(events.Key(event.key, event.character))


class ActivationsScreen(ClosesOnce, ModalScreen[RunSettings | None]):
    """Dismissed with the new choices, or None where they are left as they were.

    `own` are formulas that are listed besides the chosen ones, and `problem` is shown first.
    """

    CSS_PATH = "functions.tcss"
    BINDINGS: ClassVar = [
        Binding("f2", "done", "Take the choice; Enter does too"),
        Binding("escape,f10", "leave", "Leave as it was"),
        HELP,
    ]
    FIELD_HELP: ClassVar = (("Formulas", GRAMMAR), ("Examples", EXAMPLES))

    def __init__(
        self,
        choices: RunSettings,
        native: str | None,
        own: Sequence[Variant] = (),
        problem: ErrorInfo | None = None,
    ) -> None:
        super().__init__()
        self.picking = Picking(choices, native, own)
        self._problem = problem  # what is shown first
        self.view = 0
        self._leaving: int | None = None  # the row on which leaving was asked for once
        self._messages = 0  # how many were shown
        self._home = 0  # the row to come back to while the field finds others
        self._curves: dict[Variant, Curve] = {}  # as far as they are computed
        self._written: Variant | None = None  # the last usable formula in the field

    def compose(self) -> ComposeResult:
        with Vertical(id="picker") as box:
            box.border_title = "Functions"
            box.border_subtitle = "Enter, F2 done · Esc clears the field · F10 cancels"
            with Container(id="sides"):
                yield FunctionList(id="functions", markup=False)
                with Vertical(id="details"):
                    yield Static(id="about", markup=False)
                    yield CurvePlot()
                    yield Static(id="facts", markup=False)
            placeholder = "Tab: a name, or x*sigmoid(1.7*x); F1 explains"
            yield FormulaField(placeholder=placeholder, id="formula")
            yield Static(id="message", markup=False)
            yield Static(Content.from_markup(KEYS), id="keys")

    def on_mount(self) -> None:
        self._list.focus()
        self._show(0)
        if self._problem is not None:
            self._show_content(error_content(self._problem))

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
    def _is_formula(self) -> bool:
        """Whether a formula is in the field, and not a name."""
        return self.picking.is_formula(self._input.value)

    @property
    def _index(self) -> int:
        return min(self._list.highlighted or 0, len(self.picking.rows) - 1)

    def action_change(self, how: str, *to: str) -> None:
        """Call a method of `Picking` for the highlighted row, and show the rows or the error."""
        name = self.picking.rows[self._index].variant.name
        try:
            index = getattr(self.picking, how)(self._index, *to)
        except GeluError as error:
            self._show_error(error)
        else:
            gone = f"{name} is deleted; Z brings it back. " if how == "remove" else ""
            self._show(self._index if index is None else index, gone)

    def action_undo(self) -> None:
        undone = self.picking.undo()
        self._show(self._index, "" if undone else "Nothing to take back. ")

    def action_next_set(self) -> None:
        name = self.picking.next_set()
        self._show(0)
        self._show_message(f"Chosen: {name}. S again for the next set.")

    def action_next_view(self) -> None:
        self.view = (self.view + 1) % len(VIEWS)
        self._show_details()

    async def action_curves(self) -> None:
        """Open the lab's curves on top of this screen."""
        await self.run_action("app.open('curves')")

    async def action_layers(self) -> None:
        """Open the lab's layers on top of this screen."""
        await self.run_action("app.open('layers')")

    async def action_text(self) -> None:
        """Open the lab's text in colour on top of this screen."""
        await self.run_action("app.open('text')")

    def action_formula(self) -> None:
        self.set_focus(self._input)  # at once: `focus()` lets the next keys come before

    def _show(self, index: int, news: str = "") -> None:
        self._draw_rows(index)
        self._show_chosen(news)

    @work(group="curves", exclusive=True)
    async def _compute(self, variants: Sequence[Variant]) -> None:
        """Compute curves on a thread and draw them: a long formula takes a tenth of a second."""
        for variant in variants:
            self._curves[variant] = await asyncio.to_thread(curve, variant)
        if is_open(self):
            self._draw_rows()

    def _draw_rows(self, index: int | None = None) -> None:
        """Rebuild the list, each row as high as there is room for."""
        place = self._index if index is None else index
        variants = [row.variant for row in self.picking.rows]
        if missing := [variant for variant in variants if variant not in self._curves]:
            self._compute(missing)
        width, height = self._list.scrollable_content_region.size
        lines = max(min(3, height // len(variants)), 1 if height < 10 else 2)
        dots = terminal_dots(self.app)
        curves = [self._curves.get(variant) for variant in variants]
        self._list.set_options(
            # Blank before there is a layout: keys may come already, and cut-off rows would flash.
            Option(row_text(self.picking, at, width, lines, dots, curve) if width else "")
            for at, curve in enumerate(curves)
        )
        self._list.highlighted = min(place, len(variants) - 1)
        self._show_details()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._show_details()
        if self._leaving not in (None, self._index):
            self._show_chosen()

    def _show_details(self) -> None:
        """Show the formula that is written, else the highlighted function."""
        variant = self.picking.rows[self._index].variant
        if self._written is not None and self.focused is self._input and self._is_formula:
            variant = self._written
        width = self.query_one("#details").content_size.width
        self.query_one("#about", Static).update(about(self.picking, variant, width))
        shown = self._curves.get(variant)
        self.query_one(CurvePlot).show(shown, VIEWS[self.view :] + VIEWS[: self.view])
        others = [self._curves[r.variant] for r in self.picking.rows if r.variant in self._curves]
        self.query_one("#facts", Static).update("\n".join(facts(shown, others)) if shown else "")

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_moved(self) -> None:
        if self.focused is self._input and not self._input.value:
            self._home = self._index
        self._show_details()

    @on(Input.Changed)
    @work(group="check", exclusive=True)
    async def _check(self, event: Input.Changed) -> None:
        """Find the function of that name, or check and compute a formula, on a thread."""
        text = event.value
        if not self._is_formula:
            self._written = None
            self._find(text)
            return
        self._list.highlighted = self._home
        messages = self._messages

        def still_asks() -> bool:
            nothing_since = is_open(self) and self._messages == messages
            return nothing_since and self._input.value == text

        await asyncio.sleep(_CHECK_AFTER_S)
        try:
            spec = self.picking.spec(text)
            written = await asyncio.to_thread(lambda: curve(parse_variant(spec)))
        except GeluError as error:
            if still_asks():
                self._show_error(error)
        else:
            if still_asks():
                self._written = variant = written.variant
                self._curves[variant] = written
                self._show_details()
                self._show_message(f"{variant.name}: {variant.formula} is usable. Enter adds it.")

    def _find(self, text: str) -> None:
        index = self.picking.find(text) if text.strip() else None
        self._list.highlighted = self._home if index is None else index
        self._show_details()
        if not text.strip():
            self._show_chosen()
        elif index is None:
            self._show_message("No function of that name; a formula has x, its input.")
        else:
            row = self.picking.rows[index]
            does = "Tab goes to it" if row.chosen else "Enter chooses it"
            self._show_message(f"{row.variant.name}: {does}.")

    @on(Input.Submitted)
    async def _submitted(self, event: Input.Submitted) -> None:
        """Take what was typed. The focus stays: what is typed next must not act on the list."""
        if event.value.strip():
            await self._take(event.value)
        else:
            await self.action_done()

    async def _take(self, typed: str) -> bool:
        """Choose the function that was typed; False, with the reason shown, if that cannot be."""
        found = None if self.picking.is_formula(typed) else self.picking.find(typed)
        try:
            if found is None:
                variant = await asyncio.to_thread(parse_variant, self.picking.spec(typed))
            else:
                variant = self.picking.rows[found].variant
        except GeluError as error:
            self._show_error(error)
            return False
        at = self.picking.index(variant.name)
        before = variant if at is None else self.picking.rows[at].variant
        self._home = index = self.picking.add(variant)
        with self._input.prevent(Input.Changed):
            self._input.value = self._input.value.removeprefix(typed)  # more may have come since
        if before != variant:
            now = f"{variant.formula}, no longer {before.formula}"
            self._show(index, f"{variant.name} is now {now}; Z takes it back. ")
        elif self.picking.rows[index].chosen:
            self._show(index, f"{variant.name} is chosen. ")
        else:
            self._show(index)
            message = f"{variant.name} is in the list, but {MAX_VARIANTS} are chosen already."
            self._show_error(UsageError(message, "Leave one out first."))
        return True

    @on(OptionList.OptionSelected)
    async def action_done(self) -> None:
        """Take the choices if they can be run, with the formula in the field if there is one."""
        if self._is_formula and not await self._take(self._input.value):
            self._input.focus()
            return
        try:
            self.dismiss(self.picking.result())
        except GeluError as error:
            self._show_error(error)

    def action_leave(self) -> None:
        """Leave; changes are lost only if asked twice."""
        if self._leaving is not None or not (self.picking.changed or self._is_formula):
            self.dismiss(None)
            return
        key = "F10" if self.focused is self._input and self._input.value else "Esc"
        message = f"! Not taken yet: F2 keeps the changes, {key} again discards them."
        self._show_message(message, "bold $text-warning")
        self._leaving = self._index

    def _show_chosen(self, news: str = "") -> None:
        reference = self.picking.effective_reference()
        if self.picking.reference is None:
            how = "the model's own" if reference == self.picking.native else "the first chosen"
            reference = f"{reference}, {how}" if reference else "the model's own, else the first"
        count = len(self.picking.chosen)
        chosen = f"{count} chosen of at most {MAX_VARIANTS}. Reference: {reference}."
        self._show_message(f"{news}{chosen}")

    def _show_message(self, sentence: str, style: str = "dim") -> None:
        self._show_content(Content.styled(visible_line(sentence), style))

    def _show_error(self, error: GeluError) -> None:
        field = self._input
        if not isinstance(error, FormulaError) or not self._is_formula:
            self._show_content(error_content(error.info))
            return
        formula = field.value.partition("=")[2] if has_name(field.value) else field.value
        formula = formula.lstrip()
        before = field.value[: len(field.value) - len(formula) + error.position]
        line = self.query_one("#message")
        column = cell_len(before) - int(field.scroll_offset.x)
        column += field.content_region.x - line.content_region.x
        self._show_content(caret_line(error, column, line.content_size.width))

    def _show_content(self, content: Content) -> None:
        self._leaving = None
        self._messages += 1
        self.query_one("#message", Static).update(content)
