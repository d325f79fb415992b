"""Writes small tables of puzzles in the format of the Hub data sets."""

from pathlib import Path

from trm.data import Maze, PuzzleData, Sudoku


def write_tables(folder: Path, family: str) -> None:
    """Write train.csv and test.csv for a family, 40 and 10 rows."""
    families: dict[str, PuzzleData] = {
        "Sudoku": Sudoku(root=str(folder), train_size=40, val_size=1, test_size=10, clues=(40, 40)),
        "Maze": Maze(root=str(folder), train_size=40, val_size=1, test_size=10, kind="unique"),
    }
    data = families[family]
    for split in ("train", "test"):
        lines = ["source,question,answer,rating"]
        for question, answer in zip(*data.samples(split)[:2], strict=True):
            boards = [data.write(board) for board in (question, answer)]
            if family == "Maze":
                boards = [board.replace(".", " ") for board in boards]
            lines.append(f"made,{','.join(boards)},1")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
