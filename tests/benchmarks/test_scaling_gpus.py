"""``make bench-scaling-gpus``: what the estimates are made of."""

import json
from pathlib import Path

import pytest
from fill_tables import measure as script

scaling = script("scaling-gpus")


def test_scaling_divides_operations_and_adds_what_does_not_shrink() -> None:
    work = scaling.Workload(flops=989e9, kernels=100, parameters=1_000_000, row=1000, slots=800, steps=7200)
    alone = scaling.estimate(work, 1, 0.25)
    assert alone.compute == pytest.approx(3.2)  # 800 slots x 0.989 TFLOP at a quarter of 989 TFLOP/s
    assert alone.communication == 0
    assert alone.launches == pytest.approx(100 * 5e-6)
    node, cluster = scaling.estimate(work, 8, 0.25), scaling.estimate(work, 64, 0.25)
    assert node.compute == pytest.approx(0.4)
    assert node.communication == pytest.approx(7 / 8 * (8e6 + 8e5) / 450e9 + 4 * 30e-6)
    assert cluster.communication == pytest.approx(63 / 64 * (8e6 + 8e5) / 50e9 + 4 * 60e-6)
    assert node.step == pytest.approx(node.compute + node.communication)
    assert scaling.estimate(work, 64, 1e6).step == pytest.approx(cluster.launches + cluster.communication)
    assert scaling.stops_at(work, 0.25) == pytest.approx(3.2 / 5e-4)
    assert scaling.implied_utilisation(work, "H100", 4, 4.0) == pytest.approx(0.1)  # 1.6 h at the peak of one


def test_counting_a_run_again_gives_the_committed_operations(tmp_path: Path) -> None:
    assert scaling.main(["--runs", "sudoku", f"--into={tmp_path}"]) == 0
    counted, committed = (json.loads((at / "data.json").read_text())["runs"] for at in (tmp_path, scaling.HERE))
    assert counted.keys() == {"sudoku"}
    for name in ("flops", "parameters", "row", "slots", "steps"):
        assert counted["sudoku"][name] == committed["sudoku"][name], name


def test_the_table_has_every_run_on_every_number_of_devices() -> None:
    lines = scaling.tables()["estimates"].splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        f"| {name}" for name in scaling.CONFIGS for _ in scaling.DEVICES
    ]
