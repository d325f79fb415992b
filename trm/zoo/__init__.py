"""Models by name: those of the zoo, which install with the package, and those on the Hugging Face hub."""

from pathlib import Path

from trm.errors import InputError, printable

FOLDER = Path(__file__).parent
LICENCE = "Apache-2.0"
"""Licence of the models of the zoo; that of any other model is its owner's to state."""


def names() -> list[str]:
    """Return the names of the models."""
    return sorted(path.stem for path in FOLDER.glob("*.ckpt"))


def find(checkpoint: str | Path) -> Path:
    """Return the file or the hub folder of a checkpoint, given by its path or, if there is none, by a model's name.

    A hub folder has the files that ``trm export --format hub`` writes. The name ``hf:OWNER/NAME[@REVISION]`` is that of
    a model on the hub, which is downloaded at its first use.

    Raises:
        InputError: if there is no such checkpoint, or the download fails.
    """
    from trm.data.hub import CONFIG, PREFIX, WEIGHTS, fetch_model, is_model  # above what only lists the zoo

    path, text = Path(checkpoint), str(checkpoint)
    try:
        if path.is_file() or is_model(path):
            return path
        is_folder = path.is_dir()
    except OSError as error:  # a folder that may not be entered, or a name that is too long
        raise InputError(f"cannot read {checkpoint}: {error.strerror}") from error
    if text in names():
        return FOLDER / f"{checkpoint}.ckpt"
    if text.startswith(PREFIX):
        return fetch_model(text)
    if text and is_folder:
        raise InputError(
            f"{checkpoint} is a folder without {CONFIG} and {WEIGHTS}; accepted are a file, and a folder of trm export "
            "--format hub"
        )
    raise InputError(
        f"there is no checkpoint at {text or repr('')}; accepted are a file, a folder of trm export --format hub, "
        f"{PREFIX}OWNER/NAME on the hub, and a model of the zoo: {', '.join(names())}"
    )


def local(checkpoint: str | Path) -> Path:
    """Return where the file of a checkpoint is or would be on this machine; nothing is downloaded."""
    is_name = str(checkpoint) in names() and not Path(checkpoint).exists()
    return FOLDER / f"{checkpoint}.ckpt" if is_name else Path(checkpoint)


def card(name: str) -> str:
    """Return the card of a model in Markdown: of the zoo, of a hub folder, or on the hub.

    That of the zoo has a title, a sentence about the model, and its measurements.

    Raises:
        InputError: if there is no such model, or it has no card.
    """
    if name in names():
        return (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    from trm.data.hub import CARD, PREFIX, fetch_model, is_model
    from trm.text import read_text

    if name.startswith(PREFIX):
        text = read_text(fetch_model(name, CARD) / CARD)
    elif is_model(Path(name)):
        text = read_text(Path(name, CARD))
    else:
        raise InputError(
            f"the zoo has no model {name!r}; accepted are {', '.join(names())}, a folder of trm export --format hub, "
            f"and {PREFIX}OWNER/NAME on the hub"
        )
    return "".join(f"{printable(line)}\n" for line in text.splitlines())
