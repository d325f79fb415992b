"""``make bench-zoo``: a model is exported, measured on unseen puzzles and documented."""

import json
from pathlib import Path
from typing import Any

import card as card_module
import numpy as np
import pytest
import torch
from card import percent, render
from fill_tables import measure as script
from training import quiet_trainer

import trm.zoo
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import describe
from trm.data import Maze, Samples, Sudoku
from trm.data.samples import matches
from trm.errors import InputError
from trm.inference.rollouts import Rollouts
from trm.module import TRMModule
from trm.solver import Solver
from trm.zoo import card

zoo = script("zoo")


def test_a_model_is_put_into_the_zoo_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = Sudoku(4, "generate", 20, 0, 8, (8, 8), slots=4, steps_per_batch=1, workers=0)
    module = TRMModule(
        6, 16, 1, hidden_size=24, num_heads=2, multiple_of=8, mixer="mlp", positions="none", puzzle_tokens=0
    )
    module.init_seed = 7
    trainer = quiet_trainer(max_steps=1, max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint("last.ckpt")
    for owner in (zoo, card_module, trm.zoo):
        monkeypatch.setattr(owner, "FOLDER", tmp_path)
    monkeypatch.setattr(zoo, "HERE", tmp_path)
    monkeypatch.setattr(zoo, "commit", lambda _: "0123456789")
    monkeypatch.setattr(zoo, "DEPTHS", (1, 2))
    told = ["--what=Tiny", "--command=trm fit", "--puzzles=4", "--scaled=2", "--probed=2"]
    assert zoo.main(["tiny", "last.ckpt", *told]) == 0
    measured = json.loads(Path("tiny.json").read_text())
    assert measured["training_puzzles"] == 20
    assert measured["test"]["puzzles"] == 4
    assert [point["depth"] for point in measured["scaling"]["points"][:2]] == [1, 2]
    text = card("tiny")
    assert text.startswith("# tiny\n\nTiny: solves ")
    assert f"| test split | all | 4 | {percent(4 * measured['test']['solved'], 4)} |" in text
    assert describe("tiny")["step"] == 1
    assert "| training | 1 steps, hours not counted; seeds: initial parameters 7, data 0, exploration 0 |" in text
    assert "| the first 4 of 8, SHA-256 " in text
    measured["started_from"] = {"checkpoint": "a.ckpt", "step": None, "training_puzzles": None, "weights": "0123"}
    assert "| started from | `a.ckpt`, steps unknown, puzzles unknown; SHA-256 of its parameters 0123 |" in render(
        measured
    )
    Path("tiny.md").write_text("old")
    assert zoo.main([]) == 0
    assert card("tiny") == text


def test_a_model_is_not_measured_on_what_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module, _ = load_checkpoint("sudoku-4x4")
    data = Sudoku(4, train_size=0, val_size=0, test_size=4, clues=(8, 8))
    with pytest.raises(InputError, match="4 of 4 test puzzles, or symmetric ones, were trained on"):
        zoo.tested(module, data, 4, data.symmetry_keys(data.samples("test")))


def test_solved_boards_are_counted_by_clues_and_guesses() -> None:
    data = Sudoku(4, train_size=0, val_size=0, test_size=0)
    solution = data.parse("1234341221434321")
    questions = solution * 1
    samples = Samples(
        questions[None].repeat(3, 0), solution[None].repeat(3, 0), torch.zeros(3, dtype=torch.int32).numpy()
    )
    samples.inputs[1, :2] = 1
    samples.inputs[2, :2] = 1
    counted = zoo.groups(data, samples, torch.tensor([True, True, False]).numpy())
    assert counted == {
        "all": (2, 3),
        "clues 14": (1, 2),
        "clues 16": (1, 1),
    }


@pytest.mark.parametrize(("mixer", "sizes"), [("attention", [5, 7]), ("mlp", [])])
def test_mazes_of_other_sizes_are_asked_where_no_parameter_depends_on_the_size(
    mixer: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Maze(6, train_size=20, val_size=0, test_size=4, kind="unique", slots=4, steps_per_batch=1, workers=0)
    positions = "grid" if mixer == "attention" else "none"
    sides = {"hidden_size": 16, "num_heads": 1, "multiple_of": 8, "puzzle_tokens": 0}
    module = TRMModule(data.vocab_size, data.seq_len, mixer=mixer, positions=positions, grid=data.grid, **sides)
    monkeypatch.setattr(zoo, "MAZE_SIZES", (5, 6, 7))
    found = zoo.resized(module.eval(), data, 4)
    assert list(found) == [f"{size}x{size} mazes (trained on 6x6)" for size in sizes]
    assert all(group["all"][1] == 4 for group in found.values())


def test_a_puzzle_counts_as_solved_from_the_view_on_whose_answer_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = load_checkpoint("sudoku-4x4")
    samples = data.eval_samples("test", 0, 6)
    monkeypatch.setattr(zoo, "BATCH", 4)
    solver = Solver((module, data), select="verifier", views=32, depth=1, halt="never")
    wanted = [Solver((module, data), select="verifier", views=views, depth=1) for views in zoo.CHECKED]
    monkeypatch.setattr(zoo, "Solver", lambda *_, **__: solver)
    points = zoo.checked(module, data, samples)
    for point, other in zip(points, wanted, strict=True):
        answers = np.stack([solution.answer for solution in other.solve_all(samples.inputs)])
        assert point.solved == matches(answers, samples.labels).mean()


def test_a_puzzle_counts_once_where_several_views_of_a_wave_answer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Sudoku(4, "generate", 20, 0, 2, (8, 8), slots=4, steps_per_batch=1, workers=0)
    samples = zoo.labelled(data, 2)
    right, wrong = samples.labels[:1], samples.inputs[:1]

    def roll_out(self: Solver, questions: Any, ids: Any) -> Rollouts:
        answers, valid = np.concatenate([wrong, wrong, right, right, samples.labels[1:]]), np.array([0, 0, 1, 1, 1])
        zeros = np.zeros(5)
        return Rollouts(np.array([0, 0, 0, 0, 1]), answers, zeros, zeros, valid.astype(bool), np.full(5, 2), zeros)

    monkeypatch.setattr(Solver, "roll_out", roll_out)
    module = TRMModule(6, 16, hidden_size=24, num_heads=2, multiple_of=8, mixer="mlp", positions="none")
    points = zoo.checked(module.eval(), data, samples)
    assert [(point.breadth, point.solved, point.valid) for point in points[:3]] == [(2, 0.5, 0.5), (4, 1, 1), (8, 1, 1)]
