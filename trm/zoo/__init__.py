"""The zoo: small trained models that install with the package, each a checkpoint and a card, found by name."""

from pathlib import Path

from trm.errors import InputError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the models."""
    return sorted(path.stem for path in FOLDER.glob("*.ckpt"))


def find(checkpoint: str | Path) -> Path:
    """Return the checkpoint file of a path or, if no such file exists, of a model's name.

    Raises:
        InputError: if it is neither.
    """
    path = Path(checkpoint)
    try:
        if path.is_file():
            return path
    except OSError as error:  # a folder that may not be entered, or a name that is too long
        raise InputError(f"cannot read {checkpoint}: {error.strerror}") from error
    if str(checkpoint) in names():
        return FOLDER / f"{checkpoint}.ckpt"
    raise InputError(
        f"there is no checkpoint at {str(checkpoint) or repr('')}; accepted are a file and the models of the zoo: "
        f"{', '.join(names())}"
    )


def card(name: str) -> str:
    """Return the card of a model in Markdown: a title, a sentence about it, and its measurements.

    Raises:
        InputError: if there is no such model.
    """
    if name not in names():
        raise InputError(f"the zoo has no model {name!r}; accepted are {', '.join(names())}")
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
