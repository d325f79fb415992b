"""A small 4x4 Sudoku model whose puzzles halt at different steps, to be exported."""

from pathlib import Path

import lightning
import torch

import trm
from trm.data import Sudoku
from trm.module import TRMModule
from trm.training import checkpoint_keys as keys


def save_random_model(path: Path, puzzle_tokens: int = 0) -> Path:
    """Write a checkpoint of an untrained network with a halting head that is undecided."""
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=40, clues=(8, 8), workers=0)
    torch.manual_seed(0)
    module = TRMModule(
        *(6, 16, 1),
        hidden_size=16,
        num_layers=1,
        multiple_of=8,
        mixer="mlp",
        positions="none",
        puzzle_tokens=puzzle_tokens,
        cycles=2,
        latent_steps=1,
        supervision_steps=6,
        halt_bias=-2.0,
    )
    torch.nn.init.normal_(module.core.halting_head.weight, std=0.8)
    if module.core.puzzle_embedding is not None:
        module.core.puzzle_embedding.weights.normal_()
    content = {
        keys.STATE: module.state_dict(),
        keys.HYPER_PARAMETERS: dict(module.hparams),
        keys.VERSION: trm.__version__,
        keys.LIGHTNING_VERSION: lightning.__version__,
        keys.FAMILY: {**data.family, "init_args": {**data.init_args, "root": "/home/me/secret"}},
    }
    torch.save(content, path)
    return path
