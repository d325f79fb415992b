"""``TRMTrainer``: the one trainer behind the commands that take a configuration."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from trm.analysis.report import columns
from trm.checkpoints.finetune import start_from
from trm.cli.commands.bench import bench
from trm.cli.commands.tune_search import search
from trm.errors import InputError
from trm.module import TRMModule
from trm.reproduce.ledger import check_ledger, rows, write


class TRMTrainer(Trainer):
    """Lightning's trainer; its methods are the commands that take a configuration."""

    command: Sequence[str] = ()
    """The command line that built the trainer, after the settings that came from the environment."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """The settings of ``trm tune`` that are not defaults, as a configuration has them."""

    def evaluation_command(self, which: str) -> str:
        """Return the command that evaluates a checkpoint, "best" or "last", of the run of this trainer's command."""
        start, options, skip = list(self.command).index("trm"), [], False
        variables = [variable.replace("TRM_FIT__", "TRM_TEST__", 1) for variable in self.command[:start]]
        for option in self.command[start + 2 :]:
            name = option.partition("=")[0]
            if not skip and name not in ("--ckpt_path", "--weights"):
                options.append(option)
            skip = name in ("--ckpt_path", "--weights") and "=" not in option
        return shlex.join([*variables, "trm", "test", *options, "--ckpt_path", which])

    def fit(self, model: LightningModule, *args: Any, weights: str = "", **kwargs: Any) -> None:
        """Train a network, or resume its training.

        Args:
            model: the module.
            *args: as Lightning's.
            weights: checkpoint, or name of a model, whose parameters to start from, in place of random ones; optimizer,
                schedule, average and steps start anew. A run that has a checkpoint of its own resumes from that.
            **kwargs: as Lightning's.

        Raises:
            InputError: if the parameters are of another network, or the run to resume started from others.
        """
        if weights:
            if not isinstance(model, TRMModule):
                raise InputError(f"weights is {weights!r}, but needs a TRMModule, not {type(model).__name__}")
            start_from(model, weights, kwargs.get("datamodule"))
        super().fit(model, *args, **kwargs)

    def test(self, *args: Any, ledger: str = "", claim: str = "", verbose: bool = True, **kwargs: Any) -> Any:
        """Evaluate a checkpoint on the test split.

        Args:
            *args: as Lightning's.
            ledger: CSV file to write the results to, with their intervals and provenance.
            claim: name of the results in the ledger, where they replace earlier ones of that name; by default runs/ and
                the name of the run's folder.
            verbose: print the metrics.
            **kwargs: as Lightning's.

        Raises:
            InputError: if the ledger cannot be written; nothing is evaluated then.
        """
        if claim and not ledger:
            raise InputError(f"--claim is {claim!r}, but it names results in a ledger: pass --ledger FILE too")
        if ledger:
            check_ledger(Path(ledger))
        results = super().test(*args, verbose=False, **kwargs)  # type: ignore[misc]  # verbose by position is refused
        if verbose:
            self._print(results)
        if ledger and self.is_global_zero:
            name = claim or f"runs/{Path(self.log_dir or '').resolve().name}"
            write(Path(ledger), rows(self, name, self.command))
        return results

    def validate(self, *args: Any, verbose: bool = True, **kwargs: Any) -> Any:
        """Evaluate a checkpoint on the validation split.

        Args:
            *args: as Lightning's.
            verbose: print the metrics.
            **kwargs: as Lightning's.
        """
        results = super().validate(*args, verbose=False, **kwargs)  # type: ignore[misc]  # verbose by position is refused
        if verbose:
            self._print(results)
        return results

    def _print(self, results: Any) -> None:
        """Print the metrics of each data loader, with four digits."""
        if self.is_global_zero:
            for metrics in results:
                print(columns(["metric", "value"], [(name, _four_digits(value)) for name, value in metrics.items()]))

    bench = bench
    tune = search


def _four_digits(value: float) -> str:
    return f"{value:.4f}" if not value or abs(value) >= 1e-3 else f"{value:.4g}"
