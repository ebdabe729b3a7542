"""Many prompts: sweeps."""
