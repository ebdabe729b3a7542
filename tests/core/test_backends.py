"""Which wheels of MLX's library are installed, and what is wrong with them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gelu_tui.core import backends

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def extra(name: str) -> list[str]:
    """The packages that an extra brings, with those of the extras that it names."""
    found = []
    for line in PROJECT["optional-dependencies"][name]:
        wanted = Requirement(line)
        if wanted.name == PROJECT["name"]:
            found += [each for inner in wanted.extras for each in extra(inner)]
        else:
            found.append(f"{wanted.name}[{','.join(sorted(wanted.extras))}]")
    return found


def test_each_backend_has_an_extra_and_none_is_always_installed() -> None:
    for backend in ("cpu", "cuda12", "cuda13"):
        assert extra(backend) == [f"mlx[{backend}]"]
    assert not [line for line in PROJECT["dependencies"] if Requirement(line).extras]


@pytest.mark.parametrize("name", ["demo", "test", "dev"])
def test_what_the_quick_start_installs_runs_on_a_cpu(name: str) -> None:
    assert [one for one in extra(name) if one.startswith("mlx")] == ["mlx[cpu]"]


def test_the_model_alone_goes_with_any_backend() -> None:
    assert not [one for one in extra("demo-model") if one.startswith("mlx")]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, []),
        ({"mlx-cpu": "1"}, []),
        ({"mlx-cpu": "1", "mlx-cuda-12": "1"}, ["mlx-cpu and mlx-cuda-12 are installed together"]),
        ({"mlx-cuda-12": "1", "mlx-cuda-13": "1"}, ["mlx-cuda-12 and mlx-cuda-13 are installed"]),
        ({"mlx-cuda-12": "0.9"}, ["mlx 1 and mlx-cuda-12 0.9 do not belong together"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong(found: dict[str, str], said: list[str]) -> None:
    problems = backends.problems("1", found)
    assert len(problems) == len(said)
    assert all(p.message.startswith(words) for p, words in zip(problems, said, strict=True))


def test_the_hint_installs_one_of_the_two_again() -> None:
    (problem,) = backends.problems("1", {"mlx-cpu": "1", "mlx-cuda-13": "1"})
    assert problem.hint == (
        "Keep one: pip uninstall -y mlx-cpu mlx-cuda-13, then pip install 'mlx[cpu]' or "
        "'mlx[cuda13]'."
    )
