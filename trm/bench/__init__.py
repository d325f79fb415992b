"""Measurements: the speed of training, solving and data loading of a configuration."""
