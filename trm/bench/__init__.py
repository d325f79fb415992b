"""Measurements: how fast a configuration trains, solves and reads its data."""
