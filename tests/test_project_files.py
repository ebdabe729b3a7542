"""What tells others about the project: versions, addresses, citation, the README's pictures."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import gelu_tui

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
RAW = "https://raw.githubusercontent.com/gelu-tui/gelu-tui/main/"


def test_there_is_one_version() -> None:
    assert PROJECT["version"] == gelu_tui.__version__ == str(CITATION["version"])


def test_the_citation_has_what_the_format_asks_for() -> None:
    """As version 1.2.0 of the Citation File Format has it; cffconvert --validate checks it all."""
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["repository-code"] == PROJECT["urls"]["Source"]


def test_the_addresses_that_package_indexes_show() -> None:
    assert {"Documentation", "Source", "Issues", "Changelog"} <= PROJECT["urls"].keys()
    assert all(url.startswith(CITATION["repository-code"]) for url in PROJECT["urls"].values())


def test_pictures_and_links_show_outside_of_the_repository() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    pictures = [target.removeprefix(RAW) for target in targets if target.startswith(RAW)]
    assert pictures and all((ROOT / picture).is_file() for picture in pictures)
    files = re.findall(re.escape(CITATION["repository-code"]) + r"/blob/main/([^)]+)\)", README)
    assert all((ROOT / file).is_file() for file in files)


def test_pictures_need_nothing_from_elsewhere() -> None:
    """A page that shows one as an image loads neither its fonts nor its scripts."""
    for picture in (ROOT / "screenshots").glob("*.svg"):
        outside = re.findall(
            r"(?:href|src)=|url\(|<script|@import|<image", picture.read_text(encoding="utf-8")
        )
        assert outside == [], picture


def test_the_readme_names_only_extras_that_exist() -> None:
    groups = re.findall(r"(?:\.|gelu-tui)\[([\w,-]+)\]", README)
    named = {extra for group in groups for extra in group.split(",")}
    assert {"demo", "test", "cuda12"} <= named <= PROJECT["optional-dependencies"].keys()


def test_every_link_within_the_readme_has_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_the_readme_has_two_commands_to_begin_with() -> None:
    first, second = re.findall(r"^python3 -m venv .+$", README, re.MULTILINE)
    assert "'.[demo]'" in first and ".venv/bin/gelu-tui" in first
    assert "'.[test]'" in second and second.endswith("-m pytest")
