"""The Textual app. Nothing else in the package imports Textual."""
