"""Runs and scores as one HTML file each, and as a part of a notebook's page."""
