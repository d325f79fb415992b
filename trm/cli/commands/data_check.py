"""The command ``trm data check``."""

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trm.cli.parser import ENV_PREFIX, OneSentence
from trm.errors import InputError
from trm.text import read_yaml

if TYPE_CHECKING:
    from trm.data.integrity import Report


def data_check(*options: str, config: list[str] = [], json: bool = False) -> int:  # noqa: B006 - never changed
    """Look for malformed samples, duplicates, contradictions, wrong answers and leaks between splits.

    Each line states what was looked for and on how many samples; a line "skipped" states what could not be checked.

    Args:
        *options: the ``--data`` options of ``trm fit``, such as --data Sudoku --data.size 4.
        config: configuration whose data part is checked, -c for short; of several, later ones override earlier ones.
            Other parts are ignored.
        json: print one JSON object.

    Returns:
        0 if there are no faults, else 1.
    """
    from trm.cli.configuration import replaced_family
    from trm.data import PuzzleData
    from trm.data.integrity import check_data

    parser = OneSentence(prog="trm data check", env_prefix=f"{ENV_PREFIX}_DATA_CHECK_")
    parser.add_subclass_arguments(PuzzleData, "data", required=False)
    arguments = parser.parse_args([*_data_arguments(config), *options])
    if arguments.data is None:
        raise InputError("trm data check needs --config FILE, such as configs/quickstart.yaml, or --data FAMILY")
    accepted = (arguments.data.get("init_args") or {}).keys()
    given = [*(f"--config={file}" for file in config), *options]
    if sentence := replaced_family(given, arguments.data.class_path, accepted):
        print(sentence, file=sys.stderr)
    report = check_data(parser.instantiate(arguments).data)
    print(json_format.dumps(report.as_dict()) if json else _for_people(report))
    return 0 if report.clean else 1


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
    lines = [f"{split:>6}: {count:,} samples" for split, count in report.samples.items()]
    for what, found, checked, how, fault in report.findings:
        mark = ("FAULT" if fault else "note") if found else "ok"
        lines.append(f"{mark:<8}{what}: {found:,} of {checked:,}{how and ', ' + how}")
    lines += [f"{'skipped':<8}{what}: {why}" for what, why in report.unchecked.items()]
    faults = sum(map(bool, report.faults.values()))
    return "\n".join([*lines, f"{faults} of {len(report.faults)} checks found faults"])
