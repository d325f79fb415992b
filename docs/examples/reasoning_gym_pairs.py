"""Writes three files of pairs with the generators of Reasoning Gym: pip install reasoning-gym==0.1.25.

Usage: python docs/examples/reasoning_gym_pairs.py FOLDER
"""

import ast
import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import reasoning_gym


def mini_sudoku(folder, count):
    """JSON lines; a question is the text of the board, a line per row."""
    with (folder / "mini_sudoku.jsonl").open("w") as file:
        for entry in reasoning_gym.create_dataset("mini_sudoku", size=count, seed=0):
            board = re.search(r"(?:[_1-4 ]{7}\n){4}", entry["question"])[0]
            file.write(json.dumps({"question": board.strip(), "answer": entry["answer"]}) + "\n")


def game_of_life(folder, count):
    """Two arrays of 4x4 cells, one step of the game apart, on a board whose edges meet."""
    options = {"grid_size_x": 4, "grid_size_y": 4, "filled_cells_weights": 0.4}
    entries = [*reasoning_gym.create_dataset("game_of_life", size=count, seed=0, **options)]
    boards = [re.search(r"\n\n(\[\[.*\]\])", entry["question"], flags=re.DOTALL)[1] for entry in entries]
    (folder / "game_of_life").mkdir(exist_ok=True)
    np.save(folder / "game_of_life" / "questions.npy", np.array([ast.literal_eval(board) for board in boards]))
    np.save(folder / "game_of_life" / "answers.npy", np.array([json.loads(entry["answer"]) for entry in entries]))


def spell_backward(folder, count):
    """A table of words of 3 to 10 letters."""
    with (folder / "spell_backward.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["word", "question", "answer"])
        for number, entry in enumerate(reasoning_gym.create_dataset("spell_backward", size=count, seed=0)):
            table.writerow([number, entry["metadata"]["word"], entry["answer"]])


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    mini_sudoku(target, 2000)
    game_of_life(target, 4000)
    spell_backward(target, 4000)
