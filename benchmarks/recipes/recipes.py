"""The tasks and recipes of the study, see ``measure.py``, and of its second edition, see ``tuned_recipes.py``."""

from typing import Any, NamedTuple

from trm.provenance import PROJECT

CALLBACKS = "--trainer.callbacks=[{class_path: StepEMA, init_args: {decay: 0.999, warmup: %s}}, Speed, Checkpoints]"
OPTIONS = (
    f"--config={PROJECT}/configs/quickstart.yaml",
    f"--config={PROJECT}/configs/plain.yaml",
    CALLBACKS % "true",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--data.val_size=256",
    "--data.test_size=16",
    "--data.slots=32",
    "--model.hidden_size=48",
)
"""What all runs have in common."""
INTACT = "--data.corrupt=0"


class Task(NamedTuple):
    """Puzzles to train on."""

    name: str
    steps: int
    """The budgets are what the plain recipe costs by this step."""
    every: int
    """Steps from one evaluation to the next, of which ``steps`` is a multiple; 16 to a batch."""
    options: tuple[str, ...]
    by_clues: bool = False
    """Tell how hard the puzzles are that are solved."""


class Recipe(NamedTuple):
    """Options on top of the plain recipe; where they come from, and what is claimed there (published, not measured)."""

    options: tuple[str, ...]
    source: str
    claim: str
    sudoku_only: bool = False
    scheduled: bool = False
    """What it does at a step depends on how many are to come, so its length must be known before it starts."""
    other_weights: bool = False
    """Start from other weights than the plain run of the same seed."""


TASKS = {
    task.name: task
    for task in (
        Task("sudoku-6x6", 448, 112, (INTACT, "--data.size=6", "--data.clues=[18,24]")),
        Task("maze-5x5", 880, 176, ("--data=Maze", "--data.size=5", "--data.kind=unique", "--data.train_size=5000")),
        Task(
            "sudoku-9x9", 896, 224, (INTACT, "--data.size=9", "--data.clues=[66,76]", "--data.slots=16"), by_clues=True
        ),
        Task("sudoku-9x9-real", 4800, 480, (INTACT, "--data.size=9", "--data.train_size=null"), by_clues=True),
    )
}
"""A minute of one core or less for the plain recipe, which comes to about half of the puzzles of the first two. Of the
third it solves one board in ten: there the loss of the answer tells recipes apart. The last one takes hours.
"""

ATTENTION = ("--model.mixer=attention", "--model.positions=rotary", "--model.num_heads=4")
DEPTH, WEIGHTS = "--trainer.callbacks+=DepthCurriculum", "--model.step_decay=0.7"
RECIPES = {
    "plain": Recipe((), "2510.04871", "Sudoku-Extreme 87.4 %"),
    "plain again": Recipe((), "", "other initial weights: how far noise goes", other_weights=True),
    "no EMA warm-up": Recipe((CALLBACKS % "false",), "2510.04871", "the paper's own average"),
    "depth curriculum": Recipe((DEPTH,), "2511.08653", "2.26 times as fast, 86.7 to 85.5 %", scheduled=True),
    "step weights": Recipe((WEIGHTS,), "2511.08653", "part of the next"),
    "depth and weights": Recipe((DEPTH, WEIGHTS), "2511.08653", "1.71 times as fast, 86.7 to 86.0 %", scheduled=True),
    "random start": Recipe(("--model.start_noise=1",), "2605.21488", "with path noise and breadth over 99 %"),
    "path noise": Recipe(("--model.step_noise=0.1",), "2605.21488", "with random starts and breadth over 99 %"),
    "convolution": Recipe(("--model.conv=2",), "2512.14693", "ARC-AGI-1 45.3 to 53.8 %"),
    "grid convolution": Recipe(("--model.grid_conv=3",), "2202.05826", "trained on 9x9 mazes, solves 201x201"),
    "gradient of 1": Recipe(("--model.gradient_steps=1",), "2510.04871", "87.4 to 56.5 %"),
    "gradient of 2": Recipe(("--model.gradient_steps=2",), "2512.14693", "ARC-AGI-1 40.0 to 53.8 %"),
    "attention": Recipe(ATTENTION, "2510.04871", "87.4 to 74.7 %; mazes 0 to 85.3 %"),
    "attention, 4 layers": Recipe((*ATTENTION, "--model.num_layers=4"), "2512.14693", "73 to 81 % (its issue 5)"),
    "Muon": Recipe(("--model.optimizer=muon",), "2512.14693", "used for ARC-AGI-2"),
    "easier puzzles": Recipe(
        ("--data.easier=0.5",), "2601.10679", "HRM, among others, 54.5 to 96.9 %", sudoku_only=True
    ),
    "2 supervision steps": Recipe(
        ("--model.supervision_steps=2",), "", "found here: 16 on the same 32 puzzles learn them by heart"
    ),
    "4 supervision steps": Recipe(("--model.supervision_steps=4",), "", "as the last"),
    "halting bias -3": Recipe(("--model.halt_bias=-3",), "2604.21999", "34 % fewer steps of thought"),
    "halting bias 0": Recipe(("--model.halt_bias=0",), "", "the same, further"),
}


class Tuned(NamedTuple):
    """A recipe of the second edition: arguments of the model on top of ``COMMON``, and what is tuned besides slots."""

    model: dict[str, Any]
    base: str
    """The recipe that it is compared with."""
    tuned: str = "lr"
    rates: tuple[float, ...] = (1e-3, 3e-3)


COMMON = {"mixer": "mlp", "positions": "none", "puzzle_tokens": 0, "multiple_of": 16, "cycles": 1, "latent_steps": 3}
COMMON |= {"supervision_steps": 4, "warmup_steps": 20, "weight_decay": 0.1, "hidden_size": 128}
"""Arguments of the model that the recipes share; the learning rate stays constant, as a schedule would need an end."""
MUON = {"optimizer": "muon", "lr": 1e-3, "muon_weight_decay": 0.005, "gating": "normalised"}
SYMMETRIC = {"network": "symmetric", "hidden_size": 32, "expansion": 2.0}
SLOTS = (16, 64)
FEWER = "4 supervision steps"
TUNED = {
    "plain": Tuned({"supervision_steps": 16}, "plain"),
    FEWER: Tuned({}, "plain"),
    "SIC": Tuned({**MUON, "label_smoothing": 0.2}, FEWER, "muon_lr", (5e-3, 2e-2)),
    "EqR": Tuned({"start_noise": 1.0, "pass_noise": 0.01, "damping": 0.05}, FEWER),
    "winner takes all": Tuned({"latents": 2}, FEWER),
    "symmetric": Tuned(SYMMETRIC, FEWER, rates=(3e-3, 6e-3)),
    "symmetric with Muon": Tuned({**SYMMETRIC, **MUON}, "symmetric", "muon_lr", (5e-3, 2e-2)),
}
"""Sources: SIC, and winner takes all, arXiv 2601.19085; EqR 2605.21488; the symmetric network 2603.02193."""
