"""mlx-lm without transformers and the hub's client, in processes of their own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_tui.engine.models import mlx_lm_import
from tests.support import tiny_models

_TEMPLATE = "{{ messages[0].content }}!"


def run(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_transformers_is_not_imported_and_its_placeholder_is_gone() -> None:
    code = (
        "import sys; from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm;"
        "import_mlx_lm();"
        "print(*[m for m in sys.modules if m.split('.')[0] == 'transformers'], 'none')"
    )
    assert run(code) == ["none"]


def test_the_hubs_client_is_imported_when_mlx_lm_downloads() -> None:
    code = (
        "import sys; from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm;"
        "import_mlx_lm(); import huggingface_hub, mlx_lm.utils as u;"
        "print('huggingface_hub.hf_api' in sys.modules);"
        "print(huggingface_hub.snapshot_download.__module__)\n"
        "try:\n u.snapshot_download('nobody/nothing')\n"
        "except huggingface_hub.errors.LocalEntryNotFoundError:\n print('asked')"
    )
    assert run(code) == ["False", "huggingface_hub._snapshot_download", "asked"]


def test_the_real_transformers_can_be_imported_afterwards() -> None:
    code = (
        "from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm; import_mlx_lm();"
        "from transformers import PreTrainedTokenizerFast as P; print(P.__module__)"
    )
    assert run(code)[0].startswith("transformers.")


@pytest.mark.parametrize(
    "taken",
    [
        "{}",
        "{'transformers': ('AutoTokenizer', 'PreTrainedTokenizer', 'PreTrainedTokenizerFast')}",
        "{**m.TAKEN, 'transformers': ('AutoTokenizer', 'PreTrainedTokenizerFast')}",
    ],
)
def test_a_version_that_needs_more_of_transformers_gets_all_of_it(taken: str) -> None:
    code = (
        "import sys; from gelu_tui.engine.models import mlx_lm_import as m;"
        f"m.TAKEN = {taken}; m.import_mlx_lm();"
        "from mlx_lm.tokenizer_utils import PreTrainedTokenizerFast as P; print(P.__module__)"
    )
    assert run(code)[0].startswith("transformers.")


def test_a_version_that_can_do_without_a_class_gets_it_all_the_same(tmp_path: Path) -> None:
    """What is tried under `except ImportError` must not be missing silently."""
    (tmp_path / "mlx_lm").mkdir()
    (tmp_path / "mlx_lm" / "__init__.py").touch()
    (tmp_path / "mlx_lm" / "utils.py").write_text(
        "try:\n from transformers import AutoConfig\nexcept ImportError:\n AutoConfig = None\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from gelu_tui.engine.models import mlx_lm_import as m; m.device.prepare = lambda: None;"
        "m.import_mlx_lm(); from mlx_lm.utils import AutoConfig as A; print(A.__module__)"
    )
    assert run(code, str(tmp_path))[0].startswith("transformers.")


def test_the_list_is_what_mlx_lms_source_takes() -> None:
    """Fails with a version of mlx-lm that takes more or less: look at what it does with it."""
    import mlx_lm

    root = Path(mlx_lm.__file__).parent
    taken: dict[str, set[str]] = {}
    for path in (*root.glob("*.py"), *root.glob("models/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transformers"):
                taken.setdefault(node.module or "", set()).update(a.name for a in node.names)
            if isinstance(node, ast.Import):
                assert not any(a.name.startswith("transformers") for a in node.names), path
    assert taken == {module: set(names) for module, names in mlx_lm_import.TAKEN.items()}


def test_loading_decoding_and_chat_templates_work_so(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma3_text", chat_template=_TEMPLATE)
    code = (
        "import sys; from gelu_tui.core import protocol as p;"
        "from gelu_tui.engine.models import loading;"
        "m = loading.load(sys.argv[1], None, lambda _: None, lambda: False);"
        "from gelu_tui.engine.jobs.compare import Run;"
        "from gelu_tui.engine.jobs.request import resolve;"
        "from gelu_tui.core.settings.run_settings import RunSettings as S;"
        "events = [];"
        "r = resolve(m, p.Compare('sky', S(activations=('gelu', 'relu'), max_tokens=2)));"
        "Run(m, r, events.append, lambda: False, 0.0).run({});"
        "print(r.started.prompt_text, events[-1].status)"
    )
    assert run(code, str(folder)) == ["sky!", "completed"]
