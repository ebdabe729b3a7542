"""The screen that chooses a prompt."""
