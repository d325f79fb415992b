"""Writes small tables of puzzles in the format of the Hub data sets."""

from pathlib import Path

from trm.data.sudoku.generator import generate


def write_tables(folder: Path, family: str) -> None:
    """Write train.csv and test.csv for a family, 40 and 10 rows."""
    folder.mkdir()
    assert family == "Sudoku"
    puzzles = generate(9, {"train": 40, "test": 10}, (40, 40), seed=0)
    for split, (questions, answers, guesses) in puzzles.items():
        lines = ["source,question,answer,rating"]
        for question, answer, rating in zip(questions, answers, guesses, strict=True):
            boards = ("".join(map(str, board)).replace("0", ".") for board in (question, answer))
            lines.append(f"made,{','.join(boards)},{rating}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
