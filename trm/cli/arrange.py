"""Arranges the help of a command that takes a configuration: groups with titles, the most important first."""

import argparse
import re
from collections.abc import Iterable, Iterator

EARLY_EXIT = ("halt", "halt_threshold")
RECIPE = (
    *("continue_loss", "gradient_steps", "conv", "grid_conv", "halt_bias", "step_decay", "start_noise", "step_noise"),
    "latents",
)
"""Options of the model by group; those of the network are the arguments of ``TRM``, those of training the others."""

TRAINER_FIRST = (
    *("max_steps", "max_epochs", "devices", "accelerator", "precision", "strategy", "num_nodes", "logger", "callbacks"),
    *("val_check_interval", "check_val_every_n_epoch", "log_every_n_steps", "fast_dev_run"),
    *("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"),
)
"""Options of Lightning's trainer that most runs set, the most important first."""

IN_SHORT = {
    "ckpt_path": "checkpoint to resume (fit) or to evaluate (other commands): a file, the name of a model (see trm zoo "
    "--help), or 'last' for that of the run's folder",
    "weights_only": "load only tensors and plain values; trm never loads anything else",
    "seed_everything": "seed of random numbers, for the initial parameters too; true for a random one",
    "print_config": "print the settings that result, as a configuration, and exit",
}
"""Short help of options that Lightning and jsonargparse explain at length."""


def network_options() -> list[str]:
    """Return the names of the options that say which network is built, in their order."""
    from trm.arguments import parameters_of
    from trm.nn import TRM  # needs torch, which the help of most commands does without

    return ["network", "network_args", *(name for name in parameters_of(TRM) if name not in RECIPE)]


Groups = Iterator[tuple[str, str | None, list[argparse.Action]]]


def arrange(actions: Iterable[argparse.Action], own: str) -> Groups:
    """Yield title, description and options of each group that is not empty.

    Args:
        actions: the options of the command, without links.
        own: name of the command, such as "fit".
    """
    listed = [action for action in actions if not re.fullmatch(r"trainer\..*\.help", action.dest)]

    def of(prefix: str) -> list[argparse.Action]:
        return [action for action in listed if action.dest == prefix or action.dest.startswith(f"{prefix}.")]

    model, trainer = of("model"), of("trainer")
    names = {action.dest: action.dest.removeprefix("model.") for action in model}
    network = network_options()
    grouped = {"model", *network, *EARLY_EXIT, *RECIPE}
    first = [action for name in TRAINER_FIRST for action in trainer if action.dest == f"trainer.{name}"]
    configured = {*model, *trainer, *of("data")}
    general = ("help", "config", "print_config", "seed_everything")
    for title, text, members in (
        ("options", None, [action for action in listed if action.dest in general]),
        (f"this command ({own})", None, [a for a in listed if a not in configured and a.dest not in general]),
        ("data", "--data.help CLASS lists the settings of a family, such as --data.slots.", of("data")),
        ("network", None, [a for name in ("model", *network) for a in model if names[a.dest] == name]),
        ("training", None, [action for action in model if names[action.dest] not in grouped]),
        ("early exit", None, [action for action in model if names[action.dest] in EARLY_EXIT]),
        ("recipe switches", "Ablations of the paper, and later work.", [a for a in model if names[a.dest] in RECIPE]),
        (
            "trainer",
            "--trainer.callbacks.help CLASS lists the settings of a callback; the same for a logger, strategy, plugin. "
            "In full: https://lightning.ai/docs/pytorch/stable/common/trainer.html",
            first,
        ),
        ("trainer, seldom changed", None, [action for action in trainer if action not in first]),
    ):
        if members:
            yield title, text, members


def in_short(name: str, text: str) -> str:
    """Return the short help of an option; of Lightning's options, the first sentence."""
    if name.startswith("trainer."):
        return re.split(r"(?<=[^.\s][.])\s+(?=[A-Z`\"'])", " ".join(text.split()), maxsplit=1)[0]
    return IN_SHORT.get(name, text)
