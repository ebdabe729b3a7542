"""A sweep before it runs: settings, prompts, models, and the key under which results belong."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from gelu_tui.core.models.names import read_name
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.validation import shown
from gelu_tui.sweep.header import PromptSetInfo, SweepHeader, folder_name
from gelu_tui.sweep.prompt_files import BUILTIN, EvenSample, PromptSet, builtin_file, open_prompts
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.sweep_file import Values, merged, read_sweep_file

Source = str | Sequence[str | Mapping[str, Any]]
"""A sweep file, a file of prompts, `builtin:NAME`, '-' for stdin; or prompts."""

# Results are the same whatever these are; prompts and models are in the key by what they mean.
_NOT_IN_KEY = frozenset({"name", "prompts", "model", "models", "batch", "margin_pp"})


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs; `key` is the digest of everything that results depend on."""

    settings: SweepSettings
    prompts: PromptSet
    key: str

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def id(self) -> str:
        """What its results are called."""
        return folder_name(self.name, self.key)

    @property
    def models(self) -> tuple[str, ...]:
        """The models by the names that load them, the reference model first."""
        return self.settings.models

    def header(self, native: str) -> SweepHeader:
        """Return the header of a sweep that begins now; with a seed where tokens are sampled.

        `native` is the function that mlx-lm uses for the first model: where no reference is chosen,
        it is the reference of all models, so that they can be compared. Raises `UsageError`.
        """
        settings = self.settings
        chosen = parse_variants(settings.activations)
        reference = resolve_reference(chosen, settings.reference, native)
        variants, control = with_control(chosen, reference, wanted=settings.control)
        if settings.temperature and settings.seed is None:
            settings = replace(settings, seed=secrets.randbits(32))
        return SweepHeader(
            key=self.key,
            name=self.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=replace(settings, reference=chosen[reference].name),
            prompts=PromptSetInfo(self.prompts.name, self.prompts.digest, self.prompts.count),
            models=settings.models,
            functions=tuple(
                p.VariantInfo.of(v, settings.activation_precision, native, control=i == control)
                for i, v in enumerate(variants)
            ),
            reference=chosen[reference].name,
        )


def make_plan(
    source: Source, below: Sequence[Values], above: Values, *, local: bool = True
) -> Plan:
    """Return the plan of a sweep. Raises `GeluError` for what is wrong without a model.

    `below` are settings that a sweep file overrides, of several places, the more important ones
    last; `above` are those that override the file. With `local` models are looked for now, on this
    machine: a sweep must not end at the second one's name.
    """
    own = _own(source)
    settings = merged(*below, own, above)
    spec: Source = settings.prompts if isinstance(settings.prompts, str) else source
    if isinstance(source, str) and own.keys() != {"prompts"}:
        spec = settings.prompts
        if not spec:
            message = f"In {shown(source)} there are no prompts."
            raise UsageError(message, 'Add a line such as prompts = ["Why is the sky blue?"].')
    if settings.yardsticks and settings.temperature:
        message = "Yardsticks of a sweep are measured at temperature 0 only."
        raise UsageError(message, "Leave out --yardstick or --temperature.")
    prompts = open_prompts(spec, None)
    if 0 < settings.limit < prompts.count:
        prompts = EvenSample(prompts, settings.limit)
    else:
        settings = replace(settings, limit=0)
    settings = replace(settings, name=settings.name or prompts.name)
    models = [read_name(model).id if local else model for model in settings.models]
    return Plan(settings, prompts, _key(settings, prompts.digest, models))


def _own(source: Source) -> dict[str, Any]:
    """The settings of a sweep file, or the prompts themselves."""
    if not isinstance(source, str):
        texts = tuple(prompt for prompt in source if isinstance(prompt, str))
        return {"prompts": texts if len(texts) == len(source) else ()}
    path = builtin_file(source) if source.startswith(BUILTIN) else Path(source).expanduser()
    if path.suffix.lower() != ".toml":
        return {"prompts": source}
    return read_sweep_file(path)


def _key(settings: SweepSettings, digest: str, models: Sequence[str]) -> str:
    """The digest of all that is not as by default: a setting that is new changes no old key."""
    chosen = {
        name: value
        for name, field in fields_of(SweepSettings).items()
        if name not in _NOT_IN_KEY and (value := getattr(settings, name)) != field.default
    }
    chosen["activations"] = [variant.spec for variant in parse_variants(settings.activations)]
    content = msgspec.json.encode([1, digest, models, chosen], order="deterministic")
    return hashlib.sha256(content).hexdigest()


def changes(before: SweepHeader, plan: Plan) -> list[str]:
    """Return in words what a plan has other than a sweep of the same name."""
    found = []
    if before.prompts.digest != plan.prompts.digest:
        found.append("the prompts")
    for name, field in fields_of(SweepSettings).items():
        old, new = getattr(before.settings, name), getattr(plan.settings, name)
        filled_in = name in ("seed", "reference") and new is None
        if old == new or filled_in or name in _NOT_IN_KEY - {"models"}:
            continue
        found.append(f"{name} ({shown(_word(field.text(old)))} before)")
    return found


def _word(text: str) -> str:
    return text or "not set"
