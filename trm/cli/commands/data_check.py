"""The command ``trm data check``."""

import json as json_format
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trm.cli.parser import ENV_PREFIX, OneSentence
from trm.errors import InputError, counted
from trm.text import read_yaml

if TYPE_CHECKING:
    from trm.data import PuzzleData
    from trm.data.integrity import Report


def data_check(
    source: str = "",
    /,
    *options: str,
    config: list[str] = [],  # noqa: B006 - never changed
    json: bool = False,
) -> int:
    """Look for malformed samples, duplicates, contradictions, wrong answers and leaks between splits.

    Each line states what was looked for and on how many samples; a line "skipped" states what could not be checked.

    Args:
        source: a file or folder of pairs, short for --data Pairs --data.source SOURCE; or a checkpoint, whose data is
            checked.
        *options: the ``--data`` options of ``trm fit``, such as --data Sudoku --data.size 4.
        config: configuration whose data part is checked, -c for short; of several, later ones override earlier ones.
            Other parts are ignored.
        json: print one JSON object.

    Returns:
        0 if there are no faults, else 1.
    """
    from trm.data.integrity import check_data

    report = check_data(
        _of_checkpoint(source, config, options) if source.endswith(".ckpt") else _built(source, config, options)
    )
    print(json_format.dumps(report.as_dict()) if json else _for_people(report))
    return 0 if report.clean else 1


def _of_checkpoint(path: str, config: list[str], options: Sequence[str]) -> "PuzzleData":
    """Return the data that a checkpoint was trained on."""
    from trm.checkpoints.load import load_checkpoint

    if config or options:
        raise InputError(f"trm data check has {path} and {[*config, *options][0]}; accepted is one source of data")
    return load_checkpoint(path)[1]


def _built(source: str, config: list[str], options: Sequence[str]) -> "PuzzleData":
    """Return the data that a source, configurations and options describe."""
    from trm.cli.configuration import replaced_family
    from trm.data import PuzzleData

    if source:
        options = ["--data=Pairs", f"--data.source={source}", *options]
    parser = OneSentence(prog="trm data check", env_prefix=f"{ENV_PREFIX}_DATA_CHECK_")
    parser.add_subclass_arguments(PuzzleData, "data", required=False)
    arguments = parser.parse_args([*_data_arguments(config), *options])
    if arguments.data is None:
        raise InputError(
            "trm data check needs a file of pairs, --config FILE, such as configs/quickstart.yaml, or --data FAMILY"
        )
    accepted = (arguments.data.get("init_args") or {}).keys()
    given = [*(f"--config={file}" for file in config), *options]
    if sentence := replaced_family(given, arguments.data.class_path, accepted):
        print(sentence, file=sys.stderr)
    data: PuzzleData = parser.instantiate(arguments).data
    return data


def _data_arguments(files: list[str]) -> list[str]:
    """Return the data part of configurations as options; later ones override earlier ones."""
    options = []
    for file in files:
        config = read_yaml(Path(file))
        data = config.get("data") if isinstance(config, dict) else None
        if isinstance(data, str) and data:
            data = {"class_path": data}
        if not (isinstance(data, dict) and data):
            raise InputError(f"the configuration {file} has no data part")
        if "class_path" in data:
            options.append(f"--data={data['class_path']}")
        for name, value in (data.get("init_args") or {}).items():
            options.append(f"--data.{name}={value if isinstance(value, str) else json_format.dumps(value)}")
    return options


def _for_people(report: "Report") -> str:
    lines = [f"{split:>6}: {counted(count, 'sample')}" for split, count in report.samples.items()]
    for what, found, checked, how, fault in report.findings:
        mark = ("FAULT" if fault else "note") if found else "ok"
        lines.append(f"{mark:<8}{what}: {found:,} of {checked:,}{how and ', ' + how}")
    lines += [f"{'skipped':<8}{what}: {why}" for what, why in report.unchecked.items()]
    faults = sum(map(bool, report.faults.values()))
    return "\n".join([*lines, f"{faults} of {counted(len(report.faults), 'check')} found faults"])
