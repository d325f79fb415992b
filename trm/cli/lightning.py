"""``TRMCLI``: the commands that take a configuration."""

import inspect
import itertools
import os
import sys
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins import CheckpointIO
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.arguments import RENAMED, class_path, find_class
from trm.callbacks.ema import StepEMA
from trm.callbacks.interrupt import Interrupt
from trm.callbacks.notice import RunNotice
from trm.callbacks.progress import Progress
from trm.callbacks.threads import Threads
from trm.checkpoints.files import CheckpointFiles, read_checkpoint, read_facts
from trm.cli.checkpoint import find_checkpoint, keep_added, keep_tokens, need_checkpoint
from trm.cli.commands.bench import trainer_arguments
from trm.cli.configuration import Parser, SaveFitConfig, named_models, quiet, rename, replaced_family
from trm.cli.parser import ENV_PREFIX, spelled_out
from trm.cli.trainer import TRMTrainer
from trm.data import PuzzleData
from trm.data.atomic import check_writable
from trm.errors import InputError, check_range
from trm.module import TRMModule
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import free_to_start, refuse_other_module, refuse_other_network, refuse_other_puzzles
from trm.training.precision import check_requested_precision


class TRMCLI(LightningCLI):
    """LightningCLI with links from data to model, which checks a checkpoint before anything is built.

    ``TRMCLI(TRMModule, PuzzleData)`` is a complete training script. The arguments are those of LightningCLI, with the
    defaults below; a ``trainer_class`` is a subclass of ``TRMTrainer``. If ``--model my_models.MyTRM`` or a
    configuration names a class, it replaces ``model_class``, of which it must be a subclass.

    Settings are also read from environment variables: ``TRM_FIT__DATA__SLOTS=64`` for ``fit --data.slots 64``, or
    ``TRM_DATA__SLOTS`` with ``run=False``. A configuration and the command line override them.

    Raises:
        InputError: if the class named does not exist or is not a subclass of ``model_class``, or ``trainer_class`` is
            not a subclass of ``TRMTrainer``, whose methods are the commands.
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
        argv = sys.argv[1:] if args is None else args
        self._alone = argv[0] if isinstance(argv, list | tuple) and argv and argv[0] in self.subcommands() else ""
        named = named_models(argv)
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
        """Add ``bench`` and ``tune``, which are methods of the trainer, to Lightning's own."""
        return {**LightningCLI.subcommands(), **{name: {"model", "datamodule"} for name in ("bench", "tune")}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the dimensions of the model to the data; ``model_class`` stays the default if a class is named."""
        arguments = "model"
        if self.subclass_mode_model and isinstance(self._model_class, type):
            parser.set_defaults({"model": {"class_path": class_path(self._model_class)}})
            arguments = "model.init_args"
        for name in ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid"):
            parser.link_arguments(f"data.{name}", f"{arguments}.{name}", apply_on="instantiate")
        if arguments == "model":  # of a class of the user's own, it may be an argument
            for before in RENAMED:
                parser.add_argument(f"--model.{before}", type=float, default=SUPPRESS, help=SUPPRESS)
        parser.add_argument(
            "--threads", type=int | None, help="Threads on a CPU; null to choose by the size of the network."
        )
        parser.add_argument(
            "--ema_decay", type=float | None, help="Decay of StepEMA; null for that in trainer.callbacks."
        )

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Let every command read the configuration of the others, and ignore the settings that only those accept."""
        super()._add_subcommands(parser, **kwargs)
        taken = self._subcommand_method_arguments
        self._foreign = {name: {*itertools.chain(*taken.values())} - {*own} for name, own in taken.items()}
        for name, foreign in self._foreign.items():
            for argument in sorted(foreign):
                self._subcommand_parsers[name].add_argument(f"--{argument}", default=SUPPRESS, help=SUPPRESS)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a command; without trainer, model and data, which take a while, if another one is run.

        The command line names the one that is run, unless options of the script itself come first.
        """
        if self._alone in ("", subcommand):
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser = self.init_parser(**kwargs)
        skip: set[str | int] = {*self.subcommands()[subcommand]}
        self._subcommand_method_arguments[subcommand] = parser.add_method_arguments(klass, subcommand, skip=skip)
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and check options, seed and checkpoint before anything is built."""
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
        self._report_family(settings.get("data"))
        for sentence in rename(settings):
            rank_zero_info(sentence)
        seed = settings.get("seed_everything")
        if seed is not None and not isinstance(seed, bool):
            check_range(subcommand or "cli", 0, 2**32 - 1, seed_everything=seed)
        self._taken: dict[str, str] = {}
        if weights := settings.get("weights"):
            self._taken |= dict.fromkeys(keep_tokens(settings.get("data"), read_facts(weights)), weights)
        checkpoint = settings.get("ckpt_path")
        if checkpoint not in (None, "best", "last", "hpc"):
            content = read_facts(checkpoint)
            self._taken |= dict.fromkeys(keep_tokens(settings.get("data"), content), checkpoint)
            if subcommand != "fit":
                keep_added(settings.get("data"), content)
            if subcommand == "fit" and keys.OPTIMIZERS not in content:
                raise InputError(
                    f"{checkpoint} contains only parameters, so training cannot resume from it; "
                    "--weights starts from them"
                )

    def _report_family(self, data: Any) -> None:
        """Print which settings a family takes over from a configuration of another one."""
        if data is not None and "class_path" in data:
            accepted = data.get("init_args") or {}
            if sentence := replaced_family(self._argv, data.class_path, accepted.keys()):
                rank_zero_info(sentence)

    def _refuse_foreign(self, subcommand: str) -> None:
        """Check that the command line has no option of another command."""
        given = {argument.partition("=")[0].removeprefix("--") for argument in self._argv if argument[:2] == "--"}
        for name in sorted(given & getattr(self, "_foreign", {}).get(subcommand, set())):
            takers = [f"trm {other}" for other, own in self._subcommand_method_arguments.items() if name in own]
            instead = "; --ckpt_path names the checkpoint to use" if name == "weights" else ""
            raise InputError(f"--{name} is an option of {' and '.join(takers)}, not of trm {subcommand}{instead}")

    def _parse_ckpt_path(self) -> None:
        """Keep the user's settings, which Lightning would replace with a checkpoint's hyper-parameters.

        ``TRMModule.on_load_checkpoint`` refuses a checkpoint of another network.
        """

    def before_instantiate_classes(self) -> None:
        """Allow TF32 matrix products on GPUs."""
        torch.set_float32_matmul_precision("high")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add atomic checkpoints, progress in steps and our notices, unless the configuration has its own."""
        settings = self._get(self.config_init, "trainer", default={})
        plugins, callbacks = (_listed(settings.get(name)) for name in ("plugins", "callbacks"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, CheckpointFiles()]
        if settings.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks = [*callbacks, Progress()]
        if (decay := self._get(self.config_init, "ema_decay")) is not None:
            callbacks = _with_decay(callbacks, decay)
        check_requested_precision(settings.get("precision"))
        threads = Threads(self._get(self.config_init, "threads"))
        callbacks = [*callbacks, threads, RunNotice(), Interrupt()]
        if self.subcommand in ("bench", "tune"):
            kwargs |= trainer_arguments(settings)
            kwargs["callbacks"] = [*kwargs["callbacks"], threads]
        trainer = cast(
            TRMTrainer, super().instantiate_trainer(**{"plugins": plugins, "callbacks": callbacks, **kwargs})
        )
        trainer.command = [*self._environment(), "trm", *self._argv]
        return trainer

    def instantiate_classes(self) -> None:
        """Record the seed of the initial parameters in the module."""
        super().instantiate_classes()
        for name, origin in self._taken.items():
            self.datamodule.take_over([name], origin)
        seed = self._get(self.config, "seed_everything")
        self.model.init_seed = None if seed is None or isinstance(seed, bool) else seed

    def _environment(self) -> list[str]:
        """Return the settings from the environment, as assignments before a shell command."""
        prefix = f"{ENV_PREFIX}_{str(self.subcommand).upper()}__"
        return [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(prefix)]

    def before_fit(self) -> None:
        """Check that the parameters to start from fit, and load the data."""
        if weights := self.config.fit.weights:
            theirs = read_facts(weights)[keys.HYPER_PARAMETERS]
            refuse_other_network(self.model, theirs, weights, free_to_start(theirs))
        if self.config.fit.ckpt_path == "best":
            need_checkpoint(self.trainer, "fit", "best")
        self._prepare()

    def _prepare(self) -> None:
        """Check folder and checkpoint, and load the data, before Lightning starts other ranks or writes anything.

        Other ranks would wait forever after an error in the first.
        """
        subcommand = self.config.subcommand
        if (path := find_checkpoint(self.trainer, self.config[subcommand].get("ckpt_path"))) and subcommand != "bench":
            content = read_checkpoint(path)
            refuse_other_module(self.model, content, TRMModule)
            refuse_other_network(self.model, content[keys.HYPER_PARAMETERS])
            refuse_other_puzzles(self.datamodule, content)
            self.datamodule.recall(content.get(keys.HELD_OUT, {}), content[keys.FAMILY]["init_args"])
            self.model.check_restorable(self.trainer, subcommand, content)
        folder: Any = self.trainer.log_dir
        if isinstance(folder, str) and "://" not in folder:  # with fast_dev_run there is none
            check_writable(Path(folder, "config.yaml"), "the run's ")
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        if subcommand == "fit":
            self.datamodule.check_devices(self.trainer.world_size)
        if environment is None or not environment.creates_processes_externally:
            self.datamodule.prepare(subcommand)

    def before_tune(self) -> None:
        """Give the trainer the settings that are not defaults, of which it writes changed ones."""
        settings = self.config.tune.clone()
        for name in self._subcommand_method_arguments["tune"]:
            settings.pop(name, None)
        parser = self._subcommand_parsers["tune"]
        changed = yaml.safe_load(parser.dump(settings, skip_default=True, skip_none=False, skip_validation=True))
        theirs = {
            name: settings[name] for name in sorted(self._foreign["tune"]) if name in settings
        }  # such as ckpt_path
        cast(TRMTrainer, self.trainer).settings = {**changed, **theirs}

    def before_validate(self) -> None:
        """Check that there is a checkpoint to evaluate, and load the data."""
        subcommand = self.config.subcommand
        need_checkpoint(self.trainer, subcommand, self.config[subcommand].get("ckpt_path"))
        self._prepare()

    before_test = before_validate

    def before_predict(self) -> None:
        """Check and load too, and keep no answers in memory, since they are written batch by batch."""
        self.before_validate()
        self.config_init.predict.return_predictions = False


def _with_decay(callbacks: list[Any], decay: float) -> list[Any]:
    """Return callbacks with another decay of StepEMA.

    Raises:
        InputError: if there is no StepEMA.
    """
    if not any(isinstance(callback, StepEMA) for callback in callbacks):
        raise InputError(f"--ema_decay is {decay}, but trainer.callbacks has no StepEMA")
    return [StepEMA(decay, c.warmup) if isinstance(c, StepEMA) else c for c in callbacks]


def _listed(value: Any) -> list[Any]:
    """Return the list of a setting that may be a list, a single value or None."""
    return value if isinstance(value, list) else [] if value is None else [value]
