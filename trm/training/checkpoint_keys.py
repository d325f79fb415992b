"""The keys of a checkpoint: no other file of the package spells them.

They are here, below the module, because the module's checkpoint hooks use them as well as everything in
``trm/checkpoints``, and imports run downwards only. This file imports nothing.
"""

# written by Lightning
STATE = "state_dict"
"""Parameters and buffers that evaluation uses: averaged if the run averaged them."""
HYPER_PARAMETERS = "hyper_parameters"
OPTIMIZERS = "optimizer_states"
"""Only in checkpoints from which training can go on."""
SCHEDULERS = "lr_schedulers"
LOOPS = "loops"
"""Progress of the loops of Lightning's trainer."""
CALLBACKS = "callbacks"
STEP = "global_step"
LIGHTNING_VERSION = "pytorch-lightning_version"

# written by Lightning's weight averaging, and by StepEMA in its place
LIVE_STATE = "current_model_state"
"""Parameters and buffers that are being trained, beside their average."""
AVERAGING = "averaging_state"

# written by TRMModule
VERSION = "trm_version"
MODULE = "module"
"""Class path and arguments of a module class that is not part of the package."""
FAMILY = "family"
"""Class path and arguments of the data module."""
TRAINING_PUZZLES = "training_puzzles"
"""Number of different training puzzles; if they were changed in the run, all sets added up."""
TRAINING_HASH = "training_hash"
"""Hash of the set of training puzzles that the run has now."""
EARLIER_PUZZLES = "earlier_puzzles"
"""Number of puzzles in the sets that the run had before."""
SETTINGS = "settings"
"""Settings of trainer and callbacks that a run which resumes is compared with."""
TABLE_HASH = "table_hash"
HELD_OUT = "held_out"
"""Held-out samples of a family whose source may be gone when the checkpoint is used."""
TOKENS = "token_names"
"""Names of the tokens, by which the rows of another vocabulary are recognised."""
METRICS = "metrics"
SEED = "seed"
SLOTS = "slots"
"""State of the slots, for each rank."""
BATCH_METRICS = "batch_metrics"
"""Sums of the training metrics of the steps taken in a batch that has not ended, for each rank."""
STARTED_FROM = "started_from"
"""Origin of the parameters that training started from, if they were not random."""
AVERAGED = "averaged"
"""Whether ``STATE`` is an average, in checkpoints without ``LIVE_STATE``."""

# written by ``trm import``
IMPORTED_FROM = "imported_from"

# written by ``trm tune``
INFERENCE = "chosen_inference"
"""Early exit and views that were chosen on validation for these parameters."""

# inside STATE
PUZZLE_EMBEDDING = "core.puzzle_embedding.weights"
EMBEDDING, HEAD = "core.tokens.weight", "core.answer_head.weight"
"""Tensors with a row for each token, but for those of the network symmetric."""

# inside METRICS
ABSTAIN_BELOW = "val/abstain_below"
