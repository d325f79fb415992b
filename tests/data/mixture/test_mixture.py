"""Several families in one run: what each draws, where its cells and tokens are, how it is evaluated and solved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import TINY, refused
from pairs import random_grids, write_pairs
from training import quiet_trainer

from trm import Maze, Mixture, Pairs, PuzzleData, Solver, Sudoku, TRMModule, load_checkpoint
from trm.callbacks import Pictures
from trm.checkpoints.sharing import shareable
from trm.cli.main import main
from trm.data.samples import to_batch
from trm.errors import InputError
from trm.nn.layers import grid_coordinates

SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}
NEW = ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("puzzles"))


def boards(root: str, size: int = 4, **arguments: Any) -> Sudoku:
    clues = {4: (8, 8), 6: (20, 24)}[size]
    defaults = {"train_size": 40, "val_size": 6, "test_size": 5, "clues": clues, "root": root}
    return Sudoku(size, **{**defaults, **arguments})


def mazes(root: str) -> Maze:
    return Maze(5, kind="unique", train_size=30, val_size=4, test_size=7, root=root)


def mixture(root: str, **arguments: Any) -> Mixture:
    defaults = {"shares": [0.7, 0.3], "slots": 8, "steps_per_batch": 2, "workers": 0}
    return Mixture([boards(root), mazes(root)], **{**defaults, **arguments})


def module_of(data: PuzzleData, **arguments: Any) -> TRMModule:
    sizes = {name: getattr(data, name) for name in NEW}
    return TRMModule(**{**SMALL, **sizes, "supervision_steps": 2, "puzzle_tokens": 1, **arguments})


def written(data: PuzzleData, path: Path, **arguments: Any) -> Path:
    """Write the checkpoint of a run of one batch."""
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module_of(data, **arguments), data)
    trainer.save_checkpoint(path)
    return path


def test_every_thousand_draws_have_the_shares_and_a_family_draws_each_sample_once_per_pass(root: str) -> None:
    data = mixture(root)
    ids = data.draw(0, 3000).puzzle_ids.numpy()
    assert [int((ids[first : first + 1000] == 0).sum()) for first in (0, 1000, 2000)] == [700] * 3
    plain = mixture(root, only="maze")
    own = to_batch(plain.eval_samples("val", 0, 4)).puzzle_ids
    assert own.tolist() == [1] * 4
    drawn, alone = data.draw(0, 200), plain.draw(0, int((ids[:200] == 1).sum()))
    assert torch.equal(drawn.inputs[drawn.puzzle_ids == 1], alone.inputs), "consecutive draws of the family's own"
    assert data.pass_size() == max(round(np.ceil(40 / 0.7)), round(np.ceil(30 / 0.3)))


def test_a_draw_depends_on_seed_and_number_alone(root: str) -> None:
    data = mixture(root)
    whole, other = data.draw(0, 1300), mixture(root, seed=1).draw(0, 1300)
    for first, count in ((0, 1), (7, 20), (990, 20), (1299, 1)):
        for part, field in zip(data.draw(first, count), whole, strict=True):
            assert torch.equal(part, field[first : first + count])
    assert not torch.equal(other.puzzle_ids, whole.puzzle_ids)


def test_a_smaller_grid_lies_in_the_upper_left_corner_with_tokens_of_its_own(root: str) -> None:
    data = mixture(root)
    assert (data.seq_len, data.grid, data.num_puzzles, data.vocab_size) == (25, (5, 5), 2, 1 + 5 + 5)
    board, maze = data.samples("test").inputs[0], data.samples("test").inputs[-1]
    alone = boards(root).samples("test").inputs[0]
    np.testing.assert_array_equal(board.reshape(5, 5)[:4, :4], alone.reshape(4, 4))
    assert not board.reshape(5, 5)[4].any()
    assert not board.reshape(5, 5)[:, 4].any()
    np.testing.assert_array_equal(maze - 5, mazes(root).samples("test").inputs[-1])


def test_families_of_one_class_share_their_tokens_and_differ_in_ids(root: str) -> None:
    data = Mixture([boards(root), boards(root, 6)], workers=0)
    assert data.token_names == Sudoku(6).token_names
    assert data.num_puzzles == 2
    assert data.num_symbols == 0, "4x4 boards do not have the symbols of 6x6 boards"
    alike = Mixture([boards(root), boards(root, clues=(6, 6))], workers=0)
    assert (alike.num_symbols, alike.grid, alike.vocab_size) == (4, (4, 4, 2, 2), 6)
    assert len(grid_coordinates(data.grid, 0)) == 36


def test_files_of_pairs_share_the_symbols_that_both_have(tmp_path: Path) -> None:
    grids = random_grids(40)
    paths = [
        write_pairs(tmp_path / f"{shift}.jsonl", [grid + shift for grid in grids], lambda g: g) for shift in (0, 1)
    ]
    data = Mixture([Pairs(str(path)) for path in paths])
    assert data.token_names == ("padding", *(f"Pairs {symbol}" for symbol in "0123"))
    first, second = (data.members[number].tokens.tolist() for number in (0, 1))
    assert first[2:] == second[1:-1], "the symbols 1 and 2"
    assert data.valid(data.samples("test").inputs, data.samples("test").labels) is None, "no rules are known"


def test_answers_are_checked_by_the_rules_of_their_family(root: str) -> None:
    data = mixture(root)
    samples = data.samples("test")
    valid = data.valid(samples.inputs, samples.labels)
    assert valid is not None
    assert valid.all()
    assert data.verify(samples.inputs[0], samples.labels[0]).valid
    filled = samples.labels[:1].copy()
    filled[0, -1] = 9  # outside of the board
    assert data.verify(samples.inputs[0], filled[0]).valid
    for number, cell in ((0, 0), (-1, 3)):
        wrong = samples.labels[number].copy()
        wrong[cell] = 1 + (wrong[cell] == 1)
        assert not data.verify(samples.inputs[number], wrong).valid
    with pytest.raises(InputError, match="question 0, counted from 0, is a puzzle of none of the families"):
        data.verify(np.full(25, 2, dtype=np.uint8), samples.labels[0])


def test_evaluation_reports_the_solved_share_of_each_family(root: str) -> None:
    data = mixture(root)
    metric = data.scorer("test")
    assert metric is not None
    batch = to_batch(data.samples("test"))  # 5 boards and 7 mazes
    answers = batch.labels.clamp(min=0)
    answers[0, 0] = 1
    metric.update(answers, torch.zeros(12), batch)
    shares = metric.compute()
    assert shares["solved_sudoku"] == pytest.approx(4 / 5)
    assert shares["solved_maze"] == 1
    results = quiet_trainer().test(module_of(data), data, verbose=False)[0]
    assert {"test/solved", "test/solved_sudoku", "test/solved_maze"} <= results.keys()


def test_a_family_of_several_right_answers_and_one_of_one_go_together(root: str) -> None:
    several = boards(root, solutions=(2, 3), clues=(5, 7))
    data = Mixture([several, mazes(root)], slots=8, steps_per_batch=2, workers=0)
    assert {data.draw(first, 1).labels.shape for first in range(20)} == {(1, 3, 25)}
    samples = data.samples("test")
    assert samples.labels.shape == (12, 3, 25)
    metric = data.scorer("test")
    assert metric is not None
    metric.update(torch.from_numpy(samples.labels[:, 0].astype(np.int32)), torch.zeros(12), to_batch(samples))
    assert [float(share) for share in metric.compute().values()] == [1, 1]
    quiet_trainer(max_steps=2).fit(module_of(data), data)


def test_a_checkpoint_of_a_mixture_solves_the_family_that_is_named(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(mixture(root), tmp_path / "mixed.ckpt"))
    board, maze = ".3...2.1...4....", boards(root)
    data = load_checkpoint(path, "maze")[1]
    assert isinstance(data, Mixture)
    solution = Solver(path, family="Maze").solve(mazes(root).write(mazes(root).samples("test").inputs[0]))
    assert len(solution.data.write(solution.answer)) == 25
    assert Solver(path, family="sudoku", views=2, complete=True).solve(board).verdict.valid, "by the exact solver"
    capsys.readouterr()
    assert main(["solve", path, board, "test:0", "--family=sudoku"]) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert [len(line.split(" ; ")[0].strip()) for line in lines] == [16, 16]
    assert lines[1].endswith("the known answer")
    assert maze.write(maze.samples("test").inputs[0])
    assert "mixture of sudoku, maze: name the one to use, such as --family sudoku" in refused(
        capsys, ["solve", path, board]
    )
    assert "no family 'arc'; its families are sudoku, maze" in refused(capsys, ["solve", path, board, "--family=arc"])


def test_a_mixture_keeps_the_held_out_pairs_of_a_file_for_evaluation_without_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(Path("pairs.jsonl"), random_grids(60))
    families = [{"class_path": "Pairs", "init_args": {"source": "pairs.jsonl"}}, small_boards("puzzles")]
    given = [f"--data.families={json.dumps(families)}", "--model.mixer=attention", "--model.positions=grid"]
    assert main(["fit", "--config=configs/mixture.yaml", *TINY, *given]) == 0
    Path("pairs.jsonl").unlink()
    path = "runs/mixture/checkpoints/last.ckpt"
    evaluate = ["test", "--config=runs/mixture/config.yaml", f"--ckpt_path={path}"]
    assert main(evaluate) == 0
    assert "test/solved_pairs" in capsys.readouterr().out
    assert main(["solve", path, "test:0", "--family=pairs"]) in (0, 1)
    assert capsys.readouterr().out.strip().endswith("the known answer")
    assert main(["data", "check", path]) == 0
    assert "skipped train: pairs.jsonl is not there" in capsys.readouterr().out
    pytest.importorskip("safetensors")
    assert main(["export", path, "--format=hub", "-o", "hub"]) == 0
    assert "left out: data.families[0].source 'pairs.jsonl', now ''\n" in capsys.readouterr().out
    assert main(["solve", "hub", "012210111", "--family=pairs"]) in (0, 1)
    config = json.loads(Path("hub/config.json").read_text())
    config["family"]["init_args"]["families"][0]["init_args"]["source"] = "/home/somebody/pairs.jsonl"
    Path("hub/config.json").write_text(json.dumps(config))
    foreign = refused(capsys, ["solve", "hub", "012210111", "--family=pairs"])
    assert "config.json of hub names a local folder: source is '/home/somebody/pairs.jsonl'" in foreign


def small_boards(root: str) -> dict[str, Any]:
    sizes = {"train_size": 40, "val_size": 6, "test_size": 5}
    return {"class_path": "Sudoku", "init_args": {"size": 4, "clues": [8, 8], "root": root, **sizes}}


def test_what_writes_or_draws_boards_asks_for_one_family_before_anything_is_trained(root: str) -> None:
    trainer = quiet_trainer(max_steps=2, callbacks=[Pictures()])
    with pytest.raises(InputError, match="mixture of sudoku, maze: name the one to use"):
        trainer.fit(module_of(mixture(root)), mixture(root))
    assert trainer.global_step == 0


def test_a_shared_mixture_names_no_folder(root: str, tmp_path: Path) -> None:
    data = mixture(root)
    content = torch.load(written(data, tmp_path / "mixed.ckpt"), weights_only=True)
    assert root in str(content["family"])
    assert root not in str(shareable(content, data)["family"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"families": []}, "data.families has 0 families; accepted is a list of two or more"),
        ({"families": [Sudoku(4)]}, "data.families has 1 family; accepted is a list of two or more"),
        ({"families": None}, r"data\.families is null; accepted is list\[PuzzleData\]"),
        ({"families": Sudoku(4)}, "data.families is a Sudoku; accepted is a list of two or more"),
        ({"families": [Sudoku(4), Sudoku(4)]}, "has sudoku with the same arguments twice"),
        ({"families": [Sudoku(4), "Maze"]}, "data.families has a str as number 2"),
        ({"shares": [0.7]}, "data.shares has 1 value, but data.families has 2 families"),
        ({"shares": [0.7, 0.7]}, r"with the sum 1\.4; accepted are shares with the sum 1"),
        ({"shares": [1.2, -0.2]}, r"data\.shares has 1\.2 for family number 1; accepted are 0\.001 to 1"),
        ({"shares": [1, float("nan")]}, "data.shares has nan for family number 2"),
        ({"only": "arc"}, "the mixture has no family 'arc'; its families are sudoku, maze"),
    ],
)
def test_families_and_shares_that_make_no_mixture_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(**{"families": [Sudoku(4), Maze(5)], **arguments})


def test_a_mixture_of_a_mixture_or_of_too_many_tokens_is_refused() -> None:
    inner = Mixture([Sudoku(4), Maze(5)])
    with pytest.raises(InputError, match=r"data\.families has a Mixture as number 2"):
        Mixture([Sudoku(9), inner])

    class Words(Sudoku):
        token_names = tuple(f"word {token}" for token in range(255))

    with pytest.raises(InputError, match=r"data\.families have 266 tokens together; accepted are at most 256"):
        Mixture([Words(4), Sudoku(9)])


def test_a_configuration_of_a_mixture_is_checked_like_that_of_its_families(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    families = "[{class_path: Sudoku, init_args: {size: 4}}, {class_path: Maze, init_args: {sise: 5}}]"
    error = refused(capsys, ["fit", "--config=configs/mixture.yaml", f"--data.families={families}"])
    assert "'sise' is not accepted; did you mean size?" in error
    error = refused(capsys, ["fit", "--config=configs/mixture.yaml", "--data.families", "null"])
    assert error == "trm: error: data: Mixture needs families, but it is missing or null"
    error = refused(capsys, ["fit", "--config=configs/mixture.yaml", "--data.families=[Sudoku, 3]"])
    assert error.endswith("families: 3, but must be a PuzzleData, or a mapping with class_path and init_args")
    error = refused(capsys, ["fit", "--config=configs/mixture.yaml", "--data.shares=[0.5, 0.6]"])
    assert "with the sum 1.1" in error
