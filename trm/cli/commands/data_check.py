"""The command ``trm data check``."""

import argparse
import json
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from trm.data import PuzzleData
from trm.data.integrity import Report, check_data
from trm.errors import InputError


def check(argv: list[str]) -> int:
    """Theme for duplicates, leaks between splits, and wrong or ambiguous answers in a set of puzzles.

    Takes the configurations and ``--data`` options that ``trm fit`` takes; the rest of a configuration is ignored.

    Returns:
        0 if nothing is wrong, else 1.
    """
    parser = ArgumentParser(prog="trm data check", description=(check.__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--config", metavar="FILE", help="configuration whose data part is checked")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_subclass_arguments(PuzzleData, "data", required=True)
    configs = argparse.ArgumentParser(prog=parser.prog, usage="%(prog)s --help", add_help=False, allow_abbrev=False)
    configs.add_argument("-c", "--config", action="append", default=[])
    given, others = configs.parse_known_args(argv)
    arguments = parser.parse_args([*_data_arguments(given.config), *others])
    report = check_data(parser.instantiate_classes(arguments).data)
    print(json.dumps(report._asdict()) if arguments.json else _for_people(report))
    return 0 if report.clean else 1


def _data_arguments(files: list[str]) -> list[str]:
    """Turn the data part of configurations into options, in the order in which they go on top of each other."""
    options = []
    for file in files:
        try:
            config = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"cannot read the configuration {file}: {error}") from error
        data = config.get("data") if isinstance(config, dict) else None
        if isinstance(data, str) and data:
            data = {"class_path": data}
        if not (isinstance(data, dict) and data):
            raise InputError(f"the configuration {file} has no data part")
        if "class_path" in data:
            options.append(f"--data={data['class_path']}")
        for name, value in (data.get("init_args") or {}).items():
            options.append(f"--data.{name}={value if isinstance(value, str) else json.dumps(value)}")
    return options


def _for_people(report: Report) -> str:
    lines = [f"{split:>6}: {count:,} rows" for split, count in report.rows.items()]
    lines += [f"{count:>9,}  {fault}" for fault, count in report.faults.items()]
    return "\n".join([*lines, "nothing is wrong" if report.clean else "something is wrong: see the counts above"])
