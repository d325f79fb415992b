"""``CheckpointedModule``, the base of ``TRMModule``: what a checkpoint contains of a run, and how a run continues.

Lightning adds the parameters, the optimizer and the progress of its loops.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

import trm
from trm.data import PuzzleData
from trm.errors import InputError, counted
from trm.inference.choice import InferenceChoice
from trm.nn import TRM
from trm.training import checkpoint_keys as keys
from trm.training.changes import report_differences, run_settings, warn_of_changes
from trm.training.compatibility import misfits, refuse_other_network, refuse_other_origin, refuse_other_puzzles
from trm.training.optim import build_optimizer, rates_of, set_rates
from trm.training.restoring import check_loops, check_optimizer, check_slots
from trm.training.slots import Slots
from trm.training.supervision import SupervisedModule
from trm.training.trainer import averages_parameters, resume_inside_batch, save_average, shown


class CheckpointedModule(SupervisedModule):
    """A network in Lightning whose checkpoints let a run continue bit for bit from any step.

    Args:
        core: the network.
    """

    def __init__(self, core: TRM) -> None:
        super().__init__(core)
        self.init_seed: int | None = None  # seed of the initial parameters; set by the caller that seeded them
        self.started_from: dict[str, Any] = {}  # origin of initial parameters that are not random; see finetune.py
        self._saved_slots: list[dict[str, Tensor]] = []
        self._saved_sums: list[Tensor] = []
        self._changed_rates = False
        self._rates: list[dict[str, Any]] = []
        self._earlier_puzzles = 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the family of puzzles, the latest metrics and the slots of all ranks to a checkpoint.

        After an exception under DDP the ranks are at different steps and cannot gather; the slots are then omitted.
        """
        checkpoint[keys.VERSION] = trm.__version__
        checkpoint[keys.METRICS] = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint[keys.SETTINGS] = run_settings(self.trainer)
        if data := self._data():
            checkpoint[keys.FAMILY] = data.family
            checkpoint[keys.TRAINING_PUZZLES] = data.training_puzzles + self._earlier_puzzles
            checkpoint[keys.TRAINING_HASH] = data.training_hash
            checkpoint[keys.EARLIER_PUZZLES] = self._earlier_puzzles
            checkpoint[keys.TOKENS] = list(data.token_names)
            if data.table_hash:
                checkpoint[keys.TABLE_HASH] = data.table_hash
            if kept := data.kept_samples():
                checkpoint[keys.HELD_OUT] = kept
        if keys.OPTIMIZERS not in checkpoint:
            save_average(self.trainer, self, checkpoint)
        if self.init_seed is not None:
            checkpoint[keys.SEED] = self.init_seed
        if self.started_from:
            checkpoint[keys.STARTED_FROM] = self.started_from
        begun = self.begun_batch()
        if begun is not None:
            checkpoint[keys.LOOPS] = begun.loops
        if self.slots is not None and not (self.trainer.interrupted and self.trainer.world_size > 1):
            mine = self.slots.state_dict(), None if begun is None else begun.sums.cpu()
            all_ranks = [mine] * self.trainer.world_size
            if self.trainer.world_size > 1:
                dist.all_gather_object(all_ranks, mine)
            checkpoint[keys.SLOTS] = [slots for slots, _ in all_ranks]
            if begun is not None:
                checkpoint[keys.BATCH_METRICS] = [sums for _, sums in all_ranks]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint matches the network and the data, and keep its slots until training starts.

        Raises:
            InputError: if the network, puzzles or origin of the parameters differ, or the state to continue from is
                damaged.
        """
        theirs = checkpoint.get(keys.HYPER_PARAMETERS, {})
        refuse_other_network(self, theirs)
        if data := self._data():
            refuse_other_puzzles(data, checkpoint)
        trainer = self._trainer
        if trainer is not None and trainer.state.fn is not None:
            self.check_restorable(trainer, trainer.state.fn.value, checkpoint)
        started_from = checkpoint.get(keys.STARTED_FROM, {})
        refuse_other_origin(self.started_from, started_from)
        if trainer is not None and trainer.state.fn == "fit":
            self._resume(trainer, data, checkpoint)
        else:
            report_differences(self, theirs)
        self.started_from, self.init_seed = started_from, checkpoint.get(keys.SEED)
        self.trained_steps = checkpoint.get(keys.STEP)
        self.abstain_below = checkpoint.get(keys.METRICS, {}).get(keys.ABSTAIN_BELOW)
        self.inference_choice = InferenceChoice.stored(checkpoint.get(keys.INFERENCE))
        self._saved_slots = checkpoint.get(keys.SLOTS, [])
        self._saved_sums = checkpoint.get(keys.BATCH_METRICS, [])

    def _resume(self, trainer: Trainer, data: PuzzleData | None, checkpoint: dict[str, Any]) -> None:
        """Report what changes in a run that resumes, and count the puzzles that it was trained on before.

        Without ``StepEMA`` an average in the checkpoint is dropped for the live parameters.
        """
        warn_of_changes(self, data, checkpoint)
        theirs = checkpoint.get(keys.HYPER_PARAMETERS, {})
        rates = ("lr", "weight_decay", "muon_lr", "muon_weight_decay")
        self._changed_rates = any(theirs.get(name, self.hparams[name]) != self.hparams[name] for name in rates)
        self._earlier_puzzles = checkpoint.get(keys.EARLIER_PUZZLES, 0)
        if data and checkpoint.get(keys.TRAINING_HASH, data.training_hash) != data.training_hash:
            self._earlier_puzzles = checkpoint.get(keys.TRAINING_PUZZLES, 0)
        if keys.LIVE_STATE in checkpoint and not averages_parameters(trainer):
            rank_zero_info(
                "The checkpoint contains an average of the parameters, but this run has no StepEMA: training continues "
                "from the live parameters, and the average is dropped."
            )
            checkpoint[keys.STATE] = checkpoint[keys.LIVE_STATE]

    def check_restorable(self, trainer: Trainer, stage: str, checkpoint: dict[str, Any]) -> None:
        """Check that a trainer can restore a checkpoint of the network of this module.

        Args:
            trainer: the trainer.
            stage: what it will do: "fit", "validate", "test" or "predict".
            checkpoint: the checkpoint.

        Raises:
            InputError: naming what is missing, of another kind or of another shape.
        """
        if self.strict_loading and (faults := misfits(checkpoint[keys.STATE], self.state_dict())):
            raise InputError(f"the checkpoint does not fit the module: it {faults}")
        check_loops(trainer, stage, checkpoint)
        if stage != "fit":
            return
        own = type(self).configure_optimizers is SupervisedModule.configure_optimizers  # one of the user's may be any
        if own and keys.OPTIMIZERS in checkpoint:
            hparams = self.hparams
            optimizer = build_optimizer(hparams["optimizer"], self.core, hparams["lr"], hparams["weight_decay"])
            check_optimizer(optimizer, checkpoint)
        check_slots(checkpoint.get(keys.SLOTS, []), self.core, self.hparams["vocab_size"])
        if any(sums.shape != self.train_metrics.sums.shape for sums in checkpoint.get(keys.BATCH_METRICS, [])):
            raise InputError(f"the checkpoint is damaged: its {keys.BATCH_METRICS} are not those of this version")

    def on_fit_start(self) -> None:
        """Print where training starts, and restore the slots of the checkpoint, if there is one for as many slots."""
        rank_zero_info(self._origin())
        super().on_fit_start()
        self._rates = [group for one in self.trainer.optimizers for group in rates_of(one)]  # as configured
        self.trained_steps = None
        self.inference_choice = None  # that of the parameters before
        if self._saved_sums and self.global_rank == 0:  # the sums of all ranks are added up
            self.train_metrics.sums = torch.stack(self._saved_sums).sum(0).to(self.device)
        self._saved_sums = []
        saved, self._saved_slots, self.slots = self._saved_slots, [], None
        if not saved:
            return
        count, data, world = sum(len(of_rank["steps"]) for of_rank in saved), self._data(), self.trainer.world_size
        wanted = data.slots if data else count
        if count == wanted and count % world == 0:
            self.slots = Slots.from_ranks(saved, self.global_rank, world, self.device)
        else:
            rank_zero_info(
                f"The checkpoint contains {counted(count, 'slot')}, this run has {wanted}: all slots take fresh "
                f"puzzles."
            )

    def on_train_start(self) -> None:
        """Continue a batch that was begun, and let a changed learning rate or weight decay take effect."""
        resume_inside_batch(self.trainer)
        if self._changed_rates:
            optimizer = cast(LightningOptimizer, self.optimizers()).optimizer
            scheduler = cast(LambdaLR, self.lr_schedulers())
            set_rates(optimizer, scheduler, self._rates, self.schedule(self.global_step))

    def on_train_end(self) -> None:
        """Record the number of steps of the parameters, for evaluations by other trainers."""
        self.trained_steps = self.global_step

    def _origin(self) -> str:
        """Return where a run of training starts."""
        if self.trainer.ckpt_path:
            return f"Training continues {shown(self.trainer.ckpt_path)} at step {self.trained_steps}."
        if self.global_step:
            return f"Training continues at step {self.global_step}."
        if self.started_from:
            return f"Training starts from the parameters of {self.started_from['checkpoint']}."
        if self.trained_steps:
            return (
                f"Training starts from the parameters that the module has after {counted(self.trained_steps, 'step')}."
            )
        seed = "" if self.init_seed is None else f" (seed_everything {self.init_seed})"
        return f"Training starts from random parameters{seed}."
