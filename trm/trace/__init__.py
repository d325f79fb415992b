"""Showing how a model thinks about one puzzle: as a page, as an animation, as pictures during training."""
