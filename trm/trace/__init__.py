"""A model's answer to one puzzle, update by update: as a page, an animation, or pictures during training."""
