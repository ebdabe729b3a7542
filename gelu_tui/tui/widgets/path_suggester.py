"""Completing the path of a file while it is typed."""

from __future__ import annotations

import asyncio

from textual.suggester import Suggester

from gelu_tui.core.text_files import complete_path


class PathSuggester(Suggester):
    """Completes a path, away from the event loop."""

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(complete_path, value) if value else None
