"""``trm tune --config``: the rungs of successive halving, the space of each family, and what the command writes.

The clock of the command is a counter in these tests, so nothing depends on the speed of the machine.
"""

import csv
import math
import random
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from command import refused
from pairs import next_symbol, random_grids, write_lines, write_pairs
from paths import REPO
from training import BOARDS, SMALL

from trm.cli.main import main
from trm.data import Maze, Pairs, Sudoku
from trm.errors import DivergedError, InputError, Stopped
from trm.module import TRMModule
from trm.nn.symmetric import Symmetric
from trm.tune.halving import halve, rungs_of, size_for
from trm.tune.space import Settings, candidates, draw, size_of, sizes_with
from trm.tune.trial import Allotment, Row, Trials

QUICKSTART = str(REPO / "configs" / "quickstart.yaml")
TUNE = ["tune", "--config", QUICKSTART, *SMALL, *BOARDS, "-o", "tuned.yaml"]


def row(candidate: int, rung: int, score: float, seconds: float = 1.0, failure: str = "") -> Row:
    return Row(candidate, rung, score, score, score, 64, 16, seconds, 100, failure)


def table() -> list[dict[str, str]]:
    return list(csv.DictReader(Path("tuned.csv").read_text().splitlines()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock whose every look takes a second, for all that the command measures; candidates are narrow and short."""
    ticks = count()
    fake = SimpleNamespace(**dict.fromkeys(("monotonic", "process_time", "perf_counter"), lambda: float(next(ticks))))
    for module in ("trm.tune.halving", "trm.tune.trial", "trm.cli.commands.tune_search"):
        monkeypatch.setattr(f"{module}.time", fake)
    monkeypatch.setattr("trm.tune.trial.LEAST_STEPS", 2)
    monkeypatch.setattr("trm.tune.space.WIDTHS", {"trm": (16,), "symmetric": (8,)})
    return fake


# -- successive halving -----------------------------------------------------------------------------------------------


def test_the_best_third_goes_on_for_three_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []
    monkeypatch.setattr("trm.tune.halving.time", SimpleNamespace(monotonic=lambda: now[0]))

    def run(candidate: int, rung: int, allotment: Allotment) -> Row:
        asked.append((rung, candidate, allotment.seconds))
        now[0] += allotment.seconds
        return row(candidate, rung, candidate / 100, sum(a[2] for a in asked if a[1] == candidate))

    best = halve(27, run, 270.0, lambda _: None)
    assert best is not None
    assert best.candidate == 26
    assert [sum(a[0] == rung for a in asked) for rung in range(3)] == [27, 9, 3]
    assert {a[1] for a in asked if a[0] == 2} == {26, 25, 24}
    for rung in range(3):
        assert {round(a[2], 6) for a in asked if a[0] == rung} == {round(270 / 3 / (27, 9, 3)[rung], 6)}
    assert now[0] == pytest.approx(270)  # the budget is used up, and holds


def test_a_busy_machine_gives_every_candidate_the_process_time_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []
    monkeypatch.setattr("trm.tune.halving.time", SimpleNamespace(monotonic=lambda: now[0]))

    def run(candidate: int, rung: int, allotment: Allotment) -> Row:
        asked.append(allotment.seconds)
        wall = min(allotment.until - now[0], 4 * allotment.seconds)  # a quarter of a core
        now[0] += wall
        return row(candidate, rung, 0.5, wall / 4)

    best = halve(3, run, 30.0, lambda _: None)
    assert best is not None
    assert best.candidate == 0  # the first of equals
    assert asked == [10.0, 2.5, 2.5]
    assert now[0] <= 30


def test_failures_are_rows_and_only_if_all_fail_there_is_no_winner() -> None:
    seen: list[Row] = []
    failing = {0: "DivergedError: NaN", 2: "too slow"}
    best = halve(3, lambda c, r, _: row(c, r, 0.1, failure=failing.get(c, "")), 10.0, seen.append)
    assert best is not None
    assert best.candidate == 1
    assert [r.failure for r in seen] == ["DivergedError: NaN", "", "too slow"]
    assert halve(3, lambda c, r, _: row(c, r, math.nan, failure="no"), 10.0, seen.append) is None


def test_a_budget_that_ends_early_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("trm.tune.halving.time", SimpleNamespace(monotonic=lambda: now[0]))

    def run(candidate: int, rung: int, allotment: Allotment) -> Row:
        now[0] += 40.0  # far more than it was given
        return row(candidate, rung, candidate / 10)

    best = halve(9, run, 90.0, lambda _: None)
    assert best is not None
    assert best.candidate == 2  # of the three that were reached


@pytest.mark.parametrize(("seconds", "size"), [(10_000, 27), (81, 27), (80, 9), (18, 9), (17, 3), (3, 3), (2.9, 0)])
def test_the_number_of_candidates_follows_the_budget(seconds: float, size: int) -> None:
    assert size_for(seconds, 1.0) == size
    assert [rungs_of(n) for n in (27, 26, 9, 3, 1)] == [3, 3, 2, 1, 1]


# -- the space --------------------------------------------------------------------------------------------------------


def module_of(data: Any, **options: Any) -> TRMModule:
    sizes = {"num_symbols": data.num_symbols, "hidden_size": 16, "num_heads": 2}
    return TRMModule(data.vocab_size, data.seq_len, **sizes, **options)


def test_the_space_follows_the_family() -> None:
    def values(data: Any, name: str) -> set[Any]:
        model = module_of(data)
        return {draw(model, data, random.Random(seed)).named()[name] for seed in range(20)}

    assert values(Sudoku(4), "model.network") == {"trm", "symmetric"}
    assert values(Maze(5, kind="unique"), "model.network") == {"trm"}  # no interchangeable symbols
    assert values(Maze(5, kind="unique"), "model.mixer") == {"mlp", "attention"}
    assert values(Maze(30), "model.mixer") == {"attention"}  # too many cells
    assert values(Sudoku(4), "data.symmetries") == {True, False}
    assert values(Maze(5, kind="unique"), "model.grid_conv") == {0, 3}
    padded = Sudoku(4)
    padded.padded = True  # type: ignore[misc]  # boards of several sizes
    assert values(padded, "model.mixer") == {"attention"}


def test_a_convolution_over_the_grid_is_tried_where_there_is_a_grid_and_no_symmetric_network(tmp_path: Path) -> None:
    class OwnSymmetric(Symmetric):
        """A symmetric network of the user's own, which is kept."""

    def widths(data: Any, model: TRMModule, network: str) -> set[int | None]:
        drawn = [draw(model, data, random.Random(seed)).model for seed in range(20)]
        return {settings.get("grid_conv") for settings in drawn if settings["network"] == network}

    four, six = Sudoku(4), Sudoku(6)
    assert widths(six, module_of(six), "trm") == {0, 3}
    assert widths(six, module_of(six), "symmetric") == {None}
    assert widths(four, module_of(four, network="hrm"), "hrm") == {0, 3}
    own = module_of(four, network=OwnSymmetric, grid_conv=0)
    assert widths(four, own, str(own.hparams["network"])) == {None}
    wide = Pairs(str(write_pairs(tmp_path / "wide.jsonl", random_grids(40, shape=(2, 5)), next_symbol)))
    model = module_of(wide, grid=wide.grid)
    assert widths(wide, model, "trm") == {0, 3}
    assert size_of(model, wide, Settings({"grid_conv": 3}, {})) > size_of(model, wide, Settings({}, {}))
    wide.grid = ()  # of a family of the user's own that has no rows and columns
    assert widths(wide, model, "trm") == {None}


def test_symmetries_of_pairs_are_tried_if_the_pairs_do_not_contradict_them(tmp_path: Path) -> None:
    grids = random_grids(40, shape=(2, 2), symbols=3)
    data = Pairs(str(write_pairs(tmp_path / "next.jsonl", grids, next_symbol)))
    found = data.tunable["symmetries"]
    assert ("dihedral",) in found
    assert ("symbols",) not in found, "the next symbol of a renamed one is another"
    assert found[0] == ()
    assert found[-1] == ("dihedral", "rows", "columns")
    sorted_rows = Pairs(str(write_pairs(tmp_path / "sorted.jsonl", grids, lambda grid: np.sort(grid, axis=1))))
    assert sorted_rows.tunable["symmetries"] == ((), ("vertical_flip",), ("rows",), ("vertical_flip", "rows"))
    words = [{"question": "ab", "answer": "ba"}, *({"question": text, "answer": text[::-1]} for text in ("bc", "cca"))]
    uneven = Pairs(str(write_lines(tmp_path / "words.jsonl", words)), val_size=0, test_size=0)
    assert ("horizontal_flip",) in uneven.tunable["symmetries"]
    assert ("dihedral",) not in uneven.tunable["symmetries"], "one row is not square"


def test_the_network_of_a_candidate_has_the_symbols_that_its_symmetries_rename(tmp_path: Path) -> None:
    grids = random_grids(40, shape=(2, 2), symbols=3)
    data = Pairs(str(write_pairs(tmp_path / "same.jsonl", grids, lambda grid: grid)))
    model = module_of(data)
    drawn = [draw(model, data, random.Random(seed)) for seed in range(40)]
    assert {settings.model["network"] for settings in drawn} == {"trm", "symmetric"}
    for settings in drawn:
        renames = "symbols" in settings.data["symmetries"]
        assert renames or settings.model["network"] == "trm"
        assert sizes_with(data, {"symmetries": settings.data["symmetries"]})["num_symbols"] == 3 * renames
        assert size_of(model, data, settings) > 0


def test_candidates_are_seeded_different_small_enough_and_can_be_built() -> None:
    data = Sudoku(4)
    model = module_of(data)
    found = candidates(model, data, 9, 0, 50_000)
    assert found == candidates(model, data, 9, 0, 50_000) != candidates(model, data, 9, 1, 50_000)
    assert found[0].named() == {}  # the configuration itself
    assert all(found.count(settings) == 1 for settings in found)
    assert all(size_of(model, data, settings) <= 50_000 for settings in found)
    with pytest.raises(InputError, match=r"parameters is 10, but the configuration itself has [\d,]+"):
        candidates(model, data, 9, 0, 10)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_test_split(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sudoku boards of which nobody may look at the test split."""
    real = Sudoku.load_first

    def load(self: Sudoku, split: str, count: int) -> Any:
        assert split in ("train", "val")
        return real(self, split, count)

    with monkeypatch.context() as patch:
        patch.setattr(Sudoku, "load_first", load)
        yield


@pytest.mark.usefixtures("clock", "without_test_split")
def test_it_writes_a_configuration_that_trains_a_table_and_a_picture(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TUNE, "--minutes", "2"]) == 0
    assert {path.name for path in here.iterdir()} - {"configs"} == {"tuned.yaml", "tuned.csv", "tuned.svg"}
    rows = table()
    scored = [row for row in rows if not row["failure"]]
    assert [row["candidate"] for row in rows[:3]] == ["0", "1", "2"]
    assert all(row["model.lr"] == "" for row in rows if row["candidate"] == "0")
    assert {row["puzzles"] for row in scored} == {"8"}  # the validation split has no more
    text = (here / "tuned.yaml").read_text()
    assert text.startswith("# ")
    assert "Machine:" in text
    config = yaml.safe_load(text)
    assert config["trainer"]["check_val_every_n_epoch"] is None
    assert config["trainer"]["logger"]["init_args"]["save_dir"] == "runs/tuned"
    assert config["ckpt_path"] == "last"
    best = max(scored, key=lambda row: (int(row["rung"]), float(row["score"])))
    if best["candidate"] != "0":
        assert str(config["model"]["lr"]) == best["model.lr"]
        assert str(config["data"]["init_args"]["slots"]) == best["data.slots"]
    assert refused(capsys, [*TUNE, "--minutes", "2"]).endswith("tuned.yaml exists already; --force overwrites it")
    assert main(["fit", "--config", "tuned.yaml", "--trainer.max_steps=2", "--trainer.enable_progress_bar=false"]) == 0
    assert (here / "runs" / "tuned" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.usefixtures("clock")
def test_symmetries_of_pairs_are_chosen_and_a_mixture_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(Path("pairs.jsonl"), random_grids(60))
    command = ["tune", "--config=configs/pairs.yaml", *SMALL, "-o", "tuned.yaml", "--minutes=3"]
    assert main(command) == 0
    rows = table()
    assert {row["data.symmetries"] for row in rows if row["candidate"] == "0"} == {""}
    assert len({row["data.symmetries"] for row in rows if not row["failure"]}) > 2
    quiet = ["--trainer.max_steps=2", "--trainer.enable_progress_bar=false"]
    assert main(["fit", "--config", "tuned.yaml", *quiet]) == 0
    mixed = ["tune", "--config=configs/mixture.yaml", *SMALL, "-o", "mixed.yaml"]
    assert "the family is a Mixture, whose validation puzzles are those of one family" in refused(capsys, mixed)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), DivergedError("not finite", before=True)])
def test_a_candidate_that_fails_is_a_row(error: Exception, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trials._built

    def built(self: Trials, settings: Any) -> Any:
        if settings.model:
            raise error
        return real(self, settings)

    monkeypatch.setattr(Trials, "_built", built)
    assert main([*TUNE, "--minutes", "2"]) == 0
    rows = table()
    assert {row["failure"] for row in rows if row["candidate"] != "0"} == {f"{type(error).__name__}: {error}"}
    assert "Changed:   nothing" in (here / "tuned.yaml").read_text()


@pytest.mark.usefixtures("clock")
def test_a_signal_writes_the_best_so_far(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trials.run

    def run(self: Trials, candidate: int, rung: int, allotment: Allotment) -> Row:
        if candidate == 1:
            raise Stopped(signal.SIGINT, "stopped before its end")
        return real(self, candidate, rung, allotment)

    monkeypatch.setattr(Trials, "run", run)
    assert main([*TUNE, "--minutes", "2"]) == 128 + signal.SIGINT
    assert len(table()) == 1
    assert yaml.safe_load((here / "tuned.yaml").read_text())["data"]["class_path"].endswith("Sudoku")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--minutes", "0"], "minutes is 0, but must be a number greater than 0"),
        (["--minutes=-3"], "minutes is -3, but must be a number greater than 0"),
        (["--minutes", "nan"], "minutes is nan, but must be a number"),
        (["--minutes", "inf"], "minutes is inf, but must be a number"),
        (["--minutes", "0.1"], "but to compare 3 candidates of this configuration takes at least"),
        (["--data.val_size", "0"], "Sudoku has no validation split to choose on"),
        (["--parameters", "3"], "parameters is 3, but the configuration itself has"),
        (["--model.lr", "-1"], "model.lr"),
        (["-o", "tuned.ckpt"], "output is 'tuned.ckpt', but must be a configuration to write"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_a_sentence(
    options: list[str], reason: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in refused(capsys, [*TUNE, *options])


def test_a_file_of_puzzles_is_not_overwritten_by_the_table_beside_the_configuration(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tuned.csv").write_text("question,answer\n")
    message = refused(capsys, [*TUNE, "--data.source=tuned.csv", "--force"])
    assert "tuned.csv is the file that is read; choose another one to write to" in message


@pytest.mark.usefixtures("clock")
def test_a_configuration_that_cannot_be_trained_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(Trials, "_built", fail)
    assert "the configuration itself cannot be trained: MemoryError: no memory" in refused(capsys, TUNE)
