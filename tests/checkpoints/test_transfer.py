"""``--weights`` for other puzzles: what fits is copied, tokens are known by their names, and the rest is listed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training import quiet_trainer

from trm import Maze, Mixture, PuzzleData, Sudoku, TRMModule
from trm.checkpoints.finetune import start_from
from trm.errors import InputError

SMALL: dict[str, Any] = {"hidden_size": 24, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}
ATTENTION: dict[str, Any] = {**SMALL, "positions": "grid"}
EMBEDDING, HEAD, VECTORS = "core.tokens.weight", "core.answer_head.weight", "core.puzzle_embedding.weights"


def module_of(data: PuzzleData, **arguments: Any) -> TRMModule:
    names = ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid")
    sizes = {name: getattr(data, name) for name in names}
    return TRMModule(**{**sizes, "supervision_steps": 2, "puzzle_tokens": 1, **ATTENTION, **arguments})


def trained(data: PuzzleData, path: Path, **arguments: Any) -> Path:
    """Write the checkpoint of a run of one batch, whose puzzle embedding is not zero."""
    module, trainer = module_of(data, **arguments), quiet_trainer(max_steps=1)
    trainer.fit(module, data)
    for name, tensor in module.state_dict().items():
        if name == VECTORS:
            tensor.copy_(torch.arange(tensor.numel()).view_as(tensor))
    trainer.save_checkpoint(path)
    return path


def boards(size: int, root: Path, **arguments: Any) -> Sudoku:
    clues = {4: (8, 8), 6: (20, 24)}[size]
    sizes = {"train_size": 8, "val_size": 1, "test_size": 1}
    return Sudoku(size, **{"clues": clues, **sizes, "root": str(root), "slots": 4, "workers": 0, **arguments})


def started(data: PuzzleData, path: Path, **arguments: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of a module before and after it has started from a checkpoint."""
    module = module_of(data, **arguments)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    start_from(module, path, data)
    return before, module.state_dict()


def test_the_digits_that_two_sizes_share_are_copied_and_the_others_are_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt")
    theirs = torch.load(path, weights_only=True)["state_dict"]
    with caplog.at_level("INFO"):
        before, after = started(Sudoku(9), path)
    for name in (EMBEDDING, HEAD):  # padding, blank and the digits 1 to 4
        assert torch.equal(after[name][:6], theirs[name])
        assert torch.equal(after[name][6:], before[name][6:])
    others = after.keys() - {EMBEDDING, HEAD}
    assert all(torch.equal(after[name], theirs[name]) for name in others)
    assert f"{len(others)} of {len(after)} tensors are copied" in caplog.text
    assert f"6 of the 11 tokens are known, and copied in {EMBEDDING}, {HEAD}" in caplog.text


def test_another_family_shares_the_blocks_but_no_token_even_in_a_vocabulary_of_the_same_size(tmp_path: Path) -> None:
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt")
    theirs = torch.load(path, weights_only=True)["state_dict"]
    maze = Maze(4, kind="unique")
    assert maze.vocab_size == 6
    before, after = started(maze, path)
    assert torch.equal(after[HEAD][0], theirs[HEAD][0]), "padding"
    assert torch.equal(after[HEAD][1:], before[HEAD][1:])
    blocks = [name for name in after if ".blocks." in name]
    assert blocks
    assert all(torch.equal(after[name], theirs[name]) for name in blocks)


def test_tensors_across_the_cells_are_new_on_another_size_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mlp = {"mixer": "mlp", "positions": "learned"}
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt", **mlp)
    with caplog.at_level("INFO"):
        before, after = started(boards(6, tmp_path), path, **mlp)
    new = [name for name in after if "token_mlp" in name or "positions" in name]
    assert new
    for name in new:
        assert torch.equal(after[name], before[name]), name
        assert name in caplog.text.partition("new are ")[2]


def test_a_mixture_knows_the_family_that_the_network_was_trained_on_and_then_a_third(tmp_path: Path) -> None:
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt")
    theirs = torch.load(path, weights_only=True)["state_dict"]
    both = Mixture(
        [Maze(5, kind="unique", train_size=8, val_size=1, test_size=1, root=str(tmp_path)), boards(4, tmp_path)],
        slots=4,
        workers=0,
    )
    before, after = started(both, path)
    assert torch.equal(after[EMBEDDING][6:], theirs[EMBEDDING][1:]), "behind the five tokens of mazes"
    assert torch.equal(after[EMBEDDING][1:6], before[EMBEDDING][1:6])
    mixed = trained(both, tmp_path / "mixed.ckpt")
    theirs = torch.load(mixed, weights_only=True)["state_dict"]
    before, after = started(Maze(7, kind="unique"), mixed)
    assert torch.equal(after[EMBEDDING], theirs[EMBEDDING][:6])
    torch.testing.assert_close(after[VECTORS], theirs[VECTORS].mean(0, keepdim=True))


def test_a_network_without_puzzle_vectors_gets_new_ones(tmp_path: Path) -> None:
    plain = {"num_puzzles": 0}
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt", **plain)
    _, after = started(boards(4, tmp_path), path)
    assert not after[VECTORS].any()
    with_vectors = trained(boards(4, tmp_path), tmp_path / "with.ckpt")
    _, after = started(boards(4, tmp_path), with_vectors, **plain)
    assert VECTORS not in after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 32}, "with hidden_size 24, but the configuration has 32"),
        ({"mixer": "mlp", "positions": "none"}, "with mixer 'attention', but the configuration has 'mlp'"),
        ({"num_layers": 3}, "with num_layers 2, but the configuration has 3"),
        ({"network": "symmetric"}, "with network 'trm', but the configuration has 'symmetric'"),
    ],
)
def test_another_network_is_refused_on_puzzles_of_any_size(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = trained(boards(4, tmp_path), tmp_path / "four.ckpt")
    with pytest.raises(InputError, match=message):
        start_from(module_of(Sudoku(9), **arguments), path, Sudoku(9))
