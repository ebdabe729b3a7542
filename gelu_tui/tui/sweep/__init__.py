"""A sweep on the screen: its progress, its prompts, curves, estimates and worst prompts."""
