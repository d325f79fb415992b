"""``DepthCurriculum``: training that starts with few recursions."""

import math

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from trm.batch import Batch, as_batch
from trm.callbacks.requirements import need_module
from trm.errors import InputError


class DepthCurriculum(Callback):
    """Trains with few recursions at first: a third of T and n, two thirds from 30 % of the steps, all from 60 %.

    The progressive depth curriculum of CGAR (arXiv 2511.08653), whose stages these are for T = 3 and n = 6: (1, 2),
    (2, 4), (3, 6). Numbers are rounded up. Evaluation always uses the full depth. The stage depends only on the batch
    and the length of the run, so a resumed run is in the same stage.
    """

    changes_training = True
    """Whether a run that resumes with or without this callback warns of it."""
    STAGES = ((0.0, 1 / 3), (0.3, 2 / 3), (0.6, 1.0))
    """Shares of the steps from which a stage starts, and its share of the depth."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the run has an end and the network a depth that can change.

        Raises:
            InputError: if it has not.
        """
        self._total = need_module(self, pl_module).total_steps() or 0
        if not self._total:
            raise InputError(
                "DepthCurriculum needs trainer.max_steps or trainer.max_epochs, since its stages are shares of the run"
            )
        if pl_module.hparams["network"] == "multi_scale":
            raise InputError("DepthCurriculum changes the latent steps, but network multi_scale has a latent for each")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Set the depth of the stage in which the batch begins."""
        chunks = len(as_batch(batch, pl_module.hparams["seq_len"], pl_module.hparams["vocab_size"], True).inputs)
        progress = trainer.global_step // chunks * chunks / self._total
        self._take(pl_module, max(share for start, share in self.STAGES if start <= progress))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the full depth."""
        self._take(pl_module, 1.0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the full depth."""
        self._take(pl_module, 1.0)

    def _take(self, module: LightningModule, share: float) -> None:
        core = need_module(self, module).core
        core.cycles = math.ceil(share * module.hparams["cycles"])
        core.latent_steps = math.ceil(share * module.hparams["latent_steps"])
