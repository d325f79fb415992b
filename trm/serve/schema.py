"""The JSON of the service: what a request contains, what an answer contains, and refusals in one sentence."""

import reprlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from trm.errors import InputError

Cell = Annotated[int, Field(ge=0, le=35)] | Annotated[str, Field(min_length=1, max_length=1)]
Grid = Annotated[list[Annotated[list[Cell], Field(min_length=1)]], Field(min_length=1)]
BOARD = ".2..4..13......4"
FORM = (
    "must be text as for trm solve, or a grid: a list of rows of characters or of integers from 0 to 35; for a model "
    "of ARC, a task"
)
COLOURS = {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}}}
PAIRS = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "object", "properties": {"input": COLOURS, "output": COLOURS}, "required": ["input"]},
}
TASK = {"type": "object", "properties": {"train": PAIRS, "test": PAIRS}, "required": ["train", "test"]}
Task = Annotated[dict[str, Any], WithJsonSchema({"title": "Task", **TASK})]
"""A task of ARC as published; ``trm.data.arc.tasks.to_task`` checks it."""
Puzzle = str | Grid | Task


class Solve(BaseModel):
    """Puzzles to solve."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"example": {"puzzles": [BOARD]}})

    puzzles: list[Puzzle] = Field(
        min_length=1,
        description="Puzzles, each as text in the notation of `trm solve`, or as a grid: rows of characters of that "
        "notation, or of integers, which stand for digits and, from 10 on, for letters. To a model of ARC, each is a "
        "task as published, or the name of one that the model was trained on.",
    )
    model: str | None = Field(None, description="Name of the model; may be left out if only one is served.")
    trace: bool = Field(False, description="Whether to return the answer after each supervision step.")


class Step(BaseModel):
    """The answer after a supervision step, of the puzzle itself, without noise and symmetries."""

    step: int
    answer: str
    valid: bool
    confidence: float


class Alternative(BaseModel):
    """An answer that was not selected."""

    answer: str
    valid: bool
    weight: float = Field(description="Share of the total weight in the selection.")
    votes: int = Field(description="Number of rollouts with this answer.")
    confidence: float


class Solution(BaseModel):
    """The solution of a puzzle."""

    question: str
    answer: str = Field(description="The answer in the notation of `trm solve`.")
    grid: list[list[int | str]] | None = Field(None, description="The answer in the form of a question in a grid.")
    valid: bool = Field(description="Whether the answer obeys the rules, checked without the model.")
    reason: str = Field(description="The broken rule; empty if the answer is valid.")
    abstains: bool = Field(description="Whether the confidence is below `abstain_below`.")
    abstain_below: float = Field(description="Confidence below which the model abstains, by the option `--abstain`.")
    steps: int = Field(description="Supervision steps spent, over all rollouts.")
    gflop: float | None = Field(description="Billions of floating-point operations spent; null with onnxruntime.")
    confidence: float = Field(description="Halting probability of the answer, from 0 to 1.")
    agreement: float = Field(description="Share of the rollouts with this answer.")
    rollouts: int
    guesses: int | None = Field(description="Guesses of the exact solver, if it completed the answer.")
    alternatives: list[Alternative]
    trace: list[Step] | None = None


class Attempts(BaseModel):
    """Two answers to a test input, the more frequent first, in the format of Kaggle."""

    attempt_1: list[list[int]]
    attempt_2: list[list[int]]


class TaskSolution(BaseModel):
    """The solution of a task of ARC; lists have an entry for each test input."""

    task: str = Field(description="Name of the task.")
    attempts: list[Attempts]
    votes: list[list[int]] = Field(description="Symmetric views with each of the answers.")
    confidence: list[list[float]] = Field(description="Mean halting probability of these views.")
    abstains: list[bool] = Field(description="Whether the confidence in the first answer is below `abstain_below`.")
    abstain_below: float = Field(description="Confidence below which the model abstains, by the option `--abstain`.")
    consistent: list[list[bool]] = Field(
        description="Whether an answer agrees with what the train pairs have in common."
    )
    known: bool = Field(description="Whether the model was trained on this task; if not, its answers mean little.")
    unanswered: int = Field(description="Test inputs without an answer.")
    scores: dict[str, float] = Field(description="Shares of right answers, if the task has the outputs of its tests.")
    valid: bool = Field(description="Whether every attempt is a grid.")
    steps: int = Field(description="Supervision steps spent, over all views.")


class Solutions(BaseModel):
    """The solutions, in the order of the puzzles."""

    model: str
    solutions: list[Solution | TaskSolution]


class Model(BaseModel):
    """A model that is served."""

    name: str
    family: str = Field(description="Class of the puzzles, such as Sudoku.")
    cells: int = Field(description="Number of cells of a puzzle.")
    parameters: int | None = Field(description="Number of trained parameters; null if an exported file has none.")
    backend: str = Field(description="What runs the network: torch or onnx.")


class Status(BaseModel):
    """Whether the service works."""

    status: str


class Refusal(BaseModel):
    """Why a request is refused, in one sentence."""

    detail: str


def weight(puzzle: Puzzle) -> int:
    """Return the number of puzzles that one counts for: a task of ARC for as many as it has test inputs."""
    tests = puzzle.get("test") if isinstance(puzzle, dict) else None
    return max(1, len(tests)) if isinstance(tests, list) else 1


def as_text(number: int, puzzle: Puzzle) -> str | dict[str, Any]:
    """Return a puzzle of a request, with a grid as text; ``number`` is its index, for the message.

    Raises:
        InputError: if the rows of a grid are of different lengths.
    """
    if isinstance(puzzle, str | dict):
        return puzzle
    widths = {len(row) for row in puzzle}
    if len(widths) > 1:
        raise InputError(f"the rows of puzzles[{number}] have {min(widths)} to {max(widths)} cells, but must be equal")
    return "".join(_character(cell) for row in puzzle for cell in row)


def in_form_of(puzzle: Puzzle, answer: str) -> list[list[int | str]] | None:
    """Return an answer as a grid of the form of its question; None if that is text, or the notation has no cells."""
    if isinstance(puzzle, str | dict) or len(answer) != sum(map(len, puzzle)):
        return None
    width = len(puzzle[0])
    integers = all(isinstance(cell, int) for row in puzzle for cell in row)
    cells: list[int | str] = [(int(c, 36) if c.isalnum() else 0) if integers else c for c in answer]
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def sentence(errors: Sequence[Any]) -> str:
    """Return the first error of pydantic in one sentence that names the value and what is accepted."""
    first = errors[0]
    kind, place = first["type"], [part for part in first["loc"] if part != "body"]
    if kind == "json_invalid":
        return f"the body is not JSON: {first['ctx']['error']}"
    if not place:
        return "the body must be a JSON object such as " + f'{{"puzzles": ["{BOARD}"]}}, sent as application/json'
    if place[0] == "puzzles" and len(place) > 1:
        return f"puzzles[{place[1]}] is {reprlib.repr(first['input'])}, but {FORM}"
    found = "" if kind == "missing" else f" is {reprlib.repr(first['input'])}"
    return f"{'.'.join(map(str, place))}{found}: {first['msg'].lower()}"


def _character(cell: int | str) -> str:
    """Return the character of a cell: 10 is A, as in base 36."""
    return cell if isinstance(cell, str) else "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[cell]
