"""Every private name of Lightning, torch and jsonargparse that ``trm`` uses: it exists, and there is no other.

A release of one of them may change such a name without notice. After a bump of a version, this table is what to check.
"""

import ast
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from paths import REPO

DOCUMENTED = {"_asdict", "_fields", "_make", "_replace", "_exit"}
"""Public in spite of the underscore: of named tuples and of ``os``."""


class Internal(NamedTuple):
    """A private name: whose it is, in which files of ``trm`` it is used, and why."""

    owner: str
    files: str
    why: str


CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
CLI = "lightning.pytorch.cli.LightningCLI"
PARSER = "jsonargparse.ArgumentParser"
FORMATTER = "jsonargparse.DefaultHelpFormatter"
MONITOR = "lightning.pytorch.callbacks.LearningRateMonitor"
AVERAGING = "lightning.pytorch.callbacks.WeightAveraging"
SAVING, TRAINER = "callbacks/checkpoints.py", "training/trainer.py"
FOREACH = ("torch", "training/optim.py", "one kernel for all parameters, as torch's own optimizers")
ATTENTION = ("torch.ops.aten", "nn/flops.py", "torch's flop counter lacks the attention of CPUs")

INTERNALS = {
    # ModelCheckpoint: what it would do itself, at other steps than the ends of its batches
    "_ModelCheckpoint__resolve_ckpt_dir": Internal(CHECKPOINT, SAVING, "folder of a run before the run starts"),
    "_save_checkpoint": Internal(CHECKPOINT, SAVING, "write last.ckpt"),
    "_save_topk_checkpoint": Internal(CHECKPOINT, f"{SAVING} {TRAINER}", "write the best, and remove what it replaces"),
    "_monitor_candidates": Internal(CHECKPOINT, f"{SAVING} {TRAINER}", "values by which the best is chosen"),
    "_save_last_checkpoint": Internal(CHECKPOINT, TRAINER, "save at multiples of steps that end inside a batch"),
    "_every_n_train_steps": Internal(CHECKPOINT, TRAINER, "those multiples"),
    "_should_skip_saving_checkpoint": Internal(CHECKPOINT, TRAINER, "whether this step has been saved already"),
    "_defer_save_until_validation": Internal(CHECKPOINT, TRAINER, "save once the monitored metric is logged"),
    "_find_last_checkpoints": Internal(CHECKPOINT, "cli/checkpoint.py", "whether ckpt_path 'last' will find a file"),
    # loops and their connectors
    "_batches_that_stepped": Internal(
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop",
        "training/evaluation.py",
        "the step of a log line; K optimizer steps a batch count as K",
    ),
    "_should_check_val_fx": Internal(
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop", SAVING, "whether a validation saves anyway"
    ),
    "_data_fetcher": Internal("lightning.pytorch.loops.fit_loop._FitLoop", SAVING, "argument of the above"),
    "_checkpoint_connector": Internal("lightning.pytorch.Trainer", TRAINER, "the state of the loops, as it is saved"),
    "_get_loops_state_dict": Internal(
        "lightning.pytorch.trainer.connectors.checkpoint_connector._CheckpointConnector",
        TRAINER,
        "that state inside a batch",
    ),
    "_logger_connector": Internal("lightning.pytorch.Trainer", TRAINER, "should_update_logs, for learning rates"),
    "_trainer": Internal(
        "lightning.pytorch.LightningModule",
        "bench/loop.py training/checkpointing.py training/evaluation.py",
        "the trainer, or None",
    ),
    "_compiler_ctx": Internal("lightning.pytorch.LightningModule", TRAINER, "refuse torch.compile of the whole module"),
    # callbacks and loggers
    "_average_model": Internal(AVERAGING, "callbacks/ema.py", "update the average at optimizer steps, not batches"),
    "_latest_update_step": Internal(AVERAGING, "callbacks/ema.py", "count those updates, in checkpoints too"),
    "_extract_stats": Internal(MONITOR, TRAINER, "learning rates to log against optimizer steps"),
    "_get_train_description": Internal(
        "lightning.pytorch.callbacks.RichProgressBar", TRAINER, "no '/-2' where steps end the run"
    ),
    "_default_hp_metric": Internal(
        "lightning.pytorch.loggers.TensorBoardLogger", TRAINER, "log no metric that nothing measures"
    ),
    "_experiment": Internal("lightning.pytorch.loggers.CSVLogger", TRAINER, "whether the logger has begun its file"),
    # the command line
    "_add_subcommands": Internal(CLI, "cli/lightning.py", "let each command ignore the settings of the others"),
    "_prepare_subcommand_parser": Internal(CLI, "cli/lightning.py", "build the parser of the command at hand alone"),
    "_subcommand_method_arguments": Internal(CLI, "cli/lightning.py", "which command takes which setting"),
    "_subcommand_parsers": Internal(CLI, "cli/lightning.py", "where to add the settings to ignore"),
    "_parse_ckpt_path": Internal(CLI, "cli/lightning.py", "the user's hyper-parameters win over a checkpoint's"),
    "_model_class": Internal(CLI, "cli/lightning.py", "default of a model that is named by its class"),
    "_get": Internal(CLI, "cli/lightning.py", "a setting of the command at hand"),
    "_typehints": Internal(
        "jsonargparse", "cli/parser.py", "the class of arguments, whose lists are merged by position"
    ),
    "_util": Internal("jsonargparse", "cli/parser.py", "which configuration a loader reads, to name it"),
    "_check_type": Internal(
        "jsonargparse._typehints.ActionTypeHint", "cli/parser.py", "a list given later replaces the earlier one"
    ),
    "_actions": Internal("argparse.ArgumentParser", "cli/configuration.py cli/parser.py", "the options, to group them"),
    "_action_groups": Internal("argparse.ArgumentParser", "cli/configuration.py", "groups of the help"),
    "_group_actions": Internal("argparse._ArgumentGroup", "cli/configuration.py", "options of such a group"),
    "_subcommands_action": Internal(PARSER, "cli/configuration.py", "whether the help is the list of commands"),
    "_format_action_invocation": Internal(FORMATTER, "cli/parser.py", "an option without its environment variable"),
    "_get_help_string": Internal(FORMATTER, "cli/parser.py", "an option without its subclasses"),
    "_expand_help": Internal(FORMATTER, "cli/parser.py", "no default where there is none"),
    "_fill_text": Internal(FORMATTER, "cli/parser.py", "paragraphs of a description stay paragraphs"),
    # torch
    "_ddp_params_and_buffers_to_ignore": Internal(
        "torch.nn.parallel.DistributedDataParallel", "module.py", "the puzzle embedding is equal on all ranks already"
    ),
    "_get_default_store": Internal(
        "torch.distributed.distributed_c10d", "cli/failures.py", "which rank reports an error that all have"
    ),
    "_dynamo": Internal("torch", "training/compilation.py", "BackendCompilerFailed, of a machine without a compiler"),
    "_apply": Internal("torch.nn.Module", "nn/network.py", "buffers stay in float32 when parameters become bfloat16"),
    "_foreach_add_": Internal(*FOREACH),
    "_foreach_div_": Internal(*FOREACH),
    "_foreach_lerp_": Internal("torch", "callbacks/ema.py training/optim.py", FOREACH[2]),
    "_foreach_mul": Internal(*FOREACH),
    "_foreach_mul_": Internal(*FOREACH),
    "_foreach_sqrt": Internal(*FOREACH),
    "_foreach_norm": Internal("torch", "training/precision.py", "one kernel to look for values that are not finite"),
    "_get_raw": Internal("torch.utils.flop_counter", "nn/flops.py", "the counter passes tensors, not shapes"),
    "_scaled_dot_product_flash_attention_for_cpu": Internal(*ATTENTION),
    "_scaled_dot_product_flash_attention_for_cpu_backward": Internal(*ATTENTION),
}


@pytest.mark.parametrize("name", INTERNALS)
def test_the_installed_version_has_it(name: str) -> None:
    owner = _resolve(INTERNALS[name].owner)
    assigned = rf"\w(\.{name}\b|, ['\"]{name}['\"])"  # an attribute of instances, or of what it is given
    sources = map(_source, inspect.getmro(owner) if inspect.isclass(owner) else [owner])
    assert hasattr(owner, name) or any(re.search(assigned, source) for source in sources)


def test_nothing_else_is_used() -> None:
    assert found() == {name: set(internal.files.split()) for name, internal in INTERNALS.items()}


def _resolve(path: str) -> Any:
    """Return the module or class with a dotted path."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(_resolve(module), name)


def found() -> dict[str, set[str]]:
    """Return the private names of others that ``trm`` uses, with the files they are used in."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in sorted((REPO / "trm").rglob("*.py")):
        for name in _used(path):
            if name not in DOCUMENTED:
                names[name].add(path.relative_to(REPO / "trm").as_posix())
    return dict(names)


def _used(path: Path) -> Iterator[str]:
    """Yield the private names of others in a file: imported, of other objects, and of the bases of its classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            imported = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (part for name in imported for part in name.split(".") if _private(part))
        elif isinstance(node, ast.Attribute) and _private(node.attr) and not _own(node.value):
            yield node.attr
        elif isinstance(node, ast.Constant) and re.fullmatch(r"_[A-Z]\w*?__\w+", str(node.value)):
            yield node.value  # a mangled name, for getattr
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            inherited = _inherited(path, node.name)
            yield from (name for name in _own_names(node) if re.search(rf"(self\.|def ){name}\b", inherited))
            yield from _only_set(node)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _own(value: ast.expr) -> bool:
    """Return whether an expression is self, or super()."""
    return ast.unparse(value) in ("self", "super()")


def _own_names(node: ast.ClassDef) -> Iterator[str]:
    """Yield the private names that a class defines, or uses of itself."""
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef) and _private(part.name):
            yield part.name
        elif isinstance(part, ast.Attribute) and _private(part.attr) and _own(part.value):
            yield part.attr


def _only_set(node: ast.ClassDef) -> set[str]:
    """Return the private names that a class gives itself but never reads, which are there for others."""
    own = [part for part in ast.walk(node) if isinstance(part, ast.Attribute) and _private(part.attr)]
    read = {part.attr for part in own if isinstance(part.ctx, ast.Load)}
    read |= {str(part.value) for part in ast.walk(node) if isinstance(part, ast.Constant)}  # by getattr
    return {part.attr for part in own if isinstance(part.ctx, ast.Store) and _own(part.value)} - read


def _inherited(path: Path, name: str) -> str:
    """Return the source of the classes of others that a class of ``trm`` inherits from."""
    module = ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
    bases = getattr(importlib.import_module(module), name).__mro__
    return "\n".join(_source(base) for base in bases if not base.__module__.startswith("trm."))


def _source(thing: Any) -> str:
    """Return the Python source of a class, function or module; "" if it has none."""
    try:
        return inspect.getsource(thing)
    except (TypeError, OSError):
        return ""
