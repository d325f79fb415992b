"""Reads and saves configurations: Lightning's parser with our errors and help, and ``config.yaml`` of a run."""

import logging
import warnings
from types import SimpleNamespace
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from trm.cli.arrange import arrange
from trm.cli.parser import OneSentence


class SaveFitConfig(SaveConfigCallback):
    """Saves the configuration of a training run; an evaluation does not overwrite it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing yet: the checkpoint of another run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save ``config.yaml`` beside the log."""
        super().setup(trainer, pl_module, "fit")


class Parser(OneSentence, LightningArgumentParser):
    """Lightning's parser, with errors of one sentence and an arranged help."""

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


def quiet() -> None:
    """Silence Lightning's warnings about choices that are made here on purpose."""
    for message in (
        ".*isinstance.treespec, LeafSpec.. is deprecated",
        ".*there is no last checkpoint available",
        "The number of training batches",  # logging counts beyond an epoch
        "Checkpoint directory .* exists and is not empty",
        "It is recommended to use .self.log.*sync_dist",  # the metrics are synced
        "Total length of `list` across ranks is zero",  # no validation samples
        "Couldn't infer the batch indices",
        ".*does not have many workers",
        ".*WeightAveraging state cannot be restored",
    ):
        warnings.filterwarnings("ignore", message=message)
    unwanted = ("litlogger", "TPU available")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not any(words in str(record.msg) for words in unwanted)
    )
