"""Widgets: they draw what they are given and own no state of the engine."""
