"""``TRMCLI`` and the one ``Trainer`` behind the commands that take a configuration."""

import inspect
import itertools
import os
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins import CheckpointIO

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.interrupt import Interrupt
from trm.callbacks.notice import RunNotice
from trm.callbacks.progress import Progress
from trm.callbacks.threads import Threads
from trm.checkpoints.files import CheckpointFiles, read_checkpoint
from trm.checkpoints.finetune import start_from
from trm.classes import class_path, find_class
from trm.cli.commands.bench import bench, trainer_arguments
from trm.cli.configuration import Parser, SaveFitConfig, quiet
from trm.cli.parser import ENV_PREFIX, spelled_out
from trm.data import PuzzleData
from trm.errors import InputError, check_range
from trm.module import TRMModule
from trm.reproduce.ledger import check_ledger, rows, write
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import refuse_other_network
from trm.training.precision import check_requested_precision


class TRMTrainer(Trainer):
    """Lightning's trainer, each of whose methods is a command on a configuration."""

    command: Sequence[str] = ()
    """How the evaluation was asked for."""

    def fit(self, model: LightningModule, *args: Any, weights: str = "", **kwargs: Any) -> None:
        """Train a network, or go on with its training.

        Args:
            model: the module.
            *args: as Lightning's.
            weights: checkpoint or model of the zoo whose weights to start from, in place of random ones; optimizer,
                schedule, average and steps start afresh. A run that has a checkpoint of its own goes on from that.
            **kwargs: as Lightning's.

        Raises:
            InputError: if they are weights of another network, or the run to go on with started from others.
        """
        if weights:
            assert isinstance(model, TRMModule)
            start_from(model, weights, kwargs.get("datamodule"))
        super().fit(model, *args, **kwargs)

    def test(self, *args: Any, ledger: str = "", claim: str = "", **kwargs: Any) -> Any:
        """Evaluate a checkpoint on the test split.

        Args:
            *args: as Lightning's.
            ledger: CSV file to write the results to, with their intervals and where they come from.
            claim: name of the results in the ledger, whose earlier rows they replace; by default runs/ and the name of
                the run's folder.
            **kwargs: as Lightning's.

        Raises:
            InputError: if the ledger cannot be kept; nothing is evaluated then.
        """
        if claim and not ledger:
            raise InputError(f"--claim is {claim!r}, but without --ledger FILE nothing is written under that name")
        if ledger:
            check_ledger(Path(ledger))
        results = super().test(*args, **kwargs)
        if ledger and self.is_global_zero:
            name = claim or f"runs/{Path(self.log_dir or '').resolve().name}"
            write(Path(ledger), rows(self, name, self.command))
        return results

    def bench(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        what: Literal["train", "solve", "data", "all"] = "all",
        repeats: int = 5,
        output: str = "",
        json: bool = False,
        ckpt_path: str | None = None,
    ) -> None:
        """Measure how fast a configuration trains, solves and reads its data here; nothing of a run is written.

        Args:
            model: the module.
            datamodule: the family of puzzles.
            what: what to measure.
            repeats: measurements of each kind, whose median and range are printed. One of training takes a batch in
                Lightning and one in a bare loop, one of solving a batch of evaluation.
            output: JSON file to write the results to, -o for short.
            json: print one JSON object.
            ckpt_path: parameters to solve with. Without, or with "last" as the configurations have it for training,
                they are random, and every puzzle takes all steps.

        Raises:
            InputError: if an argument or the checkpoint cannot be used.
        """
        bench(self, model, datamodule, what, repeats, output, json, ckpt_path)


class TRMCLI(LightningCLI):
    """LightningCLI with the links from data to model, and checkpoints that are checked before anything is built.

    ``TRMCLI(TRMModule, PuzzleData)`` is the whole of a script that trains. All arguments are those of LightningCLI,
    with the defaults below; a ``trainer_class`` is a subclass of ``TRMTrainer``. Where ``--model my_models.MyTRM`` or a
    configuration names a class, it is trained in place of ``model_class``, of which it must be a subclass.

    Settings are also read from environment variables: ``TRM_FIT__DATA__SLOTS=64`` for ``fit --data.slots 64``, or
    ``TRM_DATA__SLOTS`` with ``run=False``. A configuration and the command line win over them.

    Raises:
        InputError: if the class named is none, or ``trainer_class`` is no subclass of ``TRMTrainer``, which has the
            commands.
    """

    def __init__(
        self,
        model_class: type[LightningModule] | Callable[..., LightningModule] = TRMModule,
        datamodule_class: type[LightningDataModule] | Callable[..., LightningDataModule] = PuzzleData,
        *,
        trainer_class: type[TRMTrainer] = TRMTrainer,
        trainer_defaults: dict[str, Any] | None = None,
        save_config_callback: type[SaveConfigCallback] | None = SaveFitConfig,
        save_config_kwargs: dict[str, Any] | None = None,
        parser_class: type[LightningArgumentParser] = Parser,
        seed_everything_default: bool | int = 0,
        subclass_mode_model: bool = False,
        subclass_mode_data: bool = True,
        auto_configure_optimizers: bool = False,
        args: Any = None,
        **options: Any,
    ) -> None:
        quiet()
        named = _named_models(sys.argv[1:] if args is None else args)
        for path in named:
            if "." in path and isinstance(model_class, type):  # else the parser looks among the imported subclasses
                find_class(path, model_class, "the model is")
        if not issubclass(trainer_class, TRMTrainer):
            raise InputError(f"trainer_class is {trainer_class.__name__}, but must be a subclass of TRMTrainer")
        super().__init__(
            model_class,
            datamodule_class,
            args=args,
            subclass_mode_model=bool(named) or subclass_mode_model,
            trainer_class=trainer_class,
            trainer_defaults={"enable_model_summary": False, **(trainer_defaults or {})},
            save_config_callback=save_config_callback,
            save_config_kwargs={"overwrite": True, **(save_config_kwargs or {})},
            parser_class=parser_class,
            seed_everything_default=seed_everything_default,
            subclass_mode_data=subclass_mode_data,
            auto_configure_optimizers=auto_configure_optimizers,
            **options,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Add ``bench``, which is a method of the trainer, to Lightning's own."""
        return {**LightningCLI.subcommands(), "bench": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let the data set the dimensions of the model; where a class is named, its base stays the default."""
        arguments = "model"
        if self.subclass_mode_model and isinstance(self._model_class, type):
            parser.set_defaults({"model": {"class_path": class_path(self._model_class)}})
            arguments = "model.init_args"
        for name in ("vocab_size", "seq_len", "num_puzzles"):
            parser.link_arguments(f"data.{name}", f"{arguments}.{name}", apply_on="instantiate")
        parser.add_argument("--threads", type=int, default=0, help="Threads on a CPU; 0 to go by the size of the work.")

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Let the configuration of one command be read by all: what only another takes is left aside."""
        super()._add_subcommands(parser, **kwargs)
        taken = self._subcommand_method_arguments
        self._foreign = {name: {*itertools.chain(*taken.values())} - {*own} for name, own in taken.items()}
        for name, foreign in self._foreign.items():
            for argument in sorted(foreign):
                self._subcommand_parsers[name].add_argument(f"--{argument}", default=SUPPRESS, help=SUPPRESS)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse a checkpoint that is missing or broken while nothing has been done yet."""
        if args is None or isinstance(args, list | tuple):
            self._argv = sys.argv[1:] if args is None else list(args)
            signature = inspect.signature(TRMTrainer.bench).parameters.values() if "bench" in self._argv[:1] else ()
            self.config = parser.parse_args(spelled_out(self._argv, signature))
        else:
            self._argv = []
            super().parse_arguments(parser, args)
        subcommand = self.config.get("subcommand")
        settings = self.config if subcommand is None else self.config[subcommand]
        self._refuse_foreign(subcommand or "")
        seed = settings.get("seed_everything")
        if seed is not None and not isinstance(seed, bool):
            check_range(subcommand or "cli", 0, 2**32 - 1, seed_everything=seed)
        checkpoint = settings.get("ckpt_path")
        if checkpoint not in (None, "best", "last", "hpc"):
            content = read_checkpoint(checkpoint)
            if subcommand == "fit" and keys.OPTIMIZERS not in content:
                raise InputError(
                    f"{checkpoint} holds weights alone, so no training can go on from it; --weights starts from them"
                )

    def _refuse_foreign(self, subcommand: str) -> None:
        """Refuse an option of another command on the command line."""
        given = {argument.partition("=")[0].removeprefix("--") for argument in self._argv if argument[:2] == "--"}
        for name in sorted(given & getattr(self, "_foreign", {}).get(subcommand, set())):
            takers = [f"trm {other}" for other, own in self._subcommand_method_arguments.items() if name in own]
            instead = "; --ckpt_path names the checkpoint to use" if name == "weights" else ""
            raise InputError(f"--{name} is an option of {' and '.join(takers)}, not of trm {subcommand}{instead}")

    def _parse_ckpt_path(self) -> None:
        """Keep what the user configured: Lightning would put a checkpoint's hyper-parameters over the command line.

        ``TRMModule.on_load_checkpoint`` refuses a checkpoint of another network.
        """

    def before_instantiate_classes(self) -> None:
        """Use the fast matrix products of GPUs that have them (TF32)."""
        torch.set_float32_matmul_precision("high")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Let checkpoints be written whole, and progress be told in steps, unless the configuration brings its own."""
        settings = self._get(self.config_init, "trainer", default={})
        plugins, callbacks = (_listed(settings.get(name)) for name in ("plugins", "callbacks"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, CheckpointFiles()]
        if settings.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks = [*callbacks, Progress()]
        check_requested_precision(settings.get("precision"))
        threads = Threads(self._get(self.config_init, "threads", default=0))
        callbacks = [*callbacks, threads, RunNotice(), Interrupt()]
        if self.subcommand == "bench":
            kwargs |= trainer_arguments(settings)
            kwargs["callbacks"] = [*kwargs["callbacks"], threads]
        trainer = super().instantiate_trainer(**{"plugins": plugins, "callbacks": callbacks, **kwargs})
        assert isinstance(trainer, TRMTrainer)
        trainer.command = [*self._environment(), "trm", *self._argv]
        return trainer

    def instantiate_classes(self) -> None:
        """Note the seed, which has been set right before the parameters are drawn."""
        super().instantiate_classes()
        seed = self._get(self.config, "seed_everything")
        self.model.init_seed = None if seed is None or isinstance(seed, bool) else seed

    def _environment(self) -> list[str]:
        """Return the settings that come from the environment, as a shell takes them in front of a command."""
        prefix = f"{ENV_PREFIX}_{str(self.subcommand).upper()}__"
        return [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(prefix)]

    def before_fit(self) -> None:
        """Refuse weights that do not fit, and read the data."""
        if weights := self.config.fit.weights:
            refuse_other_network(self.model, read_checkpoint(weights)[keys.HYPER_PARAMETERS], weights, ("num_puzzles",))
        self._prepare()

    def _prepare(self) -> None:
        """Read the data before Lightning starts other ranks, which a refusal would leave waiting."""
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        if self.config.subcommand == "fit":
            self.datamodule.check_devices(self.trainer.world_size)
        if environment is None or not environment.creates_processes_externally:
            self.datamodule.prepare(self.config.subcommand)

    def before_validate(self) -> None:
        """Refuse to evaluate random weights; then read the data likewise."""
        self._need_checkpoint()
        self._prepare()

    before_test = before_validate

    def before_predict(self) -> None:
        """Likewise; and let Lightning keep no answers, which are written batch by batch and would fill the memory."""
        self.before_validate()
        self.config_init.predict.return_predictions = False

    def _need_checkpoint(self) -> None:
        subcommand = self.config.subcommand
        checkpoint = self.config[subcommand].get("ckpt_path")
        if checkpoint is None:
            raise InputError(
                f"trm {subcommand} needs --ckpt_path: a file written by trm fit, a name that trm zoo lists, or 'last'"
            )
        if checkpoint in ("best", "last"):
            callbacks = [c for c in self.trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
            folders = [str(c.recall(self.trainer)) for c in callbacks if isinstance(c, Checkpoints)]
            others = checkpoint == "last" and any(c._find_last_checkpoints(self.trainer) for c in callbacks)
            if not others and not any(getattr(c, f"{checkpoint}_model_path") for c in callbacks):
                places = ", ".join(folders) or str(self.trainer.log_dir)
                raise InputError(f"there is no {checkpoint} checkpoint in {places}; run trm fit first")


def _named_models(args: Any) -> list[str]:
    """Return the class paths that ``--model`` and the configurations name; most name just arguments of the module."""
    if isinstance(args, Mapping):
        return _class_of(args.get("model"))
    given = [word for argument in args for word in str(argument).split("=", 1)]
    pairs = list(itertools.pairwise(given))
    found = [path for before, after in pairs if before == "--model" for path in _class_of(after)]
    for file in (Path(after) for before, after in pairs if before in ("--config", "-c")):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            continue  # the parser says what is wrong with it
        found += _class_of(content.get("model")) if isinstance(content, dict) else []
    return found


def _class_of(model: Any) -> list[str]:
    """Return the class that a setting of the model names: by a dotted path, or by ``class_path`` in a mapping."""
    if isinstance(model, Mapping):
        return [str(model["class_path"])] if "class_path" in model else []
    return [model] if isinstance(model, str) and not Path(model).is_file() and not model.startswith("{") else []


def _listed(value: Any) -> list[Any]:
    """Return what a setting holds that takes one thing or several."""
    return value if isinstance(value, list) else [] if value is None else [value]
