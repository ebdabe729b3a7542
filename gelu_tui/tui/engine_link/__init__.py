"""The app's end of the engine: its state, the run that is shown, saving it."""
