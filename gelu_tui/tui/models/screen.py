"""Models on the engine's machine, and whether they fit: load, fetch or delete one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from gelu_tui.client import EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.inventory import (
    HubSize,
    LocalModel,
    PublicModel,
    is_gated,
    public_models,
)
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.models.names import is_hub_id, read_name
from gelu_tui.core.remote import machine_of, ssh_host
from gelu_tui.core.reports.models import gate, readiness, too_big
from gelu_tui.core.reports.progress import size
from gelu_tui.tui.engine_link.session import ask
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.models.rows import delete_refusal, details, fetch_lines, fetch_refusal
from gelu_tui.tui.models.table import ModelTable
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.question import Question

# A narrow terminal cuts the line off at the right.
_KEYS = "Enter load · f fetch · q back · / another · d delete · r look again"
_FETCHING_KEYS = "x stop the fetch · q back · Enter load · / another"
_INPUT_KEYS = "Enter takes it · Esc to the list · F10 back"
_NOTHING = "No Gemma here can be loaded yet: f fetches one of these, / takes a folder."


class ModelsScreen(ClosesOnce, Screen[str | None]):
    """Dismissed with the model to load (`demo`, a folder, or a hub id), or None.

    `current` is the loaded model as the user named it, `held_bytes` the size of its weights, which
    are freed when another is loaded. Searches, deletions and a fetch run in engine processes of
    their own; a fetch ends with the screen.
    """

    CSS_PATH = "models.tcss"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # rows # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("q,f10,f4", "back", "Back"),
        Binding("x,ctrl+g", "stop", "Stop the fetch"),
        Binding("escape", "leave_field", "To the list"),
        HELP,
    ]

    def __init__(self, current: str, held_bytes: int, engine_command: EngineCommand) -> None:
        super().__init__()
        self.current = current
        self._held_bytes = held_bytes
        self._engine_command = engine_command
        self._machine = machine_of(engine_command)
        is_here = ssh_host(engine_command) is None
        self._heading = "Models" if is_here else f"Models on {self._machine}"
        self._folders: list[str] = []  # searched beside the hub's cache
        self._named: list[PublicModel] = []  # typed by the user
        self._local: tuple[LocalModel, ...] = ()
        self._memory = Memory(0, 0, 0)
        self._asked: set[str] = set()  # models whose size the hub was asked for
        self._sizes: dict[str, HubSize] = {}  # that it has told
        self._fetched: set[str] = set()
        self._fetching = ""  # the model that is being fetched
        self._progress: p.Progress | None = None
        self._warned = ""  # what Enter or q was already warned of
        self._described = ""  # the chosen model
        self._told_of = ""  # the model that the message is about

    def compose(self) -> ComposeResult:
        yield Static(self._heading, id="title", markup=False)
        yield ModelTable(id="models")
        yield Static(id="details", markup=False)
        yield TextField(placeholder="A hub id (OWNER/NAME) or a folder", id="name")
        yield Static(id="fetch", markup=False)
        yield MessageLine(id="message")
        yield Question(id="question", markup=False)
        yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self._table.focus()
        self._search(choose=self.current)

    def on_resize(self) -> None:
        self.call_after_refresh(self._describe)
        self.call_after_refresh(self._show_fetch)

    @property
    def _table(self) -> ModelTable:
        return self.query_one(ModelTable)

    @property
    def _width(self) -> int:
        return max(20, self.size.width - 4)  # for the padding of every line

    @work(group="search", exclusive=True)
    async def _search(self, choose: str | None = None, *, named: bool = False) -> None:
        """Have the disk searched, then show what is there and choose one.

        `named` in the field: only then the keys go to the list, so that none acts on another model.
        """
        try:
            found, current = await _look(self._folders, self.current, self._engine_command)
        except GeluError as error:
            self._show_message(error.info)
            self._list()
            return
        if not is_open(self):
            return
        choose = current if choose == self.current else choose
        self._local, self.current = found.models, current
        self._memory = memory = found.memory.plus(self._held_bytes)
        self._list(choose)
        sizes = (
            f"{size(memory.total_bytes)} of memory, a model may take {size(memory.usable_bytes)}"
        )
        self.query_one("#title", Static).update(f"{self._heading} · {sizes}")
        if not any(model.usable for model in self._local):
            self._show_message(_NOTHING)
        if named:
            self.action_leave_field()

    def _list(self, choose: str | None = None) -> None:
        """Local models, then those that can be fetched; the cursor stays on its model."""
        if not is_open(self):
            return
        here = {model.id for model in self._local}
        listed = (*self._named, *public_models(on_gpu=self._memory.on_gpu))
        others = [m.with_size(self._sizes.get(m.id)) for m in listed if m.id not in here]
        self._table.show([*self._local, *others], self._memory, self.current, choose)
        self._describe()
        self._ask_hub([model.id for model in others if model.id not in self._sizes])

    @work(group="sizes")
    async def _ask_hub(self, models: list[str]) -> None:
        """Fill in the sizes of models that can be fetched; where the hub says nothing, leave them.

        Each is asked for once, and again when the user looks again.
        """
        models = [model for model in models if model not in self._asked]
        if models:
            self._asked.update(models)
            with contextlib.suppress(GeluError):
                told = await _ask_sizes(models, self._engine_command)
                self._sizes.update({each.id: each for each in told})
                self._list()

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        box, model = self.query_one("#details", Static), self._table.chosen
        if model is None:
            box.update(f"Looking for models on {self._machine}.")
        else:
            if model.id != self._described and self._told_of not in ("", model.id):
                self._warned = ""
                self._show_message("")
            self._described = model.id
            loaded = model.id == self.current
            box.update(details(model, self._memory, self._width, loaded=loaded))

    def action_load(self) -> None:
        """Load the chosen model if it is here and can be served."""
        if (model := self._table.chosen) is None:
            return
        if model.id in self._fetched:
            self._close(model.id)  # an engine elsewhere may have it though we do not
        elif isinstance(model, PublicModel):
            self._show_message("It is not here yet: f fetches it.", model.id)
        elif model.source == "hub" and model.state == "partial":
            self._show_message("It is not here whole yet: f fetches it.", model.id)
        elif not model.usable:
            self._show_message(ErrorInfo(model.state, model.reason), model.id)
        elif readiness(model, self._memory) == "too big" and self._warned != model.id:
            self._warned = model.id
            reason = too_big(model, self._memory)
            self._show_message(f"{reason} Enter again loads it all the same.", model.id)
        else:
            self._close(model.id)

    def action_fetch(self) -> None:
        if (model := self._table.chosen) is None:
            return
        if isinstance(model, LocalModel) and (refusal := fetch_refusal(model)):
            self._show_message(refusal, model.id)
        elif self._fetching:
            self._show_message(f"One at a time: {self._fetching} is being fetched.")
        else:
            self._fetching, self._progress, self._warned = model.id, None, ""
            self._show_message("")
            self._show_fetch()
            self._fetch(model.id)

    def action_delete(self) -> None:
        """Ask, then delete the chosen model from the disk."""
        if (model := self._table.chosen) is None:
            return
        loaded, fetching = model.id == self.current, model.id == self._fetching
        if refusal := delete_refusal(model, loaded=loaded, fetching=fetching):
            self._show_message(refusal, model.id)
            return

        def confirmed() -> None:
            self._delete(model.id)

        freed = f" ({size(model.disk_bytes)})" if isinstance(model, LocalModel) else ""
        question = f"Delete {model.id}{freed} from {self._machine}? y: yes · any other key: no"
        self.query_one(Question).ask(question, confirmed)

    @work(group="delete")
    async def _delete(self, model: str) -> None:
        try:
            deleted = await ask(p.DeleteModel(model), p.ModelDeleted, self._engine_command)
        except GeluError as error:
            self._show_message(error.info, model)
        else:
            self._fetched.discard(model)
            self._show_message(f"{model} is deleted: {size(deleted.freed_bytes)} are free again.")
        self._search()

    def action_stop(self) -> None:
        """Stop the fetch, by ending its engine."""
        if self._fetching:
            self.workers.cancel_group(self, "fetch")
            kept = " Whole files are kept: f fetches those that are missing."
            self._end_fetch("Stopped." + ("" if self._fetching == "demo" else kept))

    def action_look(self) -> None:
        self._show_message("")
        self._asked = set(self._sizes)
        self._search()

    def action_name(self) -> None:
        self.query_one(Input).focus()

    def action_leave_field(self) -> None:
        self.query_one(Input).value = ""
        self._table.focus()

    def action_back(self) -> None:
        """Return with nothing chosen; warn first if that stops a fetch."""
        if self._fetching and self._warned != "back":
            self._warned = "back"
            kept = "files that have arrived whole are kept"
            self._show_message(f"Leaving stops the fetch; {kept}. q again leaves.")
        else:
            self._close(None)

    def _close(self, result: str | None) -> None:
        if self.is_current:
            self.dismiss(result)

    @on(Input.Changed)
    def _hint(self, event: Input.Changed) -> None:
        text = event.value.strip()
        if is_hub_id(text):
            more = gate(text) if is_gated(text) else ""
            self._show_message(f"Enter fetches it. {more}")
        else:
            self._show_message("Enter looks into this folder." if text else "")

    @on(Input.Submitted)
    @work(group="name", exclusive=True)
    async def _submit(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if not text:
            self._table.focus()
            return
        try:
            name = await asyncio.to_thread(read_name, text)
        except GeluError as error:
            self._show_message(error.info)
            return
        if not is_open(self):
            return
        self._show_message("")
        if name.kind == "folder":
            self._folders.append(name.id)
            self._search(choose=name.id, named=True)
            return
        self.action_leave_field()
        if text not in self._table.ids:
            self._named.insert(0, PublicModel(text, "", is_gated(text)))
        self._list(choose=text)
        chosen = self._table.chosen
        if not (isinstance(chosen, LocalModel) and chosen.usable):
            self.action_fetch()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _show_keys(self) -> None:
        keys = _FETCHING_KEYS if self._fetching else _KEYS
        line = self.query_one(KeyHints)
        line.update(_INPUT_KEYS if isinstance(self.focused, Input) else keys)
        line.display = not isinstance(self.focused, Question)

    @work(group="fetch")
    async def _fetch(self, model: str) -> None:
        try:
            await ask(p.Fetch(model), p.Fetched, self._engine_command, self._show_fetch)
        except GeluError as error:
            self._end_fetch(error.info)
        else:
            self._fetched.add(model)
            self._end_fetch(f"{model} is here. Enter loads it.", choose=model)

    def _end_fetch(self, message: str | ErrorInfo, choose: str | None = None) -> None:
        model, self._fetching, self._progress = self._fetching, "", None
        self._show_fetch()
        self._show_message(message, model)
        self._search(choose)

    def _show_fetch(self, progress: p.Progress | None = None) -> None:
        self._progress = progress or self._progress
        if not is_open(self):
            return
        self._show_keys()
        box = self.query_one("#fetch", Static)
        box.display = bool(self._fetching)
        if self._fetching:
            box.update(fetch_lines(self._fetching, self._progress, self._width))
            if self._progress is not None:
                self._table.show_progress(self._fetching, self._progress)

    def _show_message(self, message: str | ErrorInfo, model: str = "") -> None:
        """Show a message; one about a `model` goes when another one is chosen."""
        self._told_of = model
        if not is_open(self):
            return
        self.query_one(MessageLine).show_message(message)
        self.set_class(bool(message), "-message")


async def _ask_sizes(models: list[str], engine_command: EngineCommand) -> tuple[HubSize, ...]:
    """Return what the hub says of these repositories. Raises `GeluError`."""
    return (await ask(p.AskHub(tuple(models)), p.HubSizes, engine_command)).sizes


async def _look(
    folders: list[str], current: str, engine_command: EngineCommand
) -> tuple[p.ModelsFound, str]:
    """Return what an engine finds, and the loaded model's id: of a folder its absolute path.

    The loaded model's own folder is listed too. Raises `GeluError`.
    """
    if ssh_host(engine_command) is not None:
        # Only the engine knows what is a folder where it runs.
        if not is_hub_id(current) and current != "demo":
            folders = [*folders, current]
        return await ask(p.ListModels(tuple(folders)), p.ModelsFound, engine_command), current
    try:
        name = await asyncio.to_thread(read_name, current)
    except GeluError:  # the engine says why when it loads it
        loaded = current
    else:
        loaded = name.id
        if name.kind == "folder":
            folders = [*folders, loaded]
    found = await ask(p.ListModels(tuple(folders)), p.ModelsFound, engine_command)
    return found, loaded
