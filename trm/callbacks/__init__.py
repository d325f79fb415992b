"""Lightning callbacks, one a file."""

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.curriculum import DepthCurriculum
from trm.callbacks.ema import StepEMA
from trm.callbacks.interrupt import Interrupt
from trm.callbacks.notice import RunNotice
from trm.callbacks.progress import Progress
from trm.callbacks.speed import Speed
from trm.callbacks.threads import Threads
from trm.callbacks.writers import Pictures, PredictionWriter, SubmissionWriter

__all__ = [
    "Checkpoints",
    "DepthCurriculum",
    "Interrupt",
    "Pictures",
    "PredictionWriter",
    "Progress",
    "RunNotice",
    "Speed",
    "StepEMA",
    "SubmissionWriter",
    "Threads",
]
