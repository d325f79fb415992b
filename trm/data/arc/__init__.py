"""ARC-AGI-1 and -2: tasks, their augmentations, scoring by votes, Kaggle submissions, and the data module."""

from trm.data.arc.datamodule import ARC
from trm.data.arc.submission import check_submission, write_submission

__all__ = ["ARC", "check_submission", "write_submission"]
