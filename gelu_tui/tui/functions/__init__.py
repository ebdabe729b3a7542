"""The screen that chooses activation functions and takes formulas."""
