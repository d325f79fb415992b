"""``TRMModule``: the network in Lightning, with its arguments and the setup of a run.

What it does in a run is in its bases: checkpoints in ``trm/training/checkpointing.py``, training in
``trm/training/supervision.py``, evaluation in ``trm/training/evaluation.py``.
"""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trm.arguments import EarlyExit, RecordsArguments, class_path, defaults_of
from trm.errors import InputError, check_choice, check_range
from trm.inference.halting import head
from trm.nn import TRM, build_network, network_name
from trm.nn.losses import CELL_LOSSES
from trm.nn.network import MOST_REPEATS
from trm.training import checkpoint_keys as keys
from trm.training.checkpointing import CheckpointedModule
from trm.training.compatibility import refuse_other_module
from trm.training.compilation import compile_in_place
from trm.training.precision import check_precision
from trm.training.trainer import adapt_trainer, check_trainer


class TRMModule(RecordsArguments, CheckpointedModule):
    """A Tiny Recursive Model and its training. The defaults are those of the official ARC recipe.

    A training batch contains K chunks of B puzzles. Each chunk is offered to the slots that have halted. Then all slots
    take one supervision step, which is followed by one optimizer step. ``trainer.global_step`` therefore counts
    supervision steps. Data position, learning rate and exploration are functions of it.

    The argument ``network`` replaces the network. A subclass that overrides ``answer_loss`` replaces the loss of the
    answer. ``hparams`` contains all arguments, including those of the network; ``init_args`` contains those of the
    class itself.

    Args:
        vocab_size: number of tokens; set by the data.
        seq_len: number of grid cells; set by the data.
        num_puzzles: number of puzzle ids; set by the data. 0 for no puzzle embedding.
        network: trm, the Tiny Recursive Model; a baseline or ablation of the paper: single_z, multi_scale,
            two_networks, hrm or direct (see ``trm/nn/variants.py``); or the dotted path of your own subclass of
            ``trm.nn.TRM``, such as my_nets.Gated.
        network_args: arguments that your own network accepts beyond those of ``TRM``.
        loss: function from logits to probabilities in the cross entropy of the answer: stablemax (official; arXiv
            2501.04697) or softmax.
        supervision_steps: maximum number of supervision steps per puzzle (N_sup in the paper).
        explore: probability that a slot must take a random minimum number of supervision steps in training, from 2 to
            supervision_steps, before it may halt (halt_exploration_prob in the official code).
        explore_seed: seed of this exploration, and of the noise in training.
        label_smoothing: share of the training target that is spread evenly over the vocabulary; 0 for none (official),
            0.2 in SIC (arXiv 2601.19085).
        optimizer: adam_atan2 (official), or muon: Muon for the weight matrices of the blocks, AdamATan2 for the rest.
        lr: learning rate of the optimizer after the warm-up.
        weight_decay: weight decay of the optimizer.
        muon_lr: learning rate of Muon after the warm-up, 0.02 in SIC (arXiv 2601.19085); None for lr.
        muon_weight_decay: weight decay of Muon, 0.005 in SIC; None for weight_decay.
        puzzle_lr: learning rate of the puzzle embedding after the warm-up.
        puzzle_weight_decay: weight decay of the puzzle embedding.
        warmup_steps: number of steps in which both learning rates rise linearly from zero.
        min_lr_ratio: final learning rate, as a fraction of lr and puzzle_lr, that a cosine schedule reaches at the end
            of the run (trainer.max_steps or trainer.max_epochs); 1 for a constant learning rate, as in the paper.
        gradient_clip_val: maximum norm of the gradient of all parameters; a larger gradient is scaled down to it. None
            for no clipping, as in the official code.
        check_finite: when to check for NaN and infinity, which end the run: batch (the parameters after every batch),
            step (the gradients before every optimizer step, which slows down a GPU but keeps the last finite
            parameters) or never.
        compile: whether to compile the network with ``torch.compile``, if a compiler is available.
        halt: early-exit rule in evaluation: never (official), head (halting probability above a threshold), stable
            (answer unchanged by a step) or rules (answer is valid). auto is never in validate and test, and head in
            predict.
        halt_threshold: halting probability above which the rule head halts a puzzle; 0.5 is the rule of training.
        step_decay: factor on the loss weight from one supervision step of a puzzle to the next; 1 for equal weights,
            0.7 in CGAR (arXiv 2511.08653).
        start_noise: standard deviation of Gaussian noise added to the initial state of a puzzle in training (random
            initial states of EqR, arXiv 2605.21488); 0 for none.
        step_noise: standard deviation of Gaussian noise added to the latent once before each supervision step in
            training, as PTRM (arXiv 2605.19943) does at inference; 0 for none. EqR adds its noise in every pass of the
            network, which is ``pass_noise``, and damps the update. The former name is ``noise``.
        **architecture: the other arguments of ``trm.nn.TRM``.
    """

    prefix = "model"

    def __init__(
        self,
        vocab_size: int,
        seq_len: int,
        num_puzzles: int = 0,
        network: str | type[TRM] = "trm",
        network_args: dict[str, Any] | None = None,
        loss: Literal["stablemax", "softmax"] = "stablemax",
        supervision_steps: int = 16,
        explore: float = 0.1,
        explore_seed: int = 0,
        label_smoothing: float = 0.0,
        optimizer: Literal["adam_atan2", "muon"] = "adam_atan2",
        lr: float = 1e-4,
        weight_decay: float = 0.1,
        muon_lr: float | None = None,
        muon_weight_decay: float | None = None,
        puzzle_lr: float = 1e-2,
        puzzle_weight_decay: float = 0.1,
        warmup_steps: int = 2000,
        min_lr_ratio: float = 1.0,
        gradient_clip_val: float | None = None,
        check_finite: Literal["batch", "step", "never"] = "batch",
        compile: bool = False,
        halt: EarlyExit = "auto",
        halt_threshold: float = 0.5,
        step_decay: float = 1.0,
        start_noise: float = 0.0,
        step_noise: float = 0.0,
        **architecture: Any,
    ) -> None:
        if "noise" in architecture:  # Lightning passes the arguments of a checkpoint under the names they have there
            step_noise = self.init_args["step_noise"] = architecture.pop("noise")
            self.init_args.pop("noise", None)
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        settings |= defaults_of(TRM) | settings.pop("architecture") | {"num_puzzles": num_puzzles}
        check_range("model", 1, MOST_REPEATS, supervision_steps=supervision_steps)
        check_range("model", 0, 1, explore=explore, min_lr_ratio=min_lr_ratio)
        check_range("model", 0, lr=lr, weight_decay=weight_decay, puzzle_lr=puzzle_lr, warmup_steps=warmup_steps)
        check_range("model", 0, puzzle_weight_decay=puzzle_weight_decay, step_noise=step_noise, start_noise=start_noise)
        check_range("model", 0, 1, step_decay=step_decay, label_smoothing=label_smoothing)
        check_range("model", 0, muon_lr=muon_lr or 0, muon_weight_decay=muon_weight_decay or 0)
        if optimizer != "muon" and (muon_lr, muon_weight_decay) != (None, None):
            raise InputError(
                f"model.muon_lr is {muon_lr} and model.muon_weight_decay {muon_weight_decay}, but model.optimizer is "
                f"{optimizer}; they need muon"
            )
        check_choice("model", ("adam_atan2", "muon"), optimizer=optimizer)
        check_range("model", 0, 2**32 - 1, explore_seed=explore_seed)
        check_choice("model", CELL_LOSSES, loss=loss)
        check_choice("model", get_args(EarlyExit), halt=halt)
        check_range("model", 0, gradient_clip_val=gradient_clip_val or 0)
        head(halt_threshold)  # raises if it is out of range
        core = build_network(
            network,
            network_args or {},
            vocab_size=vocab_size,
            seq_len=seq_len,
            num_puzzles=num_puzzles,
            **architecture,
        )
        super().__init__(core)
        settings |= {"network": network_name(type(core)), "network_args": network_args or {}}
        self.save_hyperparameters(self.init_args | settings)
        if not compile:  # with compile, a model summary would compile the network for one puzzle
            self.example_input_array = torch.ones(1, seq_len, dtype=torch.int32)
        # The update of the puzzle embedding is the same on all ranks, so DDP need not broadcast it at every step.
        self._ddp_params_and_buffers_to_ignore = [keys.PUZZLE_EMBEDDING]

    # -- hooks of a run -----------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> list[Callback]:
        """Check the trainer and return the callbacks that it needs.

        This is the first hook of a run, so an error here leaves no files behind.

        Raises:
            InputError: if the trainer has a setting that is not supported, or the early-exit rule needs rules that the
                family does not have.
        """
        from trm.checkpoints.files import CheckpointFiles  # above this module

        check_trainer(self)
        check_precision(self.trainer)
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # Lightning's default
            self.trainer.strategy.checkpoint_io = CheckpointFiles()
        self._halting("never")
        return adapt_trainer(self.trainer)

    def setup(self, stage: str) -> None:
        """Create the metric of the family, and compile the network in place, which keeps the keys of its state."""
        data, split = self._data(), {"fit": "val", "validate": "val", "test": "test"}.get(stage)
        self.scorer = data.scorer(split) if data and split else None
        if self.trainer.precision == "64-true":
            self.double()  # Lightning converts only after it has loaded a checkpoint in float32
        if self.hparams["compile"]:
            compile_in_place(self.core, self.trainer.strategy.root_device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the class of the module to a checkpoint if it is a subclass, besides the state of the run."""
        super().on_save_checkpoint(checkpoint)
        if type(self) is not TRMModule:
            checkpoint[keys.MODULE] = {"class_path": class_path(type(self)), "init_args": self.init_args}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint is of the class of the module, and load the state of the run.

        Raises:
            InputError: if the class, network, puzzles or origin of the parameters differ, or the state is damaged.
        """
        refuse_other_module(self, checkpoint, TRMModule)
        super().on_load_checkpoint(checkpoint)
