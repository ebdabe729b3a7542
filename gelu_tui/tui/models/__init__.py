"""The screen of models: choosing, fetching, deleting."""
