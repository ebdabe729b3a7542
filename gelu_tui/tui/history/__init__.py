"""The screen of saved runs."""
