"""Activation functions: the registry, own formulas, controls, curves."""
