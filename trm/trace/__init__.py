"""A model's answer to one puzzle, update by update: as a page, as an animation, as pictures during training."""
