"""Arguments out of their range are refused before torch sees them, and messages count in English."""

import ast
import itertools
import re
from collections.abc import Iterator

import pytest
from paths import REPO

from trm.errors import InputError, check_range, counted
from trm.module import TRMModule

SMALL = {"vocab_size": 6, "seq_len": 4, "num_puzzles": 1, "hidden_size": 16, "num_heads": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0},
        {"num_layers": 0},
        {"num_heads": 0},
        {"multiple_of": 0},
        {"cycles": 0},
        {"latent_steps": -1},
        {"puzzle_tokens": -1},
        {"supervision_steps": 0},
        {"explore": 1.5},
        {"min_lr_ratio": -0.1},
        {"lr": float("nan")},
        {"warmup_steps": -1},
        {"expansion": -1.0},
    ],
)
def test_model_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=rf"model\.{name} is "):
        TRMModule(**{**SMALL, **wrong})


@pytest.mark.parametrize(
    ("wrong", "accepted"), [({"network": "gru"}, "trm, single_z"), ({"loss": "hinge"}, "stablemax, softmax")]
)
def test_unknown_choices_are_refused(wrong: dict[str, str], accepted: str) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=rf"model\.{name} is '{value}', but must be one of {accepted}"):
        TRMModule(**{**SMALL, **wrong})


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    for heads, channels in ((4, 5), (32, 0)):
        with pytest.raises(InputError, match=f"20 over num_heads {heads} gives heads of {channels} channels"):
            TRMModule(6, 4, 0, hidden_size=20, num_heads=heads)
    with pytest.raises(InputError, match="direct has no recursion: cycles 3 and latent_steps 1 must be 1"):
        TRMModule(6, 4, 0, network="direct", cycles=3, latent_steps=1)
    with pytest.raises(InputError, match="puzzle_size 64 does not fit"):
        TRMModule(6, 4, 1, hidden_size=16, num_heads=2, puzzle_tokens=2, puzzle_size=64)


def test_the_sentence_names_value_and_range() -> None:
    with pytest.raises(InputError, match=r"data\.x is -1, but must be at least 0"):
        check_range("data", 0, x=-1)
    with pytest.raises(InputError, match=r"model\.y is 2, but must be from 0 to 1"):
        check_range("model", 0, 1, y=2)


@pytest.mark.parametrize(
    "sizes", [{"hidden_size": 20_000}, {"num_layers": 1000, "hidden_size": 1000}, {"expansion": 1e30}]
)
def test_networks_without_measure_are_refused_before_memory_is_allocated(sizes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"parameters or more; accepted are at most 1,073,741,824"):
        TRMModule(11, 81, **sizes)


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (1, "cell", "1 cell"),
        (0, "batch", "0 batches"),
        (2, "guess", "2 guesses"),
        (1, "family", "1 family"),
        (3, "symmetry", "3 symmetries"),
        (5, "key", "5 keys"),
        (12_000, "different puzzle", "12,000 different puzzles"),
        (1.0, "second", "1 second"),
        (0.5, "minute", "0.5 minutes"),
    ],
)
def test_a_count_agrees_with_its_noun(count: float, noun: str, words: str) -> None:
    assert counted(count, noun) == words


COUNTABLE = """
    answers attempts batches boards candidates cells channels checks classes columns cores devices digits draws
    epochs faults families files grids guesses heads ids images inputs labels latents layers lines mazes minutes
    moves options outputs pairs parameters paths processes puzzles questions ranks requests rollouts rounds rows
    runs samples seconds slots solutions steps subsets symbols symmetries tasks tensors threads times tokens updates
    values vectors views votes words workers
"""
QUALIFIERS = "different minimal open optimizer other puzzle random repeated supervision test training validation"
NOUN = re.compile(rf" (?:(?:{'|'.join(QUALIFIERS.split())}) )*(?:{'|'.join(COUNTABLE.split())})\b")
NEVER_ONE = {
    "experiment.parameters": "of a network",
    "parameters": "of a network",
    "seq_len": "that a grid does not have",
    "slots * steps_per_batch": "greater than most_samples",
    "self.latents": "another branch says what is true of one",
    "size": "the second of two, as in 9x9",
    "self.side": "the second of two, as in 30x30",
    "factors": "two numbers",
    "steps": "text",
    "name": "text",
    "split": "text",
    "f'more than {most}' if self.solutions else 'several'": "text",
}
"""Expressions before a noun in the plural that are no counts, or never 1, and why."""


def plurals() -> Iterator[str]:
    """Yield the expressions that a message puts before a noun in the plural, with their files."""
    for path in sorted((REPO / "trm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for place, (value, text) in enumerate(itertools.pairwise(parts)):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant) and NOUN.match(text.value):
                    before = ast.unparse(parts[place - 1]) if place else ""
                    measured = value.format_spec is not None and "." in ast.unparse(value.format_spec)
                    if not (measured or re.search(r"\b(to|of) '$", before)):
                        yield f"{path.relative_to(REPO)}: {ast.unparse(value.value)}"


def test_messages_count_with_nouns_in_the_singular_too() -> None:
    constant = re.compile(r"(self\.)?[A-Z_]+(\[.*\])?")
    found = [place for place in plurals() if not constant.fullmatch(place.partition(": ")[2])]
    assert [place for place in found if place.partition(": ")[2] not in NEVER_ONE] == []
    assert {place.partition(": ")[2] for place in found} == NEVER_ONE.keys()
