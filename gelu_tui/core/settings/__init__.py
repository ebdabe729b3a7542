"""The settings: one list, its validation, and the user's file."""
