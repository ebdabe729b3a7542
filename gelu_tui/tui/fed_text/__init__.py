"""The screen of the text that the model is fed."""
