"""``Solution``: what a solver returns for a puzzle, as text, plain values or a picture.

Shapes: L grid cells.
"""

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from trm.data import PuzzleData, Verdict
from trm.data.boards import REMARK
from trm.data.samples import Completion, Tokens, matches
from trm.errors import counted
from trm.inference.selection import Candidate

if TYPE_CHECKING:
    from trm.solver import Solver


class Solution(NamedTuple):
    """The solution of one puzzle; its text is the board and a sentence on the result."""

    solver: "Solver"
    """The solver, with the model and its family."""
    question: Tokens
    """Tokens of the question, (L,)."""
    candidates: list[Candidate]
    """The distinct answers, the selected one first."""
    verdict: Verdict
    """Result of checking ``answer`` by the rules."""
    steps: int
    """Supervision steps spent, over all rollouts."""
    abstains: bool
    """Whether the confidence is below ``abstain`` of the solver, and no exact solver completed the answer."""
    completion: Completion | None = None
    """Result of the exact solver, if the selected answer breaks the rules and the option ``complete`` is on."""

    @property
    def data(self) -> PuzzleData:
        """The family of the puzzle."""
        return self.solver.data

    @property
    def gflop(self) -> float:
        """Billions of floating-point operations spent; the first call runs a supervision step to count them."""
        return self.steps * self.solver.gflop_per_step

    @property
    def answer(self) -> Tokens:
        """Tokens of the answer of the exact solver if there is one, else of the selected answer, (L,)."""
        return self.completion.answer if self.completion else self.candidates[0].answer

    @property
    def confidence(self) -> float:
        """Mean halting probability of the rollouts with the selected answer."""
        return self.candidates[0].confidence

    @property
    def rollouts(self) -> int:
        """Number of rollouts of the puzzle."""
        return sum(candidate.votes for candidate in self.candidates)

    @property
    def agreement(self) -> float:
        """Share of the rollouts with the selected answer."""
        return self.candidates[0].votes / self.rollouts

    @property
    def sentence(self) -> str:
        """One line: whether the answer is valid, the steps and rollouts spent, and the confidence."""
        verdict = self.verdict.in_words
        steps = counted(self.steps, "supervision step")
        if self.rollouts > 1:
            steps += f" in {counted(self.rollouts, 'rollout')}, of which {self.agreement:.0%} agree"
        if self.completion:
            verdict = f"completed by the exact solver with {counted(self.completion.guesses, 'guess')}, {verdict}"
        doubt = f"abstains below {self.solver.abstain:.1%}: " if self.abstains else ""
        return f"{doubt}{verdict}; {steps}, confidence {self.confidence:.1%}"

    def equals(self, label: Tokens | None) -> bool | None:
        """Return whether the answer equals a label, (L,) or one of (A, L), where it has one; None without a label."""
        return None if label is None else bool(matches(self.answer, label))

    def as_line(self) -> str:
        """Return the answer in the notation of the family and the sentence, on one line that can be read back."""
        return f"{self.data.write(self.answer)}{REMARK}{self.sentence}"

    def render(self, color: bool = False) -> str:
        """Return the board and the sentence as text; with ``color``, for a color terminal."""
        return f"{self.data.render_board(self.answer, self.question, color=color)}\n{self.sentence}"

    def __str__(self) -> str:
        return self.render()

    def _repr_html_(self) -> str:
        """Return a picture of the board and the sentence as HTML for a notebook, without external files."""
        from trm.trace.picture import picture  # imports Pillow, which solving does not need

        png = BytesIO()
        picture(self.data, self.question, self.answer).save(png, "PNG")
        source = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
        board = escape(self.data.write(self.answer), quote=True)
        return f'<figure><img src="{source}" alt="{board}"><figcaption>{escape(self.sentence)}</figcaption></figure>'

    def as_dict(self) -> dict[str, object]:
        """Return the solution as plain values, as ``trm solve --json`` prints it."""
        return {
            "question": self.data.write(self.question),
            "answer": self.data.write(self.answer),
            "valid": self.verdict.valid,
            "reason": self.verdict.reason,
            "abstains": self.abstains,
            "abstain_below": self.solver.abstain,
            "steps": self.steps,
            "gflop": round(self.gflop, 3),
            "confidence": round(self.confidence, 4),
            "agreement": round(self.agreement, 4),
            "rollouts": self.rollouts,
            "guesses": self.completion.guesses if self.completion else None,
            "alternatives": [
                {
                    "answer": self.data.write(other.answer),
                    "valid": other.valid,
                    "weight": round(other.weight, 4),
                    "votes": other.votes,
                    "confidence": round(other.confidence, 4),
                }
                for other in self.candidates[1:]
            ],
        }
