"""Changed settings: in what a run differs from the one that it resumes, or from the one that trained a checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ProgressBar
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn

from trm.arguments import listed, parameters_of
from trm.data import PuzzleData
from trm.errors import printable
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import current
from trm.training.trainer import shown

TRAINER = (
    *("precision", "limit_train_batches", "overfit_batches"),
    *("val_check_interval", "check_val_every_n_epoch", "limit_val_batches"),
)
"""Settings of the trainer that a run which resumes is compared in."""
ENDS = ("trainer.max_steps", "trainer.max_epochs")
"""Those that matter only if a schedule ends with the run."""
ANY_DATA = ("root", "workers", "eval_batch_size", "slots")
"""Arguments of the families that change no puzzle and no order; the module reports another number of slots itself."""
ANY_VALUE = ("Checkpoints.dirpath", "Threads.count")
"""Arguments of callbacks that change neither what is trained nor what is measured."""


def report_differences(module: LightningModule, theirs: dict[str, Any]) -> None:
    """Print the hyper-parameters in which a checkpoint and a module differ."""
    if found := _changes("model.", current(theirs), current(dict(module.hparams))):
        rank_zero_info(f"The checkpoint was trained with other settings: {'; '.join(found)}.")


def warn_of_changes(module: LightningModule, data: PuzzleData | None, checkpoint: dict[str, Any]) -> None:
    """Warn of every setting of module, data, trainer and callbacks in which a run differs from the one it resumes."""
    trainer = module.trainer
    found = _changes("model.", current(checkpoint.get(keys.HYPER_PARAMETERS, {})), current(dict(module.hparams)))
    if data is not None:
        theirs = current(checkpoint.get(keys.FAMILY, {}).get("init_args", {}))
        compared = {name: value for name, value in theirs.items() if name not in ANY_DATA}
        found += _changes("data.", compared, current(data.family["init_args"]))
    given = checkpoint.get(keys.SETTINGS, {}), run_settings(trainer)
    by_length = module.hparams["min_lr_ratio"] < 1 or "DepthCurriculum" in given[1]  # schedules that end with the run
    before, ours = ({name: value for name, value in of.items() if by_length or name not in ENDS} for of in given)
    absent = {name: "absent" for name in (*before, *ours) if "." not in name} if before else {}
    found += _changes("", absent | before, absent | ours)
    seed = getattr(module, "init_seed", None)
    if seed is not None and (other := checkpoint.get(keys.SEED, seed)) != seed:
        found.append(f"seed_everything {other}, now {seed}, which has no effect on a run that has begun")
    if found:
        rank_zero_warn(
            f"This run continues with other settings than those of {shown(str(trainer.ckpt_path))}: {'; '.join(found)}"
        )


def run_settings(trainer: Trainer) -> dict[str, Any]:
    """Return the settings of a trainer and its callbacks that change what is trained or measured, by name.

    Callbacks of the user's own are not compared, unless they have a true attribute ``changes_training``.
    """
    found = {f"trainer.{name}": getattr(trainer, name) for name in TRAINER}
    found |= {name: getattr(trainer, name.removeprefix("trainer.")) for name in ENDS}
    callbacks: Iterable[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        kind = type(callback)
        if getattr(callback, "changes_training", False):
            found[kind.__name__] = "present"
        ours = kind.__module__.startswith("trm.") and not issubclass(kind, ProgressBar)
        if ours or issubclass(kind, EarlyStopping):
            values = {f"{kind.__name__}.{name}": getattr(callback, name, ()) for name in parameters_of(kind)}
            found |= {name: value for name, value in values.items() if name not in ANY_VALUE}
    return {name: value for name, value in found.items() if value is None or isinstance(value, str | float | int)}


def _changes(prefix: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return the settings that both have and in which they differ, such as "data.seed 0, now 1"."""
    return [
        f"{prefix}{name} {_short(theirs[name])}, now {_short(value)}"
        for name, value in ours.items()
        if name in theirs and repr(listed(theirs[name])) != repr(listed(value))  # 1 batch is not 1.0 of all
    ]


def _short(value: Any) -> str:
    return "null" if value is None else printable(str(value))
