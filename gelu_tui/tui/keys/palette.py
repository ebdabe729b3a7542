"""What the command palette finds."""

from __future__ import annotations

from textual.command import Hit, Hits
from textual.system_commands import SystemCommandsProvider

_IN_HELP = 0.01  # the score of what only the help has: below every title that matches


class PaletteCommands(SystemCommandsProvider):
    """Commands by their titles, as Textual finds them, and by what their help says."""

    async def search(self, query: str) -> Hits:
        matcher, words = self.matcher(query), query.casefold().split()
        for name, said, callback, *_ in self.app.get_system_commands(self.screen):
            if (match := matcher.match(name)) > 0:
                yield Hit(match, matcher.highlight(name), callback, help=said)
            elif words and all(word in said.casefold() for word in words):
                yield Hit(_IN_HELP, name, callback, text=name, help=said)
