"""Draws, batches and loaders, on a family small enough to check by hand."""

import copy
import multiprocessing
import operator
import pickle
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import refused
from lightning.pytorch import Trainer

from trm.batch import IGNORE
from trm.data import Maze, Pairs, PuzzleData, Samples, Sudoku, Verdict
from trm.data.samples import Tokens
from trm.data.sampling import DrawGenerator, EvalBatches, TrainBatches, TrainSampler
from trm.errors import InputError
from trm.module import TRMModule


class Counting(PuzzleData):
    """Row i asks i and answers i; the last cell has no answer."""

    vocab_size, seq_len, num_puzzles = 200, 3, 0

    def __init__(self, size: int = 10, **kwargs: int) -> None:
        super().__init__(**kwargs)
        self.size = size

    def load(self, split: str) -> Samples:
        inputs = np.repeat(np.arange(1, self.size + 1, dtype=np.uint8)[:, None], 3, axis=1)
        labels = inputs.copy()
        labels[:, -1] = 0
        return Samples(inputs, labels, np.zeros(self.size, dtype=np.int32))

    def augment(self, samples: Samples, noise: DrawGenerator) -> Samples:
        return Samples(
            samples.inputs + noise.coins()[:, None].astype(np.uint8) * 100, samples.labels, samples.puzzle_ids
        )

    def parse(self, text: str) -> Tokens:
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def write(self, tokens: Tokens) -> str:
        return bytes(tokens).decode()

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        return self.write(answer)

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        return Verdict(True, "")


def test_every_pass_over_the_split_draws_each_sample_once() -> None:
    data = Counting()
    for epoch in range(3):
        assert sorted(data.draw(epoch * 10, 10).labels[:, 0].tolist()) == list(range(1, 11))
    orders = {tuple(data.draw(epoch * 10, 10).labels[:, 0].tolist()) for epoch in range(3)}
    assert len(orders) == 3


def test_a_draw_is_the_same_in_whatever_run_of_draws_it_is() -> None:
    data = Counting()
    whole = data.draw(0, 37)
    parts = [data.draw(first, count) for first, count in ((0, 1), (1, 20), (21, 16))]
    for field, *pieces in zip(whole, *parts, strict=True):
        assert torch.equal(field, torch.cat(pieces))


def test_seed_changes_order_and_augmentation() -> None:
    first, second = Counting(seed=0).draw(0, 50), Counting(seed=1).draw(0, 50)
    assert not torch.equal(first.labels, second.labels)
    assert not torch.equal(first.inputs > 100, second.inputs > 100)


def test_cells_without_an_answer_are_ignored() -> None:
    batch = Counting().draw(0, 4)
    assert (batch.labels[:, -1] == IGNORE).all()
    assert (batch.labels[:, :-1] > 0).all()
    assert batch.inputs.dtype == batch.labels.dtype == batch.puzzle_ids.dtype == torch.int32


def test_ranks_share_the_draws_of_one_process() -> None:
    data = Counting()
    alone = TrainBatches(data.draw, slots=6, steps=2, ranks=1, length=5)
    shared = TrainBatches(data.draw, slots=6, steps=2, ranks=2, length=5)
    assert (len(alone), len(shared)) == (5, 10)
    for number in (0, 1, 7):
        together = torch.cat([shared[2 * number + rank].inputs for rank in (0, 1)], dim=1)  # (K, B, L)
        assert torch.equal(alone[number].inputs, together)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_sampler_counts_on_from_where_training_stands(rank: int) -> None:
    position = 3
    batches = TrainBatches(Counting().draw, slots=6, steps=2, ranks=2, length=5)
    sampler = TrainSampler(batches, rank, lambda: position)
    assert len(sampler) == 5
    assert [number for number, _ in zip(sampler, range(3), strict=False)] == [6 + rank, 8 + rank, 10 + rank]
    position = 9
    assert next(iter(sampler)) == 18 + rank


@pytest.mark.parametrize(
    ("size", "slots", "steps", "batches"), [(10, 3, 2, 2), (12, 3, 2, 2), (10, 768, 16, 1), (40, 4, 2, 5)]
)
def test_an_epoch_offers_every_sample_at_least_once(size: int, slots: int, steps: int, batches: int) -> None:
    loader = Counting(size, slots=slots, steps_per_batch=steps, workers=0).train_dataloader()
    assert len(loader) == batches
    offered = torch.cat([batch.labels[..., 0].flatten() for batch in loader])
    assert set(offered.tolist()) == set(range(1, size + 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_goes_on_across_epochs(workers: int) -> None:
    """Three epochs of one batch each are the first three batches of the stream, and workers are not started anew."""
    data = Counting(slots=6, steps_per_batch=2, workers=workers)
    loader, found, streams = data.train_dataloader(), [], []
    for _ in range(3):
        found += [batch.inputs for batch in loader]
        streams.append(loader._stream)
    assert streams[0] is streams[1] is streams[2]
    stacked = torch.cat(found).flatten(0, 1)
    assert torch.equal(stacked, data.draw(0, 36).inputs)


@pytest.mark.parametrize(("size", "batch", "world"), [(10, 4, 1), (10, 4, 2), (10, 5, 2), (3, 8, 2)])
def test_evaluation_counts_every_sample_once_on_any_number_of_ranks(size: int, batch: int, world: int) -> None:
    data = Counting(size)
    batches = EvalBatches(partial(data.eval_samples, "test"), size, batch, world)
    assert len(batches) % world == 0
    assert {len(part.labels) for part in batches} == {batch}
    seen = torch.cat([part.labels for part in batches])
    real = seen[(seen != IGNORE).any(-1)]
    assert sorted(real[:, 0].tolist()) == list(range(1, size + 1))


def test_workers_do_not_change_the_data_and_do_not_receive_the_trainer() -> None:
    def first_batches(workers: int) -> torch.Tensor:
        data = Counting(slots=3, steps_per_batch=2, workers=workers)
        data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        assert pickle.loads(pickle.dumps(data)).trainer is None
        return torch.stack([batch.inputs for batch, _ in zip(data.train_dataloader(), range(4), strict=False)])

    assert torch.equal(first_batches(0), first_batches(2))


@pytest.mark.parametrize("noise", [DrawGenerator(5, 100, 5000)])
def test_random_numbers_of_a_draw_are_uniform(noise: DrawGenerator) -> None:
    assert abs(noise.coins().mean() - 0.5) < 0.03
    numbers = noise.below(np.tile([1, 7], 2500))
    assert (numbers[::2] == 0).all()
    assert np.unique(numbers[1::2]).tolist() == list(range(7))
    assert abs(numbers[1::2].mean() - 3) < 0.15
    orders = noise.permutations(3)
    assert (np.sort(orders, axis=1) == [0, 1, 2]).all()
    counts = np.unique(orders @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6
    assert abs(counts / 5000 - 1 / 6).max() < 0.03


def test_a_draw_has_a_limited_number_of_random_words() -> None:
    noise = DrawGenerator(0, 0, 1)
    with pytest.raises(RuntimeError, match="WORDS"):
        noise.permutations(DrawGenerator.WORDS + 1)


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"steps_per_batch": -1}, {"workers": -1}, {"seed": -1}])
def test_sizes_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Counting(**wrong)


def test_a_split_without_samples_is_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        Counting(size=0).samples("train")


def test_a_family_that_lacks_methods_cannot_be_built() -> None:
    class Half(PuzzleData):
        def load(self, split: str) -> Samples:
            raise NotImplementedError

        def parse(self, text: str) -> Tokens:
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"abstract class Half .*abstract methods verify, write"):
        Half()


class Positional(Counting):
    """Its arguments go to the base by position, and one of them is fixed."""

    def __init__(self, half: int, **kwargs: int) -> None:
        super().__init__(2 * half, slots=4, **kwargs)


def size_of(data: PuzzleData) -> tuple[int, dict[str, Any]]:
    return data.size, data.family["init_args"]


def test_arguments_of_the_very_class_are_recorded_however_they_are_given() -> None:
    data = Positional(3, seed=5)
    assert data.family["init_args"] == {"half": 3, "seed": 5} == dict(data.hparams)
    assert Positional(**data.family["init_args"]).size == 6
    assert size_of(copy.deepcopy(data)) == size_of(pickle.loads(pickle.dumps(data))) == size_of(data)
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # which imports the family anew
        assert pool.apply(operator.attrgetter("init_args"), (Sudoku(4, seed=5),)) == Sudoku(4, seed=5).init_args
    with pytest.raises(TypeError, match=r"Positional.__init__\(\) missing 1 required positional argument: 'half'"):
        Positional()
    with pytest.raises(TypeError, match="unexpected keyword argument 'sied'"):
        Positional(3, sied=5)


def test_training_puzzles_are_counted_without_holding_them_all() -> None:
    data = Counting()
    inputs = np.random.default_rng(0).integers(0, 200, (20_000, 81)).astype(np.uint8)
    rows = np.concatenate([inputs, inputs[:5_000]])
    data._splits["train"] = Samples(rows, rows, np.zeros(len(rows), dtype=np.int32))
    tracemalloc.start()
    assert data.training_puzzles == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes  # a set of rows takes 2.5 times as much


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sudoku(4, slots=None), r"data\.slots is null; accepted is int"),  # type: ignore[arg-type]
        (lambda: Maze(5, source=None), r"data\.source is null; accepted is str"),  # type: ignore[arg-type]
        (lambda: Pairs("x.jsonl", symmetries=None), r"data\.symmetries is null; accepted is tuple\[str, \.\.\.\]"),  # type: ignore[arg-type]
        (lambda: TRMModule(6, 16, 0, lr=None), r"model\.lr is null; accepted is float"),  # type: ignore[arg-type]
    ],
)
def test_null_is_refused_where_the_type_does_not_include_it(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()
    assert Sudoku(4, clues=None, eval_batch_size=None).eval_batch_size == 768


@pytest.mark.parametrize("setting", ["slots", "steps_per_batch", "workers", "seed", "symmetries", "source"])
def test_null_of_a_configuration_is_refused_where_a_value_is_needed(
    setting: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("null.yaml").write_text(f"data: {{init_args: {{{setting}: null}}}}\n")
    command = ["fit", "--config=configs/quickstart.yaml", "--config=null.yaml"]
    assert f"data.{setting} is null; accepted is " in refused(capsys, command)
