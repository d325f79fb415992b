"""The command ``trm tune``: chooses the settings of a configuration, or the early exit of a checkpoint."""

import shlex
import sys

from trm.errors import InputError

MINUTES, TARGET_LOSS = 20.0, 0.005


def tune(
    checkpoint: str = "",
    /,
    *options: str,
    minutes: float | None = None,
    target_loss: float | None = None,
    output: str = "",
    parameters: int | None = None,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Choose the settings of a configuration, or the early exit of a checkpoint, on the validation split.

    trm tune --config FILE --minutes 20 -o tuned.yaml trains up to 27 candidates for a short time each, goes on with the
    best third of them, and writes a configuration for trm fit: network, mixer, convolution over the grid, width,
    cycles, latent and supervision steps, batch, learning rate and augmentation. The table and the picture beside it,
    tuned.csv and tuned.svg, have all that it tried. Ctrl-C writes the best so far.

    trm tune CHECKPOINT --target-loss 0.005 -o tuned.ckpt finds the cheapest early-exit rule, threshold and number of
    views that lose at most this share of the puzzles that all supervision steps solve, with 95 % confidence. The new
    checkpoint contains the choice, which trm solve, trm serve and Solver then use by default.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        *options: --config FILE and other settings of trm fit, such as --data.train_size 300.
        minutes: wall time for all candidates; 20 by default. For a configuration.
        target_loss: share of puzzles that may be lost; 0.005 by default. For a checkpoint.
        output: file to write, -o for short: a configuration, or a checkpoint. Required with --config; without one, the
            choice for a checkpoint is only printed.
        parameters: most parameters of a candidate; null for no limit. For a configuration.
        force: overwrite files that exist, even the checkpoint itself.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    has_config = any(option.partition("=")[0] == "--config" for option in options)
    if bool(checkpoint) == has_config:
        both = f"the checkpoint {checkpoint} and --config; pass one of them" if has_config else "neither"
        raise InputError(f"trm tune takes --config FILE or a checkpoint, but was given {both}")
    given: dict[str, object] = {"--minutes": minutes, "--parameters": parameters}
    if not checkpoint:
        given = {"--target-loss": target_loss, "--family": family or None, "--module": module or None}
    for name, value in given.items():
        if value is not None:
            wanted = "--config FILE" if checkpoint else "a checkpoint"
            raise InputError(f"{name} is {value}, but is an option of trm tune with {wanted}")
    if checkpoint:
        if options:
            raise InputError(f"trm tune with a checkpoint has no option {options[0]}; settings go with --config FILE")
        target = TARGET_LOSS if target_loss is None else target_loss
        return _choose_exit(checkpoint, target, output, force, family, module)
    from trm.cli.main import configured

    own = [f"--minutes={MINUTES if minutes is None else minutes}", f"--output={output}"]
    own += [] if parameters is None else [f"--parameters={parameters}"]
    return configured(["tune", *options, *own, *(["--force=true"] if force else [])])


def _choose_exit(checkpoint: str, target_loss: float, output: str, force: bool, family: str, module: str) -> int:
    from trm.analysis.report import load
    from trm.checkpoints.files import CheckpointFiles, read_checkpoint
    from trm.data.atomic import CHECKPOINT, check_ending, refuse_overwriting
    from trm.data.progress import show_progress
    from trm.training import checkpoint_keys as keys
    from trm.tune.exits import choose, tabulate

    if output:
        check_ending(output, *CHECKPOINT)
        refuse_overwriting(output, force)
    model, data = load(checkpoint, family, module)
    with show_progress("validation puzzles", "supervision step") as watch:
        choice, facts = choose(model, data, target_loss, watch=watch)
    print(tabulate(choice, facts), flush=True)
    if output:
        content = {**read_checkpoint(checkpoint), keys.INFERENCE: dict(choice._asdict())}
        CheckpointFiles().save_checkpoint(content, output)
        print(f"written: {output}; trm solve {shlex.quote(output)} uses this choice", file=sys.stderr)
    else:
        print("-o FILE writes a checkpoint with this choice, which trm solve then uses", file=sys.stderr)
    return 0
