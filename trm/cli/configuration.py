"""Reads and saves configurations: Lightning's parser with our errors and help, and ``config.yaml`` of a run."""

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from trm.arguments import RENAMED
from trm.cli.arrange import arrange
from trm.cli.messages import config_files, values_of
from trm.cli.parser import OneSentence
from trm.errors import InputError
from trm.text import read_yaml


class SaveFitConfig(SaveConfigCallback):
    """Saves the configuration of a training run; an evaluation does not overwrite it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing yet: the checkpoint of another run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save ``config.yaml`` beside the log."""
        super().setup(trainer, pl_module, "fit")


class Parser(OneSentence, LightningArgumentParser):
    """Lightning's parser, with errors of one sentence and an arranged help."""

    def dump(self, cfg: Any, *args: Any, **options: Any) -> str:
        """Return a configuration as text, with the names of this version."""
        cfg = cfg.clone()
        rename(cfg)
        return str(super().dump(cfg, *args, **options))

    def format_help(self, *formatter: Any) -> str:
        """Return the help: usage, description, and the options in groups."""
        if self._subcommands_action is not None:  # the list of commands
            return str(super().format_help(*formatter))
        groups = self._action_groups
        linked = {action for group in groups if group.title == "Linked arguments" for action in group._group_actions}
        arranged = arrange([action for action in self._actions if action not in linked], self.prog.split()[-1])
        self.usage = f"{self.prog.replace(' [options]', '')} --config FILE [options]"
        self._action_groups: list[Any] = [
            SimpleNamespace(title=title, description=text, _group_actions=actions) for title, text, actions in arranged
        ]
        try:
            return str(super().format_help(*formatter))
        finally:
            self._action_groups = groups


def configurations(given: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the contents of the configurations of a command line; those that the parser will refuse are left out."""
    for file in config_files(given):
        with contextlib.suppress(InputError):
            content = read_yaml(Path(file))
            if isinstance(content, dict):
                yield content


def named_models(args: Any) -> list[str]:
    """Return the class paths that ``--model`` and the configurations name; usually there are none."""
    if isinstance(args, Mapping):
        return _class_of(args.get("model"))
    found = [path for model in values_of(args, "--model") for path in _class_of(model)]
    return [*found, *(path for content in configurations(args) for path in _class_of(content.get("model")))]


def _class_of(model: Any) -> list[str]:
    """Return the class path in a setting of the model, a dotted path or a mapping with ``class_path``."""
    if isinstance(model, Mapping):
        return [str(model["class_path"])] if "class_path" in model else []
    return [model] if isinstance(model, str) and not Path(model).is_file() and not model.startswith("{") else []


def rename(settings: Any) -> list[str]:
    """Give the settings of a model that had another name in earlier versions their present one.

    Returns:
        A sentence for each.
    """
    model, told = settings.get("model"), []
    for before, now in RENAMED.items():
        if model is not None and before in model:
            model[now] = model.pop(before)
            told.append(f"model.{before} is now called model.{now}; it is {model[now]}.")
    return told


def replaced_family(given: Iterable[str], class_path: str, accepted: Iterable[str]) -> str:
    """Return a sentence on the settings of a configuration that a family of another class takes over.

    Args:
        given: the command line.
        class_path: the class of the family.
        accepted: names of its arguments.

    Returns:
        An empty string if the configurations have the same class, or no settings of a family.
    """
    theirs, settings = "", dict[str, Any]()
    for content in configurations(given):
        data = content.get("data")
        if isinstance(data, dict):
            theirs = str(data.get("class_path", theirs))
            settings |= data.get("init_args") or {}
    ours, own = class_path.rpartition("."), theirs.rpartition(".")
    same = ours[2] == own[2] and (theirs == class_path or (class_path.startswith("trm.") and own[0][:3] in ("", "trm")))
    if same or not theirs:
        return ""
    set_here = {argument.partition("=")[0].removeprefix("--data.") for argument in given}
    accepted = set(accepted)
    taken = [f"{name} {value}" for name, value in settings.items() if name in accepted - set_here]
    dropped = [name for name in settings if name not in accepted]
    lost = f", and drops {', '.join(dropped)}, which it does not have" if dropped else ""
    return (
        f"The family is {class_path}, not {theirs} of the configuration: it takes over "
        f"{', '.join(taken) or 'no setting'}{lost}."
    )


def quiet() -> None:
    """Silence Lightning's warnings about choices that are made here on purpose."""
    for message in (
        ".*isinstance.treespec, LeafSpec.. is deprecated",
        ".*there is no last checkpoint available",  # the line at the start of training says from what it starts
        "The number of training batches",  # logging counts beyond an epoch; RunNotice warns of runs that are too short
        "Checkpoint directory .* exists and is not empty",  # Checkpoints warns if the run overwrites an earlier one
        r"It is recommended to use .self.log\(.(train|val|test|cost|speed)/",  # these metrics are synced
        "Total length of `list` across ranks is zero",  # no validation samples
        "Couldn't infer the batch indices",
        ".*does not have many workers",
    ):
        warnings.filterwarnings("ignore", message=message)
    unwanted = ("litlogger", "TPU available")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not any(words in str(record.msg) for words in unwanted)
    )
